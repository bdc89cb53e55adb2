package relay_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// Mail that Google reroutes comes from anywhere, and any tenant of Google can send it here: the header field with the
// secret of the tenant tells it apart. It never goes on.
func TestTenantProof(t *testing.T) {
	t.Parallel()
	const google = "Received: from mail.ex.org (mail.ex.org. [203.0.113.9]) by mx.google.com with ESMTPS id 1 for <b@ex.net>; Sat, 21 Nov 2026 10:00:00 +0000\r\n"
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for name, tt := range map[string]struct {
		header string
		nets   []netip.Prefix
		tokens []string
		result bool
		want   string
	}{
		"the newest secret":         {"X-Postreeve-Tenant: new-0123456789abcdef\r\n", nil, []string{"new-0123456789abcdef", "old-0123456789abcdef"}, false, "203.0.113.9"},
		"the one before":            {"x-postreeve-TENANT:  old-0123456789abcdef \r\n", nil, []string{"new-0123456789abcdef", "old-0123456789abcdef"}, false, "203.0.113.9"},
		"beside a wrong one":        {"X-Postreeve-Tenant: no\r\nX-Postreeve-Tenant: new-0123456789abcdef\r\n", nil, []string{"new-0123456789abcdef"}, false, "203.0.113.9"},
		"from a listed network":     {"X-Postreeve-Tenant: new-0123456789abcdef\r\n", loopback, []string{"new-0123456789abcdef"}, false, "203.0.113.9"},
		"from another network":      {"X-Postreeve-Tenant: new-0123456789abcdef\r\n", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []string{"new-0123456789abcdef"}, false, "127.0.0.1"},
		"a stranger's tenant":       {"X-Postreeve-Tenant: other-0123456789abcdef\r\n", nil, []string{"new-0123456789abcdef"}, false, "127.0.0.1"},
		"a part of the secret":      {"X-Postreeve-Tenant: new-0123456789abcde\r\n", nil, []string{"new-0123456789abcdef"}, false, "127.0.0.1"},
		"none, in a listed network": {"", loopback, []string{"new-0123456789abcdef"}, false, "127.0.0.1"},
		"in the body alone":         {"\r\nX-Postreeve-Tenant: new-0123456789abcdef\r\n", nil, []string{"new-0123456789abcdef"}, false, "127.0.0.1"},
		"the secret is gone":        {"X-Postreeve-Tenant: new-0123456789abcdef\r\n", nil, nil, false, ""}, // 451
		"gone, and not claimed":     {"", nil, nil, false, "127.0.0.1"},
		"gone, from elsewhere":      {"X-Postreeve-Tenant: new-0123456789abcdef\r\n", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil, false, "127.0.0.1"},
		"folded":                    {"X-Postreeve-Tenant:\r\n new-0123456789abcdef\r\n", nil, []string{"new-0123456789abcdef"}, false, "203.0.113.9"},
		"with a comment":            {"X-Postreeve-Tenant: new-0123456789abcdef (ours)\r\n", nil, []string{"new-0123456789abcdef"}, false, "127.0.0.1"},
		"an empty secret":           {"X-Postreeve-Tenant:\r\n", nil, []string{""}, false, "127.0.0.1"},
		"with its results":          {"X-Postreeve-Tenant: new-0123456789abcdef\r\n", nil, []string{"new-0123456789abcdef"}, true, "203.0.113.9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			origins := make(chan string, 1)
			sink := &relaytest.Sink{}
			c := greeted(t, serve(t, sink, func(s *relay.Server) {
				s.Directory.(relay.Static)["ex.net"].Upstream = relay.Upstream{Nets: tt.nets, Kind: relay.Gmail, Results: tt.result,
					Proof: &relay.TenantProof{Header: "X-Postreeve-Tenant", Tokens: func() []string { return tt.tokens }}}
				s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{verdict.Func("origin", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
					origins <- m.Origin.Addr.Addr().String()
					return nil, nil
				})}}
			}))
			if tt.want == "" {
				c.mail(google+tt.header+message("hello"), "451 4.3.5", "b@ex.net")
				return
			}
			c.mail(google+tt.header+message("hello"), "250", "b@ex.net")
			if got := <-origins; got != tt.want {
				t.Errorf("origin %s, want %s", got, tt.want)
			}
			for _, m := range sink.Messages() {
				head, _, _ := strings.Cut(string(m.Data), "\r\n\r\n")
				if strings.Contains(strings.ToLower(head), "x-postreeve-tenant") {
					t.Errorf("the secret of the tenant went on:\n%s", head)
				}
			}
		})
	}
}
