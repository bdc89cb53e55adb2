package gworkspace_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{}).Start()
	defer server.Close()
	server.Grant(gworkspace.ScopeUsers)
	for name, source := range map[string]gworkspace.TokenSource{"key": server.Account(), "keyless": server.Keyless()} {
		token, err := source.Token(t.Context(), gworkspace.TokenRequest{Subject: gworkspacetest.Admin, Scopes: []string{gworkspace.ScopeUsers}})
		if err != nil || token.Value == "" || time.Until(token.Expires) < 50*time.Minute {
			t.Errorf("%s: %v", name, err)
		}
		if shown := fmt.Sprintf("%v %+v %#v", token, token, token); strings.Contains(shown, token.Value) {
			t.Errorf("%s: %q shows the token", name, shown)
		}
		again, err := source.Token(t.Context(), gworkspace.TokenRequest{Subject: gworkspacetest.Admin, Scopes: []string{gworkspace.ScopeUsers}})
		if err != nil || again != token {
			t.Errorf("%s: the token was not kept, %v", name, err)
		}

		// Of three scopes the one that is granted is not named.
		_, err = source.Token(t.Context(), gworkspace.TokenRequest{Subject: gworkspacetest.Admin, Scopes: []string{gworkspace.ScopePolicies, gworkspace.ScopeUsers, gworkspace.ScopePurge}})
		var scope *gworkspace.ScopeError
		if !errors.As(err, &scope) || !errors.Is(err, gworkspace.ErrScope) || !cmp.Equal([]string{gworkspace.ScopePolicies, gworkspace.ScopePurge}, scope.Missing) {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(err.Error(), gworkspace.ScopePolicies+" and "+gworkspace.ScopePurge) || !strings.Contains(err.Error(), "domainwidedelegation") {
			t.Errorf("%s: %v does not say what to paste where", name, err)
		}
		if _, err := source.Token(t.Context(), gworkspace.TokenRequest{Subject: "nobody@ex.net", Scopes: []string{gworkspace.ScopeUsers}}); !errors.Is(err, gworkspace.ErrSubject) {
			t.Errorf("%s: unknown user: %v", name, err)
		}
		if _, err := source.Token(t.Context(), gworkspace.TokenRequest{Scopes: []string{gworkspace.ScopeUsers}}); err == nil {
			t.Errorf("%s: a token for nobody", name)
		}
	}
	if n := server.Calls()["iam.signJwt"]; n != 6 {
		t.Errorf("%d signatures: want one for each exchange (2 alone, 3 to name scopes, 1 unknown)", n)
	}
}

func TestReadServiceAccount(t *testing.T) {
	t.Parallel()
	good := gworkspacetest.New(gworkspacetest.Config{}).Key()
	var fields map[string]string
	if err := json.Unmarshal(good, &fields); err != nil {
		t.Fatal(err)
	}
	with := func(key, value string) string {
		c := map[string]string{}
		for k, v := range fields {
			c[k] = v
		}
		c[key] = value
		raw, _ := json.Marshal(c)
		return string(raw)
	}
	for name, text := range map[string]string{"nothing": "", "a user": with("type", "authorized_user"), "no address": with("client_email", "x"), "no key": with("private_key", ""),
		"no PEM": with("private_key", "MIIE"), "broken": with("private_key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "long": strings.Repeat(" ", 1<<17)} {
		if _, err := gworkspace.ReadServiceAccount(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "MII") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, err := gworkspace.ReadServiceAccount(strings.NewReader(string(good))); err != nil || a.ClientID != gworkspacetest.ClientID {
		t.Error(err)
	}
}

// TestClock: an assertion that is a little ahead is good, and where it is not, the clock is named.
func TestClock(t *testing.T) {
	t.Parallel()
	var claims struct{ Iat, Exp int64 }
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(r.FormValue("assertion")+"..", ".")[1])
		if err != nil || json.Unmarshal(raw, &claims) != nil {
			t.Errorf("assertion: %v", err)
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error": "invalid_grant", "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}`)
	}))
	defer at.Close()
	account, err := gworkspace.ReadServiceAccount(bytes.NewReader(gworkspacetest.New(gworkspacetest.Config{}).Key()))
	if err != nil {
		t.Fatal(err)
	}
	account.Exchange.TokenURL = at.URL
	_, err = account.Token(t.Context(), gworkspace.TokenRequest{Subject: gworkspacetest.Admin, Scopes: []string{gworkspace.ScopeUsers}})
	if !errors.Is(err, gworkspace.ErrUnauthorized) || errors.Is(err, gworkspace.ErrSubject) || !strings.Contains(err.Error(), "set the clock of this machine") {
		t.Errorf("got %v", err)
	}
	if age := time.Now().Unix() - claims.Iat; age < 5 || age > 60 || claims.Exp-claims.Iat > 3600 {
		t.Errorf("iat %d s ago, good for %d s", age, claims.Exp-claims.Iat)
	}
}

// TestTokenErrors: what the token service says about the user is not what it says about the service account.
func TestTokenErrors(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct {
		code string
		want error
	}{
		"Invalid email or User ID":                        {"invalid_grant", gworkspace.ErrSubject},
		"The account has been deleted":                    {"invalid_grant", gworkspace.ErrSubject},
		"Invalid impersonation &quot;sub&quot; field":     {"invalid_request", gworkspace.ErrSubject},
		"Invalid grant: account not found":                {"invalid_grant", gworkspace.ErrUnauthorized},
		"Robot is disabled.":                              {"invalid_grant", gworkspace.ErrUnauthorized},
		"Invalid JWT Signature.":                          {"invalid_grant", gworkspace.ErrUnauthorized},
		"Invalid JWT: No valid verifier found for issuer": {"invalid_grant", gworkspace.ErrUnauthorized},
	} {
		server := gworkspacetest.New(gworkspacetest.Config{})
		account := server.Account()
		account.Exchange.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			body := fmt.Sprintf(`{"error": %q, "error_description": %q}`, c.code, text)
			return &http.Response{StatusCode: 400, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
		_, err := account.Token(t.Context(), gworkspace.TokenRequest{Subject: "ann@ex.net", Scopes: []string{gworkspace.ScopeModify}})
		for _, kind := range []error{gworkspace.ErrSubject, gworkspace.ErrUnauthorized} {
			if errors.Is(err, kind) != (kind == c.want) {
				t.Errorf("%s: %v: is it %v?", text, err, kind)
			}
		}
		if named := strings.Contains(err.Error(), gworkspacetest.ServiceAccount); named != (c.want == gworkspace.ErrUnauthorized) {
			t.Errorf("%s: %v: the service account is named: %v", text, err, named)
		}

		// A mailbox is skipped for the user alone: the rest is a failure.
		server.GrantAll()
		server.AddUser(gworkspacetest.User{Email: "ann@ex.net"})
		cfg := server.ClientConfig()
		cfg.MailTokens = account
		client, err := gworkspace.NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		state := map[error]string{gworkspace.ErrSubject: gworkspace.MailSkipped, gworkspace.ErrUnauthorized: gworkspace.MailFailed}[c.want]
		done, err := client.Remediate(t.Context(), gworkspace.Remedy{Cure: gworkspace.Trash, IDHeader: idHeader, Targets: []gworkspace.Target{target(1, "ann@ex.net", "7QX")}})
		if err != nil || len(done) != 1 || done[0].State != state {
			t.Errorf("%s: %v: %+v, want %s", text, err, done, state)
		}
	}
}

// TestRetries: what is refused for a while is tried again, in the time that is asked for, and not for ever.
func TestRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		faults []gworkspacetest.Fault
		want   error // nil: it works
		least  time.Duration
		most   time.Duration
		calls  int
	}{
		{"nothing", nil, nil, 0, time.Second, 1},
		{"429 with a time", []gworkspacetest.Fault{{Status: 429, Reason: "rateLimitExceeded", RetryAfter: 40 * time.Second}}, nil, 40 * time.Second, 41 * time.Second, 2},
		{"403 that means 429", []gworkspacetest.Fault{{Status: 403, Reason: "userRateLimitExceeded", Times: 2}}, nil, time.Second, 4 * time.Second, 3},
		{"5xx", []gworkspacetest.Fault{{Status: 503, Times: 3}}, nil, 3 * time.Second, 8 * time.Second, 4},
		{"lost", []gworkspacetest.Fault{{Times: 2}}, nil, time.Second, 4 * time.Second, 3},
		{"lost reply", []gworkspacetest.Fault{{After: true}}, nil, 0, 2 * time.Second, 2},
		{"5xx for ever", []gworkspacetest.Fault{{Status: 500, Times: 100}}, errors.New(""), 10 * time.Second, time.Minute, 6},
		{"429 for ever", []gworkspacetest.Fault{{Status: 429, RetryAfter: 2 * time.Minute, Times: 100}}, gworkspace.ErrThrottled, 4 * time.Minute, 5 * time.Minute, 3},
		{"403", []gworkspacetest.Fault{{Status: 403, Reason: "forbidden"}}, gworkspace.ErrForbidden, 0, time.Second, 1},
		{"401 once", []gworkspacetest.Fault{{Status: 401, Reason: "authError"}}, nil, 0, time.Second, 2},
		{"401 again", []gworkspacetest.Fault{{Status: 401, Reason: "authError", Times: 9}}, gworkspace.ErrUnauthorized, 0, time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := gworkspacetest.New(gworkspacetest.Config{})
				server.GrantAll()
				cfg := server.ClientConfig()
				var waits time.Duration
				cfg.Observe = func(a gworkspace.Attempt) { waits += a.Wait }
				client, err := gworkspace.NewClient(cfg)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range c.faults {
					f.Op = "orgunits.list"
					server.Inject(f)
				}
				start := time.Now()
				_, err = client.Units(t.Context())
				took := time.Since(start)
				if (err == nil) != (c.want == nil) || c.want != nil && c.want.Error() != "" && !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if took < c.least || took > c.most {
					t.Errorf("took %s, want %s to %s (waits %s)", took, c.least, c.most, waits)
				}
				if n := server.Calls()["orgunits.list"]; n != c.calls {
					t.Errorf("%d calls, want %d", n, c.calls)
				}
			})
		})
	}
}

func TestRetryEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := gworkspacetest.New(gworkspacetest.Config{})
		server.GrantAll()
		server.Inject(gworkspacetest.Fault{Op: "orgunits.list", Status: 503, RetryAfter: time.Minute, Times: 9})
		client, err := gworkspace.NewClient(server.ClientConfig())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := client.Units(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

// roundTrip answers every request of an API with the same.
type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) roundTrip {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// TestHostileReplies: replies that are not what the service sends are errors, and end.
func TestHostileReplies(t *testing.T) {
	t.Parallel()
	for name, rt := range map[string]roundTrip{
		"no JSON":              answer(200, "<html>"),
		"a list":               answer(200, "[]"),
		"policies of a number": answer(200, `{"policies": [1]}`),
		"the same page always": answer(200, `{"policies": [], "nextPageToken": "x"}`),
		"a redirect":           answer(302, ""),
		"error in lines":       answer(400, `{"error": {"message": "a\r\nb\u2028c", "status": "X\nY"}}`),
		"error of nonsense":    answer(500, `{"error": 5}`),
		"too long": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(io.LimitReader(zeros{}, 40<<20))}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, err := gworkspace.NewClient(gworkspace.ClientConfig{Admin: "a@ex.net", Tokens: gworkspace.StaticToken("t"), Transport: rt})
				if err != nil {
					t.Fatal(err)
				}
				_, err = client.Policies(t.Context())
				if err == nil || strings.ContainsAny(err.Error(), "\r\n\u2028") {
					t.Errorf("got %q", err)
				}
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestNewClient(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]gworkspace.ClientConfig{
		"no tokens":        {},
		"plain http":       {Tokens: gworkspace.StaticToken("t"), BaseURL: "http://api.example"},
		"no URL":           {Tokens: gworkspace.StaticToken("t"), BaseURL: "::"},
		"with a query":     {Tokens: gworkspace.StaticToken("t"), BaseURL: "https://api.example/?a=b"},
		"quota of a user":  {Tokens: gworkspace.StaticToken("t"), Quota: gworkspace.Quota{User: -1}},
		"quota of all":     {Tokens: gworkspace.StaticToken("t"), Quota: gworkspace.Quota{Project: -1}},
		"admin of nothing": {Tokens: gworkspace.StaticToken("t"), Admin: "admin"},
	} {
		if _, err := gworkspace.NewClient(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := gworkspace.StaticToken("two words").Token(t.Context(), gworkspace.TokenRequest{}); err == nil || strings.Contains(err.Error(), "words") {
		t.Errorf("a token with a blank: %v", err)
	}
}

// TestChanges: the log is read whole, oldest first.
func TestChanges(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{PageSize: 7})
	server.GrantAll()
	now := time.Now().UTC().Truncate(time.Second)
	var want []gworkspace.Change
	for i := range 40 {
		want = append(want, gworkspace.Change{At: now.Add(time.Duration(i-50) * time.Minute), Who: "admin@ex.net", Event: []string{"CREATE_GMAIL_SETTING", "CHANGE_GMAIL_SETTING"}[i%2], Setting: "EMAIL_ROUTE", Name: fmt.Sprint(i)})
	}
	server.AddChange(want...)
	server.AddChange(gworkspace.Change{At: now.Add(-200 * 24 * time.Hour), Event: "CREATE_GMAIL_SETTING"}, gworkspace.Change{At: now, Event: "CREATE_USER"})
	client, err := gworkspace.NewClient(server.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Changes(t.Context(), time.Time{})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if late, err := client.Changes(t.Context(), now.Add(-15*time.Minute)); err != nil || len(late) != 5 || !slices.IsSortedFunc(late, func(a, b gworkspace.Change) int { return a.At.Compare(b.At) }) {
		t.Errorf("%v: %d entries", err, len(late))
	}
}

// TestChangesBound: entries that are left out count too, and those of states are read for the way out alone.
func TestChangesBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := gworkspacetest.New(gworkspacetest.Config{})
		server.GrantAll()
		server.AddRules(gworkspacetest.TopUnit, []map[string]any{gworkspacetest.RedirectRule(ruleID, ruleName, content)}, ruleID)
		server.AddChange(slices.Repeat([]gworkspace.Change{{At: time.Now().Add(-time.Hour), Event: "CHANGE_APPLICATION_SETTING", Setting: "x", Name: "Google Chat", Text: "y"}}, 30_000)...)
		tenant := tenantOf(t, server, reroute())
		calls := func() int { return server.Calls()["activities.list"] }
		if _, err := tenant.Verify(t.Context()); err != nil || calls() != 5 {
			t.Errorf("%v: verify asked for the log %d times", err, calls())
		}
		before := calls()
		if _, err := tenant.Offboard(t.Context()); err != nil || calls()-before != 15 { // ten pages of states
			t.Errorf("%v: the way out asked for the log %d times", err, calls()-before)
		}
		server.AddChange(slices.Repeat([]gworkspace.Change{{At: time.Now().Add(-time.Hour), Event: "CHANGE_GMAIL_SETTING", Name: "y"}}, 30_000)...)
		if r, err := tenant.Verify(t.Context()); err != nil || len(r.Changes) != 10_000 {
			t.Errorf("%v: %d entries", err, len(r.Changes))
		}
	})
}
