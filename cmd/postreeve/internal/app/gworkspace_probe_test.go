package app_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/mail"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/dnsverify/dnstest"
	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
	"github.com/postreeve/postreeve/relay/relaytest"
)

// googleLoop is Google around a gateway that runs: mail from outside comes in at front, is sent to the gateway as
// the rule says, and comes back at back, from where it gets into the mailbox.
type googleLoop struct {
	*googleDesk
	front, back     relaytest.Sink
	gateway         *served
	secrets         *gworkspace.Secrets
	conf            string
	noRule, noProof bool
}

// newGoogleLoop serves a gateway. more are keys of the file, domain those of ex.net.
func newGoogleLoop(t *testing.T, more, domain string) *googleLoop {
	t.Helper()
	l := &googleLoop{googleDesk: newGoogleDesk(t)}
	l.secrets = l.googleDesk.secrets(t)
	l.GrantAll()
	l.AddUser(gworkspacetest.User{Email: "pilot@ex.net", Unit: "/"})
	l.AddRules(gworkspacetest.TopUnit, []map[string]any{gworkspacetest.RedirectRule("r1", "Postreeve Redirect Rule (do not edit) postreeve", "X-Postreeve-Token: "+l.secrets.Loop[0])})
	l.gateway = serve(t, "hostname: gw.example\nlisten: [\"127.0.0.1:0\"]\nauth: none\n"+strings.ReplaceAll(more, "STATE", filepath.Join(l.dir, "state"))+
		"\ndomains:\n  ex.net: {next-hop: \""+l.back.Start(t)+"\", verification: waived, "+strings.ReplaceAll(domain, "FILE", l.file("s.json"))+"}\n")
	l.conf = l.gateway.file
	front := l.front.Start(t)
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() { l.run(done) })
	t.Cleanup(func() { close(done); wg.Wait() })
	l.args = slices.DeleteFunc(l.args, func(s string) bool { return s == "--no-wait" })
	l.args = append(l.args, "-c", l.conf, "--secrets", l.file("s.json"), "--probe", "pilot@ex.net", "--probe-via", front, "--probe-google", front, "--probe-from", "b@example.org",
		"--probe-time", "60s", "--probe-pause", "50ms")
	return l
}

// withDomain is what a domain behind Google is set to.
const withDomain = `connection: gworkspace, token: "file:FILE.loop", upstream: {tenant-token: ["file:FILE.tenant", "file:FILE.tenant.old"]}`

// run hands messages on until done.
func (l *googleLoop) run(done chan struct{}) {
	in, out := 0, 0
	for {
		select {
		case <-done:
			return
		case <-time.After(5 * time.Millisecond):
		}
		for all := l.front.Messages(); in < len(all); in++ {
			m := all[in]
			if l.noRule || !strings.HasPrefix(m.To[0], "pilot@") && !strings.HasPrefix(m.To[0], "group@") {
				l.deliver(m.Data)
				continue
			}
			head := "Received: from out.example.org (out.example.org. [198.51.100.7]) by mx.google.com with ESMTPS id k1 for <" + m.To[0] + ">; Sat, 21 Nov 2026 02:00:00 -0800 (PST)\r\nX-Gm-Original-To: " + m.To[0] + "\r\n"
			if !l.noProof {
				head = "X-Postreeve-Tenant: " + l.secrets.Tenant[0] + "\r\n" + head
			}
			_ = smtp.SendMail(l.gateway.addr(0), nil, m.From, m.To, append([]byte(head), m.Data...)) // what is refused did not come by: the probes say so
		}
		for all := l.back.Messages(); out < len(all); out++ {
			l.deliver(all[out].Data)
		}
	}
}

// deliver puts a message into the mailbox, as the inbound gateway setting says.
func (l *googleLoop) deliver(raw []byte) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return
	}
	g := gworkspacetest.Message{MessageID: m.Header.Get("Message-Id"), Labels: []string{"INBOX"}}
	if m.Header.Get("X-Postreeve-Spam") == "FAIL" {
		g.Labels = []string{"SPAM"}
	}
	for k, all := range m.Header {
		for _, v := range all {
			g.More = append(g.More, gworkspace.Value{Name: k, Value: v})
		}
	}
	l.AddMessage("pilot@ex.net", g)
}

func states(r gworkspace.Report) map[string]gworkspace.State {
	out := map[string]gworkspace.State{}
	for _, p := range r.Probes {
		out[p.ID] = p.State
	}
	return out
}

func probeOf(t *testing.T, r gworkspace.Report, id string) gworkspace.Probe {
	t.Helper()
	i := slices.IndexFunc(r.Probes, func(p gworkspace.Probe) bool { return p.ID == id })
	if i < 0 {
		t.Fatalf("no %s in %+v", id, r.Probes)
	}
	return r.Probes[i]
}

// verify runs the command and returns its report.
func (l *googleLoop) verify(t *testing.T, want int, more ...string) gworkspace.Report {
	t.Helper()
	got := l.googleDesk.run(t, want, "verify", append(more, "--json")...)
	for _, s := range append(slices.Clone(l.secrets.Loop), l.secrets.Tenant...) {
		if strings.Contains(got.out+got.err, s) {
			t.Error("a secret was printed")
		}
	}
	return lines[gworkspace.Report](t, got.out)[0]
}

// TestGWorkspaceProbes: messages go through a gateway that runs, and its ledger and the mailbox say how it was.
func TestGWorkspaceProbes(t *testing.T) {
	t.Parallel()
	type want = map[string]gworkspace.State
	right, wrong, unknown := gworkspace.Right, gworkspace.Wrong, gworkspace.Unknown
	for name, c := range map[string]struct {
		more, domain string
		change       func(l *googleLoop)
		args         []string
		code         int
		want         want
		probe, text  string // what one of them says
	}{
		"all is well": {"state: STATE", withDomain, nil, []string{"--probe-group", "group@ex.net"}, 0,
			want{"P1": unknown, "P2": right, "P3": right, "P4": right, "P5": right, "P6": right, "P7": right}, "P2", "judged clean, action deliver, next hop"},
		"the tag": {"state: STATE", withDomain, nil, nil, 0,
			want{"P1": unknown, "P2": right, "P3": right, "P4": right, "P5": right, "P6": right, "P7": unknown}, "P5", "in Spam; at the gateway"},
		"Google adds no secret": {"state: STATE", withDomain, func(l *googleLoop) { l.noProof = true }, nil, 2,
			want{"P1": unknown, "P2": wrong, "P3": right, "P4": right, "P5": right, "P6": right, "P7": unknown}, "P2", "without the tenant's header"},
		"the rule does not act": {"state: STATE", withDomain, func(l *googleLoop) { l.noRule = true }, []string{"--probe-time", "5s"}, 2,
			want{"P1": unknown, "P2": wrong, "P3": right, "P4": unknown, "P5": unknown, "P6": wrong, "P7": unknown}, "P2", "past the gateway"},
		"no store": {"", withDomain, nil, nil, 0,
			want{"P1": unknown, "P2": unknown, "P3": right, "P4": unknown, "P5": unknown, "P6": unknown, "P7": unknown}, "P4", "not checked: "},
		"no access to mail": {"state: STATE", withDomain, func(l *googleLoop) { l.Grant(gworkspace.ScopePolicies, gworkspace.ScopeAudit) }, nil, 2,
			want{"P1": unknown, "P2": right, "P3": right, "P4": unknown, "P5": unknown, "P6": unknown, "P7": unknown}, "P4", gworkspace.ScopeModify},
		"spam is held": {"state: STATE", withDomain + ", policy: {spam: hold}", nil, nil, 0,
			want{"P1": unknown, "P2": right, "P3": right, "P4": right, "P5": unknown, "P6": right, "P7": unknown}, "P5", "action hold"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGoogleLoop(t, c.more, c.domain)
			if c.change != nil {
				c.change(l)
			}
			start := time.Now()
			r := l.verify(t, c.code, c.args...)
			if diff := cmp.Diff(c.want, states(r)); diff != "" {
				t.Errorf("probes (-want +got):\n%s", diff)
			}
			if p := probeOf(t, r, c.probe); !strings.Contains(p.Detail, c.text) {
				t.Errorf("%+v does not say %q", p, c.text)
			}
			if took := time.Since(start); took > 50*time.Second {
				t.Errorf("took %s although nothing was open", took)
			}
			if c.want["P4"] == unknown && strings.Contains(name, "access") && !strings.Contains(probeOf(t, r, "P4").Do, "rfc822msgid:probe-") {
				t.Error("nobody is told what to look for")
			}
		})
	}
}

// TestGWorkspaceProbeByHand: a person sends, and the ledger knows the message by its subject.
func TestGWorkspaceProbeByHand(t *testing.T) {
	t.Parallel()
	l := newGoogleLoop(t, "state: STATE", withDomain)
	r := l.verify(t, 2, "--probe-by-hand", "--probe-time", "300ms") // nobody sends
	if got := states(r); got["P2"] != gworkspace.Wrong || got["P3"] != gworkspace.Unknown || got["P4"] != gworkspace.Unknown {
		t.Errorf("nobody sent: %v", got)
	}
	got := l.googleDesk.run(t, 2, "verify", "--probe-by-hand", "--probe-time", "300ms")
	for _, want := range []string{"P2: from a mailbox outside send\n  To: pilot@ex.net\n  Subject: Postreeve probe P2 ", "swaks --to pilot@ex.net --header 'Subject: Postreeve probe P6", "--server smtp.google.com", "SPAM-VERDICT"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("not said: %q in\n%s", want, got.err)
		}
	}
	if !strings.Contains(got.out, "P2") || !strings.Contains(got.out, "it did not come to the gateway") {
		t.Errorf("the table:\n%s", got.out)
	}
}

// TestGWorkspaceProbeFlags: what makes no sense is said before anything is sent.
func TestGWorkspaceProbeFlags(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	d.GrantAll()
	d.args = slices.DeleteFunc(d.args, func(s string) bool { return s == "--no-wait" })
	for probe, want := range map[string]string{"pilot@other.example": "none of the domains", "pilot": "no address for a probe", "<a@ex.net>": "no address for a probe"} {
		if got := d.run(t, 64, "verify", "--probe", probe); !strings.Contains(got.err, want) {
			t.Errorf("%s: %s", probe, got.err)
		}
	}
	if got := d.run(t, 64, "offboard", "--wait", "1s"); !strings.Contains(got.err, "-c FILE") {
		t.Errorf("--wait: %s", got.err)
	}
}

// TestGWorkspaceOffboardQueue: the way out waits for what the gateway has.
func TestGWorkspaceOffboardQueue(t *testing.T) {
	t.Parallel()
	l := newGoogleLoop(t, "state: STATE", withDomain+", mode: queue")
	l.back.Fail(relaytest.Fault{At: relaytest.AtConnect, Reply: "421 4.3.2 closed", Drop: true})
	if err := smtp.SendMail(l.gateway.addr(0), nil, "b@example.org", []string{"pilot@ex.net"}, []byte(message("x", "hello"))); err != nil {
		t.Fatal(err)
	}
	l.ClearPolicies()
	l.AddRules(gworkspacetest.TopUnit, []map[string]any{gworkspacetest.RedirectRule("r1", "Postreeve Redirect Rule (do not edit) postreeve", "X-Postreeve-Token: "+l.secrets.Loop[0])}, "r1")
	told := []gworkspace.Answer{{Step: "redirect-rule.off", Done: true, At: time.Now().Add(-25 * time.Hour)}}
	raw, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.file("told.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	got := l.run2(t, 1, "offboard", "--told", l.file("told.json"), "--wait", "100ms")
	for _, want := range []string{"drain.queue", "1 queued", "waiting for 1 message", "the last message of the tenant came in at"} {
		if !strings.Contains(got.out+got.err, want) {
			t.Errorf("not said: %q in\n%s%s", want, got.out, got.err)
		}
	}
}

// run2 runs a command without the flags of probes.
func (l *googleLoop) run2(t *testing.T, want int, verb string, more ...string) result {
	t.Helper()
	i := slices.Index(l.args, "--probe")
	return exits(t, want, slices.Concat([]string{"gworkspace", verb}, l.args[:i], more)...)
}

// TestGWorkspaceOurSide: what the gateway is set to is compared with the profile.
func TestGWorkspaceOurSide(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more, domain string
		prepare      func(d *googleDesk)
		code         int
		want         string
	}{
		"as it should be":            {"", withDomain, nil, 0, "gateway, domain ex.net"},
		"another secret":             {"", withDomain, func(d *googleDesk) { put(d, "s.json.tenant", "ANOTHERSECRET1234567890") }, 2, "does not take the secret that the rule adds"},
		"mixed up":                   {"", `connection: gworkspace, token: "file:FILE.tenant", upstream: {tenant-token: "file:FILE.loop"}`, nil, 2, "mixed up"},
		"a secret with blanks":       {"", withDomain, func(d *googleDesk) { put(d, "s.json.tenant", "SECRET WITH A BLANK IN IT") }, 2, "without blanks"},
		"no token":                   {"", `connection: gworkspace, upstream: {tenant-token: "file:FILE.tenant"}`, nil, 2, "which is a loop"},
		"no tenant's secret":         {"", `connection: gworkspace, token: "file:FILE.loop", upstream: {nets: [192.0.2.0/24]}`, nil, 2, "not told from others"},
		"another connection":         {"", `token: "file:FILE.loop"`, nil, 2, "set connection: gworkspace"},
		"another header":             {"", `connection: gworkspace, token: "file:FILE.loop", upstream: {tenant-token: "file:FILE.tenant", tenant-header: X-Postreeve-Other}`, nil, 2, "adds another header"},
		"another prefix":             {"headers: {prefix: X-Acme}", withDomain, nil, 2, "looks for another header"},
		"a domain that is not there": {"", `verification: required}` + "\n  ex.org: {next-hop: \"192.0.2.1\", verification: waived", func(d *googleDesk) { swap(d, "ex.net:", "ex.com:") }, 2, "refuses mail of this domain"},
		"a host for sending":         {"", withDomain, func(d *googleDesk) { swap(d, "192.0.2.1:25", "smtp-relay.gmail.com") }, 2, "by those who sign in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newGoogleDesk(t)
			s := d.secrets(t)
			d.GrantAll()
			d.AddRules(gworkspacetest.TopUnit, []map[string]any{gworkspacetest.RedirectRule("r1", "Postreeve Redirect Rule (do not edit) postreeve", "X-Postreeve-Token: "+s.Loop[0])})
			put(d, "gw.yaml", "hostname: gw.example\nlisten: [\"127.0.0.1:2525\"]\nstate: "+d.file("state")+"\n"+c.more+
				"\ndomains:\n  ex.net: {next-hop: \"192.0.2.1:25\", "+strings.ReplaceAll(c.domain, "FILE", d.file("s.json"))+"}\n")
			if c.prepare != nil {
				c.prepare(d)
			}
			d.args = append(d.args, "-c", d.file("gw.yaml"), "--secrets", d.file("s.json"))
			got := d.run(t, c.code, "verify")
			if !strings.Contains(got.out, c.want) {
				t.Errorf("not said: %q in\n%s", c.want, got.out)
			}
			code := 2 // steps are left
			if c.code != 0 {
				code = 1 // something is in the way
			}
			plan := d.run(t, code, "plan")
			for _, secret := range []string{s.Loop[0], s.Tenant[0], "ANOTHERSECRET"} {
				if strings.Contains(got.out+got.err+plan.out+plan.err, secret) {
					t.Error("a secret was printed")
				}
			}
		})
	}
}

func put(d *googleDesk, name, text string) {
	if err := os.WriteFile(d.file(name), []byte(text), 0o600); err != nil {
		panic(fmt.Sprint("a file of a test: ", err))
	}
}

func swap(d *googleDesk, old, text string) {
	raw, err := os.ReadFile(d.file("gw.yaml"))
	if err != nil {
		panic(fmt.Sprint("a file of a test: ", err))
	}
	put(d, "gw.yaml", strings.Replace(string(raw), old, text, 1))
}

// TestGWorkspaceHostTLS: a host whose certificate nobody vouches for is a drift, and in the way of the rule.
func TestGWorkspaceHostTLS(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	d.GrantAll()
	own, _, _ := certificate(t, "in.gw.example", time.Now().Add(time.Hour))
	sink := &relaytest.Sink{TLS: &tls.Config{Certificates: []tls.Certificate{own}}}
	_, port, err := net.SplitHostPort(sink.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	n := dnstest.New(t)
	n.Zone("ex.net", dnstest.Records{"@": {"MX 1 smtp.google.com."}})
	n.Zone("gw.example", dnstest.Records{"in": {"A 127.0.0.1"}})
	put(d, "p.yaml", strings.Replace(gworkspaceProfile, "in.gw.example,", "in.gw.example, port: "+port+",", 1))
	i := slices.Index(d.args, "--no-wait")
	d.args = append(d.args[:i:i], "--dns", fmt.Sprintf("%s:%d", n.Resolver().Addr(), n.Port()))
	got := d.run(t, 2, "verify")
	for _, want := range []string{"TLS: wanted a host that answers with a valid certificate", "in.gw.example port " + port, "unknown authority", "give it a certificate of a public authority"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("not said: %q in\n%s", want, got.out)
		}
	}
	if got := d.run(t, 1, "plan"); !strings.Contains(got.out, "in the way: probe.p1") {
		t.Errorf("the plan:\n%s", got.out)
	}
}
