package app_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/smtp"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// links is where a gateway serves its links.
func (s *served) links() string {
	_, link, _ := strings.Cut(strings.TrimSpace(s.out.String()), "links on ")
	return link
}

// due has the next digest be made as soon as a gateway starts that made the last one just now. It is stopped.
func due(t testing.TB, state, id string, every time.Duration) {
	t.Helper()
	value, err := json.Marshal(map[string]int64{"from": time.Now().Add(-every).UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	change(t, state, "digest", id, string(value))
}

// visit opens a link or sends its form.
func visit(t testing.TB, method, page string, form url.Values) (int, string) {
	t.Helper()
	link := page
	if method == http.MethodGet {
		link += "?" + form.Encode()
	}
	r, err := http.NewRequest(method, link, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// arrived returns the messages to an address.
func arrived(sink *relaytest.Sink, to string) []string {
	var out []string
	for _, m := range sink.Messages() {
		if slices.Contains(m.To, to) {
			out = append(out, string(m.Data))
		}
	}
	return out
}

// decoded undoes quoted-printable.
func decoded(t testing.TB, mail string) string {
	t.Helper()
	head, body, _ := strings.Cut(mail, "\r\n\r\n")
	text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	if err != nil || !strings.Contains(head, "Content-Transfer-Encoding: quoted-printable") {
		t.Fatalf("%v in\n%s", err, mail)
	}
	return head + "\r\n\r\n" + string(text)
}

var releaseLink = regexp.MustCompile(`Release: (\S+)\?t=(\S+)`)

// TestDigest: held mail, a digest of it, a link that shows, a form that releases once.
func TestDigest(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	state := filepath.Join(t.TempDir(), "state")
	const base = "http://127.0.0.1/quarantine"
	yaml := strings.Replace(configFor(sink.Start(t), "state: "+state+
		"\ndigest: {every: 1m, to: recipients, domains: [ex.net], links: \""+base+"\", listen: \"127.0.0.1:0\"}"),
		"verification: waived", "verification: waived, policy: {spam: hold}", 1)
	s := serve(t, yaml)
	eventually(t, "the first look at the time", func() bool { return recordOf(t, state, "digest", "recipients") != "" })
	for _, m := range []struct{ subject, body string }{{"invoice\x1b", teststring.Spam}, {"worse", teststring.Malicious}} {
		if err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net", "C@ex.net"}, []byte(message(m.subject, m.body))); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]string{}
	for _, h := range lines[heldRow](t, s.kept(t, 0, "quarantine", "list", "--json").out) {
		ids[h.Class] = h.ID
	}
	s.end(t)
	due(t, state, "recipients", time.Minute)
	s = serve(t, yaml)
	eventually(t, "the digests", func() bool { return len(arrived(sink, "a@ex.net")) == 1 && len(arrived(sink, "c@ex.net")) == 1 })
	digest := decoded(t, arrived(sink, "a@ex.net")[0])
	found := releaseLink.FindAllStringSubmatch(digest, -1)
	if len(found) != 1 || found[0][1] != base || !strings.Contains(digest, "Only an administrator") || !strings.Contains(digest, "Subject: Quarantine: 2 messages\r\n") ||
		!strings.Contains(digest, "Auto-Submitted: auto-generated\r\n") || strings.Contains(digest, "\x1b") {
		t.Fatalf("the digest, with %d links:\n%s", len(found), digest)
	}
	ticket := found[0][2]

	page := s.links()
	for range 2 {
		if code, text := visit(t, http.MethodGet, page, url.Values{"t": {ticket}}); code != 200 || !strings.Contains(text, "Release this message?") || strings.Contains(text, "\x1b") {
			t.Errorf("GET: %d\n%s", code, text)
		}
		if code, _ := visit(t, http.MethodPost, page, url.Values{"t": {ticket}}); code != 200 {
			t.Errorf("the form without its box: %d", code)
		}
	}
	st := opened(t, state)
	defer st.Close()
	old := (&store.Links{Base: base, For: time.Minute}).URL(st, ids["spam"], "a@ex.net", time.Now().Add(-time.Hour))
	signed := (&store.Links{Base: base, Malicious: true}).URL(st, ids["malicious"], "a@ex.net", time.Now())
	for name, c := range map[string]struct {
		ticket string
		code   int
	}{
		"expired":   {strings.TrimPrefix(old, base+"?t="), 410},
		"malicious": {strings.TrimPrefix(signed, base+"?t="), 403},
		"forged":    {"A" + ticket, 404},
		"cut off":   {ticket[:len(ticket)-1], 404},
		"none":      {"", 404},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if code, text := visit(t, method, page, url.Values{"t": {c.ticket}, "sure": {"yes"}}); code != c.code || strings.Contains(text, "<form") {
				t.Errorf("%s, %s: %d, want %d\n%s", name, method, code, c.code, text)
			}
		}
	}
	if code, _ := visit(t, http.MethodGet, strings.TrimSuffix(page, "quarantine")+"metrics", nil); code != 404 {
		t.Errorf("another path: %d", code)
	}
	if n := len(sink.Messages()); n != 2 {
		t.Fatalf("%d messages at the next hop before anybody confirmed, want 2 digests", n)
	}

	sure := url.Values{"t": {ticket}, "sure": {"yes"}}
	if code, text := visit(t, http.MethodPost, page, sure); code != 200 || !strings.Contains(text, "on its way") {
		t.Errorf("POST: %d\n%s", code, text)
	}
	if code, _ := visit(t, http.MethodPost, page, sure); code != 409 {
		t.Errorf("the second POST: %d", code)
	}
	got := arrived(sink, "a@ex.net")
	if len(got) != 2 || !strings.Contains(got[1], "X-Postreeve-Verdict: SPAM\r\n") || !strings.Contains(got[1], teststring.Spam) || len(arrived(sink, "c@ex.net"))+len(arrived(sink, "C@ex.net")) != 1 {
		t.Errorf("delivered %d to a: %q", len(got), got)
	}
	if text := s.kept(t, 0, "quarantine", "show", ids["spam"]).out; !strings.Contains(text, "link for a@ex.net  quarantine.release  1 of 2 recipients") || !strings.Contains(text, "<c@ex.net> held") {
		t.Errorf("show: %s", text)
	}
	s.end(t)
	refused(t, strings.TrimPrefix(strings.TrimSuffix(page, "/quarantine"), "http://"))
}

// TestDigestAdmin: an administrator is told of all by the next hop of the own domain, and releases what is malicious.
func TestDigestAdmin(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	state := filepath.Join(t.TempDir(), "state")
	_, cert, key := certificate(t, "mx.gw.example", time.Now().Add(365*24*time.Hour))
	yaml := configFor(sink.Start(t), fmt.Sprintf("state: %s\ndigest: {every: 1m, to: admin@ex.net, links: \"https://mx.gw.example/q/\", listen: \"127.0.0.1:0\", tls: {cert: %s, key: %s}}", state, cert, key))
	s := serve(t, yaml)
	eventually(t, "the first look at the time", func() bool { return recordOf(t, state, "digest", "admin@ex.net") != "" })
	if err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net", "c@ex.net"}, []byte(message("x", teststring.Malicious))); err != nil {
		t.Fatal(err)
	}
	s.end(t)
	due(t, state, "admin@ex.net", time.Minute)
	s = serve(t, yaml)
	eventually(t, "the digest", func() bool { return len(sink.Messages()) == 1 })
	digest := arrived(sink, "admin@ex.net")
	if len(digest) != 1 || !strings.Contains(digest[0], "For:     a@ex.net and 1 more") {
		t.Fatalf("the digest: %q", digest)
	}
	link := releaseLink.FindStringSubmatch(decoded(t, digest[0]))
	if link == nil || link[1] != "https://mx.gw.example/q" {
		t.Fatalf("the link: %q", link)
	}

	// TLS, with the new certificate as soon as there is one.
	page := s.links()
	var leaf []byte
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // whose it is is compared below
		VerifyConnection: func(c tls.ConnectionState) error {
			leaf = c.PeerCertificates[0].RawSubjectPublicKeyInfo
			return nil
		},
	}}}
	get := func() {
		t.Helper()
		res, err := client.Get(page + "?t=" + link[2])
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || !strings.Contains(string(text), "a@ex.net, c@ex.net") {
			t.Errorf("GET: %d %v\n%s", res.StatusCode, err, text)
		}
	}
	get()
	before := string(leaf)
	_, newCert, newKey := certificate(t, "mx.gw.example", time.Now().Add(365*24*time.Hour))
	for from, to := range map[string]string{newCert: cert, newKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	s.log.wait(t, "configuration reloaded", 1)
	if get(); string(leaf) == before {
		t.Error("still the old certificate")
	}
	if res, err := http.Get("http" + strings.TrimPrefix(page, "https")); err == nil {
		if res.Body.Close(); res.StatusCode == 200 {
			t.Error("it speaks HTTP")
		}
	}
	res, err := client.PostForm(page, url.Values{"t": {link[2]}, "sure": {"yes"}})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || len(arrived(sink, "a@ex.net")) != 1 || len(arrived(sink, "c@ex.net")) != 1 {
		t.Errorf("POST: %d, %d messages", res.StatusCode, len(sink.Messages()))
	}
	s.end(t)
}

// TestDigestRefused: a next hop that does not take it leaves the link as it was; nobody hears what went wrong.
func TestDigestRefused(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtDot, Reply: "451 4.2.0 secret detail", Times: 1}}}
	state := filepath.Join(t.TempDir(), "state")
	const base = "http://127.0.0.1/q"
	s := serve(t, configFor(sink.Start(t), "state: "+state+"\ndigest: {to: recipients, malicious: true, links: \""+base+"\", listen: \"127.0.0.1:0\"}"))
	if err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", teststring.Malicious))); err != nil {
		t.Fatal(err)
	}
	id := lines[heldRow](t, s.kept(t, 0, "quarantine", "list", "--json").out)[0].ID
	st := opened(t, state)
	defer st.Close()
	link := (&store.Links{Base: base}).URL(st, id, "a@ex.net", time.Now())
	form := url.Values{"t": {strings.TrimPrefix(link, base+"?t=")}, "sure": {"yes"}}
	if code, text := visit(t, http.MethodPost, s.links(), form); code != 502 || strings.Contains(text, "secret") || !strings.Contains(text, id) {
		t.Errorf("refused: %d\n%s", code, text)
	}
	if code, text := visit(t, http.MethodPost, s.links(), form); code != 200 || len(sink.Messages()) != 1 {
		t.Errorf("then: %d, %d messages\n%s", code, len(sink.Messages()), text)
	}
	s.end(t)
}

// TestCheckDigest: what check says about digests and their links.
func TestCheckDigest(t *testing.T) {
	t.Parallel()
	_, cert, key := certificate(t, "mx.gw.example", time.Now().Add(365*24*time.Hour))
	_, oldCert, oldKey := certificate(t, "mx.gw.example", time.Now().Add(-time.Hour))
	resolver := zone(t, map[string]string{"mx.gw.example. A": "192.0.2.1", "192.0.2.1.in-addr.arpa. PTR": "gw.example."})
	for name, c := range map[string]struct {
		digest string
		want   []string // state, check, subject and detail
	}{
		"no links": {"{to: recipients}", []string{"ok digest recipients are told of what is held for them, every 24h; there are no links"}},
		"links": {
			fmt.Sprintf("{every: 1h, to: admin@ex.net, links: \"https://mx.gw.example/q\", listen: \"127.0.0.1:0\", tls: {cert: %s, key: %s}}", cert, key),
			[]string{"ok digest admin@ex.net is told of what is held, every 1h, by the next hop of ex.net; links release it for 7d", "ok links 127.0.0.1:0 free", "ok links " + cert + " valid until"},
		},
		"proxy": {
			"{to: recipients, links: \"https://mx.gw.example/q\", listen: \"127.0.0.1:0\"}",
			[]string{"ok links 127.0.0.1:0 speaks HTTP: a proxy on this machine has to serve https://mx.gw.example/q"},
		},
		"another name": {
			fmt.Sprintf("{to: recipients, links: \"https://mail.gw.example/q\", listen: \"127.0.0.1:0\", tls: {cert: %s, key: %s}}", cert, key),
			[]string{"warn links " + cert + " x509: certificate is valid for mx.gw.example", "warn links mail.gw.example has no address in DNS"},
		},
		"expired": {
			fmt.Sprintf("{to: recipients, links: \"https://mx.gw.example/q\", listen: \"127.0.0.1:0\", tls: {cert: %s, key: %s}}", oldCert, oldKey),
			[]string{"FAIL links " + oldCert + " expired on"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "c.yaml")
			replace(t, file, configFor(closed, "auth: none\nstate: "+t.TempDir()+"\ndns: {servers: [\""+resolver+"\"]}\ndigest: "+c.digest))
			got := run(t, "", "check", "-c", file, "--json", "--timeout", "30s")
			rows := lines[checkRow](t, got.out)
			for _, want := range c.want {
				if !slices.ContainsFunc(rows, func(r checkRow) bool {
					return strings.HasPrefix(strings.Join([]string{r.State, r.Check, r.Subject, r.Detail}, " "), want)
				}) {
					t.Errorf("check lacks %q:\n%s%s", want, got.out, got.err)
				}
			}
		})
	}
}
