package mailauth_test

import (
	"bufio"
	"bytes"
	"fmt"
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
	domainKeys = "signed with DomainKeys (RFC 4870), which is historic"
	beforeRFC  = "signed by a draft: without v=1, which RFC 6376 section 6.1.1 refuses, and mostly with rsa-sha1"
)

// message makes a message of bytes whose lines may end in LF.
func message(raw []byte) *verdict.Message {
	return verdict.NewMessage(verdict.Bytes(raw))
}

// crlf makes every line end CRLF.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// labels returns the notes of the files of a set, by path within it.
func labels(t testing.TB, set string) map[string]string {
	t.Helper()
	out := map[string]string{}
	sc := bufio.NewScanner(bytes.NewReader(readFile(t, corpus(t, "labels.tsv"))))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if f := strings.Split(sc.Text(), "\t"); len(f) == 3 {
			if name, ok := strings.CutPrefix(f[0], set+"/"); ok {
				out[name] = f[2]
			}
		}
	}
	return out
}

func authenticate(t testing.TB, zone mailauth.Resolver, m *verdict.Message) verdict.AuthResults {
	t.Helper()
	a := mailauth.Authenticator{Resolver: zone, Timeout: 10 * time.Second}
	return a.Authenticate(t.Context(), m)
}

// dkimResults joins the results of all signatures.
func dkimResults(r verdict.AuthResults) string {
	var out []string
	for _, d := range r.DKIM {
		out = append(out, fmt.Sprintf("%s (%v)", d.Result, d.Err))
	}
	return strings.Join(out, ", ")
}

func anyDKIM(r verdict.AuthResults, want ...verdict.AuthResult) bool {
	return slices.ContainsFunc(r.DKIM, func(d verdict.DKIMResult) bool { return slices.Contains(want, d.Result) })
}

// TestDKIMSuite runs the corpus of Mail::DKIM with the zone that belongs to it.
func TestDKIMSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "dkim-maildkim")
	zone := mailauthtest.Zone{}
	for line := range strings.Lines(string(readFile(t, filepath.Join(dir, "FAKE_DNS.dat")))) {
		name, data, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		switch data = strings.TrimSpace(data); {
		case strings.HasPrefix(data, "~~"):
			zone[strings.ToLower(name)] = mailauthtest.Records{Err: mailauth.ErrTemporary}
		case data == "NXDOMAIN":
		default:
			zone[strings.ToLower(name)] = mailauthtest.Records{TXT: []string{strings.Trim(data, `"`)}}
		}
	}
	total := newTally("dkim-maildkim", map[string]string{
		"corpus/good_dk_4.txt":     domainKeys,
		"corpus/good_dk_6.txt":     domainKeys,
		"corpus/good_dk_gmail.txt": domainKeys,
		"corpus/dk_headers_1.txt":  domainKeys,
		"corpus/good_ietf00_4.txt": beforeRFC,
		"corpus/good_ietf00_5.txt": beforeRFC,
		"corpus/mine_ietf01_3.txt": beforeRFC,
		"corpus/mine_ietf05_1.txt": beforeRFC,
		"corpus/no_body_2.txt":     beforeRFC,
		"corpus/goodkey_2.txt":     "signed with rsa-sha1, which RFC 8301 section 3.1 forbids to verify; its key has 512 bits, which section 3.2 forbids too",
	})
	for name, note := range labels(t, "dkim-maildkim") {
		want, _, _ := strings.Cut(strings.TrimPrefix(note, "expect="), " ")
		if !strings.HasPrefix(note, "expect=") {
			continue
		}
		m := message([]byte(crlf(string(readFile(t, filepath.Join(dir, name))))))
		m.Received = time.Date(2006, 6, 1, 0, 0, 0, 0, time.UTC) // before the dates in x=, but for those long gone
		got := authenticate(t, zone, m)
		problem := ""
		switch {
		case want == "pass" && !anyDKIM(got, verdict.Pass),
			want == "fail" && (anyDKIM(got, verdict.Pass) || !anyDKIM(got, "fail", "permerror")),
			want == "invalid" && anyDKIM(got, verdict.Pass, "fail"):
			problem = fmt.Sprintf("%s, want %s", dkimResults(got), note)
		}
		total.check(t, name, problem)
	}
	total.report(t)
}

// TestARCSuite runs the validation suite of ValiMail.
func TestARCSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "arc-suite")
	total := newTally("arc-suite (validation)", map[string]string{})
	for _, path := range globs(t, dir, "arc-draft-validation-tests/*.yml") {
		doc := yamlDocument(t, path)
		zone := txtZone(doc)
		for name, c := range doc["tests"].(map[string]any) {
			c := c.(map[string]any)
			got := authenticate(t, zone, message([]byte(crlf(c["message"].(string)))))
			want := strings.ToLower(strings.TrimSpace(fmt.Sprint(c["cv"])))
			if want == "" {
				want = "none"
			}
			problem := ""
			if string(got.ARC.Result) != want {
				problem = fmt.Sprintf("%s (%v), want %s", got.ARC.Result, got.ARC.Err, want)
			}
			total.check(t, filepath.Base(path)+"/"+name, problem)
		}
	}
	total.report(t)
}

// txtZone reads the records of an ARC scenario.
func txtZone(doc map[string]any) mailauthtest.Zone {
	zone := mailauthtest.Zone{}
	records, _ := doc["txt-records"].(map[string]any)
	for name, v := range records {
		text := strings.ReplaceAll(fmt.Sprint(v), "\n", "")
		zone[strings.ToLower(name)] = mailauthtest.Records{TXT: []string{text}}
	}
	return zone
}
