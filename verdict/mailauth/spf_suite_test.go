package mailauth_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

const (
	laxDefault = "default= is no modifier of RFC 7208; the test is for an extension of pyspf, which leaves the result open"
	existsAAAA = "wants exists to match AAAA records; RFC 7208 section 5.7 looks up A whatever the client is"
)

// TestSPFSuite runs the scenarios of the OpenSPF suite for RFC 7208 and those of two other projects.
func TestSPFSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "spf-rfc7208")
	total := newTally("spf-rfc7208 (OpenSPF, pyspf, blitiri)", map[string]string{
		"pyspf-tests/04-doc04.yml/default-modifier":       laxDefault,
		"pyspf-tests/04-doc04.yml/default-modifier-harsh": laxDefault,
		"test/04-doc04.yml/default-modifier":              laxDefault,
		"test/04-doc04.yml/default-modifier-harsh":        laxDefault,
	})
	for _, path := range globs(t, dir, "rfc7208-tests/*.yml", "pyspf-tests/*.yml", "blitirispf-tests/*.yml", "test/*.yml") {
		doc := yamlDocument(t, path)
		zone := spfZone(t, doc)
		for name, c := range doc["tests"].(map[string]any) {
			c := c.(map[string]any)
			str := func(key string) string {
				if c[key] == nil {
					return ""
				}
				return fmt.Sprint(c[key])
			}
			got := checkSPF(t, zone, netip.MustParseAddr(str("host")), str("helo"), str("mailfrom"))
			total.check(t, filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path)+"/"+name,
				spfProblem(got, strs(c["result"]), str("explanation")))
		}
	}
	total.report(t)
}

func checkSPF(t *testing.T, zone mailauth.Resolver, client netip.Addr, helo, sender string) verdict.SPFResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return mailauth.SPF{Resolver: zone}.CheckSPF(ctx, client, helo, sender)
}

func spfProblem(got verdict.SPFResult, want []string, explanation string) string {
	if !slices.Contains(want, string(got.Result)) {
		return fmt.Sprintf("%s (%v), want %s", got.Result, got.Err, strings.Join(want, " or "))
	}
	if explanation == "DEFAULT" {
		explanation = ""
	}
	text := ""
	if e, ok := got.Err.(mailauth.Explanation); ok {
		text = string(e)
	}
	if got.Result == "fail" && text != explanation {
		return fmt.Sprintf("explained by %q, want %q", text, explanation)
	}
	return ""
}

// TestSPFMailAuthSuite runs scenarios in a line format in which keys repeat: each "expect" is one case, with
// all that stands before it.
func TestSPFMailAuthSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "spf-rfc7208")
	total := newTally("spf-rfc7208 (mail-auth)", map[string]string{
		"mail-auth-basic.yml/4/1":  "ten names that do not exist: more than the two void look-ups of RFC 7208 section 4.6.4",
		"mail-auth-basic.yml/4/6":  "eleven mail servers: RFC 7208 section 4.6.4 allows a permerror, whichever of them matches",
		"mail-auth-basic.yml/6/1":  "wants the result for HELO, which is asked only for the null sender: DMARC does not count it",
		"mail-auth-exists.yml/0/2": existsAAAA,
		"mail-auth-macro.yml/1/2":  existsAAAA,
	})
	for _, path := range globs(t, dir, "mail-auth-*.yml") {
		for i, doc := range strings.Split("\n"+string(readFile(t, path)), "\n---") {
			s := scenario{zone: mailauthtest.Zone{"_dns_error.org": {Err: mailauth.ErrTemporary}, "_dns_error.test.org": {Err: mailauth.ErrTemporary}}}
			for line := range strings.Lines(doc) {
				key, value, ok := strings.Cut(strings.TrimLeft(strings.TrimSpace(line), "- "), ":")
				if !ok || strings.HasPrefix(key, "#") {
					continue
				}
				value = strings.TrimSpace(value)
				if key != "expect" {
					s.set(key, value)
					continue
				}
				s.cases++
				result, explanation, _ := strings.Cut(value, " ")
				got := checkSPF(t, s.zone, netip.MustParseAddr(s.ip), s.domain, s.sender)
				total.check(t, fmt.Sprintf("%s/%d/%d", filepath.Base(path), i, s.cases), spfProblem(got, []string{result}, explanation))
			}
		}
	}
	total.report(t)
}

type scenario struct {
	zone               mailauthtest.Zone
	domain, sender, ip string
	cases              int
}

func (s *scenario) set(key, value string) {
	name, data, _ := strings.Cut(value, " ")
	data = strings.TrimSpace(data)
	name = strings.ToLower(name)
	r := s.zone[name]
	list := strings.FieldsFunc(data, func(r rune) bool { return r == ',' || r == ' ' })
	switch key {
	case "domain":
		s.domain = value
	case "sender":
		s.sender = value
	case "ip":
		s.ip = value
	case "spf", "exp", "txt":
		r.TXT = []string{data}
	case "a":
		r.A = list
	case "aaaa":
		r.AAAA = list
	case "mx":
		r.MX = nil
		for i, a := range list {
			host := fmt.Sprintf("mx%d.%s", i, name)
			r.MX = append(r.MX, host)
			if strings.Contains(a, ":") {
				s.zone[host] = mailauthtest.Records{AAAA: []string{a}}
			} else {
				s.zone[host] = mailauthtest.Records{A: []string{a}}
			}
		}
	case "ptr":
		addr := netip.MustParseAddr(name)
		s.zone[reverse(addr)] = mailauthtest.Records{PTR: list}
		return
	default:
		return
	}
	switch key {
	case "spf", "exp", "txt", "a", "aaaa", "mx":
		s.zone[name] = r
	}
}

// reverse is the name under which an address has its PTR records.
func reverse(a netip.Addr) string {
	if a.Is4() {
		b := a.As4()
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0])
	}
	s := ""
	for _, b := range a.As16() {
		s = fmt.Sprintf("%x.%x.", b&0xf, b>>4) + s
	}
	return s + "ip6.arpa"
}
