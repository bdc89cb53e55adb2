package app_test

import (
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// resolver is a name server on loopback that knows TXT records by name.
type resolver struct {
	addr  string
	asked atomic.Int32
}

func newResolver(t testing.TB, records map[string]string) *resolver {
	t.Helper()
	r := &resolver{}
	r.addr = answering(t, func(w dns.ResponseWriter, q *dns.Msg) {
		r.asked.Add(1)
		m := new(dns.Msg)
		m.SetReply(q)
		name := q.Question[0].Name
		if text := records[strings.TrimSuffix(name, ".")]; text != "" && q.Question[0].Qtype == dns.TypeTXT {
			m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}, Txt: mailauth.SplitTXT(text)}}
		} else if text == "" {
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m) // who gets no answer asks again
	})
	return r
}

// answering is the address of a name server on loopback.
func answering(t testing.TB, answer dns.HandlerFunc) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan struct{})
	srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }, Handler: answer}
	go func() {
		defer close(ended)
		srv.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() {
		srv.Shutdown()
		<-ended
	})
	return pc.LocalAddr().String()
}

func (r *resolver) section() string { return "dns: {servers: [\"" + r.addr + "\"]}\n" }

// newKey makes a key with the command, and returns its file and record.
func newKey(t testing.TB, selector, kind string) (file, record string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), selector+".pem")
	got := run(t, "", "dkim-key", "--json", "--domain", "gw.example", "--selector", selector, "--kind", kind, file)
	if got.code != 0 {
		t.Fatalf("dkim-key: %+v", got)
	}
	l := lines[struct{ File, Name, Type, Value string }](t, got.out)[0]
	if l.File != file || l.Name != selector+"._domainkey.gw.example" || l.Type != "TXT" {
		t.Errorf("dkim-key: %+v", l)
	}
	return file, l.Value
}

func TestDKIMKey(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"rsa", "ed25519"} {
		file, record := newKey(t, "s1", kind)
		if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", kind, fi.Mode(), err)
		}
		again := run(t, "", "dkim-key", "--domain", "gw.example", "--selector", "s1", file)
		if again.code != 1 || !strings.Contains(again.err, "is there already") {
			t.Errorf("%s, over a key: %+v", kind, again)
		}
		shown := run(t, "", "dkim-key", "--show", "--domain", "gw.example", "--selector", "s1", file)
		if shown.code != 0 || !strings.Contains(shown.out, "value  "+record+"\n") || strings.Contains(shown.out+shown.err, "PRIVATE") {
			t.Errorf("%s, shown: %+v", kind, shown)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		if open := run(t, "", "dkim-key", "--show", "--domain", "gw.example", "--selector", "s1", file); open.code != 1 || !strings.Contains(open.err, "everybody") {
			t.Errorf("%s, readable for everybody: %+v", kind, open)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	if got := run(t, "", "dkim-key", "--domain", "gw example", "--selector", "s1", none); got.code == 0 {
		t.Errorf("a domain that is none: %+v", got)
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("it left a key behind")
	}
}

// A gateway finds out who sent a message, says so on top of it, seals it with the key whose turn it is, refuses what
// the owner of a domain disowns where the policy says so, and counts.
func TestServeAuthentication(t *testing.T) {
	t.Parallel()
	first, record1 := newKey(t, "s1", "rsa")
	second, record2 := newKey(t, "s2", "ed25519")
	r := newResolver(t, map[string]string{
		"b.example": "v=spf1 ip4:127.0.0.0/8 -all", "_dmarc.b.example": "v=DMARC1; p=reject",
		"c.example": "v=spf1 -all", "_dmarc.c.example": "v=DMARC1; p=reject",
		"s1._domainkey.gw.example": record1, "s2._domainkey.gw.example": record2,
	})
	sink := &relaytest.Sink{}
	hop := sink.Start(t)
	configured := func(arc string) string {
		return configFor(hop, r.section()+"metrics: \"127.0.0.1:0\"\nauth: {name: gw.example}\n"+arc) +
			"  strict.net: {next-hop: \"" + hop + "\", verification: waived, policy: {dmarc: honour}}\n"
	}
	keys := fmt.Sprintf("arc:\n- {domain: gw.example, selector: s1, key: %q}\n- {domain: gw.example, selector: s2, key: %q, from: ", first, second)
	s := serve(t, configured(keys+"2999-01-01}\n"))
	mail := func(from, to string) error {
		return smtp.SendMail(s.addr(0), nil, "x@"+from, []string{to}, []byte("From: x@"+from+"\r\nTo: "+to+"\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\nMessage-ID: <1@"+from+">\r\nAuthentication-Results: gw.example; spf=pass\r\nSubject: x\r\n\r\nhello\r\n"))
	}
	for _, c := range []struct{ from, to, want string }{
		{"b.example", "a@ex.net", ""},
		{"c.example", "a@ex.net", ""},
		{"b.example", "a@strict.net", ""},
		{"c.example", "a@strict.net", "5.7.1 refused as the DMARC policy of c.example asks"},
	} {
		if err := mail(c.from, c.to); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("from %s to %s: %v", c.from, c.to, err)
		}
	}
	a := mailauth.Authenticator{Resolver: &mailauth.DNS{Servers: []string{r.addr}}}
	check := func(n int, results, verdictWord, selector string) {
		t.Helper()
		data := sink.Messages()[n].Data
		m := verdict.NewMessage(verdict.Bytes(data))
		if d := cmp.Diff([]string{results}, m.Header().Values("Authentication-Results")); d != "" {
			t.Error(d)
		}
		if got := m.Header().Get("X-Postreeve-Verdict"); got != verdictWord {
			t.Errorf("message %d is %s", n, got)
		}
		if arc := a.Authenticate(t.Context(), m).ARC; arc.Result != verdict.Pass || !strings.Contains(m.Header().Get("ARC-Seal"), "s="+selector+";") {
			t.Errorf("message %d: %+v, %s", n, arc, m.Header().Get("ARC-Seal"))
		}
	}
	const good = "gw.example; spf=pass smtp.mailfrom=b.example; dmarc=pass header.from=b.example polrec.p=reject; arc=none"
	check(0, good, "CLEAN", "s1")
	check(1, "gw.example; spf=fail smtp.mailfrom=c.example; dmarc=fail header.from=c.example polrec.p=reject; arc=none", "SPAM", "s1")

	s.write(t, configured(keys+"2026-01-01}\n"))
	s.log.wait(t, "configuration reloaded", 1)
	if err := mail("b.example", "a@ex.net"); err != nil {
		t.Error(err)
	}
	check(3, good, "CLEAN", "s2")

	// A key that everybody may read is refused, and the old configuration stays in force.
	if err := os.Chmod(second, 0o644); err != nil {
		t.Fatal(err)
	}
	s.write(t, configured(keys+"2026-01-02}\n"))
	s.log.wait(t, "new configuration refused", 1)
	if err := mail("b.example", "a@ex.net"); err != nil {
		t.Error(err)
	}
	check(4, good, "CLEAN", "s2")

	_, url, _ := strings.Cut(strings.TrimSpace(s.out.String()), "metrics on ")
	text := fetch(t, url)
	for _, want := range []string{
		`postreeve_auth_results_total{method="spf",result="pass"} 4`, `postreeve_auth_results_total{method="dmarc",result="fail"} 2`,
		`postreeve_auth_results_total{method="arc",result="none"} 6`, `postreeve_arc_seals_total{result="sealed"} 5`, `postreeve_authenticate_seconds_count 6`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	if log := s.log.String(); !strings.Contains(log, `auth="spf=pass dkim=none dmarc=pass arc=none"`) {
		t.Errorf("log: %s", log)
	}
}

// What becomes of authentication by what is configured, and by what is not.
func TestAuthenticates(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]bool{
		"":                                  true,
		"scanners: [structure]\n":           false,
		"scanners: []\n":                    false,
		"scanners: []\nauth: {name: x.y}\n": true,
		"auth: none\n":                      false,
		"scanners: [mailauth]\n":            true,
	} {
		r := newResolver(t, map[string]string{"b.example": "v=spf1 ip4:127.0.0.0/8 -all"})
		sink := &relaytest.Sink{}
		s := serve(t, configFor(sink.Start(t), r.section()+more))
		if err := smtp.SendMail(s.addr(0), nil, "x@b.example", []string{"a@ex.net"}, []byte("From: x@b.example\r\nTo: a@ex.net\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\nMessage-ID: <1@b.example>\r\n\r\nhello\r\n")); err != nil {
			t.Errorf("%q: %v", more, err)
			continue
		}
		got := verdict.NewMessage(verdict.Bytes(sink.Messages()[0].Data)).Header().Values("Authentication-Results")
		if (len(got) == 1) != want || (r.asked.Load() > 0) != want {
			t.Errorf("%q: %q, and DNS was asked %d questions", more, got, r.asked.Load())
		}
	}
}

func TestCheckSeals(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	hop := sink.Start(t)
	key, record := newKey(t, "s1", "ed25519")
	_, other := newKey(t, "s1", "ed25519")
	for name, c := range map[string]struct {
		from   string
		record string
		code   int
		want   string
	}{
		"published":              {"", record, 0, "ok arc s1._domainkey.gw.example: seals, and its record is published"},
		"missing":                {"", "", 1, "FAIL arc s1._domainkey.gw.example: seals, and receivers cannot check it"},
		"another key":            {"", other, 1, "FAIL arc s1._domainkey.gw.example: seals, and receivers cannot check it"},
		"published, of tomorrow": {", from: 2999-01-01", record, 0, "ok arc s1._domainkey.gw.example: published, seals from"},
		"missing, of tomorrow":   {", from: 2999-01-01", "", 0, "warn arc s1._domainkey.gw.example: will seal from"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newResolver(t, map[string]string{"s1._domainkey.gw.example": c.record})
			file := filepath.Join(write(t, map[string]string{"c.yaml": configFor(hop, r.section()+fmt.Sprintf("arc: {domain: gw.example, selector: s1, key: %q%s}\n", key, c.from))}), "c.yaml")
			got := run(t, "", "check", "-c", file)
			if got.code != c.code || !strings.Contains(strings.Join(strings.Fields(got.out), " "), c.want) {
				t.Errorf("exit %d, want %d %q:\n%s", got.code, c.code, c.want, got.out)
			}
			if strings.HasPrefix(name, "missing") && !strings.Contains(got.out, record) {
				t.Errorf("it does not say what to publish:\n%s", got.out)
			}
		})
	}
}

// A scan asks DNS about signatures, and nothing with --no-dns.
func TestScanDNS(t *testing.T) {
	t.Parallel()
	r := newResolver(t, map[string]string{"_dmarc.b.example": "v=DMARC1; p=reject"})
	dir := write(t, map[string]string{
		"c.yaml": configFor("192.0.2.1", r.section()),
		"a.eml":  "DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=s1; h=from; bh=AAAA; b=AAAA\r\nFrom: a@b.example\r\nTo: b@ex.net\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\nMessage-ID: <1@b.example>\r\nSubject: x\r\n\r\nhello\r\n",
	})
	for _, offline := range []bool{true, false} {
		args := []string{"scan", "--json", "-c", filepath.Join(dir, "c.yaml"), filepath.Join(dir, "a.eml")}
		if offline {
			args = append(args, "--no-dns")
		}
		got := run(t, "", args...)
		codes := map[string]bool{}
		for _, f := range lines[row](t, got.out)[0].Findings {
			codes[f.Code] = true
		}
		// SPF might have passed: nobody knows the client, so DMARC says nothing.
		if codes["auth.dkim.fail"] == offline || codes["auth.dmarc.reject"] || codes["auth.nothing"] || (r.asked.Load() == 0) != offline {
			t.Errorf("offline %v: %v, %d questions", offline, codes, r.asked.Load())
		}
	}
}
