package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

// zone is a DNS in which ex.org lets 203.0.113.9 send for it and disowns everybody else.
func zone() mailauthtest.Zone {
	return mailauthtest.Zone{
		"ex.org":        {TXT: []string{"v=spf1 ip4:203.0.113.9 -all"}},
		"_dmarc.ex.org": {TXT: []string{"v=DMARC1; p=reject"}},
	}
}

// authenticated is an Auth with the resolver, and a sealer whose record the zone gets.
func authenticated(t testing.TB, z mailauthtest.Zone) relay.Auth {
	t.Helper()
	private, record, err := mailauth.GenerateKey(mailauth.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	key, err := mailauth.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	z["s1._domainkey.gw.example"] = mailauthtest.Records{TXT: []string{record}}
	return relay.Auth{
		Authenticator: &mailauth.Authenticator{Resolver: z, Hostname: "mx.gw.example"},
		Results:       mailauth.AuthenticationResults,
		Sealer:        mailauth.Rotation{{Sealer: &mailauth.Sealer{Hostname: "mx.gw.example", Domain: "gw.example", Selector: "s1", Key: key}}},
	}
}

// vouching is an upstream on this machine that names the client as Exchange Online does.
var vouching = relay.Upstream{Nets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Kind: relay.ExchangeOnline}

func cameFrom(addr string) string {
	return "X-Forefront-Antispam-Report: CIP:" + addr + ";H:mail.ex.org\r\n"
}

const reportsOfUpstream = "Authentication-Results: up.example; spf=pass smtp.mailfrom=a@ex.org\r\n"

// What is found out about the sender stands on top of what is delivered, sealed, and is known to the judge.
// It is about who sent the message first, not about who handed it over, and nobody can write it in our name.
func TestAuthentication(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		reporting := vouching
		reporting.Results, reporting.AuthservID = true, "up.example"
		for _, tt := range []struct {
			name, head string
			up         relay.Upstream
			id, want   string
		}{
			{"the origin is allowed", cameFrom("203.0.113.9"), vouching, "",
				"mx.gw.example; spf=pass smtp.mailfrom=ex.org; dmarc=pass header.from=ex.org polrec.p=reject; arc=none"},
			{"the origin is not", cameFrom("203.0.113.10"), vouching, "",
				"mx.gw.example; spf=fail smtp.mailfrom=ex.org; dmarc=fail header.from=ex.org polrec.p=reject; arc=none"},
			{"nobody vouches for the origin", cameFrom("203.0.113.9"), relay.Upstream{}, "",
				"mx.gw.example; spf=fail smtp.mailfrom=ex.org; dmarc=fail header.from=ex.org polrec.p=reject; arc=none"},
			{"the upstream does not know the origin", "", vouching, "", "mx.gw.example; arc=none"},
			{"the upstream has checked what we cannot", reportsOfUpstream, reporting, "",
				"mx.gw.example; spf=pass smtp.mailfrom=ex.org; dmarc=pass header.from=ex.org polrec.p=reject; arc=none"},
			{"its reports are not believed", reportsOfUpstream, vouching, "", "mx.gw.example; arc=none"},
			{"a stranger's reports", reportsOfUpstream, relay.Upstream{Results: true, AuthservID: "up.example"}, "",
				"mx.gw.example; spf=fail smtp.mailfrom=ex.org; dmarc=fail header.from=ex.org polrec.p=reject; arc=none"},
			{"forged in our name", "Authentication-Results: mx.gw.example; spf=pass\r\nAuthentication-Results : (x) \"MX.gw.example\"; dmarc=pass\r\n" + cameFrom("203.0.113.10"), vouching, "",
				"mx.gw.example; spf=fail smtp.mailfrom=ex.org; dmarc=fail header.from=ex.org polrec.p=reject; arc=none"},
			{"a name for reports", "Authentication-Results: mx.gw.example; spf=pass\r\nauthentication-results: gw.example; dmarc=pass\r\n" + cameFrom("203.0.113.9"), vouching, "GW.example",
				"gw.example; spf=pass smtp.mailfrom=ex.org; dmarc=pass header.from=ex.org polrec.p=reject; arc=none"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				z, sink := zone(), &relaytest.Sink{}
				seen := make(chan verdict.AuthResults, 1)
				c := greeted(t, serve(t, sink, func(s *relay.Server) {
					s.Engine, s.Auth = e, authenticated(t, z)
					s.Auth.ID = tt.id
					s.Directory.(relay.Static)["ex.net"].Upstream = tt.up
					s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{verdict.Func("looks", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
						seen <- m.Auth
						return nil, nil
					})}}
				}))
				body := tt.head + message("hello")
				c.mail(body, "250", "b@ex.net")
				got := sink.Messages()[0].Data
				var ours []string
				for _, v := range fields(got, "Authentication-Results") {
					if !strings.HasPrefix(v, "up.example") {
						ours = append(ours, v)
					}
				}
				if d := cmp.Diff([]string{tt.want}, ours); d != "" {
					t.Error(d)
				}
				if r := <-seen; !strings.HasSuffix(mailauth.AuthenticationResults("x", r), tt.want[strings.Index(tt.want, ";"):]) {
					t.Errorf("the judge saw %+v", r)
				}
				if !bytes.HasSuffix(got, []byte(message("hello"))) {
					t.Errorf("the message has changed:\n%s", got)
				}
				var order []string
				for f := range verdict.NewMessage(verdict.Bytes(got)).Header().All() {
					order = append(order, f.Name)
				}
				if d := cmp.Diff([]string{"ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results", "Authentication-Results", "Received"}, order[:5]); d != "" {
					t.Error(d)
				}
				next := (&mailauth.Authenticator{Resolver: z}).Authenticate(t.Context(), verdict.NewMessage(verdict.Bytes(got)))
				if next.ARC.Result != verdict.Pass || next.ARC.Sealer != "gw.example" {
					t.Errorf("the next hop finds %+v", next.ARC)
				}
			})
		}
	})
}

// A chain of seals that came in is still good behind us, and has one more set.
func TestSealsOnTop(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		z, sink := zone(), &relaytest.Sink{}
		auth := authenticated(t, z)
		addr := serve(t, sink, func(s *relay.Server) { s.Engine, s.Auth = e, auth })
		c := greeted(t, addr)
		raw := []byte(strings.Replace(message("hello"), "hello\r\n", "caf\xc3\xa9 "+strings.Repeat("x", 2000)+" \r\n\r\n..\r\n\r\n\r\n", 1))
		for i := 1; i <= 3; i++ {
			wire := bytes.ReplaceAll(raw, []byte("\r\n."), []byte("\r\n.."))
			if i > 1 { // the loop guard looks for our own fields
				wire = bytes.ReplaceAll(wire, []byte("\r\nReceived:"), []byte("\r\nX-Old-Received:"))
			}
			c.mail(string(wire), "250", "b@ex.net")
			raw = sink.Messages()[i-1].Data
			got := (&mailauth.Authenticator{Resolver: z}).Authenticate(t.Context(), verdict.NewMessage(verdict.Bytes(raw)))
			if n := len(fields(raw, "ARC-Seal")); got.ARC.Result != verdict.Pass || n != i {
				t.Fatalf("pass %d: %+v with %d seals", i, got.ARC, n)
			}
		}
	})
}

// fake is an Authenticator and a Sealer as others may write them.
type fake struct {
	auth func(ctx context.Context) verdict.AuthResults
	seal func(ctx context.Context) ([]byte, error)
}

func (f fake) Authenticate(ctx context.Context, _ *verdict.Message) verdict.AuthResults {
	return f.auth(ctx)
}
func (f fake) AuthenticateBehind(ctx context.Context, _ *verdict.Message, _ string) verdict.AuthResults {
	return f.auth(ctx)
}
func (f fake) Seal(ctx context.Context, _ *verdict.Message, _ verdict.AuthResults) ([]byte, error) {
	return f.seal(ctx)
}

// hanging is a resolver that answers when its patience ends.
type hanging struct{}

func (hanging) Lookup(ctx context.Context, _ string, _ mailauth.RecordType) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// No failure on the way to the truth about a sender keeps a message, or passes for an answer.
func TestAuthenticationFails(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		results := verdict.AuthResults{SPF: verdict.SPFResult{Result: "pass", Domain: "ex.org", Identity: "mailfrom"}}
		good := func(context.Context) verdict.AuthResults { return results }
		seal := func(context.Context) ([]byte, error) { return []byte("ARC-Seal: i=1\r\n"), nil }
		for _, tt := range []struct {
			name   string
			auth   relay.Auth
			want   []string // Authentication-Results
			sealed bool
			why    string // it is not sealed
		}{
			{"all is well", relay.Auth{Authenticator: fake{auth: good}, Sealer: fake{seal: seal}}, []string{"mx.gw.example; spf=pass smtp.mailfrom=ex.org"}, true, ""},
			{"DNS is down", relay.Auth{Authenticator: &mailauth.Authenticator{}}, []string{"mx.gw.example; spf=temperror smtp.mailfrom=ex.org; dmarc=temperror header.from=ex.org; arc=none"}, false, ""},
			{"DNS hangs", relay.Auth{Authenticator: &mailauth.Authenticator{Resolver: hanging{}}}, []string{"mx.gw.example; spf=temperror smtp.mailfrom=ex.org; dmarc=temperror header.from=ex.org; arc=none"}, false, ""},
			{"a panic", relay.Auth{Authenticator: fake{auth: func(context.Context) verdict.AuthResults { panic("x") }}}, []string{"mx.gw.example; spf=temperror; dmarc=temperror; arc=temperror"}, false, ""},
			{"nobody checks", relay.Auth{Sealer: fake{seal: seal}}, nil, false, ""},
			{"nobody has checked", relay.Auth{Authenticator: fake{auth: func(context.Context) verdict.AuthResults { return verdict.AuthResults{} }}, Sealer: fake{seal: seal}}, nil, false, ""},
			{"the sealer fails", relay.Auth{Authenticator: fake{auth: good}, Sealer: fake{seal: func(context.Context) ([]byte, error) { return nil, errors.New("no key") }}}, []string{"mx.gw.example; spf=pass smtp.mailfrom=ex.org"}, false, "no key"},
			{"the sealer panics", relay.Auth{Authenticator: fake{auth: good}, Sealer: fake{seal: func(context.Context) ([]byte, error) { panic("x") }}}, []string{"mx.gw.example; spf=pass smtp.mailfrom=ex.org"}, false, "panic"},
			{"the sealer hangs", relay.Auth{Authenticator: fake{auth: good}, Sealer: fake{seal: func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }}}, []string{"mx.gw.example; spf=pass smtp.mailfrom=ex.org"}, false, "deadline"},
			{"the sealer writes other fields", relay.Auth{Authenticator: fake{auth: good}, Sealer: fake{seal: func(context.Context) ([]byte, error) { return []byte("ARC-Seal: 1\r\n\r\nX: y\r\n"), nil }}}, []string{"mx.gw.example; spf=pass smtp.mailfrom=ex.org"}, false, "unfit"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				sink, outcomes := &relaytest.Sink{}, make(chan relay.Outcome, 1)
				tt.auth.Results = mailauth.AuthenticationResults
				c := greeted(t, serve(t, sink, func(s *relay.Server) {
					s.Engine, s.Auth = e, tt.auth
					if strings.Contains(tt.name, "hangs") {
						s.Timeouts.Auth = 100 * time.Millisecond
					}
					s.Trace.Done = func(o relay.Outcome) { outcomes <- o }
				}))
				c.mail(message("hello"), "250", "b@ex.net")
				got := sink.Messages()[0].Data
				if d := cmp.Diff(tt.want, fields(got, "Authentication-Results")); d != "" {
					t.Error(d)
				}
				o := <-outcomes
				if n := len(fields(got, "ARC-Seal")); (n == 1) != tt.sealed || o.Sealed != tt.sealed {
					t.Errorf("%d seals, sealed %v", n, o.Sealed)
				}
				if (o.Unsealed != nil) != (tt.why != "") || o.Unsealed != nil && !strings.Contains(o.Unsealed.Error(), tt.why) {
					t.Errorf("not sealed: %v", o.Unsealed)
				}
				if !bytes.HasSuffix(got, []byte(message("hello"))) {
					t.Errorf("the message has changed:\n%s", got)
				}
			})
		}
	})
}

// A writer of results that would break the header defers the message, and nothing of it gets out.
func TestResultsUnfit(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	c := greeted(t, serve(t, sink, func(s *relay.Server) {
		s.Auth = authenticated(t, zone())
		s.Auth.Results = func(string, verdict.AuthResults) string { return "x\r\nX-Postreeve-Verdict: CLEAN" }
	}))
	c.mail(message("hello"), "451 4.3.0", "b@ex.net")
	if n := len(sink.Messages()); n != 0 {
		t.Errorf("%d messages were delivered", n)
	}
}

// A policy that honours DMARC refuses what its owner disowns, in words that say so.
func TestHonoured(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		for _, tt := range []struct {
			addr, want string
			policy     relay.Policy
		}{
			{"203.0.113.9", "250", relay.Policy{HonourDMARC: true}},
			{"203.0.113.10", "550 5.7.1 refused as the DMARC policy of ex.org asks", relay.Policy{HonourDMARC: true}},
			{"203.0.113.10", "250", relay.Policy{}},
			{"203.0.113.10", "250", relay.Policy{HonourDMARC: true, Allow: []relay.Sender{{Net: netip.MustParsePrefix("203.0.113.0/28")}}}},
		} {
			sink := &relaytest.Sink{}
			c := greeted(t, serve(t, sink, func(s *relay.Server) {
				s.Engine, s.Auth = e, authenticated(t, zone())
				d := s.Directory.(relay.Static)["ex.net"]
				d.Policy, d.Upstream = tt.policy, vouching
			}))
			c.mail(cameFrom(tt.addr)+message("hello"), tt.want, "b@ex.net")
		}
	})
}

func TestAuthValid(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{"": true, "gw.example": true, "gw example": false, "gw;": false, "a=b": false, "a\r\nb": false, "gw/1": false, `"gw"`: false} {
		srv := &relay.Server{Hostname: "mx.gw.example", Auth: relay.Auth{ID: id}}
		if err := srv.Valid(); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// ExampleAuth wires package mailauth into a server.
func ExampleAuth() {
	const hostname = "mx.gw.example"
	srv := &relay.Server{
		Hostname: hostname,
		Auth: relay.Auth{
			Authenticator: &mailauth.Authenticator{Resolver: &mailauth.DNS{}, Hostname: hostname},
			Results:       mailauth.AuthenticationResults,
		},
	}
	fmt.Println(srv.Valid())
	// Output: <nil>
}
