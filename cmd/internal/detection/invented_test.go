package detection_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// letter is a message that was made up for a test.
type letter struct {
	name    string
	from    string
	to      string // default: a reader by name
	subject string
	header  []string
	text    string
	html    string
	attach  []verdicttest.Attachment
}

func (l letter) message() *verdict.Message {
	m := verdict.NewMessage(verdict.Bytes(verdicttest.Mail{
		From: l.from, To: cmp.Or(l.to, "Robin Reader <robin.reader@house.example>"), Subject: l.subject,
		Header: l.header, Text: l.text, HTML: l.html, Attach: l.attach,
	}.Bytes()))
	m.Received = time.Now()
	m.Envelope.To = []verdict.Recipient{{Address: "robin.reader@house.example"}}
	return m
}

// signed are the fields of a service that signs its mail.
func signed(domain string, more ...string) []string {
	return append([]string{"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=" + domain + "; s=s1; h=from:to:subject; bh=AAAA; b=AAAA"}, more...)
}

// news are the fields of a newsletter that is sent by a service.
func news(domain, service string) []string {
	return signed(domain, "List-Unsubscribe: <https://"+service+"/u/8fj29s>, <mailto:u-8fj29s@"+service+">",
		"List-Unsubscribe-Post: List-Unsubscribe=One-Click", "Precedence: bulk")
}

// anchors makes HTML of links: "https://a.example/x|text".
func anchors(list ...string) string {
	var b strings.Builder
	for _, l := range list {
		target, text, _ := strings.Cut(l, "|")
		fmt.Fprintf(&b, "<p><a href=%q>%s</a></p>\n", target, text)
	}
	return b.String()
}

// page makes HTML of paragraphs; those with a tag stay as they are.
func page(paragraphs ...string) string {
	var b strings.Builder
	b.WriteString("<html><body>\n")
	for _, p := range paragraphs {
		if !strings.HasPrefix(p, "<") {
			p = "<p>" + p + "</p>"
		}
		b.WriteString(p + "\n")
	}
	b.WriteString("</body></html>\n")
	return b.String()
}

func score(t *testing.T, l letter) *verdict.Report {
	t.Helper()
	r := engine().Judge(context.Background(), l.message())
	if r.Class == verdict.Unknown {
		t.Errorf("%s: %v", l.name, codesOf(judged{Report: r}))
	}
	return r
}

// mostHonest leaves an honest letter room for what its way adds to it.
const mostHonest = 4

// TestHonest shows that invented mail of honest kinds stays well below the threshold.
func TestHonest(t *testing.T) {
	t.Parallel()
	for _, l := range honest {
		if r := score(t, l); r.Class != verdict.Clean || r.Score >= mostHonest {
			t.Errorf("%s: %v %s", l.name, r.Class, reasons(judged{Report: r}))
		}
	}
}

// TestPhish shows that invented mail of the usual kinds of fraud is flagged.
func TestPhish(t *testing.T) {
	t.Parallel()
	for _, l := range phish {
		if r := score(t, l); r.Class != verdict.Spam && r.Class != verdict.Malicious {
			t.Errorf("%s: %v %s", l.name, r.Class, reasons(judged{Report: r}))
		}
	}
}
