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
// only what is odd about From. The zero value is ready for use.
type Scanner struct {
	// TrustedSealers are domains whose ARC seals are believed: where a chain of them alone says that DMARC
	// passed at its beginning, a failure here is evidence only (RFC 8617 section 7.2). Nil means none.
	TrustedSealers []string
}

// Name returns "mailauth".
func (Scanner) Name() string { return "mailauth" }

// Scan implements verdict.Scanner. The error is that of the message's header.
func (s Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
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
	f.dmarc(m.Auth, func() bool { return vouchedFor(h, m.Auth, s.TrustedSealers) })
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

func (f *findings) dmarc(r verdict.AuthResults, vouched func() bool) {
	if d := r.DMARC; d.Result == "fail" {
		policy := d.Policy
		if errors.Is(d.Err, ErrPolicyTest) {
			policy = weaker(policy)
		}
		code := codeDMARCNone
		switch policy {
		case "reject":
			code = codeDMARCReject
		case "quarantine":
			code = codeDMARCQuarant
		}
		if code != codeDMARCNone && vouched() {
			code = codeDMARCArc
		}
		f.add(code, "%s publishes p=%s", d.Domain, d.Policy)
	}
	if r.SPF.Result == "" && r.DMARC.Result == "" {
		return // nobody checked
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

// vouchedFor says whether every seal of a good chain is of a trusted domain and its first set says that DMARC
// passed. The fields it reads are authenticated by the chain.
func vouchedFor(h verdict.Header, r verdict.AuthResults, trusted []string) bool {
	if r.ARC.Result != verdict.Pass || len(trusted) == 0 {
		return false
	}
	for _, v := range h.Values("ARC-Seal") {
		tags, err := parseTags(v)
		d, _ := tags.get("d")
		if err != nil || !containsFold(trusted, asciiDomain(d)) {
			return false
		}
	}
	for _, v := range h.Values("ARC-Authentication-Results") {
		instance, payload, ok := strings.Cut(v, ";")
		if _, i, _ := strings.Cut(instance, "="); !ok || trimFWS(i) != "1" {
			continue
		}
		first, err := ParseAuthenticationResults(payload)
		if err != nil {
			return false
		}
		for _, s := range first.Results {
			from := s.Properties["header.from"]
			if s.Method == "dmarc" && s.Result == verdict.Pass &&
				asciiDomain(from[strings.LastIndexByte(from, '@')+1:]) == r.DMARC.Domain {
				return true
			}
		}
	}
	return false
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
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
