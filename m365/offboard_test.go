package m365_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// What somebody changed after us stays, is named, and is put back only when that is asked for.
func TestOffboardThreeWay(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	before := s.Snapshot()
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	b.apply(t)
	s.Change("HostedContentFilterPolicy", "Default", m365test.Object{"PhishSpamAction": "Delete"})
	s.Change("HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": []string{"203.0.113.200", "203.0.113.201", "192.0.2.11"}})
	p, err := b.PlanOffboard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(p.Steps, func(s m365.Step) bool { return s.ID == "anti-spam-policy.restore" })
	if i < 0 || !strings.Contains(p.Steps[i].Fields[len(p.Steps[i].Fields)-1].Note, "somebody changed it") {
		t.Fatalf("the human change is not named: %+v", p.Steps)
	}
	if _, err := b.Offboard(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	policy := s.Objects("HostedContentFilterPolicy")[0]
	if policy["PhishSpamAction"] != "Delete" || policy["HighConfidenceSpamAction"] != "Quarantine" {
		t.Errorf("policy %v, want the human's value kept and the others restored", policy)
	}
	if got := s.Objects("HostedConnectionFilterPolicy")[0]["IPAllowList"]; !cmp.Equal(got, []string{"203.0.113.200", "203.0.113.201"}) {
		t.Errorf("allow list %v, want those of others", got)
	}
	again, err := b.PlanOffboard(t.Context())
	if err != nil || again.Changes() != 0 || len(again.Kept()) != 1 {
		t.Errorf("second offboarding: %v, %+v, want one thing kept", err, again.Steps)
	}
	b.Force = true
	b.offboard(t)
	s.Change("HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": []string{"203.0.113.200"}})
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("forced: the tenant is not as it was (-before +after):\n%s", d)
	}
}

// The way out begins with what sends mail to the gateway and ends with what lets it come back.
func TestOffboardOrder(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	b.apply(t)
	n := len(s.Calls())
	b.offboard(t)
	var got []string
	for _, c := range s.Calls()[n:] {
		if !strings.HasPrefix(c.Cmdlet, "Get-") && c.Write > 0 {
			got = append(got, c.Cmdlet)
		}
	}
	want := []string{"Disable-TransportRule", "Remove-TransportRule", "Remove-TransportRule", "Remove-TransportRule", "Remove-TransportRule", "Remove-TransportRule", "Remove-TransportRule",
		"Remove-OutboundConnector", "Remove-InboundConnector", "Remove-TenantAllowBlockListSpoofItems", "Set-HostedConnectionFilterPolicy", "Set-HostedConnectionFilterPolicy", "Set-HostedContentFilterPolicy"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
}

// Without its journal an installation is known by its marks; what has none is said to stay.
func TestOffboardWithoutJournal(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	foreign := len(s.Objects("TransportRule"))
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	b.apply(t)
	b.Journal = t.TempDir() + "/new"
	if r, err := b.Verify(t.Context()); err != nil || !r.OK() {
		t.Errorf("verify without a journal: %v, %+v", err, r)
	}
	p, err := b.PlanOffboard(t.Context())
	if err != nil || len(p.Notes) == 0 || !strings.Contains(p.Notes[0], "by hand") {
		t.Fatalf("plan: %v, notes %q", err, p.Notes)
	}
	b.offboard(t)
	if got := len(s.Objects("TransportRule")); got != foreign {
		t.Errorf("%d rules are left, %d were there", got, foreign)
	}
	if len(s.Objects("TenantAllowBlockListSpoofItems")) < 2 {
		t.Error("spoof pairs that nobody knows to be ours were removed")
	}
}

// A journal is about one tenant.
func TestJournalOfAnotherTenant(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.MXFirst, m365.Hardened))
	b.apply(t)
	other := m365test.New(t, m365test.Config{TenantID: "99999999-2222-4333-8444-555555555555"})
	other.Change("OrganizationConfig", "contoso.onmicrosoft.com", m365test.Object{"Guid": "99999999-0000-4000-8000-000000000000"})
	for _, o := range other.Objects("OrganizationConfig") {
		other.Change("OrganizationConfig", o["Guid"].(string), m365test.Object{"Guid": "99999999-0000-4000-8000-000000000000"})
	}
	b.Exchange = client(t, other, nil)
	if _, err := b.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "use another directory") {
		t.Errorf("plan with the journal of another tenant: %v", err)
	}
}

// The lock stays off until the MX records moved and no direct mail is seen, and goes off first on the way out.
func TestLock(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	before := s.Snapshot()
	enabled := func() bool {
		for _, c := range s.Objects("InboundConnector") {
			if c["Name"] == lock {
				return c["Enabled"].(bool)
			}
		}
		t.Fatal("there is no lock")
		return false
	}
	b := newBench(t, s, profile(m365.MXFirst, m365.Hardened))
	for _, mx := range []m365.MXState{m365.MXUnknown, m365.MXNo} {
		b.MX = mx
		out := b.apply(t)
		if enabled() || len(out.Manual) != 1 || out.Manual[0].ID != "mx" {
			t.Fatalf("MX %q: lock on: %v, manual %+v", mx, enabled(), out.Manual)
		}
	}
	b.MX = m365.MXYes
	s.Add("MessageTraceV2", m365test.Object{"MessageId": "<1@x>", "RecipientAddress": "u1@contoso.example", "SenderAddress": "a@sender.example",
		"FromIP": "203.0.113.80", "Received": time.Now().UTC().Add(-time.Minute).Format(time.RFC3339), "Status": "Delivered", "MessageTraceId": "99999999-2222-4333-8444-555555555555"})
	out := b.apply(t)
	if enabled() || len(out.Left) != 1 || !strings.Contains(strings.Join(out.Skipped, " "), "203.0.113.80") {
		t.Fatalf("direct mail was seen; lock on: %v, outcome %+v", enabled(), out)
	}
	for _, m := range s.Objects("MessageTraceV2") {
		s.Change("MessageTraceV2", m["Guid"].(string), m365test.Object{"FromIP": "192.0.2.11"})
	}
	b.apply(t)
	if !enabled() {
		t.Fatal("the lock is not on")
	}
	if r, err := b.Verify(t.Context()); err != nil || !r.OK() || !r.Scanning {
		t.Errorf("verify: %v, %+v", err, r)
	}
	p, err := b.PlanOffboard(t.Context())
	if err != nil || p.Steps[0].ID != "inbound-lock.off" {
		t.Fatalf("plan: %v, first step %+v", err, p.Steps)
	}
	out, err = b.Offboard(t.Context(), p)
	if err != nil || enabled() || len(out.Left) == 0 {
		t.Fatalf("the MX records still name the gateway: %v, lock on: %v, %+v", err, enabled(), out)
	}
	b.MX = m365.MXNo
	b.offboard(t)
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
	}
}

// DNS is asked when that is wanted; a look-up that fails is no answer.
func TestAskDNS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hosts []string
		err   error
		on    bool
	}{
		{hosts: []string{"MX.eu.gw.example."}, on: true},
		{hosts: []string{"mx.eu.gw.example.", "contoso-example.mail.protection.outlook.com."}},
		{hosts: []string{"elsewhere.example."}},
		{hosts: nil},
		{err: errors.New("no answer")},
	} {
		s := m365test.New(t, m365test.Config{})
		b := newBench(t, s, profile(m365.MXFirst, m365.Hardened))
		b.MX = m365.MXAskDNS
		b.LookupMX = func(context.Context, string) ([]string, error) { return c.hosts, c.err }
		b.apply(t)
		for _, x := range s.Objects("InboundConnector") {
			if x["Name"] == lock && x["Enabled"] != c.on {
				t.Errorf("MX %v, %v: the lock is on: %v", c.hosts, c.err, x["Enabled"])
			}
		}
	}
}

// With waiting, the way out lets mail on its way come back; progress says until when.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	b.apply(t)
	b.NoWait = false
	b.Times.Drain = 20 * time.Millisecond
	looks := 0
	b.QueueEmpty = func(context.Context) (bool, error) { looks++; return looks > 3, nil }
	b.events = nil
	b.offboard(t)
	if looks != 4 {
		t.Errorf("the queue was asked %d times, want 4", looks)
	}
	if !slices.ContainsFunc(b.events, func(e m365.Event) bool {
		return e.What == m365.EventWait && strings.Contains(e.Text, "still holds mail") && !e.Until.IsZero()
	}) {
		t.Errorf("nobody was told what is waited for: %v", b.events)
	}
}
