package gworkspacetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

func ask(t *testing.T, s *gworkspacetest.Server, method, path, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func tokenFor(t *testing.T, s *gworkspacetest.Server, subject, scope string) string {
	t.Helper()
	token, err := s.Account().Token(t.Context(), gworkspace.TokenRequest{Subject: subject, Scopes: []string{scope}})
	if err != nil {
		t.Fatal(err)
	}
	return token.Value
}

// TestScopes: no scope stands for another, at the token endpoint and at the services.
func TestScopes(t *testing.T) {
	t.Parallel()
	s := gworkspacetest.New(gworkspacetest.Config{})
	s.Grant("https://www.googleapis.com/auth/cloud-identity.policies", gworkspace.ScopeUsers)
	if _, err := s.Account().Token(t.Context(), gworkspace.TokenRequest{Subject: gworkspacetest.Admin, Scopes: []string{gworkspace.ScopePolicies}}); !errors.Is(err, gworkspace.ErrScope) {
		t.Errorf("the wider scope was taken: %v", err)
	}
	users := tokenFor(t, s, gworkspacetest.Admin, gworkspace.ScopeUsers)
	for path, want := range map[string]int{"/admin/directory/v1/users/" + gworkspacetest.Admin: 200, "/admin/directory/v1/groups/g@ex.net": 403,
		"/admin/directory/v1/customer/my_customer/domains": 403, "/admin/directory/v1/customer/my_customer/orgunits": 403, "/gmail/v1/users/me/messages?q=rfc822msgid:a": 403, "/nothing": 404} {
		if status, body := ask(t, s, http.MethodGet, path, users, ""); status != want {
			t.Errorf("%s: %d, want %d: %s", path, status, want, body)
		}
	}
	for _, bad := range []string{"", "made-up"} {
		if status, _ := ask(t, s, http.MethodGet, "/admin/directory/v1/users/a@ex.net", bad, ""); status != 401 {
			t.Errorf("token %q: %d", bad, status)
		}
	}
	s.Expire()
	if status, _ := ask(t, s, http.MethodGet, "/admin/directory/v1/users/"+gworkspacetest.Admin, users, ""); status != 401 {
		t.Errorf("an expired token: %d", status)
	}
}

// TestAssertions: what is not signed as it should be gives no token.
func TestAssertions(t *testing.T) {
	t.Parallel()
	s := gworkspacetest.New(gworkspacetest.Config{})
	s.GrantAll()
	for name, jwt := range map[string]string{"none": "", "two parts": "a.b", "no JSON": "YQ.YQ.YQ", "no signature": "eyJhbGciOiJub25lIn0.e30."} {
		form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {jwt}}
		if status, body := ask(t, s, http.MethodPost, "/token", "", form.Encode()); status != 400 || !strings.Contains(body, "invalid_grant") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, _ := ask(t, s, http.MethodPost, "/token", "", "grant_type=password"); status != 400 {
		t.Errorf("another grant: %d", status)
	}
	other := s.Account()
	other.Email = "stranger@project.iam.gserviceaccount.com"
	if _, err := other.Token(t.Context(), gworkspace.TokenRequest{Subject: gworkspacetest.Admin, Scopes: []string{gworkspace.ScopeUsers}}); err == nil {
		t.Error("another service account got a token with this key")
	}
	if status, _ := ask(t, s, http.MethodPost, "/v1/projects/-/serviceAccounts/"+gworkspacetest.ServiceAccount+":signJwt", "stranger", `{"payload": "{}"}`); status != 403 {
		t.Errorf("signed for a stranger: %d", status)
	}
}

// TestQuota: the units of a minute are counted, for each user and for all.
func TestQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := gworkspacetest.New(gworkspacetest.Config{UserUnits: 20, ProjectUnits: 30})
		s.GrantAll()
		s.AddUser(gworkspacetest.User{Email: "a@ex.net"}, gworkspacetest.User{Email: "b@ex.net"})
		list := func(user string) int {
			status, _ := ask(t, s, http.MethodGet, "/gmail/v1/users/"+user+"/messages?q=rfc822msgid:x", tokenFor(t, s, user, gworkspace.ScopeModify), "")
			return status
		}
		var got []int
		for _, u := range []string{"a@ex.net", "a@ex.net", "a@ex.net", "a@ex.net", "a@ex.net", "b@ex.net", "b@ex.net", "b@ex.net"} {
			got = append(got, list(u))
		}
		if want := fmt.Sprint([]int{200, 200, 200, 200, 429, 200, 200, 429}); fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
		time.Sleep(61 * time.Second)
		if status := list("a@ex.net"); status != 200 {
			t.Errorf("a minute later: %d", status)
		}
	})
}

// TestMailboxRights: a user's token opens the user's mailbox alone.
func TestMailboxRights(t *testing.T) {
	t.Parallel()
	s := gworkspacetest.New(gworkspacetest.Config{})
	s.GrantAll()
	s.AddUser(gworkspacetest.User{Email: "a@ex.net"}, gworkspacetest.User{Email: "n@ex.net", NoGmail: true}, gworkspacetest.User{Email: "s@ex.net", Suspended: true})
	id := s.AddMessage("a@ex.net", gworkspacetest.Message{MessageID: "<1@x>"})
	admin, mine := tokenFor(t, s, gworkspacetest.Admin, gworkspace.ScopeModify), tokenFor(t, s, "a@ex.net", gworkspace.ScopeModify)
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/gmail/v1/users/a@ex.net/messages/" + id + "?format=metadata", admin, 403},
		{"GET", "/gmail/v1/users/a@ex.net/messages/" + id + "?format=metadata", mine, 200},
		{"GET", "/gmail/v1/users/me/messages/" + id + "?format=metadata", mine, 200},
		{"GET", "/gmail/v1/users/me/messages/none?format=metadata", mine, 404},
		{"DELETE", "/gmail/v1/users/me/messages/" + id, mine, 403}, // needs its own scope
		{"POST", "/gmail/v1/users/me/messages/" + id + "/trash", mine, 200},
		{"GET", "/gmail/v1/users/me/messages?q=rfc822msgid:x", tokenFor(t, s, "n@ex.net", gworkspace.ScopeModify), 400},
	} {
		if status, body := ask(t, s, c.method, c.path, c.token, ""); status != c.want {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, status, c.want, body)
		}
	}
	if _, err := s.Account().Token(t.Context(), gworkspace.TokenRequest{Subject: "s@ex.net", Scopes: []string{gworkspace.ScopeModify}}); !errors.Is(err, gworkspace.ErrSubject) {
		t.Errorf("a suspended user: %v", err)
	}
}

// TestPages: a list comes whole in pages, and a page that is too large is a misuse.
func TestPages(t *testing.T) {
	t.Parallel()
	s := gworkspacetest.New(gworkspacetest.Config{EmptyPages: true})
	s.GrantAll()
	for i := range 250 {
		s.SetStates(gworkspacetest.TopUnit, gworkspacetest.State(fmt.Sprint(i), true))
	}
	token := tokenFor(t, s, gworkspacetest.Admin, gworkspace.ScopePolicies)
	filter := url.QueryEscape(`customer == "customers/my_customer" && setting.type.matches('^settings/gmail\\..*$')`)
	var sizes []int
	next := ""
	for range 10 {
		_, body := ask(t, s, http.MethodGet, "/v1/policies?pageSize=100&filter="+filter+"&pageToken="+next, token, "")
		var page struct {
			Policies      []any
			NextPageToken string
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page.Policies))
		if next = page.NextPageToken; next == "" {
			break
		}
	}
	if want := "[0 100 100 50]"; fmt.Sprint(sizes) != want {
		t.Errorf("pages of %v, want %s", sizes, want)
	}
	if status, _ := ask(t, s, http.MethodGet, "/v1/policies", token, ""); status != 400 {
		t.Errorf("without a filter: %d", status)
	}
	if len(s.Misuse()) > 0 {
		t.Errorf("misuse: %q", s.Misuse())
	}
	ask(t, s, http.MethodGet, "/v1/policies?pageSize=500&pageToken=mine&filter="+filter, token, "")
	if len(s.Misuse()) != 2 {
		t.Errorf("misuse: %q, want the size and the token", s.Misuse())
	}
}

// The reply to a request gets lost after it took effect. The client asks again.
func Example() {
	tenant := gworkspacetest.New(gworkspacetest.Config{}).Start()
	defer tenant.Close()
	tenant.GrantAll()
	tenant.AddUser(gworkspacetest.User{Email: "ann@ex.net"})
	tenant.AddMessage("ann@ex.net", gworkspacetest.Message{MessageID: "<1@evil.example>", Header: map[string]string{"X-Postreeve-Id": "7QX"}})
	tenant.Inject(gworkspacetest.Fault{Op: "gmail.trash", After: true})

	cfg := tenant.ClientConfig()
	cfg.Retry.First = time.Millisecond
	client, err := gworkspace.NewClient(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	done, err := client.Remediate(context.Background(), gworkspace.Remedy{Cure: gworkspace.Trash, IDHeader: "X-Postreeve-Id",
		Targets: []gworkspace.Target{{MessageID: "<1@evil.example>", Recipient: "ann@ex.net", OurID: "7QX"}}})
	fmt.Println(done[0].State, err, tenant.Mailbox("ann@ex.net")[0].Labels, tenant.Calls()["gmail.trash"])
	// Output: cured <nil> [TRASH] 2
}
