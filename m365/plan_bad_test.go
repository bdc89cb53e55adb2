package m365_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// What is in the way is found before the first write, and said with what to do.
func TestPreflight(t *testing.T) {
	t.Parallel()
	classic := func(edit ...func(*m365.Profile)) *m365.Profile { return profile(m365.EOPFirst, m365.Classic, edit...) }
	for _, c := range []struct {
		name    string
		config  m365test.Config
		profile *m365.Profile
		fill    func(*m365test.Server)
		code    string
		do      string // part of the advice
		warns   bool
	}{
		{name: "dehydrated", config: m365test.Config{Dehydrated: true}, code: "tenant.dehydrated", do: "Enable-OrganizationCustomization"},
		{name: "preset, classic", config: m365test.Config{Preset: true}, code: "preset.in-force", do: "accept"},
		{name: "preset, hardened", config: m365test.Config{Preset: true}, profile: profile(m365.EOPFirst, m365.Hardened), code: "preset.in-force", do: "quarantines", warns: true},
		{name: "preset, accepted", config: m365test.Config{Preset: true}, profile: classic(func(p *m365.Profile) { p.Accept = []string{"preset.in-force"} }), code: "preset.in-force", do: "", warns: true},
		{name: "hybrid", config: m365test.Config{Hybrid: true}, code: "hybrid.connectors", do: "servers"},
		{name: "no right to write rules", config: m365test.Config{Deny: []string{"New-TransportRule"}}, code: "rights.missing", do: "Transport Rules"},
		{name: "no right to read connectors", config: m365test.Config{Deny: []string{"Get-InboundConnector"}}, code: "rights.missing", do: "Global Reader"},
		{name: "no right to ARC", config: m365test.Config{Deny: []string{"Set-ArcConfig"}}, profile: profile(m365.EOPFirst, m365.Hardened), code: "rights.missing", do: "Tenant AllowBlockList Manager"},
		{name: "300 rules", code: "rules.limit", do: "remove", fill: func(s *m365test.Server) {
			for i := range 296 {
				s.Add("TransportRule", m365test.Object{"Name": fmt.Sprintf("r%d", i), "PrependSubject": "x"})
			}
		}},
		{name: "1024 pairs", code: "spoof.limit", do: "remove", fill: func(s *m365test.Server) {
			for i := range 1022 {
				s.Add("TenantAllowBlockListSpoofItems", m365test.Object{"SpoofedUser": "*", "SendingInfrastructure": fmt.Sprintf("h%d.example", i), "SpoofType": "External", "Action": "Allow"})
			}
		}},
		{name: "1273 addresses", code: "allow-list.limit", do: "remove", fill: func(s *m365test.Server) {
			var ips []string
			for i := range 1272 {
				ips = append(ips, fmt.Sprintf("203.%d.%d.1", i/256, i%256))
			}
			s.Change("HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": ips})
		}},
		{name: "another gateway", code: "gateway.other", do: "replaces", fill: func(s *m365test.Server) {
			s.Add("OutboundConnector", m365test.Object{"Name": "Other", "IsTransportRuleScoped": true, "UseMXRecord": false, "SmartHosts": []string{"x.example"}})
			s.Add("TransportRule", m365test.Object{"Name": "To the other", "RouteMessageOutboundConnector": "Other"})
		}},
		{name: "another lock", code: "lock.other", do: "turn it off", fill: func(s *m365test.Server) {
			s.Add("InboundConnector", m365test.Object{"Name": "Inbound from X Only", "RestrictDomainsToIPAddresses": true, "SenderIPAddresses": []string{"203.0.113.5"}})
		}},
		{name: "a rule of our name", code: "name.taken", do: "rename", fill: func(s *m365test.Server) {
			s.Add("TransportRule", m365test.Object{"Name": "postreeve redirect RULE", "PrependSubject": "x"})
		}},
		{name: "a connector of our name", code: "name.taken", do: "rename", fill: func(s *m365test.Server) {
			s.Add("OutboundConnector", m365test.Object{"Name": scanning})
		}},
		{name: "a domain that is not there", profile: classic(func(p *m365.Profile) { p.Domains = []string{"contoso.example", "nothere.example"} }), code: "domain.unknown", do: "add it"},
		{name: "a group that is not there", profile: classic(func(p *m365.Profile) { p.Protect.Groups = []string{"gone@contoso.example"} }), code: "recipient.unknown", do: "does nothing", warns: true},
		{name: "domains past the gateway", config: m365test.Config{Domains: []string{"contoso.example", "fabrikam.example"}}, profile: profile(m365.MXFirst, m365.Hardened), code: "mx.subset", do: "behind the gateway", warns: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, c.config)
			addForeign(s)
			if c.fill != nil {
				c.fill(s)
			}
			before := s.Snapshot()
			p := c.profile
			if p == nil {
				p = classic()
			}
			b := newBench(t, s, p)
			plan, err := b.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(plan.Problems, func(x m365.Problem) bool { return x.Code == c.code })
			if i < 0 {
				t.Fatalf("not found: %+v", plan.Problems)
			}
			if x := plan.Problems[i]; x.Blocks == c.warns || !strings.Contains(x.Do, c.do) || x.Text == "" {
				t.Errorf("problem %+v", x)
			}
			if c.warns {
				return
			}
			if _, err := b.Apply(t.Context(), plan); err == nil || !strings.Contains(err.Error(), c.code) {
				t.Errorf("apply: %v", err)
			}
			if s.Writes() != 0 || string(before) != string(s.Snapshot()) {
				t.Error("something was written")
			}
			if _, err := os.Stat(b.Journal); err == nil {
				t.Error("a journal was begun")
			}
		})
	}
}

// A developer tenant refuses inbound connectors for good: that is found by asking, before anything is written.
func TestDeveloperTenant(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{Developer: true})
	addForeign(s)
	before := s.Snapshot()
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Apply(t.Context(), p)
	var problem m365.Problem
	if !errors.As(err, &problem) || problem.Code != "connector.refused" || !strings.Contains(problem.Do, "developer") {
		t.Errorf("apply: %v", err)
	}
	if string(before) != string(s.Snapshot()) {
		t.Error("something was changed")
	}
}

// A tenant that cannot be customized yet is opened if the profile allows it, and waited for.
func TestCustomize(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{Dehydrated: true, Hydrating: 3})
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened, func(p *m365.Profile) { p.EnableCustomization = true }))
	b.NoWait = false
	b.apply(t)
	if r, err := b.Verify(t.Context()); err != nil || !r.OK() {
		t.Errorf("verify: %v, %+v", err, r)
	}
}

func TestProfileCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(*m365.Profile)
		want string
	}{
		{"as it is", func(*m365.Profile) {}, ""},
		{"no domains", func(p *m365.Profile) { p.Domains = nil }, "at least one accepted domain"},
		{"no domain name", func(p *m365.Profile) { p.Domains = []string{"con toso"} }, "no domain name"},
		{"a domain in Unicode", func(p *m365.Profile) { p.Domains = []string{"bücher.example"} }, "xn--"},
		{"a domain twice", func(p *m365.Profile) { p.Domains = []string{"a.example", "A.example"} }, "twice"},
		{"no mode", func(p *m365.Profile) { p.Mode = "" }, "eop-first or mx-first"},
		{"unknown posture", func(p *m365.Profile) { p.Posture = "soft" }, "hardened or classic"},
		{"unknown region", func(p *m365.Profile) { p.Region = "mars" }, "unknown region \"mars\": choose one of eu, us"},
		{"unknown second region", func(p *m365.Profile) { p.SecondRegion = "mars" }, "choose one of eu, us"},
		{"the same region twice", func(p *m365.Profile) { p.SecondRegion = "eu" }, "is the region already"},
		{"no regions", func(p *m365.Profile) { p.Regions = nil }, "describe at least one"},
		{"which region", func(p *m365.Profile) { p.Region = "" }, "choose one of"},
		{"IPv6", func(p *m365.Profile) {
			p.Regions["eu"] = m365.Region{SmartHost: "a.example", Egress: []string{"2001:db8::1"}}
		}, "IPv4 only"},
		{"a large network", func(p *m365.Profile) {
			p.Regions["eu"] = m365.Region{SmartHost: "a.example", Egress: []string{"192.0.2.0/23"}}
		}, "/24 to /32"},
		{"no address", func(p *m365.Profile) {
			p.Regions["eu"] = m365.Region{SmartHost: "a.example", Egress: []string{"192.0.2.x"}}
		}, "neither an IPv4"},
		{"no egress", func(p *m365.Profile) { p.Regions["eu"] = m365.Region{SmartHost: "a.example"} }, "comes back from"},
		{"a long name", func(p *m365.Profile) { p.Product = strings.Repeat("x", 40) }, "64 are allowed: use a product name of at most 29"},
		{"a slash in the name", func(p *m365.Profile) { p.Product = "a/b" }, "slashes"},
		{"a line in the name", func(p *m365.Profile) { p.Product = "a\r\nb" }, "control characters"},
		{"a quote in the name", func(p *m365.Profile) { p.Product = "a’b" }, "quotes"},
		{"groups and users", func(p *m365.Profile) {
			p.Protect = m365.Scope{Groups: []string{"g@contoso.example"}, Users: []string{"u@contoso.example"}}
		}, "not both"},
		{"a user that is no address", func(p *m365.Profile) { p.Protect.Users = []string{"u"} }, "no address"},
		{"hardened without a sealer", func(p *m365.Profile) { p.ARCSealer = "" }, "d= domain"},
		{"pilot without groups", func(p *m365.Profile) { p.Stage = m365.StagePilot }, "needs the groups"},
		{"direct send with EOP first", func(p *m365.Profile) { p.RejectDirectSend = true }, "mx-first"},
		{"an app that is no id", func(p *m365.Profile) { p.RemediationApp = "x" }, "xxxxxxxx-"},
		{"an unknown thing to accept", func(p *m365.Profile) { p.Accept = []string{"rights.missing"} }, "no problem that can be accepted"},
		{"an unknown vendor", func(p *m365.Profile) { p.Replaces = &m365.Predecessor{Vendor: "x"} }, "perception-point, mailprotector"},
		{"a header with a colon", func(p *m365.Profile) { p.Headers.Prefix = "X-A:" }, "headers.prefix"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := profile(m365.EOPFirst, m365.Hardened, c.edit)
			err := p.Check()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("Check: %v, want something about %q", err, c.want)
			}
		})
	}
}

func TestReadProfile(t *testing.T) {
	t.Parallel()
	const good = `{"domains": ["ex.net"], "mode": "eop-first", "arc-sealer": "gw.example",
		"regions": {"eu": {"smart-host": "in.gw.example", "egress": ["192.0.2.1"]}}}`
	if _, err := m365.ReadProfile(strings.NewReader(good)); err != nil {
		t.Errorf("ReadProfile: %v", err)
	}
	for _, bad := range []string{"", "{}", "[]", good + "{}", strings.Replace(good, `"mode"`, `"mood"`, 1), strings.Replace(good, `"ex.net"`, `7`, 1)} {
		if _, err := m365.ReadProfile(strings.NewReader(bad)); err == nil {
			t.Errorf("ReadProfile(%q): no error", bad)
		}
	}
}
