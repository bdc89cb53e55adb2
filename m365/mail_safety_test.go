package m365_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// changed is a transport that hands out another body than came.
type changed func(r *http.Request, reply string) string

func (f changed) RoundTrip(r *http.Request) (*http.Response, error) {
	rep, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(rep.Body)
	rep.Body.Close()
	text := f(r, string(raw))
	rep.Body, rep.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return rep, err
}

// waiting makes a bench that waits, for a moment only.
func waiting(b *bench) {
	b.NoWait = false
	b.Times.Drain, b.Times.Clean, b.Times.Longest = time.Millisecond, time.Millisecond, 250*time.Millisecond
}

// direct is mail that came from outside and not from the gateway.
func direct(to string) m365test.Object {
	return m365test.Object{"MessageId": "<1@x>", "RecipientAddress": to, "SenderAddress": "a@sender.example", "FromIP": "203.0.113.80",
		"Received": time.Now().UTC().Add(-time.Second).Format(time.RFC3339Nano), "Status": "Delivered", "MessageTraceId": "99999999-2222-4333-8444-555555555555"}
}

func inboundOn(s *m365test.Server, name string) bool {
	return slices.ContainsFunc(s.Objects("InboundConnector"), func(o m365test.Object) bool { return o["Name"] == name && o["Enabled"] == true })
}

// While mail is at the gateway nothing that it needs to come back is taken away, however long that is.
func TestOffboardWaitsForMail(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	before := s.Snapshot()
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	b.apply(t)
	writes := s.Writes()
	waiting(b)
	empty := false
	b.QueueEmpty = func(context.Context) (bool, error) { return empty, nil }
	out := b.offboard(t)
	if n := s.Writes() - writes; n != 1 || ruleNamed(s, redirect)["State"] != "Disabled" {
		t.Errorf("%d writes, want the redirect rule turned off and nothing else; left: %q", n, out.Left)
	}
	empty = true
	b.offboard(t)
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
	}
}

// So with the product before, by itself and when it is replaced, also when the run that turned it off died.
func TestVendorWaitsForMail(t *testing.T) {
	t.Parallel()
	was := pred
	was.SmartHost = "198.51.100.250"
	add := func(s *m365test.Server) {
		addPerceptionPoint(s)
		s.Change("OutboundConnector", "Perception Point Scanning", m365test.Object{"SmartHosts": []string{was.SmartHost}})
		m := direct("u1@contoso.example")
		m["ToIP"], m["Received"] = was.SmartHost, time.Now().UTC().Add(time.Hour).Format(time.RFC3339)
		s.Add("MessageTraceV2", m)
		m["Received"] = "not a time: always there"
		s.Add("MessageTraceV2", m)
	}
	for _, replaced := range []bool{false, true} {
		s := m365test.New(t, m365test.Config{})
		add(s)
		b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
		waiting(b)
		if replaced {
			b.Profile.Replaces = &was
			b.apply(t)
		}
		for range 2 {
			p, err := b.PlanVendorRemoval(t.Context(), was)
			if err != nil {
				t.Fatal(err)
			}
			if replaced {
				if p, err = b.Plan(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := b.Apply(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			rule := ruleNamed(s, "Perception Point Redirect Rule")
			ips, _ := s.Objects("HostedConnectionFilterPolicy")[0]["IPAllowList"].([]string)
			if rule == nil || rule["State"] != "Disabled" || !slices.Contains(ips, was.Egress[0]) || !inboundOn(s, "Disable IP Throttling on Perception Point Connector") {
				t.Errorf("replaced %v: mail that is at the old product cannot come back: rule %v, allowed %v", replaced, rule, ips)
			}
		}
	}
}

// The lock is for the tenant as a whole: mail for a domain that the gateway does not serve keeps it off.
func TestLockLooksAtAllDomains(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{Domains: []string{"contoso.example", "fabrikam.example"}})
	b := newBench(t, s, profile(m365.MXFirst, m365.Hardened))
	b.MX = m365.MXYes
	s.Add("MessageTraceV2", direct("u@fabrikam.example"))
	out := b.apply(t)
	if inboundOn(s, lock) || !strings.Contains(strings.Join(out.Skipped, " "), "203.0.113.80") {
		t.Errorf("the lock is on, and refuses the mail of fabrikam.example: %+v", out)
	}
}

// Whoever still knows the old MX records is waited for, and the records are looked at when the plan is applied.
func TestLockWaits(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.MXFirst, m365.Hardened))
	waiting(b)
	b.Times.Clean, b.Times.Longest = 40*time.Millisecond, time.Minute
	hosts := []string{"mx.eu.gw.example."}
	b.MX = m365.MXAskDNS
	b.LookupMX = func(context.Context, string) ([]string, error) { return hosts, nil }
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hosts = []string{"contoso-example.mail.protection.outlook.com."}
	b.Times.Longest = 20 * time.Millisecond
	if out, err := b.Apply(t.Context(), p); err != nil || inboundOn(s, lock) || len(out.Left) != 1 {
		t.Fatalf("the MX records moved back before the plan was applied: %v, lock on: %v, %+v", err, inboundOn(s, lock), out)
	}
	hosts = []string{"mx.eu.gw.example."}
	b.Times.Longest = time.Minute
	start := time.Now()
	b.apply(t)
	if took := time.Since(start); !inboundOn(s, lock) || took < b.Times.Clean {
		t.Errorf("lock on: %v, after %v, want it on after %v", inboundOn(s, lock), took, b.Times.Clean)
	}
	if !slices.ContainsFunc(b.events, func(e m365.Event) bool { return strings.Contains(e.Text, "old MX records") }) {
		t.Error("nobody was told what is waited for")
	}
}

// The way back waits until no record of any domain names the gateway, beside others or alone.
func TestMXBack(t *testing.T) {
	t.Parallel()
	const outlook = "contoso-example.mail.protection.outlook.com."
	for _, wait := range []bool{false, true} {
		s := m365test.New(t, m365test.Config{Domains: []string{"contoso.example", "fabrikam.example"}})
		before := s.Snapshot()
		b := newBench(t, s, profile(m365.MXFirst, m365.Hardened, func(p *m365.Profile) { p.Domains = append(p.Domains, "fabrikam.example") }))
		b.MX = m365.MXYes
		b.apply(t)
		if wait {
			waiting(b)
		}
		hosts := map[string][]string{}
		b.MX = m365.MXAskDNS
		b.LookupMX = func(_ context.Context, d string) ([]string, error) {
			if len(hosts[d]) == 0 {
				return nil, errors.New("no answer")
			}
			return hosts[d], nil
		}
		for _, second := range [][]string{nil, {"mx.eu.gw.example."}, {outlook, "MX.eu.gw.example"}} {
			hosts["contoso.example"], hosts["fabrikam.example"] = []string{outlook}, second
			out := b.offboard(t)
			if !inboundOn(s, inbound) || inboundOn(s, lock) || len(out.Manual) != 1 {
				t.Fatalf("records %v: the gateway may send mail, and what it needs is gone (or the lock is still on): %+v", second, out)
			}
		}
		hosts["fabrikam.example"] = []string{outlook}
		b.offboard(t)
		if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
			t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
		}
	}
}

// A pair whose reply was lost is ours although the list did not show it and the second attempt was refused; and that
// is no reason to take a neighbour of somebody else's for ours.
func TestLostSpoofPair(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		bare bool
		die  bool
	}{{true, false}, {true, true}, {false, false}, {false, true}} {
		s := m365test.New(t, m365test.Config{BareSpoof: c.bare})
		addForeign(s)
		if c.bare {
			s.Add("TenantAllowBlockListSpoofItems", m365test.Object{"SpoofedUser": "*", "SendingInfrastructure": "192.0.2.200", "SpoofType": "External", "Action": "Allow"})
		}
		before := s.Snapshot()
		p := profile(m365.EOPFirst, m365.Classic)
		p.Regions = map[string]m365.Region{"eu": {SmartHost: "in.gw.example", Egress: []string{"192.0.2.11"}}}
		b := newBench(t, s, p)
		ctx, cancel := context.WithCancel(t.Context())
		f := m365test.Fault{Kind: m365test.DropAfter, Cmdlet: "New-TenantAllow"}
		if c.die {
			f.Then = cancel
		}
		s.Inject(f)
		first, reads := "", 0
		b.Exchange = client(t, s, changed(func(r *http.Request, reply string) string {
			if r.Header.Get("X-CmdletName") != "Get-TenantAllowBlockListSpoofItems" {
				return reply
			}
			if reads++; reads == 1 {
				first = reply
			}
			if reads <= 3 { // the plan, the look before the first attempt, and the one before the second
				return first
			}
			return reply
		}))
		plan, err := b.Plan(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Apply(ctx, plan); c.die != (err != nil) {
			t.Fatalf("%+v: %v", c, err)
		}
		if c.die {
			if _, err := b.Apply(t.Context(), plan); err != nil {
				t.Fatalf("%+v: resume: %v", c, err)
			}
		}
		cancel()
		if n := s.Pending(); n != 0 {
			t.Fatalf("%+v: %d faults did not strike", c, n)
		}
		b.offboard(t)
		if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
			t.Errorf("%+v: the tenant is not as it was (-before +after):\n%s", c, d)
		}
	}
}

// A run that dies between the removal of a rule and its new make is finished by the same plan.
func TestKilledWhileReplacing(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 3; n++ {
		s := m365test.New(t, m365test.Config{})
		addForeign(s)
		p := profile(m365.EOPFirst, m365.Hardened, func(p *m365.Profile) { p.Pilot, p.Stage = []string{"pilot@contoso.example"}, m365.StagePilot })
		b := newBench(t, s, p)
		b.apply(t)
		p.Stage = m365.StageAll
		plan, err := b.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s.Inject(m365test.Fault{Kind: m365test.DropAfter, Write: s.Writes() + n, Then: cancel})
		if _, err := b.Apply(ctx, plan); err == nil {
			t.Fatal("it was cut off, and says it is done")
		}
		cancel()
		if _, err := b.Apply(t.Context(), plan); err != nil {
			t.Errorf("resume after write %d: %v", n, err)
		}
		if r := ruleNamed(s, redirect); r == nil || r["State"] != "Enabled" || r["SentToMemberOf"] != nil {
			t.Errorf("after write %d the rule is %v", n, r)
		}
	}
}

// While the rule only logs, the tenant's own filter keeps its strength.
func TestAuditLeavesFilter(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	p := profile(m365.EOPFirst, m365.Classic, func(p *m365.Profile) { p.Stage = m365.StageAudit })
	b := newBench(t, s, p)
	action := func() any { return s.Objects("HostedContentFilterPolicy")[0]["HighConfidenceSpamAction"] }
	for _, c := range []struct {
		stage m365.Stage
		want  string
	}{{m365.StageAudit, "Quarantine"}, {m365.StageAll, "MoveToJmf"}, {m365.StageAudit, "Quarantine"}} {
		p.Stage = c.stage
		b.apply(t)
		if action() != c.want {
			t.Errorf("stage %s: spam goes to %v, want %s", c.stage, action(), c.want)
		}
	}
}

// An empty body is no empty list: whoever takes it for one finds nothing of ours, and closes the journal.
func TestNoListIsNoAnswer(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	b.apply(t)
	for _, body := range []string{"", "{}", `{"@adminapi.warnings":[]}`} {
		b.Exchange = client(t, s, changed(func(r *http.Request, reply string) string {
			if r.Header.Get("X-CmdletName") == "Get-TransportRule" {
				return body
			}
			return reply
		}))
		if p, err := b.PlanOffboard(t.Context()); err == nil || !strings.Contains(err.Error(), "Get-TransportRule") {
			t.Errorf("reply %q: %v, %+v", body, err, p)
		}
	}
}
