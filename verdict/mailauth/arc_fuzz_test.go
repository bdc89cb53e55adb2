package mailauth_test

import (
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

const goodSet = "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=b.example; s=s1; b=AAAA\n" +
	"ARC-Message-Signature: i=1; a=rsa-sha256; d=b.example; s=s1; h=from; bh=AAAA; b=AAAA\n" +
	"ARC-Authentication-Results: i=1; b.example; none\n"

// arcHeaders are header sections, the number of sets in them, and whether the chain holds together in form.
var arcHeaders = []struct {
	header string
	sets   int
	good   bool
}{
	{"", 0, true},
	{"Subject: x\n", 0, true},
	{goodSet, 1, true},
	{strings.ReplaceAll(goodSet, "i=1", "i=2") + goodSet, 2, false}, // cv=none twice
	{strings.Replace(strings.ReplaceAll(goodSet, "i=1", "i=2"), "cv=none", "cv=pass", 1) + goodSet, 2, true},
	{strings.Replace(strings.ReplaceAll(goodSet, "i=1", "i=3"), "cv=none", "cv=pass", 1) + goodSet, 3, false},
	{goodSet + goodSet, 1, false},
	{strings.ReplaceAll(goodSet, "i=1", "i=0"), 0, false},
	{strings.ReplaceAll(goodSet, "i=1", "i=51"), 0, false},
	{strings.ReplaceAll(goodSet, "i=1", "i=01"), 0, false},
	{strings.ReplaceAll(goodSet, "i=1", "i=+1"), 0, false},
	{strings.Replace(goodSet, "cv=none", "cv=fail", 1), 1, false},
	{strings.Replace(goodSet, "cv=none", "cv=none; h=from", 1), 1, false},
	{strings.Replace(goodSet, "h=from", "h=from:arc-seal", 1), 1, false},
	{strings.Replace(goodSet, "rsa-sha256", "rsa-sha1", 1), 1, false},
	{strings.Replace(goodSet, "i=1; b.example", "b.example; i=1", 1), 1, false},
	{"ARC-Seal: x\n", 0, false},
	{"arc-SEAL: i=1\n", 1, false},
}

func chainOf(header string) (int, error) {
	var fields [][2]string
	for line := range strings.Lines(header) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if ok && name != "" {
			fields = append(fields, [2]string{name, value})
		}
	}
	return mailauth.ParseChain(fields)
}

func TestParseChain(t *testing.T) {
	t.Parallel()
	for _, c := range arcHeaders {
		sets, err := chainOf(c.header)
		if sets != c.sets || (err == nil) != c.good {
			t.Errorf("%q: %d sets, %v", c.header, sets, err)
		}
	}
}

func FuzzARC(f *testing.F) {
	for _, c := range arcHeaders {
		f.Add(c.header, "x")
	}
	f.Fuzz(func(t *testing.T, header, body string) {
		if sets, _ := chainOf(header); sets > 50 {
			t.Errorf("%d sets", sets)
		}
		m := message([]byte(header + "From: a@b.example\r\n\r\n" + body))
		got := authenticate(t, mailauthtest.Zone{"s1._domainkey.b.example": {TXT: []string{body}}}, m)
		if got.ARC.Result == verdict.Pass || anyDKIM(got, verdict.Pass) {
			t.Errorf("passes: %+v", got)
		}
		wellFormed(t, mailauth.AuthenticationResults("mx.gw.example", got))
	})
}

// FuzzCanonicalBody: the pieces in which a body comes make no difference, and a second pass changes nothing.
func FuzzCanonicalBody(f *testing.F) {
	for _, s := range []string{"", "\r\n", "a", "a \r\n\t\r\n", " a\tb \r\n\r\n\r\n", "a\rb\r\r\n", "a\n b\n\n", "\r", " ", "\r\n\r\nx"} {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, body []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		for _, relaxed := range []bool{false, true} {
			whole := mailauth.CanonicalBody(body, relaxed, len(body)+1)
			if got := mailauth.CanonicalBody(body, relaxed, piece); string(got) != string(whole) {
				t.Errorf("in pieces of %d: %q, whole: %q", piece, got, whole)
			}
			if got := mailauth.CanonicalBody(whole, relaxed, len(whole)+1); string(got) != string(whole) {
				t.Errorf("twice: %q, once: %q", got, whole)
			}
		}
	})
}
