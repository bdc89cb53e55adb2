package m365_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// pred is the product before, as its guide was followed.
var pred = m365.Predecessor{Vendor: "perception-point", Egress: []string{"198.51.100.201", "198.51.100.202"}, SmartHost: "pp.example"}

func addPerceptionPoint(s *m365test.Server) {
	s.Change("HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": pred.Egress, "EnableSafeList": true})
	for _, ip := range pred.Egress {
		s.Add("TenantAllowBlockListSpoofItems", m365test.Object{"Identity": "pair-" + ip, "SpoofedUser": "*", "SendingInfrastructure": ip, "SpoofType": "External", "Action": "Allow"})
	}
	s.Add("OutboundConnector", m365test.Object{"Name": "Perception Point Scanning", "IsTransportRuleScoped": true, "UseMXRecord": false, "SmartHosts": []string{"pp.example"}, "ConnectorSource": "AdminUI"})
	s.Add("InboundConnector", m365test.Object{"Name": "Disable IP Throttling on Perception Point Connector", "SenderIPAddresses": pred.Egress})
	s.Add("TransportRule", m365test.Object{"Name": "Perception Point Redirect Rule", "RecipientDomainIs": []string{"contoso.example"}, "RouteMessageOutboundConnector": "Perception Point Scanning",
		"SetHeaderName": "X-PERCEPTION-POINT-CUSTOM", "SetHeaderValue": "theirs", "StopRuleProcessing": true})
	for name, scl := range map[string]int{"High": 9, "Low": 6} {
		s.Add("TransportRule", m365test.Object{"Name": "Send Office 365 spam emails to Junk folder (" + name + ")", "HeaderMatchesMessageHeader": "X-PP-Forefront-Antispam-Report",
			"HeaderMatchesPatterns": []string{"SCL:9"}, "SetSCL": scl})
	}
	s.Add("TransportRule", m365test.Object{"Name": "Perception Point Spam Rule", "HeaderMatchesMessageHeader": "X-PERCEPTION-POINT-SPAM", "HeaderMatchesPatterns": []string{"FAIL"}, "SetSCL": 6})
}

// What another product left goes, in the safe order; what only has its names stays, and so does everything of others.
func TestVendorRemoval(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	before := s.Snapshot()
	addPerceptionPoint(s)
	b := &m365.Tenant{Exchange: client(t, s, nil), NoWait: true} // no journal, no profile
	p, err := b.PlanVendorRemoval(t.Context(), pred)
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.Offboard(t.Context(), p)
	if err != nil {
		t.Fatalf("%v, %+v", err, out)
	}
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
	}
	var got []string
	for _, c := range s.Calls() {
		if c.Write > 0 {
			got = append(got, c.Cmdlet)
		}
	}
	want := []string{"Disable-TransportRule", "Remove-TransportRule", "Remove-TransportRule", "Remove-TransportRule", "Remove-TransportRule", "Remove-OutboundConnector",
		"Remove-InboundConnector", "Remove-TenantAllowBlockListSpoofItems", "Set-HostedConnectionFilterPolicy", "Set-HostedConnectionFilterPolicy"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
	again, err := b.PlanVendorRemoval(t.Context(), pred)
	if err != nil || len(again.Steps) != 0 {
		t.Errorf("a second time: %v, %+v", err, again.Steps)
	}
}

// A lock is known by its shape, since guides let admins fill in a name; it goes off before it is removed.
func TestVendorLock(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	before := s.Snapshot()
	s.Add("InboundConnector", m365test.Object{"Name": "Inbound from CloudThing Only", "RestrictDomainsToIPAddresses": true, "SenderIPAddresses": []string{"198.51.100.201"}})
	s.Change("HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": []string{"203.0.113.200", "198.51.100.201"}})
	b := &m365.Tenant{Exchange: client(t, s, nil), NoWait: true}
	p, err := b.PlanVendorRemoval(t.Context(), m365.Predecessor{Vendor: "mailprotector", Egress: pred.Egress})
	if err != nil || len(p.Steps) != 3 || p.Steps[0].Verb != m365.VerbDisable {
		t.Fatalf("%v, %+v", err, p)
	}
	if _, err := b.Offboard(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
	}
}

func TestVendorUnlike(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	s.Add("OutboundConnector", m365test.Object{"Name": "Perception Point Scanning", "UseMXRecord": false, "SmartHosts": []string{"mine.example"}})
	s.Add("InboundConnector", m365test.Object{"Name": "Inbound from Mailprotector Only", "SenderIPAddresses": []string{"198.51.100.99"}})
	before := s.Snapshot()
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	for _, v := range []string{"perception-point", "mailprotector"} {
		pr := pred
		pr.Vendor = v
		p, err := b.PlanVendorRemoval(t.Context(), pr)
		if err != nil || p.Changes() != 0 || !slices.ContainsFunc(p.Problems, func(x m365.Problem) bool { return x.Code == "vendor.unlike" }) {
			t.Errorf("%s: %v, %+v", v, err, p)
		}
		if _, err := b.Offboard(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("something of others was touched (-before +after):\n%s", d)
	}
	if _, err := b.PlanVendorRemoval(t.Context(), m365.Predecessor{Vendor: "perception-point"}); err == nil {
		t.Error("without addresses and smart host anything could be meant")
	}
	if _, err := b.PlanVendorRemoval(t.Context(), m365.Predecessor{Vendor: "acme", SmartHost: "x"}); err == nil || !strings.Contains(err.Error(), "mailprotector") {
		t.Errorf("unknown vendor: %v", err)
	}
}

// A tenant changes over from another product in one plan: its way of the mail goes off before ours goes on, its rules
// under our names become ours, the rest goes, and leaving us leaves nothing of either.
func TestReplaces(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	before := s.Snapshot()
	addPerceptionPoint(s)
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	if p, err := b.Plan(t.Context()); err != nil || p.Blocked() == nil || !strings.Contains(p.Blocked().Error(), "replaces") {
		t.Fatalf("without replaces: %v, %v", err, p.Blocked())
	}
	b.Profile.Replaces = &pred
	p, err := b.Plan(t.Context())
	if err != nil || p.Blocked() != nil {
		t.Fatalf("%v, %v", err, p.Blocked())
	}
	var ids []string
	for _, st := range p.Steps {
		ids = append(ids, string(st.Verb)+" "+strings.SplitN(st.ID, ".0", 2)[0])
	}
	off, on := slices.Index(ids, "disable vendor.off"), slices.Index(ids, "enable redirect-rule.on")
	if off < 0 || on < off || !slices.Contains(ids, "adopt junk-rule.high") {
		t.Errorf("steps %q", ids)
	}
	if _, err := b.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Objects("TransportRule") {
		if strings.Contains(r["Name"].(string), "Perception") || !strings.HasPrefix(r["Comments"].(string), "postreeve id=") {
			t.Errorf("rule %v is left", r["Name"])
		}
	}
	if v, err := b.Verify(t.Context()); err != nil || !v.OK() {
		t.Errorf("verify: %v, %+v", err, v)
	}
	b.Profile.Replaces = nil
	b.offboard(t)
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("something is left of one or the other (-before +after):\n%s", d)
	}
}
