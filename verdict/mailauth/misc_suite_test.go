package mailauth_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

// TestCanonicalizationSuite compares both forms with what the suite of flanker expects.
func TestCanonicalizationSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "dkim-arc-misc/flanker")
	total := newTally("dkim-arc-misc/flanker", map[string]string{})
	for _, path := range globs(t, dir, "email.*") {
		raw := readFile(t, path)
		for _, relaxed := range []bool{false, true} {
			form := "simple"
			if relaxed {
				form = "relaxed"
			}
			name := form + ".expected" + filepath.Ext(path)
			m := message(raw)
			var got []byte
			for f := range m.Header().All() {
				got = append(got, mailauth.CanonicalField(f.Raw(), relaxed)...)
			}
			got = append(got, "\r\n"...)
			got = append(got, mailauth.CanonicalBody(raw[m.Header().BodyOffset():], relaxed, 7)...)
			problem := ""
			if want := readFile(t, filepath.Join(dir, name)); !bytes.Equal(got, want) {
				problem = fmt.Sprintf("got %q, want %q", got, want)
			}
			total.check(t, name, problem)
		}
	}
	total.report(t)
}

// TestDKIMMiscSuite verifies messages that bring their records along.
func TestDKIMMiscSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "dkim-arc-misc/mail-auth")
	total := newTally("dkim-arc-misc/mail-auth", map[string]string{})
	for _, path := range globs(t, dir, "*/*.txt") {
		records, raw, _ := strings.Cut(string(readFile(t, path)), "\n\n")
		zone := mailauthtest.Zone{}
		for line := range strings.Lines(records) {
			name, txt, _ := strings.Cut(strings.TrimSpace(line), " ")
			zone[name] = mailauthtest.Records{TXT: []string{txt}}
		}
		m := message([]byte(crlf(raw)))
		m.Received = time.Date(2023, 1, 20, 0, 0, 0, 0, time.UTC)
		got := authenticate(t, zone, m)
		problem := ""
		if strings.Contains(raw, "DKIM-Signature") && !anyDKIM(got, verdict.Pass) {
			problem = dkimResults(got)
		}
		if strings.Contains(raw, "ARC-Seal") && got.ARC.Result != verdict.Pass {
			problem += fmt.Sprintf(" ARC %s (%v)", got.ARC.Result, got.ARC.Err)
		}
		total.check(t, filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path), problem)
	}
	total.report(t)
}

// TestStructuralSuites looks at real messages whose keys are not published here: every signature is read,
// none is good without its key, none is bad while DNS does not answer.
func TestStructuralSuites(t *testing.T) {
	t.Parallel()
	for _, set := range []struct {
		name     string
		patterns []string
	}{
		{"dkim-spamassassin", []string{"dkim/*.msg", "dkim/arc/*.eml", "nice/dkim/*"}},
		{"dkim-arc-misc", []string{"mailauth/*.eml", "stalwart/*.eml"}},
	} {
		t.Run(set.name, func(t *testing.T) {
			t.Parallel()
			total := newTally(set.name+" (structure)", map[string]string{})
			for _, path := range globs(t, corpus(t, set.name), set.patterns...) {
				raw := []byte(crlf(string(readFile(t, path))))
				total.check(t, filepath.Base(path), structureProblem(t, raw))
			}
			total.report(t)
		})
	}
}

func structureProblem(t *testing.T, raw []byte) string {
	t.Helper()
	m := message(raw)
	fields := len(m.Header().Values("DKIM-Signature"))
	none := authenticate(t, mailauthtest.Zone{}, m)
	if len(none.DKIM) != fields || anyDKIM(none, verdict.Pass, "temperror", "fail", "none") {
		return fmt.Sprintf("%d signatures, without keys %s", fields, dkimResults(none))
	}
	silent := authenticate(t, failing{}, m)
	if anyDKIM(silent, verdict.Pass, "fail") {
		return "without DNS " + dkimResults(silent)
	}
	if len(m.Header().Values("ARC-Seal")) == 0 {
		if none.ARC.Result != "none" || silent.ARC.Result != "none" {
			return fmt.Sprintf("no ARC, but %v and %v", none.ARC, silent.ARC)
		}
		return ""
	}
	if none.ARC.Result != "fail" || silent.ARC.Result != "fail" && silent.ARC.Result != "temperror" {
		return fmt.Sprintf("ARC without keys %v, without DNS %v", none.ARC, silent.ARC)
	}
	return ""
}

// TestDMARCRspamdSuite evaluates the messages of rspamd's DMARC tests against its fake zone. The expected
// results are those of RFC 9989, which the sampling of pct= and the symbols of rspamd do not know.
func TestDMARCRspamdSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "dmarc-rspamd")
	zone := rspamdZone(t, filepath.Join(dir, "merged-local.conf"))
	total := newTally("dmarc-rspamd", map[string]string{})
	for _, c := range []struct {
		file, client, from string
		result             verdict.AuthResult
		policy             string
		dkim, spf          verdict.AuthResult
	}{
		{"bad_dkim_highsecure.eml", "88.99.142.95", "vsevolod@highsecure.ru", "none", "", "fail", "none"},
		{"dmarc_tmpfail.eml", "192.0.2.1", "", "temperror", "", "permerror", "none"},
		{"ed25519_from.eml", "192.0.2.1", "", "none", "", "", "none"},
		{"fail_none1.eml", "192.0.2.1", "", "none", "", "", "none"},
		{"no_dkim_valid_spf.eml", "88.99.142.95", "vsevolod@rspamd.com", "none", "", "", "pass"},
		{"onsubdomain_fail.eml", "192.0.2.1", "", "fail", "reject", "", "none"},
		{"pct_none.eml", "192.0.2.1", "", "fail", "reject", "permerror", "none"},
		{"subdomain_fail_reject.eml", "192.0.2.1", "", "fail", "reject", "", "none"},
	} {
		m := message([]byte(crlf(string(readFile(t, filepath.Join(dir, c.file))))))
		m.Origin.Addr = netip.AddrPortFrom(netip.MustParseAddr(c.client), 0)
		m.Origin.Helo = "client.invalid"
		m.Envelope.From = c.from
		got := authenticate(t, zone, m)
		problem := ""
		if got.DMARC.Result != c.result || got.DMARC.Policy != c.policy || got.SPF.Result != c.spf || c.dkim != "" && !anyDKIM(got, c.dkim) {
			problem = fmt.Sprintf("DMARC %+v, SPF %+v, DKIM %s; want %+v", got.DMARC, got.SPF, dkimResults(got), c)
		}
		total.check(t, c.file, problem)
	}
	total.report(t)
}

var rspamdRecord = regexp.MustCompile(`\{[^{}]*?name = "([^"]+)"[^{}]*?type = "?(\w+)"?[^{}]*\}`)

// rspamdZone reads the fake records of an rspamd configuration.
func rspamdZone(t *testing.T, path string) mailauthtest.Zone {
	t.Helper()
	zone := mailauthtest.Zone{}
	for _, m := range rspamdRecord.FindAllStringSubmatch(string(readFile(t, path)), -1) {
		name := strings.ToLower(m[1])
		r := zone[name]
		if strings.Contains(m[0], "'timeout'") {
			if r.Fault == nil {
				r.Fault = map[mailauth.RecordType]error{}
			}
			r.Fault[mailauth.RecordType(strings.ToUpper(m[2]))] = mailauth.ErrTemporary
		}
		var values []string
		if _, list, ok := strings.Cut(m[0], "replies = ["); ok {
			for v := range strings.SplitSeq(list[:strings.LastIndexByte(list, ']')], `", "`) {
				values = append(values, strings.Trim(v, `" `))
			}
		}
		switch m[2] {
		case "txt":
			r.TXT = values
		case "a":
			r.A = values
		case "aaaa":
			r.AAAA = values
		case "ptr":
			r.PTR = values
		case "mx":
			for i, v := range values {
				_, values[i], _ = strings.Cut(v, " ")
			}
			r.MX = values
		}
		if strings.Contains(m[0], "'nxdomain'") && r.Fault == nil {
			continue
		}
		zone[name] = r
	}
	if len(zone) < 50 {
		t.Fatalf("%d names in %s", len(zone), path)
	}
	return zone
}

// TestDMARCSpamAssassinSuite evaluates messages whose zones are elsewhere: the names say what they hold.
func TestDMARCSpamAssassinSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "dmarc-spamassassin")
	spf := []string{"v=spf1 ip4:64.142.3.173 -all"}
	zone := mailauthtest.Zone{
		"dnsbltest.spamassassin.org":     {TXT: []string{"v=spf1 ip4:64.142.3.173 ip4:65.214.43.152/29 -all"}},
		"dmarc3.spamassassin.org":        {TXT: spf},
		"_dmarc.dmarc3.spamassassin.org": {TXT: []string{"v=DMARC1; p=reject"}},
		"dmarc4.spamassassin.org":        {TXT: spf},
		"_dmarc.dmarc4.spamassassin.org": {TXT: []string{"v=DMARC1; p=reject; adkim=s; aspf=s"}},
	}
	total := newTally("dmarc-spamassassin", map[string]string{})
	for _, c := range []struct {
		file, client string
		spf, dmarc   verdict.AuthResult
	}{
		{"nice/dmarc/rejectok.eml", "64.142.3.173", "pass", "pass"},
		{"nice/dmarc/strictrejectok.eml", "64.142.3.173", "pass", "pass"},
		{"spam/dmarc/rejectko.eml", "2607:f8b0:4864:20::432", "fail", "fail"},
		{"nice/spf1", "64.142.3.173", "pass", "none"},
		{"nice/spf2", "65.214.43.157", "pass", "none"},
		{"nice/spf4-received-spf-nofold", "65.214.43.158", "pass", "none"},
	} {
		m := message([]byte(crlf(string(readFile(t, filepath.Join(dir, c.file))))))
		m.Origin.Addr = netip.AddrPortFrom(netip.MustParseAddr(c.client), 0)
		m.Envelope.From = strings.Trim(m.Header().Get("Return-Path"), "<>")
		got := authenticate(t, zone, m)
		problem := ""
		if got.SPF.Result != c.spf || got.DMARC.Result != c.dmarc || anyDKIM(got, verdict.Pass) {
			problem = fmt.Sprintf("%+v; want %+v", got, c)
		}
		total.check(t, c.file, problem)
	}
	total.report(t)
}
