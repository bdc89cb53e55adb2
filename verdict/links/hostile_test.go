package links_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict/links"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// hostile are messages that want much work.
func hostile() map[string]verdicttest.Mail {
	hosts := func(form string) string {
		var b strings.Builder
		for i := range 1500 {
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	const n = 100_000
	return map[string]verdicttest.Mail{
		"hosts":             {Text: hosts("https://paypal-micros0ft-%d.example.com/\n")},
		"hosts in HTML":     {HTML: hosts("<a href='https://a-%d.test.com/#AAAbbb111222cccDDD'>https://www.example.com/</a>\n"), From: "Netflix PayPal Microsoft <a@b.test>"},
		"dots":              {Text: strings.Repeat("a.com ", n)},
		"only dots":         {Text: strings.Repeat(".", n)},
		"one long host":     {Text: "https://" + strings.Repeat("a.", n) + "com/"},
		"one long label":    {Text: "https://" + strings.Repeat("a", n) + ".com/"},
		"one long query":    {Text: "https://a.example.com/?" + strings.Repeat("a=https://b.test&", n/10)},
		"slashes":           {Text: strings.Repeat("://", n)},
		"schemes":           {Text: strings.Repeat("http://", n)},
		"at signs":          {Text: "https://" + strings.Repeat("a@", n) + "b.com/"},
		"escapes":           {Text: "https://" + strings.Repeat("%61", n) + ".com/"},
		"rewritten":         {Text: strings.Repeat("https://urldefense.com/v3/__https:/"+strings.Repeat("**A", 200)+"__;"+strings.Repeat("YWJj", 100)+"!!a$ ", 100)},
		"bait":              {Text: hosts("https://paypal" + strings.Repeat("login", 10) + "%d.com/\n")},
		"brackets":          {Text: "https://a.com/" + strings.Repeat("(", n)},
		"invisible":         {Text: "https://a" + strings.Repeat("\u200b", n/2) + ".com/"},
		"letters of others": {Text: "https://" + strings.Repeat("а", 300) + ".com/ " + strings.Repeat("https://бб.com/ ", 1000)},
		"forms":             {HTML: strings.Repeat("<form action=https://a.example.com><input><input>", 1000)},
		"one link, long":    {HTML: "<a href='https://a.example.com/'>" + strings.Repeat("Microsoft ", n/10) + "</a>"},
		"links in one":      {HTML: strings.Repeat("<a href='https://a.example.com/'>https://b.example.com/", 1500)},
		"subject":           {Subject: strings.Repeat("https://a.com/ ", 500)},
		"recipients":        {To: strings.Repeat("a@example.net, ", 1000) + "b@example.net", Text: "https://a.example.com/?x"},
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	sc := &links.Scanner{Protected: []string{"example.com", "example-bank.org"}}
	for name, mail := range hostile() {
		start := time.Now()
		found, err := sc.Scan(t.Context(), mail.Message(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 20*time.Second { // with the race detector, on a busy machine
			t.Errorf("%s took %v", name, took)
		} else if testing.Verbose() {
			t.Logf("%-18s %v, %d findings", name, took.Round(time.Millisecond), len(found))
		}
		if len(found) > 300 {
			t.Errorf("%s: %d findings", name, len(found))
		}
	}
}
