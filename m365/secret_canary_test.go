package m365_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// No output holds the secret of the loop or a token: not a plan, report, outcome, event, attempt, script, runbook or
// error, and no file but the one for it; not even where the service repeats what it was sent.
func TestNoSecretInAnyOutput(t *testing.T) {
	t.Parallel()
	const token, clientSecret = "CANARY-access-token", "CANARY-client-secret"
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	if err := os.MkdirAll(b.Journal, 0o700); err != nil {
		t.Fatal(err)
	}
	secrets := []string{"CANARYnewsecretofloop", "CANARYoldsecretofloop"}
	if err := os.WriteFile(filepath.Join(b.Journal, "secrets.json"), []byte(`{"tokens":["`+strings.Join(secrets, `","`)+`"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	show := func(all ...any) {
		for _, v := range all {
			raw, _ := json.Marshal(v)
			fmt.Fprintf(&shown, "%s\n%v\n%+v\n%#v\n", raw, v, v, v)
			slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "v", v)
		}
	}
	echo := false
	source, err := m365.NewClient(m365.ClientConfig{Tenant: s.TenantID(), Tokens: s.Tokens(), BaseURL: s.ExchangeURL(), Observe: func(a m365.Attempt) { show(a) },
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if !echo || r.Header.Get("X-CmdletName") != "New-TransportRule" {
				return http.DefaultTransport.RoundTrip(r)
			}
			sent, _ := io.ReadAll(r.Body)
			text, _ := json.Marshal(map[string]any{"error": map[string]any{"code": "BadRequest", "message": "Invalid Operation", "details": []any{map[string]any{
				"message": "|Microsoft.Exchange.Data.DataValidationException|what was sent is not valid: " + string(sent)}}}})
			return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
		})})
	if err != nil {
		t.Fatal(err)
	}
	b.Exchange = source
	echo = true
	b.Progress = func(e m365.Event) { show(e) }
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.Apply(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "what was sent is not valid") {
		t.Fatalf("the refusal is not said: %v", err)
	}
	show(p, out, err)
	echo = false
	b.apply(t)
	s.Change("TransportRule", redirect, m365test.Object{"SetHeaderValue": "CANARYbyahuman"})
	for range 2 {
		if p, err = b.Plan(t.Context()); err != nil {
			t.Fatal(err)
		}
		report, err := b.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out, err = b.Apply(t.Context(), p)
		show(p, report, out, err)
	}
	apply, offboard, err := m365.Script(b.Profile)
	guide, err2 := m365.Runbook(b.Profile)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	show(string(apply), string(offboard), guide.Markdown(), guide)
	fixed := m365.StaticToken(token)
	app, err := m365.ClientSecret(m365.AuthConfig{Tenant: "t", ClientID: "c", LoginURL: "http://127.0.0.1:1"}, clientSecret)
	if err != nil {
		t.Fatal(err)
	}
	_, refused := app.Token(t.Context(), exchangeToken())
	show(fixed, app, refused, m365.ClientConfig{Tokens: fixed}, m365.GraphConfig{Tokens: app}, *b.Tenant)
	files, err := os.ReadDir(b.Journal)
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if raw, err := os.ReadFile(filepath.Join(b.Journal, f.Name())); err != nil {
			t.Error(err)
		} else if f.Name() != "secrets.json" {
			shown.Write(raw)
		}
	}
	if i := strings.Index(shown.String(), "CANARY"); i >= 0 {
		t.Errorf("a secret is shown: …%s…", shown.String()[max(0, i-200):min(shown.Len(), i+60)])
	}
	if n := strings.Count(string(s.Snapshot()), "CANARY"); n == 0 {
		t.Error("the canary never was in the tenant")
	}
}
