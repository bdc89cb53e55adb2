package m365_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// TestReadFaults is every way in which a listing can fail, survived or reported.
func TestReadFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault m365test.Fault
		want  error // nil: survived
		calls int
	}{
		{"connection closed", m365test.Fault{Kind: m365test.DropBefore}, nil, 2},
		{"connection closed, too often", m365test.Fault{Kind: m365test.DropBefore, Times: 6}, errAny, 6},
		{"500", m365test.Fault{Kind: m365test.ErrorBefore}, nil, 2},
		{"503", m365test.Fault{Kind: m365test.Unavailable, RetryAfter: 3}, nil, 2},
		{"429", m365test.Fault{Kind: m365test.Throttle, RetryAfter: 3}, nil, 2},
		{"429 without a time", m365test.Fault{Kind: m365test.Throttle}, nil, 2},
		{"429 again and again", m365test.Fault{Kind: m365test.Throttle, RetryAfter: 3, Times: 6}, m365.ErrThrottled, 6},
		{"429 for longer than the budget", m365test.Fault{Kind: m365test.Throttle, RetryAfter: 3600}, m365.ErrThrottled, 1},
		{"403 from before a role was given", m365test.Fault{Kind: m365test.StaleToken}, nil, 2},
		{"403 with a reason", m365test.Fault{Kind: m365test.Forbid}, m365.ErrForbidden, 1},
		{"401 with claims", m365test.Fault{Kind: m365test.Challenge}, nil, 2},
		{"no JSON", m365test.Fault{Kind: m365test.Garbage}, nil, 2},
		{"no JSON again and again", m365test.Fault{Kind: m365test.Garbage, Times: 6}, errAny, 6},
		{"33 MiB", m365test.Fault{Kind: m365test.Huge}, errAny, 1},
		{"redirect elsewhere", m365test.Fault{Kind: m365test.RedirectAway}, errAny, 1},
		{"redirect in a circle", m365test.Fault{Kind: m365test.RedirectLoop, Times: 10}, errAny, 4},
		{"cut short", m365test.Fault{Kind: m365test.MoreResults}, m365.ErrIncompleteList, 1},
		{"no answer", m365test.Fault{Kind: m365test.Hang}, nil, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, m365test.Config{})
			s.Inject(tc.fault)
			c := newClient(t, s, func(cfg *m365.ClientConfig) {
				if tc.fault.Kind == m365test.Hang {
					cfg.Timeout = 2 * time.Second
				}
			})
			got, err := c.AcceptedDomains(t.Context())
			switch {
			case tc.want == nil && (err != nil || len(got) != 2):
				t.Errorf("AcceptedDomains = %v, %v", got, err)
			case tc.want != nil && (err == nil || got != nil):
				t.Errorf("AcceptedDomains = %v, %v", got, err)
			case tc.want != nil && tc.want != errAny && !errors.Is(err, tc.want):
				t.Errorf("error %v, want %v", err, tc.want)
			}
			var me *m365.Error
			if tc.want != nil && (!errors.As(err, &me) || me.Cmdlet != "Get-AcceptedDomain") {
				t.Errorf("error %v does not say what failed", err)
			}
			if n := s.Count("Get-AcceptedDomain"); n != tc.calls {
				t.Errorf("%d calls, want %d", n, tc.calls)
			}
		})
	}
}

var errAny = errors.New("any error")

// TestNewAfterLostReply makes one object whatever becomes of the replies.
func TestNewAfterLostReply(t *testing.T) {
	t.Parallel()
	for _, kind := range []m365test.FaultKind{m365test.DropBefore, m365test.DropAfter, m365test.ErrorBefore, m365test.ErrorAfter, m365test.Garbage} {
		for _, stale := range []int{0, 2} {
			s := m365test.New(t, m365test.Config{StaleReads: stale})
			s.Inject(m365test.Fault{Kind: kind, Cmdlet: "New-"})
			c := newClient(t, s)
			id, err := c.New(t.Context(), outbound())
			got := s.Objects("OutboundConnector")
			if err != nil || len(got) != 1 || got[0]["Guid"] != id {
				t.Errorf("fault %v, stale reads %d: New = %q, %v with %d objects", kind, stale, id, err, len(got))
			}
		}
	}
}

func TestNewDoesNotAdoptWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	s.Add("OutboundConnector", m365test.Object{"Name": "Postreeve Scanning", "Comment": "by hand", "SmartHosts": []string{"h"}, "UseMXRecord": false})
	s.Inject(m365test.Fault{Kind: m365test.DropBefore, Cmdlet: "New-"})
	if id, err := newClient(t, s).New(t.Context(), outbound()); err == nil {
		t.Errorf("New = %q: the connector of somebody else was taken over", id)
	}
}

func TestInvokeSaysThatANewIsAmbiguous(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	s.Inject(m365test.Fault{Kind: m365test.DropAfter, Cmdlet: "New-"}, m365test.Fault{Kind: m365test.ErrorAfter, Cmdlet: "Set-Hosted"})
	c := newClient(t, s)
	_, err := c.Invoke(t.Context(), m365.Call{Cmdlet: "New-OutboundConnector", Params: outbound().Params()})
	if !errors.Is(err, m365.ErrAmbiguous) || s.Writes() != 1 {
		t.Errorf("%v after %d writes", err, s.Writes())
	}
	edit := m365.Params{"Identity": "Default", "IPAllowList": m365.Edit{Add: []string{"192.0.2.1"}}}
	if _, err = c.Invoke(t.Context(), m365.Call{Cmdlet: "Set-HostedConnectionFilterPolicy", Params: edit}); !errors.Is(err, m365.ErrAmbiguous) {
		t.Errorf("an edit: %v", err)
	}
}

func TestRemoveAfterLostReply(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	id := s.Add("InboundConnector", m365test.Object{"Name": "x"})
	c := newClient(t, s)
	s.Inject(m365test.Fault{Kind: m365test.DropAfter, Cmdlet: "Remove-"})
	call := m365.Call{Cmdlet: "Remove-InboundConnector", Params: m365.Params{"Identity": id}}
	if _, err := c.Invoke(t.Context(), call); err != nil {
		t.Errorf("Remove after a lost reply: %v", err)
	}
	if _, err := c.Invoke(t.Context(), call); !errors.Is(err, m365.ErrNotFound) {
		t.Errorf("Remove of what is not there: %v", err)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	fill := func(s *m365test.Server) {
		for range 7 {
			s.Add("TenantAllowBlockListSpoofItems", m365test.Object{"SpoofedUser": "*"})
		}
	}
	t.Run("followed", func(t *testing.T) {
		t.Parallel()
		s := m365test.New(t, m365test.Config{PageSize: 3})
		fill(s)
		if got, err := newClient(t, s).SpoofItems(t.Context()); err != nil || len(got) != 7 {
			t.Errorf("%d items, %v", len(got), err)
		}
	})
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		s := m365test.New(t, m365test.Config{PageSize: 3, Expired: true})
		fill(s)
		got, err := newClient(t, s).SpoofItems(t.Context())
		if !errors.Is(err, m365.ErrIncompleteList) || got != nil {
			t.Errorf("%d items, %v: a short list is worse than none", len(got), err)
		}
	})
}

func TestRegionIsFollowedAndRemembered(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{Region: true})
	c := newClient(t, s)
	for range 3 {
		if got, err := c.AcceptedDomains(t.Context()); err != nil || len(got) != 2 {
			t.Fatal(got, err)
		}
	}
	if _, err := c.Cmdlets(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.New(t.Context(), outbound()); err != nil {
		t.Error(err)
	}
}

// TestTokenStaysBelowTheBase sends redirects to another place and looks what arrives there.
func TestTokenStaysBelowTheBase(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 10)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached <- r.Header.Get("Authorization") }))
	defer evil.Close()
	var to string
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer front.Close()
	for _, to = range []string{evil.URL, evil.URL + "/base/adminapi/beta/x/InvokeCommand", "//" + strings.TrimPrefix(evil.URL, "http://") + "/base/x",
		front.URL + "/elsewhere", front.URL + "/basement/x", "https://" + strings.TrimPrefix(front.URL, "http://") + "/base/x", "", "::"} {
		c, err := m365.NewClient(m365.ClientConfig{Tenant: "t", Tokens: m365.StaticToken("secret"), BaseURL: front.URL + "/base"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.AcceptedDomains(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("redirect to %q: %v", to, err)
		}
	}
	select {
	case token := <-reached:
		t.Errorf("the other place was reached, with %q", token)
	default:
	}
}

func TestMissingRightsNameTheRole(t *testing.T) {
	t.Parallel()
	for deny, want := range map[string]string{"New-TransportRule": "Transport Rules", "New-OutboundConnector": "Remote and Accepted Domains",
		"New-InboundConnector": "Remote and Accepted Domains", "New-TenantAllowBlockListSpoofItems": "Tenant AllowBlockList Manager"} {
		s := m365test.New(t, m365test.Config{Deny: []string{deny}})
		c := newClient(t, s)
		var o m365.Object = outbound()
		switch deny {
		case "New-TransportRule":
			r := redirectRule("r")
			r.RouteMessageOutboundConnector = ""
			o = r
		case "New-InboundConnector":
			o = m365.InboundConnector{Name: "x", SenderDomains: []string{"*"}}
		case "New-TenantAllowBlockListSpoofItems":
			o = m365.SpoofItem{SpoofedUser: "*", SendingInfrastructure: "a.example", SpoofType: "External", Action: "Allow"}
		}
		_, err := c.New(t.Context(), o)
		var me *m365.Error
		if !errors.As(err, &me) || !errors.Is(err, m365.ErrForbidden) || !strings.Contains(me.Role, want) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", deny, err)
		}
		if got, err := c.Cmdlets(t.Context()); err != nil || strings.Contains(strings.Join(got, " "), deny) {
			t.Errorf("%s is listed as allowed (%v)", deny, err)
		}
	}
}

func TestStaticTokenThatIsRefused(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	c := newClient(t, s, func(cfg *m365.ClientConfig) { cfg.Tokens = m365.StaticToken(s.Token("graph")) })
	if _, err := c.AcceptedDomains(t.Context()); !errors.Is(err, m365.ErrNoNewToken) || !errors.Is(err, m365.ErrUnauthorized) {
		t.Errorf("a token for Graph: %v", err)
	}
	c = newClient(t, s, func(cfg *m365.ClientConfig) { cfg.Tokens = m365.StaticToken(s.Token("exchange")) })
	if _, err := c.AcceptedDomains(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestContextEndsAWait(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	s.Inject(m365test.Fault{Kind: m365test.Throttle, RetryAfter: 60})
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, s, func(cfg *m365.ClientConfig) {
		cfg.Retry.Wait = func(ctx context.Context, _ time.Duration) error { cancel(); <-ctx.Done(); return ctx.Err() }
	})
	if _, err := c.AcceptedDomains(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestSecretsAreNotRepeated has a service that answers with what it was sent.
func TestSecretsAreNotRepeated(t *testing.T) {
	t.Parallel()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			CmdletInput struct{ Parameters map[string]any }
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		text := fmt.Sprint(in.CmdletInput.Parameters, r.Header)
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"innererror": map[string]any{"internalexception": map[string]any{"message": text}}}})
	}))
	defer echo.Close()
	var seen strings.Builder
	c, err := m365.NewClient(m365.ClientConfig{Tenant: "t", Tokens: m365.StaticToken("t0kent0ken"), BaseURL: echo.URL,
		Observe: func(a m365.Attempt) { fmt.Fprintf(&seen, "%+v", a) }})
	if err != nil {
		t.Fatal(err)
	}
	rule := redirectRule("r")
	rule.SetHeaderValue, rule.ExceptIfHeaderContainsWords = "l00psecret", []string{"l00psecret"}
	_, err = c.Invoke(t.Context(), m365.Call{Cmdlet: "New-TransportRule", Params: rule.Params()})
	if all := fmt.Sprint(err) + seen.String(); strings.Contains(all, "l00psecret") || !strings.Contains(all, "[secret]") {
		t.Error(all)
	}
}
