package peertest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay/store"
)

// operator is somebody at the command line of the gateway. What he types and sees goes to the log of the test.
type operator struct {
	*dnsLab
	bin, file, state string
}

// operate writes a configuration for ex.net, with the next hop and more settings of the domain.
func (l *dnsLab) operate(hop, more string) *operator {
	l.t.Helper()
	bin, err := build()
	if err != nil {
		l.t.Fatal(err)
	}
	o := &operator{dnsLab: l, bin: bin, state: filepath.Join(l.dir, "state")}
	o.file = l.file("postreeve.yaml", fmt.Sprintf(`hostname: mx.gw.example
listen: ["%s:25"]
state: %q
dns: {servers: [%s], roots: [%s], allow-private: true}
verification: {confirm: 1s}
domains:
  ex.net: {next-hop: %q%s}
`, l.gateway, o.state, l.resolver, l.registry, hop, more))
	return o
}

// types runs a command of domain, and checks its exit code.
func (o *operator) types(code int, command string, args ...string) string {
	o.t.Helper()
	out, err := exec.Command(o.bin, append([]string{"domain", command, "-c", o.file, "ex.net"}, args...)...).CombinedOutput()
	got := 0
	if e, ok := err.(*exec.ExitError); ok {
		got = e.ExitCode()
	} else if err != nil {
		o.t.Fatal(err)
	}
	text := strings.ReplaceAll(string(out), o.file, "postreeve.yaml")
	o.t.Logf("$ postreeve domain %s -c postreeve.yaml ex.net %s\n%s[exit %d]", command, strings.Join(args, " "), text, got)
	if got != code {
		o.t.Fatalf("exit %d, want %d", got, code)
	}
	return text
}

// says fails if an output lacks something.
func (o *operator) says(out string, wants ...string) {
	o.t.Helper()
	for _, w := range wants {
		if !strings.Contains(out, w) {
			o.t.Errorf("no %q", w)
		}
	}
}

// later lets all steps that are seen in place have been so for four days.
func (o *operator) later() {
	o.t.Helper()
	st, err := store.Open(o.t.Context(), store.Config{Dir: o.state})
	if err != nil {
		o.t.Fatal(err)
	}
	defer st.Close()
	r, err := st.Record(o.t.Context(), "cutover", "ex.net")
	if err != nil {
		o.t.Fatal(err)
	}
	var p map[string]*dnsverify.Plan
	if err := json.Unmarshal([]byte(r.Value), &p); err != nil {
		o.t.Fatal(err)
	}
	for _, plan := range p {
		for i := range plan.Steps {
			if s := &plan.Steps[i]; !s.Seen.IsZero() && s.Done.IsZero() {
				s.Seen = s.Seen.Add(-96 * time.Hour)
			}
		}
	}
	data, err := json.Marshal(p)
	if err != nil {
		o.t.Fatal(err)
	}
	r.Value = string(data)
	if _, err := st.PutRecord(o.t.Context(), r); err != nil {
		o.t.Fatal(err)
	}
	o.t.Log("### four days later")
}

// sends sends a message as anybody on the Internet does: to the best MX host that the resolver names.
func (o *operator) sends(subject string) error {
	var best *dns.MX
	for _, rr := range o.ask(o.resolver, "ex.net.", dns.TypeMX) {
		if mx := rr.(*dns.MX); best == nil || mx.Preference < best.Preference {
			best = mx
		}
	}
	if best == nil {
		return fmt.Errorf("no MX record")
	}
	a := o.ask(o.resolver, best.Mx, dns.TypeA)
	if len(a) == 0 {
		return fmt.Errorf("no address of %s", best.Mx)
	}
	err := submit(net.JoinHostPort(a[0].(*dns.A).A.String(), "25"), subject)
	if err == nil {
		o.t.Logf("### mail %q to %s: taken", subject, best.Mx)
	}
	return err
}

// submit sends a message without TLS.
func submit(addr, subject string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Mail("a@example.org"); err != nil {
		return err
	}
	if err := c.Rcpt("b@ex.net"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "From: <a@example.org>\r\nSubject: %s\r\n\r\nhello\r\n", subject)
	return cmp.Or(w.Close(), c.Quit())
}

// mailbox is what a Postfix for ex.net needs, and the directory of its box.
func mailbox(t *testing.T) (main, box string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer-boxes-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sh(t, `chown nobody "$1"; chmod 700 "$1"`, dir)
	return fmt.Sprintf(`myhostname = mail.ex.net
virtual_mailbox_domains = ex.net
virtual_mailbox_base = %s
virtual_mailbox_maps = inline:{ b@ex.net=b/ }
virtual_uid_maps = static:%s
virtual_gid_maps = static:%s
virtual_minimum_uid = 1
`, dir, strings.TrimSpace(sh(t, "id -u nobody")), strings.TrimSpace(sh(t, "id -g nobody"))), filepath.Join(dir, "b", "new")
}

// way says which messages are in a box, and whether each came through the gateway.
func way(box string) map[string]string {
	out := map[string]string{}
	files, _ := filepath.Glob(box + "/*")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		out[subjectOf(b)] = "past"
		if bytes.Contains(b, []byte("X-Postreeve-Verdict: CLEAN")) {
			out[subjectOf(b)] = "through"
		}
	}
	return out
}

// TestCutover moves the mail of a domain to the gateway and back, with real name servers, a real resolver and a real
// next hop, and loses none on the way. With -v its log is the transcript.
func TestCutover(t *testing.T) {
	t.Parallel()
	need(t, "postfix")
	l := newDNSLab(t)
	cert, key := certificate(t, "mail.ex.net")
	main, box := mailbox(t)
	postfix(t, l.mail+":25", main+fmt.Sprintf("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = %s\nsmtpd_tls_key_file = %s\n", cert, key))
	o := l.operate("mail.ex.net:25", fmt.Sprintf(", tls: {mode: verify, roots: %q}", cert))
	_, out := process(t, o.bin, "serve", "-c", o.file)
	wait(t, "the gateway", func() bool { return strings.Contains(out.String(), "ready") })
	want := map[string]string{}
	send := func(subject, by string) {
		t.Helper()
		if err := o.sends(subject); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
		want[subject] = by
	}

	send("before", "past")
	o.says(o.types(0, "discover"), "not connected", "next hop: perhaps mail.ex.net", "TLS 1.3", "valid for this name")
	record := o.types(0, "add")
	value := record[strings.Index(record, `"token=`):]
	value = value[:strings.Index(value[1:], `"`)+2]
	o.says(o.types(2, "verify"), "record_absent")
	if err := submit(l.gateway+":25", "too early"); err == nil || !strings.HasPrefix(err.Error(), "451") {
		t.Errorf("the gateway for a domain that is not proven: %v, want 451", err)
	}
	o.says(o.types(0, "cutover"), "[ttl]", "[proof]", "[watch]", "[lock]", "- ex.net. 3600 IN MX 10 mail.ex.net.")

	o.edit("_postreeve-challenge", "TXT", "300 "+value)
	o.says(o.types(3, "verify", "--wait", "--timeout", "1ms"), "partial_propagation", "ns2.ex.net")
	l.transfer()
	l.forget() // it may have asked the secondary
	o.says(o.types(0, "verify", "--wait", "--every", "1s"), "validated with DNSSEC", "ex.net: verified")
	o.edit("@", "MX", "300 10 mail.ex.net.")
	o.says(o.types(2, "cutover", "--check", "--confirm", "allow", "--by", "Eve"), "Confirmed by Eve", "has a TTL of 1h", "at ns2.ex.net "+l.secondary)
	l.transfer()
	o.says(o.types(2, "cutover", "--check"), "It is in place since")
	o.later()
	o.types(2, "cutover", "--check")
	send("proven", "past")

	o.edit("@", "MX", "300 0 mx.gw.example.", "300 10 mail.ex.net.")
	o.says(o.types(2, "cutover", "--check"), "0 of 1 new MX records", l.secondary)
	l.transfer()
	l.forget()
	wait(t, "the gateway to see the proof", func() bool { return strings.Contains(out.String(), "state=verified") })
	send("in front", "through")
	o.says(o.types(2, "cutover", "--check"), "All 2 servers agree")
	o.later()
	o.edit("@", "MX", "300 0 mx.gw.example.")
	l.transfer()
	l.forget()
	o.types(2, "cutover", "--check")
	o.later()
	o.says(o.types(0, "cutover", "--check", "--confirm", "lock", "--by", "Eve"), "All steps are done.")
	send("connected", "through")
	o.types(3, "remove")

	o.says(o.types(0, "cutover", "--back"), "Put the old MX records in front", "+ ex.net. 300 IN MX 10 mail.ex.net.")
	o.types(2, "cutover", "--back", "--check", "--confirm", "keep", "--confirm", "unlock")
	o.edit("@", "MX", "300 10 mail.ex.net.", "300 20 mx.gw.example.")
	l.transfer()
	o.says(o.types(2, "cutover", "--back", "--check"), "at resolver "+l.resolver) // it has the set from before in its cache
	l.forget()
	o.types(2, "cutover", "--back", "--check")
	send("old in front", "past")
	o.later()
	o.edit("@", "MX", "300 10 mail.ex.net.")
	l.transfer()
	l.forget()
	o.types(2, "cutover", "--back", "--check")
	o.later()
	o.types(2, "cutover", "--back", "--check")
	send("back", "past")
	o.types(0, "remove")
	o.edit("_postreeve-challenge", "TXT")
	l.transfer()
	o.says(o.types(0, "cutover", "--back", "--check", "--confirm", "record"), "All steps are done.")

	var got map[string]string
	wait(t, "all mail", func() bool { got = way(box); return len(got) == len(want) })
	for subject, by := range want {
		if got[subject] != by {
			t.Errorf("%q went %q, want %q", subject, got[subject], by)
		}
	}
}

// TestDNSPeersFail: when the name servers die, and when signatures are wrong, nothing is taken for an absence, and
// mail goes on. It measures a check against local servers.
func TestDNSPeersFail(t *testing.T) {
	need(t, "postfix")
	l := newDNSLab(t)
	main, box := mailbox(t)
	postfix(t, l.mail+":25", main)
	o := l.operate("mail.ex.net:25", "")
	_, out := process(t, o.bin, "serve", "-c", o.file)
	wait(t, "the gateway", func() bool { return strings.Contains(out.String(), "ready") })
	record := o.types(0, "add")
	value := record[strings.Index(record, `"token=`):]
	value = value[:strings.Index(value[1:], `"`)+2]
	o.edit("_postreeve-challenge", "TXT", "300 "+value)
	l.transfer()
	start := time.Now()
	o.types(0, "verify", "--wait")
	t.Logf("verified twice, 1 s apart, in %v", time.Since(start).Round(time.Millisecond))
	o.measure()
	taken := func(when string) {
		t.Helper()
		if err := submit(l.gateway+":25", when); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	wait(t, "the gateway to see it", func() bool { return strings.Contains(out.String(), "state=verified") })
	taken("verified")

	// The trust anchor does not fit: as if the zone was signed with another key.
	last := l.anchor[len(l.anchor)-1:]
	other := map[bool]string{true: "1", false: "0"}[last == "0"]
	conf, err := os.ReadFile(l.unboundConf)
	if err != nil {
		t.Fatal(err)
	}
	l.stop("resolver")
	l.file("unbound/unbound.conf", strings.Replace(string(conf), l.anchor, strings.TrimSuffix(l.anchor, last)+other, 1))
	l.start("resolver", "unbound", "-d", "-c", l.unboundConf)
	l.answers(l.resolver, "mx.gw.example.", dns.TypeA)
	o.says(o.types(4, "verify", "--wait", "--timeout", "10ms"), "dnssec_bogus")
	taken("bogus")

	l.stop("primary")
	o.says(o.types(4, "verify", "--wait", "--timeout", "10ms"), "dnssec_bogus", "does not answer")
	l.stop("secondary")
	o.says(o.types(4, "verify", "--wait", "--timeout", "10ms"), "unreachable_servers")
	o.says(o.types(4, "show"), "verified since", "mail          taken")
	taken("unreachable")
	wait(t, "three messages", func() bool { return len(way(box)) == 3 })
}

// measure checks the claim as often as gives a figure.
func (o *operator) measure() {
	o.t.Helper()
	var took []time.Duration
	for range 50 {
		out, err := exec.Command(o.bin, "domain", "verify", "-c", o.file, "ex.net", "--json", "--wait").Output()
		if err != nil {
			o.t.Fatalf("%v %s", err, out)
		}
		var line struct{ Result dnsverify.Result }
		if err := json.Unmarshal(out, &line); err != nil {
			o.t.Fatal(err)
		}
		took = append(took, line.Result.Took)
	}
	slices.Sort(took)
	o.t.Logf("one check against local servers, each in a process of its own: median %v, 95 of 100 below %v, longest %v",
		took[len(took)/2].Round(10*time.Microsecond), took[len(took)*95/100].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
}

// TestProbePostfix looks at Postfix as a next hop: with and without TLS, open to strangers and locked.
func TestProbePostfix(t *testing.T) {
	t.Parallel()
	need(t, "postfix")
	l := newDNSLab(t)
	cert, key := certificate(t, "mail.ex.net")
	tls := fmt.Sprintf("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = %s\nsmtpd_tls_key_file = %s\n", cert, key)
	locked := "smtpd_client_restrictions = check_client_access inline:{ 127.0.0.1=reject }\nsmtpd_delay_reject = yes\n"
	for name, c := range map[string]struct {
		main, domain string
		want         []string
	}{
		"open, without TLS":      {"", "", []string{"STARTTLS is not offered", "it takes their mail (250", "PIPELINING"}},
		"open, with TLS":         {tls, fmt.Sprintf(", tls: {mode: verify, roots: %q}", cert), []string{"TLS 1.3", "valid for this name until", "CHUNKING", "it takes their mail (250"}},
		"locked, nobody's roots": {tls + locked, "", []string{"TLS 1.3", "it refuses their mail: 554", "certificate  x509"}},
	} {
		t.Run(name, func(t *testing.T) {
			l.t = t
			hop := free(t)
			main, _ := mailbox(t)
			postfix(t, hop, main+c.main)
			o := l.operate("mail.ex.net:"+port(hop), c.domain)
			l.edit("mail", "A", "300 127.0.0.1")
			l.transfer()
			out := o.types(0, "discover", "--recipient", "b@ex.net")
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("no %q", w)
				}
			}
		})
	}
}
