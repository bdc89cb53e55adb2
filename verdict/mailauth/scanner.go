package mailauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/postreeve/postreeve/verdict"
)

// Scanner is a verdict.Scanner that turns Message.Auth into findings; see verdict.Codes for what they mean and weigh.
// It asks nobody: an Authenticator has to have been there before. Of a message that nobody checked it says
// only what is odd about From.
type Scanner struct{}

// Name returns "mailauth".
func (Scanner) Name() string { return "mailauth" }

// Scan implements verdict.Scanner. The error is that of the message's header.
func (Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := m.Header()
	if err := h.Err(); err != nil {
		return nil, err
	}
	f := &findings{}
	f.author(readAuthor(h))
	f.spf(m.Auth.SPF)
	f.dkim(m.Auth.DKIM)
	f.dmarc(m.Auth)
	if m.Auth.ARC.Result == "fail" {
		f.add(codeARCFail, "%v", m.Auth.ARC.Err)
	}
	f.temporary(m.Auth)
	return f.list, ctx.Err()
}

type findings struct{ list []verdict.Finding }

func (f *findings) add(code, format string, args ...any) {
	found := verdict.Found(code)
	found.Detail = fmt.Sprintf(format, args...)
	f.list = append(f.list, found)
}

func (f *findings) author(a *author) {
	switch {
	case a.fields == 0:
		f.add(codeFromMissing, "no From")
	case a.fields > 1:
		f.add(codeFromMultiple, "%d From fields", a.fields)
	case a.group:
		f.add(codeFromGroup, "group syntax in From")
	case len(a.domains) > 1:
		f.add(codeFromDomains, "From names %d mailboxes of %d domains", a.mailboxes, len(a.domains))
	case a.err != nil:
		f.add(codeFromInvalid, "%v", a.err)
	}
	for _, d := range a.domains {
		if shown, odd := lookAlike(d); odd {
			f.add(codeFromScript, "%q is %s", shown, d)
			return
		}
	}
}

func (f *findings) spf(r verdict.SPFResult) {
	switch r.Result {
	case "fail":
		f.add(codeSPFFail, "%s", r.Domain)
	case "softfail":
		f.add(codeSPFSoftfail, "%s", r.Domain)
	case "permerror":
		f.add(codeSPFError, "%s: %v", r.Domain, r.Err)
	}
}

func (f *findings) dkim(list []verdict.DKIMResult) {
	failed, many := "", false
	for _, d := range list {
		many = many || errors.Is(d.Err, errTooMany)
		switch d.Result {
		case verdict.Pass, "temperror":
			failed = "-"
		case "fail", "permerror":
			if failed == "" {
				failed = fmt.Sprintf("%s: %v", d.Domain, d.Err)
			}
		}
	}
	if failed != "" && failed != "-" {
		f.add(codeDKIMFail, "%s", failed)
	}
	if many {
		f.add(codeDKIMMany, "%d signatures", len(list))
	}
}

func (f *findings) dmarc(r verdict.AuthResults) {
	if d := r.DMARC; d.Result == "fail" {
		code := codeDMARCNone
		switch {
		case r.ARC.Vouches && d.Policy != "none":
			code = codeDMARCArc
		case d.Applied == "reject":
			code = codeDMARCReject
		case d.Applied == "quarantine":
			code = codeDMARCQuarant
		}
		f.add(code, "%s publishes p=%s", d.Domain, d.Policy)
	}
	if r.SPF.Result == "" {
		return // it might have passed, had somebody told us the client
	}
	for _, id := range identifiers(r) {
		if id.result == verdict.Pass || id.result == "temperror" {
			return
		}
	}
	f.add(codeNothing, "SPF: %s, %d DKIM signatures", orNone(r.SPF.Result), len(r.DKIM))
}

func orNone(r verdict.AuthResult) verdict.AuthResult {
	if r == "" {
		return "none"
	}
	return r
}

func (f *findings) temporary(r verdict.AuthResults) {
	var open []string
	add := func(method string, result verdict.AuthResult) {
		if result == "temperror" {
			open = append(open, method)
		}
	}
	add("spf", r.SPF.Result)
	for _, d := range r.DKIM {
		add("dkim "+d.Domain, d.Result)
	}
	add("dmarc", r.DMARC.Result)
	add("arc", r.ARC.Result)
	if len(open) > 0 {
		f.add(codeTemporary, "%s", strings.Join(open[:min(len(open), 10)], ", "))
	}
}

// latinLookAlikes are small letters of other scripts that are drawn like Latin ones, of the subset of the
// Unicode confusables (UTS 39) that names of domains can have.
const latinLookAlikes = "асеіјорԁѕхуԛԝһӏᴦ" + "ονρυικατ"

// lookAlike says whether a domain has a label that mixes Latin letters with Cyrillic, Greek or Armenian
// ones, or one of look-alikes alone under a Latin top-level domain. shown is the domain as people see it.
func lookAlike(domain string) (shown string, odd bool) {
	if !strings.Contains(domain, "xn--") {
		return domain, false
	}
	shown, err := idna.ToUnicode(domain)
	if err != nil {
		return domain, false
	}
	labels := strings.Split(shown, ".")
	for i, l := range labels {
		latin, other, alike := false, false, true
		for _, r := range l {
			switch {
			case unicode.Is(unicode.Latin, r):
				latin = true
			case unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian):
				other = true
				alike = alike && strings.ContainsRune(latinLookAlikes, r)
			}
		}
		if other && (latin || alike && i < len(labels)-1 && isASCII(labels[len(labels)-1])) {
			return shown, true
		}
	}
	return shown, false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
