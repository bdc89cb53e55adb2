package m365_test

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

func ruleNamed(s *m365test.Server, name string) m365test.Object {
	for _, r := range s.Objects("TransportRule") {
		if r["Name"] == name {
			return r
		}
	}
	return nil
}

// A roll-out goes from logging over a pilot group to everybody, each stage by planning again.
func TestStages(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	before := s.Snapshot()
	p := profile(m365.EOPFirst, m365.Hardened, func(p *m365.Profile) { p.Pilot = []string{"pilot@contoso.example"} })
	b := newBench(t, s, p)
	for _, c := range []struct {
		stage  m365.Stage
		mode   string
		member []string
		domain []string
	}{
		{m365.StageAudit, "Audit", nil, []string{"contoso.example"}},
		{m365.StagePilot, "Enforce", []string{"pilot@contoso.example"}, nil},
		{m365.StageAll, "Enforce", nil, []string{"contoso.example"}},
		{m365.StageAudit, "Audit", nil, []string{"contoso.example"}},
	} {
		p.Stage = c.stage
		b.apply(t)
		r := ruleNamed(s, redirect)
		member, _ := r["SentToMemberOf"].([]string)
		domain, _ := r["RecipientDomainIs"].([]string)
		if r["Mode"] != c.mode || !slices.Equal(member, c.member) || !slices.Equal(domain, c.domain) || r["State"] != "Enabled" || r["Priority"] != 1 {
			t.Errorf("stage %s: %v", c.stage, r)
		}
		if v, err := b.Verify(t.Context()); err != nil || !v.OK() || v.Scanning == (c.stage == m365.StageAudit) {
			t.Errorf("stage %s: verify: %v, %+v", c.stage, err, v)
		}
	}
	b.offboard(t)
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
	}
}

// A profile that changes takes out what it no longer asks for, and only that.
func TestProfileChanges(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	before := s.Snapshot()
	p := profile(m365.EOPFirst, m365.Classic)
	b := newBench(t, s, p)
	b.apply(t)
	p.Posture = m365.Hardened
	b.apply(t)
	if got := s.Objects("HostedContentFilterPolicy")[0]["PhishSpamAction"]; got != "Quarantine" {
		t.Errorf("hardened: phish goes to %v, want what was there before", got)
	}
	if on := s.Objects("HostedConnectionFilterPolicy")[0]["EnableSafeList"]; on != false {
		t.Error("hardened: the safe list is still on")
	}
	if n := len(s.Objects("TenantAllowBlockListSpoofItems")); n != 1 {
		t.Errorf("hardened: %d spoof pairs, want the one of others", n)
	}
	p.Regions["eu"] = m365.Region{SmartHost: "new.eu.gw.example", Egress: []string{"192.0.2.12", "192.0.2.13"}}
	p.QuarantineRule, p.IncidentReport = false, ""
	b.apply(t)
	if got := s.Objects("HostedConnectionFilterPolicy")[0]["IPAllowList"]; !cmp.Equal(got, []string{"203.0.113.200", "192.0.2.12", "192.0.2.13"}) {
		t.Errorf("after the addresses changed the allow list is %v", got)
	}
	if ruleNamed(s, "Postreeve Quarantine Rule") != nil {
		t.Error("the quarantine rule is still there")
	}
	p.Mode = m365.MXFirst
	b.apply(t)
	if r := ruleNamed(s, redirect); r == nil || r["State"] != "Enabled" {
		t.Errorf("the MX records have not moved, and mail is no longer scanned: %v", r)
	}
	b.MX = m365.MXYes
	b.apply(t)
	if ruleNamed(s, redirect) != nil || len(s.Objects("OutboundConnector")) != 1 {
		t.Error("mode mx-first still has the way to the gateway")
	}
	if v, err := b.Verify(t.Context()); err != nil || !v.OK() {
		t.Errorf("verify: %v, %+v", err, v)
	}
	b.MX = m365.MXNo
	p.Mode = m365.EOPFirst // and back: a lock that is on goes first
	if plan, err := b.Plan(t.Context()); err != nil || plan.Steps[0].ID != "inbound-lock.remove" {
		t.Errorf("back to eop-first: %v, %+v", err, plan.Steps)
	}
	b.offboard(t)
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
	}
}

// A canary that does not come through takes the last step back.
func TestCanaryStepsBack(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	b.NoWait = false
	through := false
	b.Canary = &m365.Canary{Mailbox: "u1@contoso.example", Within: 10 * time.Millisecond, Every: time.Millisecond,
		Send: func(context.Context, string, string) error { return nil },
		Find: func(context.Context, string, string) (textproto.MIMEHeader, error) {
			if through {
				return textproto.MIMEHeader{"X-Postreeve-Verdict": {"CLEAN"}}, nil
			}
			return nil, nil
		}}
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := b.Apply(t.Context(), p); err == nil || !strings.Contains(err.Error(), "turned off again") || out.Failed == "" {
		t.Errorf("apply: %v, %+v", err, out)
	}
	if ruleNamed(s, redirect)["State"] != "Disabled" {
		t.Error("the redirect rule is still on")
	}
	through = true
	out := b.apply(t)
	if ruleNamed(s, redirect)["State"] != "Enabled" || out.Canary == nil || !out.Canary.Scanned {
		t.Errorf("with a canary that comes through: %+v", out)
	}
}

// Consent is given and taken back through Graph, exactly as far as it was not there before.
func TestConsentStep(t *testing.T) {
	t.Parallel()
	withApp := func(p *m365.Profile) { p.RemediationApp = appID }
	for _, c := range []struct {
		name   string
		before func(*m365test.Server)
		graph  bool
	}{
		{"no access to Graph", func(*m365test.Server) {}, false},
		{"unknown application", func(*m365test.Server) {}, true},
		{"consent was there", func(s *m365test.Server) { s.Consent(appID) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, m365test.Config{})
			c.before(s)
			before := s.Snapshot()
			had := len(s.Granted(appID)) > 0
			b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened, withApp))
			if c.graph {
				g, err := m365.NewGraph(m365.GraphConfig{Tokens: s.Tokens(), BaseURL: s.GraphURL()})
				if err != nil {
					t.Fatal(err)
				}
				b.Graph = g
			}
			out := b.apply(t)
			if !c.graph {
				if len(out.Manual) != 1 || !strings.Contains(out.Manual[0].Console.Link, appID) {
					t.Errorf("nobody is asked for consent: %+v", out.Manual)
				}
				if v, err := b.Verify(t.Context()); err != nil || !strings.HasPrefix(v.Consent, "unknown") {
					t.Errorf("verify: %v, %+v", err, v)
				}
				b.offboard(t)
				return
			}
			if !slices.Contains(s.Granted(appID), "Mail.ReadWrite") {
				t.Fatalf("granted: %v", s.Granted(appID))
			}
			if v, err := b.Verify(t.Context()); err != nil || v.Consent != "granted" || !v.OK() {
				t.Errorf("verify: %v, %+v", err, v)
			}
			b.offboard(t)
			if had != (len(s.Granted(appID)) > 0) {
				t.Errorf("after offboarding it has %v", s.Granted(appID))
			}
			if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
				t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
			}
		})
	}
}

// An application gets a role group of its own, and loses it again.
func TestAccess(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	before := s.Snapshot()
	b := newBench(t, s, profile(m365.MXFirst, m365.Hardened, func(p *m365.Profile) {
		p.Access = &m365.Access{AppID: appID, ObjectID: "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee"}
	}))
	b.apply(t)
	groups := s.Objects("RoleGroup")
	i := slices.IndexFunc(groups, func(g m365test.Object) bool { return g["Name"] == "Postreeve Gateway Configuration" })
	if i < 0 || len(groups[i]["Roles"].([]string)) != 5 {
		t.Fatalf("role groups %v", groups)
	}
	if p, err := b.Plan(t.Context()); err != nil || p.Changes() != 0 {
		t.Errorf("second plan: %v, %+v", err, p.Steps)
	}
	b.offboard(t)
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
	}
}

// Both readings of what no document settles come to the same end.
func TestUndocumented(t *testing.T) {
	t.Parallel()
	for _, cfg := range []m365test.Config{{BareSpoof: true}, {RouteAs: "guid"}, {RouteAs: "dn"}, {ShowScoped: true}, {StaleReads: 2}, {Region: true}, {EmptyForm: "array"}, {EmptyForm: "null"}} {
		t.Run(fmt.Sprintf("%+v", cfg), func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, cfg)
			addForeign(s)
			before := s.Snapshot()
			p := profile(m365.EOPFirst, m365.Classic)
			if cfg.StaleReads > 0 {
				p = profile(m365.MXFirst, m365.Hardened) // fewer writes to wait for
			}
			b := newBench(t, s, p)
			b.Times.Settle = 10 * time.Second
			b.apply(t)
			if cfg.StaleReads == 0 {
				if v, err := b.Verify(t.Context()); err != nil || !v.OK() {
					t.Errorf("%+v: verify: %v, %+v", cfg, err, v)
				}
				s.Change("InboundConnector", inbound, m365test.Object{"EFUsers": []string{"u1@contoso.example"}})
			}
			b.apply(t)
			b.offboard(t)
			if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
				t.Errorf("%+v: the tenant is not as it was (-before +after):\n%s", cfg, d)
			}
		})
	}
}

// A run that was ended by its caller says so.
func TestCancelled(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Plan(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("plan: %v", err)
	}
}
