package m365_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// waits collects what a client waited, without waiting.
type waits struct {
	mu  sync.Mutex
	all []time.Duration
}

func (w *waits) wait(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, d)
	return ctx.Err()
}

// newClient returns a client of the tenant that does not wait.
func newClient(tb testing.TB, s *m365test.Server, change ...func(*m365.ClientConfig)) *m365.Client {
	tb.Helper()
	cfg := m365.ClientConfig{Tenant: s.TenantID(), Tokens: s.Tokens(), BaseURL: s.ExchangeURL(), Timeout: 20 * time.Second,
		Retry: m365.Retry{Wait: (&waits{}).wait}}
	for _, f := range change {
		f(&cfg)
	}
	c, err := m365.NewClient(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func ptr[T any](v T) *T { return &v }

func redirectRule(name string) m365.TransportRule {
	return m365.TransportRule{Name: name, Comments: "postreeve id=1", Priority: ptr(0), Enabled: ptr(false), Mode: "Enforce",
		RecipientDomainIs: []string{"contoso.example"}, FromScope: "NotInOrganization", RouteMessageOutboundConnector: "Postreeve Scanning",
		SetHeaderName: "X-Postreeve-Token", SetHeaderValue: "s3cret", ExceptIfHeaderContainsMessageHeader: "X-Postreeve-Token",
		ExceptIfHeaderContainsWords: []string{"s3cret"}, ExceptIfSenderIpRanges: []string{"192.0.2.1"}, ExceptIfMessageSizeOver: "40000KB",
		StopRuleProcessing: ptr(true), SenderAddressLocation: "Header"}
}

func outbound() m365.OutboundConnector {
	return m365.OutboundConnector{Name: "Postreeve Scanning", Comment: "postreeve id=2", ConnectorType: "Partner", Enabled: ptr(true),
		IsTransportRuleScoped: ptr(true), UseMXRecord: ptr(false), SmartHosts: []string{"in.eu.postreeve.example"}, TlsSettings: "DomainValidation",
		TlsDomain: "in.eu.postreeve.example"}
}

func TestObjectsReadBackAsTheyWereMade(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	c, ctx := newClient(t, s), t.Context()
	in := m365.InboundConnector{Name: "Disable IP Throttling on Postreeve Connector", Comment: "postreeve id=3", ConnectorType: "Partner",
		SenderDomains: []string{"*"}, SenderIPAddresses: []string{"192.0.2.1", "198.51.100.0/24"}, RequireTls: ptr(true), EFSkipLastIP: ptr(true)}
	spoof := m365.SpoofItem{SpoofedUser: "*", SendingInfrastructure: "192.0.2.1", SpoofType: "External", Action: "Allow"}
	ids := map[string]string{}
	for _, o := range []m365.Object{in, outbound(), redirectRule("Postreeve Redirect Rule"), spoof} {
		id, err := c.New(ctx, o)
		if err != nil {
			t.Fatalf("New(%T): %v", o, err)
		}
		ids[fmt.Sprintf("%T", o)] = id
		if _, err := c.New(ctx, o); !errors.Is(err, m365.ErrExists) {
			t.Errorf("second New(%T) = %v, want ErrExists", o, err)
		}
	}

	inbound, err := c.InboundConnectors(ctx)
	if err != nil || len(inbound) != 1 {
		t.Fatalf("InboundConnectors = %v, %v", inbound, err)
	}
	want := in.Params()
	got := inbound[0].Params()
	for k := range got {
		if _, ok := want[k]; !ok {
			delete(got, k)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("inbound connector: %s", d)
	}
	if inbound[0].RestrictDomainsToCertificate == nil || inbound[0].Guid != ids["m365.InboundConnector"] {
		t.Errorf("inbound connector: %+v", inbound[0])
	}

	out, err := c.OutboundConnectors(ctx)
	if err != nil || len(out) != 1 {
		t.Fatalf("OutboundConnectors = %v, %v: want the rule-scoped one, once", out, err)
	}
	if _, ok := out[0].Row.Bool("RequireTls"); ok {
		t.Error("an outbound connector has a field of inbound ones")
	}

	rules, err := c.TransportRules(ctx)
	if err != nil || len(rules) != 1 {
		t.Fatalf("TransportRules = %v, %v", rules, err)
	}
	r := rules[0]
	if r.Enabled == nil || *r.Enabled || *r.Priority != 0 || r.SetSCL != nil || r.Quarantine == nil || *r.Quarantine {
		t.Errorf("rule: enabled %v, priority %v, SCL %v", r.Enabled, r.Priority, r.SetSCL)
	}
	if n, ok := m365.ParseSize(r.ExceptIfMessageSizeOver); !ok || n != 40000<<10 {
		t.Errorf("size reads back as %q", r.ExceptIfMessageSizeOver)
	}
	if d := cmp.Diff([]string{"FromScopePredicate", "RecipientDomainIsPredicate"}, r.Conditions); d != "" {
		t.Error(d)
	}

	items, err := c.SpoofItems(ctx)
	if err != nil || len(items) != 1 || !spoof.Same(items[0]) || items[0].Identity != ids["m365.SpoofItem"] {
		t.Errorf("SpoofItems = %+v, %v", items, err)
	}
}

func TestListsOfTheRest(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{Preset: true, Hybrid: true, Dehydrated: true})
	c, ctx := newClient(t, s), t.Context()
	s.AddUser("ann@contoso.example", "a.smith@contoso.example")
	s.AddGroup("pilot@contoso.example", "GroupMailbox", "ann@contoso.example")

	org, err := c.Organization(ctx)
	if err != nil || org.IsDehydrated == nil || !*org.IsDehydrated || org.RejectDirectSend == nil {
		t.Errorf("Organization = %+v, %v", org, err)
	}
	domains, err := c.AcceptedDomains(ctx)
	if err != nil || len(domains) != 2 || domains[0].DomainName != "contoso.example" || !*domains[1].InitialDomain {
		t.Errorf("AcceptedDomains = %+v, %v", domains, err)
	}
	rules, err := c.PolicyRules(ctx)
	if err != nil || len(rules) != 1 || !rules[0].Preset || rules[0].State != "Enabled" {
		t.Errorf("PolicyRules = %+v, %v", rules, err)
	}
	policies, err := c.ContentFilterPolicies(ctx)
	if err != nil || len(policies) != 2 || policies[1].RecommendedPolicyType != "Standard" {
		t.Errorf("ContentFilterPolicies = %+v, %v", policies, err)
	}
	phish, err := c.AntiPhishPolicies(ctx)
	if err != nil || len(phish) != 1 || !*phish[0].HonorDmarcPolicy {
		t.Errorf("AntiPhishPolicies = %+v, %v", phish, err)
	}
	for address, want := range map[string]string{"A.Smith@contoso.example": "UserMailbox", "pilot@contoso.example": "GroupMailbox", "no@contoso.example": ""} {
		got, err := c.Recipients(ctx, address)
		if err != nil || want == "" && len(got) != 0 || want != "" && (len(got) != 1 || got[0].RecipientTypeDetails != want) {
			t.Errorf("Recipients(%s) = %+v, %v", address, got, err)
		}
	}
	_, err = c.Invoke(ctx, m365.Call{Cmdlet: "Set-HostedConnectionFilterPolicy", Params: m365.Params{"Identity": "Default", "EnableSafeList": true}})
	if !errors.Is(err, m365.ErrDehydrated) {
		t.Errorf("dehydrated: %v", err)
	}
	cmdlets, err := c.Cmdlets(ctx)
	if err != nil || len(cmdlets) < 40 {
		t.Errorf("Cmdlets = %d, %v", len(cmdlets), err)
	}
}

func TestArcIsOneString(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	c, ctx := newClient(t, s), t.Context()
	set := func(v ...string) {
		t.Helper()
		if _, err := c.Invoke(ctx, m365.Call{Cmdlet: "Set-ArcConfig", Params: m365.Params{"Identity": "Default", "ArcTrustedSealers": v}}); err != nil {
			t.Fatal(err)
		}
	}
	set("zulu.example", "Alpha.example")
	a, err := c.Arc(ctx)
	if d := cmp.Diff([]string{"alpha.example", "zulu.example"}, a.ArcTrustedSealers); err != nil || d != "" {
		t.Error(err, d)
	}
	set(" ")
	if a, err = c.Arc(ctx); err != nil || len(a.ArcTrustedSealers) != 0 {
		t.Errorf("after clearing: %v, %v", a, err)
	}
}

func TestEditOfAddresses(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	c, ctx := newClient(t, s), t.Context()
	edit := func(e m365.Edit) m365.Result {
		t.Helper()
		res, err := c.Invoke(ctx, m365.Call{Cmdlet: "Set-HostedConnectionFilterPolicy", Params: m365.Params{"Identity": "Default", "IPAllowList": e}})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := edit(m365.Edit{Add: []string{"192.0.2.1", "198.51.100.0/24"}}); res.Unchanged {
		t.Error("an addition that changed something says it did not")
	}
	if res := edit(m365.Edit{Add: []string{"192.0.2.1"}}); !res.Unchanged {
		t.Error("an addition that changed nothing does not say so")
	}
	edit(m365.Edit{Remove: []string{"192.0.2.1"}})
	p, err := c.ConnectionFilterPolicies(ctx)
	if d := cmp.Diff([]string{"198.51.100.0/24"}, p[0].IPAllowList); err != nil || d != "" {
		t.Error(err, d)
	}
}

func TestClearFindsTheFormThatWorks(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"table", "array", "null", "none"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, m365test.Config{EmptyForm: form})
			s.Change("HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": []string{"192.0.2.1"}})
			c := newClient(t, s)
			err := c.Clear(t.Context(), m365.Call{Cmdlet: "Set-HostedConnectionFilterPolicy", Params: m365.Params{"Identity": "Default"}}, "IPAllowList",
				func(ctx context.Context) (bool, error) {
					p, err := c.ConnectionFilterPolicies(ctx)
					return err == nil && len(p[0].IPAllowList) == 0, err
				})
			if (err == nil) != (form != "none") {
				t.Errorf("Clear = %v", err)
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"": true, "https://outlook.office365.us": true, "http://127.0.0.1:80/x": true, "http://localhost:1": true, "http://[::1]:1": true,
		"http://outlook.office365.com": false, "http://127.0.0.1.evil.example": false, "ftp://127.0.0.1": false, "https://u:p@h": false,
		"https://h/?x=1": false, "https://": false, "http://10.0.0.1": false, "://": false,
	} {
		_, err := m365.NewClient(m365.ClientConfig{Tenant: "contoso.example", Tokens: m365.StaticToken("t"), BaseURL: url})
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, tenant := range []string{"", "a/b", "../x", "a b", "a\r\nb", "-x", strings.Repeat("a", 300)} {
		if _, err := m365.NewClient(m365.ClientConfig{Tenant: tenant, Tokens: m365.StaticToken("t")}); err == nil {
			t.Errorf("tenant %q was taken", tenant)
		}
	}
}

func TestObserveSeesNoSecret(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	s.Inject(m365test.Fault{Kind: m365test.Throttle, RetryAfter: 7}, m365test.Fault{Kind: m365test.ErrorBefore, Nth: 2})
	var seen []string
	w := &waits{}
	c := newClient(t, s, func(cfg *m365.ClientConfig) {
		cfg.Retry.Wait = w.wait
		cfg.Observe = func(a m365.Attempt) { seen = append(seen, fmt.Sprintf("%+v", a)) }
	})
	if _, err := c.New(t.Context(), outbound()); err != nil {
		t.Fatal(err)
	}
	rule := redirectRule("r")
	if _, err := c.New(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(seen, "\n"); strings.Contains(all, "s3cret") || !strings.Contains(all, "New-TransportRule") || !strings.Contains(all, fmt.Sprint(http.StatusTooManyRequests)) {
		t.Error(all)
	}
	if len(w.all) == 0 || w.all[0] != 7*time.Second {
		t.Errorf("waited %v, want the 7 s that were asked for first", w.all)
	}
}
