package m365_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

func newGraph(tb testing.TB, s *m365test.Server) (*m365.Graph, *waits) {
	tb.Helper()
	w := &waits{}
	g, err := m365.NewGraph(m365.GraphConfig{Tokens: s.Tokens(), BaseURL: s.GraphURL(), Retry: m365.Retry{Wait: w.wait}})
	if err != nil {
		tb.Fatal(err)
	}
	return g, w
}

func TestConsent(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	g, _ := newGraph(t, s)
	ctx := t.Context()
	a, err := g.App(ctx, clientID)
	if err != nil || a.ID != "" {
		t.Fatalf("App of an unknown application = %+v, %v", a, err)
	}
	if ok, err := g.Consented(ctx, clientID); ok || err != nil {
		t.Errorf("Consented = %v, %v", ok, err)
	}
	before := s.Snapshot()
	if err := g.Revoke(ctx, clientID); err != nil {
		t.Errorf("Revoke of what is not there: %v", err)
	}
	a, err = g.Grant(ctx, clientID, m365.RemediationPermissions()...)
	if err != nil || !a.Has("Mail.ReadWrite", "User.Read.All", "GroupMember.Read.All") || a.Has("Mail.Read") {
		t.Fatalf("Grant = %+v, %v", a, err)
	}
	s.GrantDelegated(clientID)
	if again, err := g.Grant(ctx, clientID, "Mail.ReadWrite"); err != nil || len(again.Grants) != 3 || len(again.Delegated) != 1 {
		t.Errorf("second Grant = %+v, %v", again, err)
	}
	if ok, err := g.Consented(ctx, clientID); !ok || err != nil {
		t.Errorf("Consented = %v, %v", ok, err)
	}
	if _, err := g.Grant(ctx, clientID, "Mail.Teleport"); !errors.Is(err, m365.ErrNotFound) {
		t.Errorf("Grant of what there is not: %v", err)
	}
	if err := g.RevokeGrants(ctx, clientID); err != nil {
		t.Error(err)
	}
	if a, err = g.App(ctx, clientID); err != nil || a.ID == "" || len(a.Grants)+len(a.Delegated) != 0 {
		t.Errorf("after RevokeGrants: %+v, %v", a, err)
	}
	if err := g.Revoke(ctx, clientID); err != nil || s.Granted(clientID) != nil {
		t.Errorf("Revoke: %v", err)
	}
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("the tenant is not as before: %s", d)
	}
	if _, err := g.App(ctx, "x' or 1"); !errors.Is(err, m365.ErrInvalid) {
		t.Errorf("an id that is none: %v", err)
	}
}

func TestConsentFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range []m365test.FaultKind{m365test.DropAfter, m365test.ErrorAfter, m365test.Throttle, m365test.Unavailable, m365test.StaleToken, m365test.Challenge} {
		for _, name := range []string{"GET servicePrincipals", "POST servicePrincipals", "DELETE servicePrincipals"} {
			s := m365test.New(t, m365test.Config{})
			g, _ := newGraph(t, s)
			s.Inject(m365test.Fault{Kind: kind, Cmdlet: name})
			_, err := g.Grant(t.Context(), clientID, "Mail.ReadWrite")
			if kind == m365test.Unavailable && name == "POST servicePrincipals" && errors.Is(err, m365.ErrNotFound) {
				continue // nothing was made: said, not guessed
			}
			if err != nil {
				t.Errorf("fault %v at %s: Grant: %v", kind, name, err)
			}
			if err := g.Revoke(t.Context(), clientID); err != nil || s.Granted(clientID) != nil {
				t.Errorf("fault %v at %s: Revoke: %v", kind, name, err)
			}
		}
	}
}

func TestConsentPage(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	const state = "0123456789abcdef"
	cfg := authConfig(s)
	page, err := m365.ConsentURL(cfg, "http://127.0.0.1:9/done", state)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(page)
	if err != nil || !strings.HasPrefix(page, s.LoginURL()) || u.Query().Get("client_id") != clientID {
		t.Errorf("consent page %s", page)
	}
	got := make(chan url.Values, 1)
	back := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.URL.Query() }))
	defer back.Close()
	page, err = m365.ConsentURL(cfg, back.URL, state)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if id, err := m365.ConsentReply(<-got, state); err != nil || id != s.TenantID() || len(s.Granted(clientID)) != 2 {
		t.Errorf("the page: %q, %v, granted %v", id, err, s.Granted(clientID))
	}
	good := url.Values{"admin_consent": {"True"}, "tenant": {s.TenantID()}, "state": {state}}
	if id, err := m365.ConsentReply(good, state); err != nil || id != s.TenantID() {
		t.Errorf("ConsentReply = %q, %v", id, err)
	}
	for name, change := range map[string][2]string{"other state": {"state", "x"}, "no consent": {"admin_consent", "False"}, "no tenant": {"tenant", "organizations"}, "refused": {"error", "access_denied"}} {
		q := url.Values{}
		for k, v := range good {
			q[k] = v
		}
		q.Set(change[0], change[1])
		if id, err := m365.ConsentReply(q, state); err == nil {
			t.Errorf("%s: tenant %q", name, id)
		}
	}
	if _, err := m365.ConsentReply(url.Values{}, ""); err == nil {
		t.Error("an empty state matches an empty state")
	}
}
