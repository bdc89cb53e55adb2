package m365_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

const appID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

// regions are two places of a gateway, one with a network.
func regions() map[string]m365.Region {
	return map[string]m365.Region{
		"eu": {SmartHost: "in.eu.gw.example", Egress: []string{"192.0.2.11", "192.0.2.12", "198.51.100.0/28"}, MX: []string{"mx.eu.gw.example"}},
		"us": {SmartHost: "in.us.gw.example", Egress: []string{"203.0.113.7"}, MX: []string{"mx.us.gw.example"}},
	}
}

// profile is one that is complete.
func profile(mode m365.Mode, posture m365.Posture, edit ...func(*m365.Profile)) *m365.Profile {
	p := &m365.Profile{
		Domains: []string{"contoso.example"}, Mode: mode, Posture: posture, Regions: regions(), Region: "eu",
		ARCSealer: "gw.example", QuarantineRule: true, IncidentReport: "soc@contoso.example",
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

// addForeign fills a tenant with objects of others.
func addForeign(s *m365test.Server) {
	s.AddGroup("pilot@contoso.example", "MailUniversalDistributionGroup", "u1@contoso.example")
	s.AddUser("u1@contoso.example")
	s.AddUser("soc@contoso.example")
	s.Add("TransportRule", m365test.Object{"Name": "Block bad networks", "SenderIpRanges": []string{"203.0.113.66"}, "DeleteMessage": true})
	s.Add("TransportRule", m365test.Object{"Name": "Disclaimer", "PrependSubject": "[ext]", "FromScope": "NotInOrganization", "Comments": "by the postmaster"})
	s.Add("InboundConnector", m365test.Object{"Name": "From the printer", "ConnectorType": "OnPremises", "SenderIPAddresses": []string{"203.0.113.99"}})
	s.Add("OutboundConnector", m365test.Object{"Name": "To a partner", "RecipientDomains": []string{"partner.example"}, "UseMXRecord": true})
	s.Add("TenantAllowBlockListSpoofItems", m365test.Object{"SpoofedUser": "*", "SendingInfrastructure": "other.example", "SpoofType": "External", "Action": "Allow"})
	s.Change("HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": []string{"203.0.113.200"}})
	s.Change("ArcConfig", "Default", m365test.Object{"ArcTrustedSealers": "Zeta.example, alpha.example"})
}

// a bench is a tenant server with a Tenant that talks to it.
type bench struct {
	*m365.Tenant
	server *m365test.Server
	events []m365.Event
}

func newBench(t *testing.T, s *m365test.Server, p *m365.Profile) *bench {
	t.Helper()
	b := &bench{server: s}
	b.Tenant = &m365.Tenant{Profile: p, Exchange: client(t, s, nil), Journal: filepath.Join(t.TempDir(), "journal"), NoWait: true,
		Times:    m365.Times{Settle: 3 * time.Second, Interval: time.Millisecond},
		Progress: func(e m365.Event) { b.events = append(b.events, e) }}
	return b
}

func client(t *testing.T, s *m365test.Server, rt http.RoundTripper) *m365.Client {
	t.Helper()
	c, err := m365.NewClient(m365.ClientConfig{Tenant: s.TenantID(), Tokens: s.Tokens(), BaseURL: s.ExchangeURL(), Transport: rt,
		Timeout: 20 * time.Second, Retry: m365.Retry{Attempts: 3, First: time.Millisecond, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// apply plans and applies, and fails the test if either does.
func (b *bench) apply(t *testing.T) *m365.Outcome {
	t.Helper()
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	if err := p.Blocked(); err != nil {
		t.Fatalf("plan is blocked: %v", err)
	}
	out, err := b.Apply(t.Context(), p)
	if err != nil {
		t.Fatalf("apply: %v (%+v)", err, out)
	}
	return out
}

func (b *bench) offboard(t *testing.T) *m365.Outcome {
	t.Helper()
	p, err := b.PlanOffboard(t.Context())
	if err != nil {
		t.Fatalf("plan to offboard: %v", err)
	}
	out, err := b.Offboard(t.Context(), p)
	if err != nil {
		t.Fatalf("offboard: %v (%+v)", err, out)
	}
	return out
}

// variants are all combinations that the tests go through.
func variants(yield func(string, func() *m365.Profile) bool) {
	scopes := map[string]m365.Scope{"domain": {}, "group": {Groups: []string{"pilot@contoso.example"}}, "user": {Users: []string{"u1@contoso.example"}}}
	for _, mode := range []m365.Mode{m365.EOPFirst, m365.MXFirst} {
		for _, posture := range []m365.Posture{m365.Hardened, m365.Classic} {
			for _, scope := range []string{"domain", "group", "user"} {
				for _, second := range []string{"", "us"} {
					make := func() *m365.Profile {
						return profile(mode, posture, func(p *m365.Profile) { p.Protect, p.SecondRegion = scopes[scope], second })
					}
					if !yield(fmt.Sprintf("%s,%s,%s,%d", mode, posture, scope, 1+len(second)/2), make) {
						return
					}
				}
			}
		}
	}
}
