package relay_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// A released message says what was known about its sender when it came, and nobody else says it in our name.
func TestReleaseResults(t *testing.T) {
	t.Parallel()
	const raw = "Authentication-Results: mx.gw.example; spf=pass smtp.mailfrom=forged.example\r\nX-Postreeve-Verdict: CLEAN\r\nFrom: a@ex.org\r\n\r\nbody\r\n"
	known := verdict.AuthResults{
		SPF:   verdict.SPFResult{Result: "fail", Domain: "ex.org", Identity: "mailfrom"},
		DKIM:  []verdict.DKIMResult{{Result: "pass", Domain: "ex.org", Selector: "s1"}},
		DMARC: verdict.DMARCResult{Result: "pass", Domain: "ex.org", Policy: "none"},
	}
	for _, tt := range []struct {
		name string
		auth verdict.AuthResults
		id   string
		want string // the first lines
	}{
		{"known", known, "", "Authentication-Results: mx.gw.example; spf=fail smtp.mailfrom=ex.org; dkim=pass header.d=ex.org header.s=s1; dmarc=pass header.from=ex.org"},
		{"in another name", known, "auth.example", "Authentication-Results: auth.example; spf=fail"},
		{"not known", verdict.AuthResults{}, "", "Received: from quarantine by mx.gw.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got string
			hop := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
				r, err := body.Open()
				if err != nil {
					return nil, err
				}
				defer r.Close()
				b, err := io.ReadAll(r)
				got = string(b)
				return []relay.Receipt{{Recipient: e.To[0].Address, Reply: &relay.Reply{Code: 250}}}, err
			})
			m := verdict.NewMessage(verdict.Bytes(raw))
			m.ID, m.Received, m.Auth = "m1", time.Now(), tt.auth
			m.Envelope = verdict.Envelope{From: "a@ex.org", To: []verdict.Recipient{{Address: "b@ex.net"}}}
			s := &relay.Server{Hostname: "mx.gw.example", Auth: relay.Auth{ID: tt.id, Results: mailauth.AuthenticationResults}}
			if _, err := s.Release(t.Context(), &relay.Domain{Name: "ex.net", Next: hop}, m, verdict.Spam, "mark"); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
			for _, want := range []string{"\r\nX-Postreeve-Released: mark\r\n", "\r\nX-Postreeve-Verdict: SPAM\r\n", "\r\nFrom: a@ex.org\r\n\r\nbody\r\n"} {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in\n%s", want, got)
				}
			}
			if strings.Contains(got, "forged") || strings.Contains(got, "CLEAN") {
				t.Errorf("somebody else's words are left:\n%s", got)
			}
		})
	}
}
