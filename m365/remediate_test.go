package m365_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

const idHeader = "X-Postreeve-Id"

// mailTenant has some mailboxes with the same message: ours, one with the same Message-ID that is not ours,
// and something else.
func mailTenant(tb testing.TB) *m365test.Server {
	s := m365test.New(tb, m365test.Config{})
	for _, who := range []string{"ann", "bob", "cem"} {
		address := who + "@contoso.example"
		s.AddUser(address, who+".alias@contoso.example")
		for _, ours := range []string{"one", "other"} {
			s.AddMessage(address, m365test.Message{MessageID: "<it's+1@evil.example>", Headers: map[string]string{idHeader: ours}})
		}
		s.AddMessage(address, m365test.Message{MessageID: "<2@good.example>"})
	}
	s.AddGroup("inner@contoso.example", "MailUniversalDistributionGroup", "bob@contoso.example")
	s.AddGroup("all@contoso.example", "MailUniversalDistributionGroup", "ann@contoso.example", "inner@contoso.example", "cem@contoso.example")
	return s
}

func target(recipient string) m365.Target {
	return m365.Target{MessageID: "<it's+1@evil.example>", Recipient: recipient, OurID: "one"}
}

// places lists the folders of the messages of a mailbox.
func places(s *m365test.Server, who string) (out []string) {
	for _, m := range s.Mailbox(who + "@contoso.example") {
		out = append(out, m.Folder)
	}
	return out
}

func TestRemediate(t *testing.T) {
	t.Parallel()
	for cure, folder := range map[m365.Cure]string{m365.MoveToJunk: "junkemail", m365.MoveToDeleted: "deleteditems",
		m365.SoftDelete: "recoverableitemsdeletions", m365.Purge: "purges"} {
		t.Run(string(cure), func(t *testing.T) {
			t.Parallel()
			s := mailTenant(t)
			g, _ := newGraph(t, s)
			got, err := g.Remediate(t.Context(), m365.Remedy{Cure: cure, IDHeader: idHeader,
				Targets: []m365.Target{target("Ann.Alias@contoso.example"), target("nobody@contoso.example")}})
			if err != nil || len(got) != 2 {
				t.Fatalf("Remediate = %+v, %v", got, err)
			}
			want := m365.Remediation{Target: target("Ann.Alias@contoso.example"), Mailbox: "ann@contoso.example", State: m365.MailCured, Found: 1, Cured: 1}
			if d := cmp.Diff(want, got[0]); d != "" {
				t.Error(d)
			}
			if got[1].State != m365.MailNotFound || got[1].Reason == "" {
				t.Errorf("nobody: %+v", got[1])
			}
			if cure != m365.Purge { // what is done already is done
				again, err := g.Remediate(t.Context(), m365.Remedy{Cure: cure, IDHeader: idHeader, Targets: []m365.Target{target("Ann.Alias@contoso.example")}})
				if d := cmp.Diff(got[:1], again); d != "" || err != nil {
					t.Errorf("again: %v\n%s", err, d)
				}
			}
			if d := cmp.Diff([]string{folder, "inbox", "inbox"}, places(s, "ann")); d != "" {
				t.Errorf("what is ours, and only that, goes: %s", d)
			}
			if d := cmp.Diff([]string{"inbox", "inbox", "inbox"}, places(s, "bob")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRemediateGroup(t *testing.T) {
	t.Parallel()
	s := mailTenant(t)
	g, _ := newGraph(t, s)
	before := s.Snapshot()
	r := m365.Remedy{Cure: m365.SoftDelete, IDHeader: idHeader, Targets: []m365.Target{target("all@contoso.example"), target("bob@contoso.example")}}
	told := 0
	r.Done = func(m365.Remediation) { told++ }
	got, err := g.Remediate(t.Context(), r)
	if err != nil || len(got) != 4 || told != 4 {
		t.Fatalf("Remediate = %+v, %v, told %d", got, err, told)
	}
	for i, box := range []string{"ann", "bob", "cem", "bob"} {
		if got[i].Mailbox != box+"@contoso.example" || got[i].State != m365.MailCured {
			t.Errorf("%d: %+v, want %s", i, got[i], box)
		}
	}
	r.Cure, r.Done = m365.Restore, nil
	if got, err = g.Remediate(t.Context(), r); err != nil || got[0].State != m365.MailCured {
		t.Fatalf("Restore = %+v, %v", got, err)
	}
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Error(d)
	}
}

// TestRemediateNoMailbox: who has no mailbox does not make the mail of a group fail, and nothing else is taken for that.
func TestRemediateNoMailbox(t *testing.T) {
	t.Parallel()
	for code, state := range map[string]string{
		"MailboxNotEnabledForRESTAPI": m365.MailNotFound, "MailboxNotSupportedForRESTAPI": m365.MailNotFound, "ErrorNonExistentMailbox": m365.MailNotFound,
		"ErrorInvalidUser": m365.MailNotFound, "Request_ResourceNotFound": m365.MailNotFound, "ResourceNotFound": m365.MailNotFound,
		"ErrorItemNotFound": m365.MailFailed, "ErrorFolderNotFound": m365.MailFailed, "ErrorMailboxMoveInProgress": m365.MailFailed,
	} {
		for _, cure := range []m365.Cure{m365.MoveToJunk, m365.SoftDelete} { // one query for each message, and two
			s := mailTenant(t)
			s.AddUserWithoutMailbox(code, "guest@contoso.example")
			s.AddGroup("some@contoso.example", "MailUniversalDistributionGroup", "ann@contoso.example", "guest@contoso.example", "bob@contoso.example")
			g, _ := newGraph(t, s)
			got, err := g.Remediate(t.Context(), m365.Remedy{Cure: cure, IDHeader: idHeader,
				Targets: []m365.Target{target("some@contoso.example"), target("guest@contoso.example")}})
			if err != nil || len(got) != 4 {
				t.Fatalf("%s: Remediate = %+v, %v", code, got, err)
			}
			for i, want := range []string{m365.MailCured, m365.MailCured, state, state} {
				o := got[i]
				noMailbox := strings.HasPrefix(o.Reason, "there is no mailbox")
				if o.State != want || noMailbox != (want == m365.MailNotFound) || (o.Err != nil) != (want == m365.MailFailed) || i >= 2 && o.Mailbox != "guest@contoso.example" {
					t.Errorf("%s, %s, %d: %+v, want %s", code, cure, i, o, want)
				}
			}
		}
	}
}

func TestRemediateFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		fault m365test.Fault
		state string
		wait  time.Duration
	}{
		{m365test.Fault{Kind: m365test.Throttle, RetryAfter: 9, Cmdlet: "POST users/"}, m365.MailCured, 9 * time.Second},
		{m365test.Fault{Kind: m365test.Throttle, RetryAfter: 9, Cmdlet: "GET users/"}, m365.MailCured, 9 * time.Second},
		{m365test.Fault{Kind: m365test.Throttle, RetryAfter: 9, Cmdlet: "POST $batch"}, m365.MailCured, 9 * time.Second},
		{m365test.Fault{Kind: m365test.ErrorAfter, Cmdlet: "POST users/"}, m365.MailCured, 0},
		{m365test.Fault{Kind: m365test.DropAfter, Cmdlet: "POST users/"}, m365.MailCured, 0},
		{m365test.Fault{Kind: m365test.DropBefore, Cmdlet: "POST $batch", Nth: 3}, m365.MailCured, 0},
		{m365test.Fault{Kind: m365test.StaleToken, Cmdlet: "POST $batch", Nth: 2}, m365.MailCured, 0},
		{m365test.Fault{Kind: m365test.Challenge, Cmdlet: "POST $batch", Nth: 3}, m365.MailCured, 0},
		{m365test.Fault{Kind: m365test.Unavailable, Cmdlet: "POST users/", Times: 100}, m365.MailFailed, 0},
		{m365test.Fault{Kind: m365test.Forbid, Cmdlet: "GET users/"}, m365.MailFailed, 0},
	} {
		for _, cure := range []m365.Cure{m365.MoveToJunk, m365.Purge} {
			s := mailTenant(t)
			g, w := newGraph(t, s)
			s.Inject(tc.fault)
			got, err := g.Remediate(t.Context(), m365.Remedy{Cure: cure, IDHeader: idHeader, Targets: []m365.Target{target("ann@contoso.example")}})
			if err != nil || len(got) != 1 || got[0].State != tc.state || (got[0].Err != nil) != (tc.state == m365.MailFailed) {
				t.Errorf("%s, fault %+v: %+v, %v", cure, tc.fault, got, err)
			}
			if tc.wait > 0 && (len(w.all) == 0 || w.all[0] != tc.wait) {
				t.Errorf("%s, fault %+v: waited %v", cure, tc.fault, w.all)
			}
			if tc.fault.Kind == m365test.Forbid && !errors.Is(got[0].Err, m365.ErrForbidden) {
				t.Errorf("%+v", got[0])
			}
		}
	}
}

// TestRemediateMany is more mailboxes than one batch holds, some of which fail.
func TestRemediateMany(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{PageSize: 30})
	var members []string
	for i := range 130 {
		a := fmt.Sprintf("u%03d@contoso.example", i)
		s.AddUser(a)
		for range i%7 + 1 {
			s.AddMessage(a, m365test.Message{MessageID: "<it's+1@evil.example>", Headers: map[string]string{"x-postreeve-id": " one "}})
		}
		members = append(members, a)
	}
	s.AddGroup("all@contoso.example", "MailUniversalSecurityGroup", members...)
	s.Inject(m365test.Fault{Kind: m365test.Throttle, RetryAfter: 1, Cmdlet: "POST users/", Nth: 20, Times: 30},
		m365test.Fault{Kind: m365test.ErrorBefore, Cmdlet: "GET users/", Nth: 7, Times: 5})
	g, _ := newGraph(t, s)
	got, err := g.Remediate(t.Context(), m365.Remedy{Cure: m365.MoveToJunk, IDHeader: idHeader, Targets: []m365.Target{target("all@contoso.example")}})
	if err != nil || len(got) != 130 {
		t.Fatalf("%d outcomes, %v", len(got), err)
	}
	for i, o := range got {
		if o.State != m365.MailCured || o.Cured != i%7+1 || o.Mailbox != members[i] {
			t.Errorf("%+v", o)
		}
	}
	if s.Pending() != 0 {
		t.Error("a fault did not strike")
	}
}

func TestRemedyThatMakesNoSense(t *testing.T) {
	t.Parallel()
	s := mailTenant(t)
	g, _ := newGraph(t, s)
	good := target("ann@contoso.example")
	for name, r := range map[string]m365.Remedy{
		"no cure":       {IDHeader: idHeader, Targets: []m365.Target{good}},
		"no id":         {Cure: m365.Purge, IDHeader: idHeader, Targets: []m365.Target{{MessageID: "<1@x>", Recipient: "a@b"}}},
		"no header":     {Cure: m365.Purge, Targets: []m365.Target{good}},
		"no recipient":  {Cure: m365.Purge, IDHeader: idHeader, Targets: []m365.Target{{MessageID: "<1@x>", Recipient: "ann", OurID: "1"}}},
		"no Message-ID": {Cure: m365.Purge, IDHeader: idHeader, Targets: []m365.Target{{Recipient: "a@b", OurID: "1"}}},
		"control":       {Cure: m365.Purge, IDHeader: idHeader, Targets: []m365.Target{{MessageID: "<1\r\n@x>", Recipient: "a@b", OurID: "1"}}},
	} {
		if got, err := g.Remediate(t.Context(), r); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if s.Count("") != 0 {
		t.Error("something was asked")
	}
	dod, _ := m365.CloudByName("dod")
	g, err := m365.NewGraph(m365.GraphConfig{Tokens: s.Tokens(), Cloud: dod, BaseURL: s.GraphURL()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Remediate(t.Context(), m365.Remedy{Cure: m365.Purge, IDHeader: idHeader, Targets: []m365.Target{good}}); err == nil {
		t.Error("this cloud cannot purge")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g, _ = newGraph(t, s)
	if _, err := g.Remediate(ctx, m365.Remedy{Cure: m365.MoveToJunk, IDHeader: idHeader, Targets: []m365.Target{good}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestRemediateWithoutFilter has a directory that does not know the filter by address.
func TestRemediateWithoutFilter(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{NoFilter: true})
	s.AddUser("ann@contoso.example")
	s.AddMessage("ann@contoso.example", m365test.Message{MessageID: "<it's+1@evil.example>", Headers: map[string]string{idHeader: "one"}})
	g, _ := newGraph(t, s)
	got, err := g.Remediate(t.Context(), m365.Remedy{Cure: m365.MoveToJunk, IDHeader: idHeader,
		Targets: []m365.Target{target("nobody@contoso.example"), target("ann@contoso.example")}})
	if err != nil || len(got) != 2 || got[0].State != m365.MailNotFound || got[1].State != m365.MailCured {
		t.Errorf("Remediate = %+v, %v", got, err)
	}
}
