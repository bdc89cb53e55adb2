package m365_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// TestLeastPrivilege makes the role group of an application, and takes it away again.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	c, ctx := newClient(t, s), t.Context()
	before := s.Snapshot()
	sp := m365.ServicePrincipal{AppId: clientID, ObjectId: "99999999-0000-4000-8000-000000000001", DisplayName: "Postreeve"}
	group := m365.RoleGroup{Name: "Postreeve", Description: "postreeve id=9", Roles: []string{"Transport Rules", "Remote and Accepted Domains"}}
	s.Inject(m365test.Fault{Kind: m365test.ErrorAfter, Cmdlet: "New-ServicePrincipal"}, m365test.Fault{Kind: m365test.DropAfter, Cmdlet: "New-RoleGroup"})
	spID, err := c.New(ctx, sp)
	if err != nil {
		t.Fatal(err)
	}
	groupID, err := c.New(ctx, group)
	if err != nil {
		t.Fatal(err)
	}
	member := m365.Params{"Identity": groupID, "Member": sp.ObjectId}
	if _, err := c.Invoke(ctx, m365.Call{Cmdlet: "Add-RoleGroupMember", Params: member}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Invoke(ctx, m365.Call{Cmdlet: "Add-RoleGroupMember", Params: member}); !errors.Is(err, m365.ErrExists) {
		t.Errorf("a second time: %v", err)
	}
	groups, err := c.RoleGroups(ctx)
	if err != nil || len(groups) != 3 {
		t.Fatalf("RoleGroups = %+v, %v", groups, err)
	}
	if d := cmp.Diff([]string{sp.ObjectId}, groups[2].Members); d != "" || len(groups[0].Roles) != 1 {
		t.Error(d)
	}
	principals, err := c.ServicePrincipals(ctx)
	if err != nil || len(principals) != 1 || principals[0].AppId != clientID {
		t.Errorf("ServicePrincipals = %+v, %v", principals, err)
	}
	for _, call := range []m365.Call{{Cmdlet: "Remove-RoleGroupMember", Params: member}, {Cmdlet: "Remove-RoleGroup", Params: m365.Params{"Identity": groupID}},
		{Cmdlet: "Remove-ServicePrincipal", Params: m365.Params{"Identity": spID}}} {
		s.Inject(m365test.Fault{Kind: m365test.DropAfter, Cmdlet: call.Cmdlet})
		if _, err := c.Invoke(ctx, call); err != nil {
			t.Error(err)
		}
	}
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Error(d)
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	c, ctx := newClient(t, s), t.Context()
	at := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)
	for i, id := range []string{"<1@x>", "<1@x>", "<2@x>"} {
		s.Add("MessageTraceV2", m365test.Object{"MessageId": id, "MessageTraceId": fmt.Sprint(i), "RecipientAddress": fmt.Sprintf("u%d@contoso.example", i),
			"Received": at.Format(time.RFC3339), "Status": "Delivered"})
	}
	s.Add("MessageTraceDetailV2", m365test.Object{"MessageTraceId": "1", "RecipientAddress": "u1@contoso.example", "Event": "Transport rule", "Detail": "Postreeve Redirect Rule"})
	got, err := c.Trace(ctx, "<1@x>", at.Add(-time.Hour), at.Add(time.Hour))
	if err != nil || len(got) != 2 || !got[0].Received.Equal(at) {
		t.Fatalf("Trace = %+v, %v", got, err)
	}
	if late, err := c.Trace(ctx, "<1@x>", at.Add(time.Hour), at.Add(2*time.Hour)); err != nil || len(late) != 0 {
		t.Errorf("Trace of another hour = %+v, %v", late, err)
	}
	events, err := c.TraceDetail(ctx, got[1])
	if err != nil || len(events) != 1 || events[0].Event != "Transport rule" {
		t.Errorf("TraceDetail = %+v, %v", events, err)
	}
	for _, d := range []time.Duration{-time.Hour, 0, 241 * time.Hour} {
		if _, err := c.Trace(ctx, "<1@x>", at, at.Add(d)); !errors.Is(err, m365.ErrInvalid) {
			t.Errorf("a trace over %s: %v", d, err)
		}
	}
	for range 5000 {
		s.Add("MessageTraceV2", m365test.Object{"MessageId": "<3@x>", "Received": at.Format(time.RFC3339)})
	}
	if _, err := c.Trace(ctx, "<3@x>", at.Add(-time.Hour), at.Add(time.Hour)); !errors.Is(err, m365.ErrIncompleteList) {
		t.Errorf("five thousand lines: %v", err)
	}
}

func TestRulesComeInOrder(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{Preset: true, Unreached: []string{"in.eu.postreeve.example"}, RouteAs: "guid"})
	c, ctx := newClient(t, s), t.Context()
	for _, n := range []string{"a", "b", "c"} {
		s.Add("TransportRule", m365test.Object{"Name": n, "SetSCL": 5, "Priority": 0})
	}
	id, err := c.New(ctx, outbound())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.New(ctx, redirectRule("r")); err != nil {
		t.Fatal(err)
	}
	rules, err := c.TransportRules(ctx)
	var names []string
	for i, r := range rules {
		names = append(names, r.Name)
		if r.Priority == nil || *r.Priority != i {
			t.Errorf("%s has priority %v", r.Name, r.Priority)
		}
	}
	if d := cmp.Diff([]string{"r", "c", "b", "a"}, names); err != nil || d != "" {
		t.Error(err, d)
	}
	if rules[0].RouteMessageOutboundConnector != id {
		t.Errorf("routes to %s", rules[0].RouteMessageOutboundConnector)
	}
	res, err := c.Invoke(ctx, m365.Call{Cmdlet: "Validate-OutboundConnector", Params: m365.Params{"Identity": id, "Recipients": []string{"probe@postreeve.example"}}})
	if ok, _ := res.Rows[0].Bool("IsTaskSuccessful"); err != nil || len(res.Rows) != 2 || ok {
		t.Errorf("validation of what is not reached: %+v, %v", res, err)
	}
	if _, err := c.Invoke(ctx, m365.Call{Cmdlet: "Remove-OutboundConnector", Params: m365.Params{"Identity": id}}); !errors.Is(err, m365.ErrInUse) {
		t.Errorf("removal of a connector in use: %v", err)
	}
	if res, err := c.Invoke(ctx, m365.Call{Cmdlet: "Remove-TransportRule", Params: m365.Params{"Identity": "r"}, WhatIf: true}); err != nil || res.Confirmation == "" || len(s.Objects("TransportRule")) != 4 {
		t.Errorf("WhatIf: %+v, %v", res, err)
	}
	if got, err := c.DefenderRules(ctx); err != nil || len(got) != 1 || !got[0].Preset {
		t.Errorf("DefenderRules = %+v, %v", got, err)
	}
	if (m365.Recipient{RecipientTypeDetails: "UserMailbox"}).IsGroup() || !(m365.Recipient{RecipientTypeDetails: "MailUniversalDistributionGroup"}).IsGroup() {
		t.Error("a mailbox is no group, a group is")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestBackOff looks at real waits, on a clock that jumps.
func TestBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, calls := time.Now(), []time.Duration{}
		c, err := m365.NewClient(m365.ClientConfig{Tenant: "t", Tokens: m365.StaticToken("x"), Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			calls = append(calls, time.Since(start))
			h := http.Header{}
			if len(calls) == 2 {
				h.Set("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
			}
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: h, Body: http.NoBody}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.AcceptedDomains(t.Context())
		var me *m365.Error
		if !errors.As(err, &me) || !me.Retryable || len(calls) != 6 {
			t.Fatalf("%v after %d calls", err, len(calls))
		}
		bounds := [][2]time.Duration{{500 * time.Millisecond, time.Second}, {88 * time.Second, 91 * time.Second}, {2 * time.Second, 4 * time.Second},
			{4 * time.Second, 8 * time.Second}, {8 * time.Second, 16 * time.Second}}
		for i, b := range bounds {
			if d := calls[i+1] - calls[i]; d < b[0] || d > b[1] {
				t.Errorf("wait %d: %s, want from %s to %s", i+1, d, b[0], b[1])
			}
		}
	})
}

func TestCustomizationTakesItsTime(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{Dehydrated: true, Hydrating: 2})
	c := newClient(t, s)
	if _, err := c.Invoke(t.Context(), m365.Call{Cmdlet: "Enable-OrganizationCustomization"}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false} {
		if org, err := c.Organization(t.Context()); err != nil || *org.IsDehydrated != want {
			t.Errorf("read %d: %+v, %v", i, org, err)
		}
	}
}
