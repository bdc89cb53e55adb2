package dnsverify_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// TestVerify has the plain cases and the faults of single servers.
func TestVerify(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		setup  func(w *world)
		status dnsverify.Status
		code   dnsverify.Code
	}{
		{"present", func(w *world) { w.zone.Set(owner, w.token()) }, dnsverify.Verified, ""},
		{"present among foreign values", func(w *world) {
			w.zone.Set(owner, txt("token=foreign"), w.token(), txt("v=spf1 -all"))
		}, dnsverify.Verified, ""},
		{"bare token", func(w *world) { w.zone.Set(owner, txt(strings.TrimPrefix(w.value(w.claim), "token="))) }, dnsverify.Verified, ""},
		{"upper case", func(w *world) { w.zone.Set(owner, txt(strings.ToUpper(w.value(w.claim)))) }, dnsverify.Verified, ""},
		{"with expiry", func(w *world) { w.zone.Set(owner, txt(w.value(w.claim)+" expiry=never")) }, dnsverify.Verified, ""},
		{"two strings in one record", func(w *world) {
			v := w.value(w.claim)
			w.zone.Set(owner, fmt.Sprintf("TXT %q %q", v[:10], v[10:]))
		}, dnsverify.Verified, ""},
		{"one server lame", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Server(0).Fault(dnstest.Lame)
		}, dnsverify.Verified, ""},
		{"one server silent", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Server(1).Fault(dnstest.Silent)
		}, dnsverify.Verified, ""},
		{"one server wrong id", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Server(1).Fault(dnstest.WrongID)
		}, dnsverify.Verified, ""},
		{"two of three servers silent", func(w *world) {
			z := w.net.Zone("example.net", dnstest.Records{}, w.net.Servers(3)...)
			w.claim.Domain = "example.net"
			z.Set(owner, w.token())
			z.Server(0).Fault(dnstest.Silent)
			z.Server(1).Fault(dnstest.Silent)
		}, dnsverify.Failed, dnsverify.UnreachableServers},
		{"all servers wrong question", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Fault(dnstest.WrongQuestion)
		}, dnsverify.Failed, dnsverify.UnreachableServers},
		{"all servers wrong id", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Fault(dnstest.WrongID)
		}, dnsverify.Failed, dnsverify.UnreachableServers},
		{"all servers garbage", func(w *world) { w.zone.Fault(dnstest.Garbage) }, dnsverify.Failed, dnsverify.UnreachableServers},
		{"all servers truncating", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Fault(dnstest.Truncating)
		}, dnsverify.Verified, ""},
		{"all servers late over UDP", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Fault(dnstest.Late)
		}, dnsverify.Verified, ""},
		{"all servers change letter case", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Fault(dnstest.LowerCase)
		}, dnsverify.Verified, ""},
		{"all servers without EDNS", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Fault(dnstest.NoEDNS)
		}, dnsverify.Verified, ""},
		{"all servers without answers to NS questions", func(w *world) {
			w.claim.Domain = "deep.sub.example.com"
			w.zone.Set(owner+".deep.sub", w.token())
			w.zone.Fault(dnstest.NoNS)
		}, dnsverify.Verified, ""},
		{"delegation without glue", func(w *world) {
			w.zone.HostedBy(w.net.Zone("provider.net", nil))
			w.zone.Set(owner, w.token())
		}, dnsverify.Verified, ""},
		{"domain inside the zone of another", func(w *world) {
			w.claim.Domain = "sub.example.com"
			w.zone.Set(owner+".sub", w.token())
		}, dnsverify.Verified, ""},
		{"challenge name delegated by itself", func(w *world) {
			w.net.Zone(owner+".example.com", dnstest.Records{"@": {w.token()}})
		}, dnsverify.Verified, ""},
		{"parent and child on the same servers", func(w *world) {
			s := w.net.Servers(2)
			w.net.Zone("example.org", nil, s...)
			w.claim.Domain = "child.example.org"
			w.net.Zone("child.example.org", dnstest.Records{owner: {w.token()}}, s...)
		}, dnsverify.Verified, ""},
		{"parent and child on the same servers, minimal answers", func(w *world) {
			s := w.net.Servers(2)
			w.net.Zone("example.org", nil, s...)
			w.claim.Domain = "child.example.org"
			w.net.Zone("child.example.org", dnstest.Records{owner: {w.token()}}, s...).Fault(dnstest.Minimal)
		}, dnsverify.Verified, ""},
		{"alias with the token in its target", func(w *world) {
			w.verifier.Challenge.Pool = "verify.gw.test"
			r, err := w.verifier.Challenge.Delegation(w.claim)
			if err != nil {
				w.Fatal(err)
			}
			w.zone.Set(owner, "CNAME "+r.Value+".")
		}, dnsverify.Verified, ""},
		{"alias with another tenant's token", func(w *world) {
			w.verifier.Challenge.Pool = "verify.gw.test"
			other := w.claim
			other.Tenant = "t2"
			r, _ := w.verifier.Challenge.Delegation(other)
			w.zone.Set(owner, "CNAME "+r.Value+".")
		}, dnsverify.Absent, dnsverify.CNAMEBlocksTXT},
		{"alias to a record elsewhere", func(w *world) {
			w.net.Zone("example.net", dnstest.Records{"proof": {w.token()}})
			w.zone.Set(owner, "CNAME proof.example.net.")
		}, dnsverify.Verified, ""},
		{"alias to a zone of which one server lags", func(w *world) {
			z := w.net.Zone("example.net", nil)
			z.SetOn(0, "proof", w.token())
			w.zone.Set(owner, "CNAME proof.example.net.")
		}, dnsverify.Partial, dnsverify.PartialPropagation},
		{"alias to a zone that is dead", func(w *world) {
			w.net.Zone("example.net", nil).Fault(dnstest.Silent)
			w.zone.Set(owner, "CNAME proof.example.net.")
		}, dnsverify.Failed, dnsverify.UnreachableServers},
		{"wildcard", func(w *world) { w.zone.Set("*", w.token()) }, dnsverify.Verified, ""},
		{"the token before, while rotating", func(w *world) {
			w.zone.Set(owner, w.token())
			w.claim.Epoch = 1
		}, dnsverify.Verified, ""},
		{"the token before, spent", func(w *world) {
			w.zone.Set(owner, w.token())
			w.claim.Epoch, w.claim.Spent = 1, 1
		}, dnsverify.Wrong, dnsverify.RecordOldToken},
		{"silent resolver", func(w *world) {
			w.zone.Set(owner, w.token())
			w.net.Resolver().Fault(dnstest.Silent)
		}, dnsverify.Failed, dnsverify.Temporary},
		{"silent resolver, left out", func(w *world) {
			w.zone.Set(owner, w.token())
			w.net.Resolver().Fault(dnstest.Silent)
			w.verifier.NoResolver = true
		}, dnsverify.Verified, ""},
		{"server failure everywhere", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Fault(dnstest.ServFail)
		}, dnsverify.Failed, dnsverify.LameServers},
		{"top-level domain unreachable", func(w *world) {
			w.net.Zone("org", nil).Fault(dnstest.Silent)
			w.claim.Domain = "example.org"
		}, dnsverify.Failed, dnsverify.UnreachableServers},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tt.setup(w)
			w.want(w.verify(), tt.status, tt.code)
		})
	}
}

// TestPainPoints has one row for each symptom that people report of such checks.
func TestPainPoints(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		run  func(w *world)
	}{
		{"I added it, you do not see it: negative cache", func(w *world) {
			r := w.verify()
			w.want(r, dnsverify.Absent, dnsverify.RecordAbsent)
			if r.Negative.Seconds() != 300 || !strings.Contains(r.Problem.Detail, "5m0s") {
				w.Errorf("negative TTL %v in %q, want 5m0s", r.Negative, r.Problem.Detail)
			}
			for _, q := range w.net.Queries() {
				if q.Server == w.net.Resolver().Addr() {
					w.Fatal("a resolver was asked before the record was there: it now remembers that there is none")
				}
			}
			w.zone.Set(owner, w.token())
			w.want(w.verify(), dnsverify.Verified, "")
		}},
		{"a resolver that was asked too early does not matter", func(w *world) {
			c := w.net.Client()
			c.Roots = []netip.Addr{w.net.Resolver().Addr()} // somebody else asks the resolver
			w.zone.Set(owner, w.token())
			w.want(w.verify(), dnsverify.Verified, "")
			w.zone.Set(owner, txt("token=changed"), w.token())
			w.want(w.verify(), dnsverify.Verified, "")
		}},
		{"verified, then unverified, alternating: servers differ", func(w *world) {
			w.zone.SetOn(0, owner, w.token())
			for range 4 {
				r := w.verify()
				w.want(r, dnsverify.Partial, dnsverify.PartialPropagation)
				if len(r.Problem.Servers) != 1 || !strings.HasPrefix(r.Problem.Servers[0], "ns2.example.com ") {
					w.Fatalf("lagging servers %v, want ns2.example.com", r.Problem.Servers)
				}
			}
		}},
		{"works outside, fails inside: private server addresses", func(w *world) {
			w.verifier.Client.Allow = func(a netip.Addr) bool {
				return a != w.zone.Server(0).Addr() && a != w.zone.Server(1).Addr() && a.IsLoopback()
			}
			w.zone.Set(owner, w.token())
			r := w.verify()
			w.want(r, dnsverify.Failed, dnsverify.UnreachableServers)
			for _, q := range w.net.Queries() {
				if q.Server == w.zone.Server(0).Addr() {
					w.Fatal("a refused address was asked")
				}
			}
		}},
		{"never works in a hardened network: port 53 intercepted", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Fault(dnstest.Intercepted)
			w.want(w.verify(), dnsverify.Failed, dnsverify.Intercepted)
		}},
		{"never works in a hardened network: intercepted from the root", func(w *world) {
			w.net.Root().Fault(dnstest.Intercepted)
			w.want(w.verify(), dnsverify.Failed, dnsverify.Intercepted)
		}},
		{"never works in a hardened network: port 53 blocked", func(w *world) {
			w.net.Root().Fault(dnstest.Silent)
			w.want(w.verify(), dnsverify.Failed, dnsverify.UnreachableServers)
		}},
		{"lasting server failure: broken signatures", func(w *world) {
			w.zone.Set(owner, w.token())
			w.zone.Fault(dnstest.Bogus)
			r := w.verify()
			w.want(r, dnsverify.Failed, dnsverify.DNSSECBogus)
			if !strings.Contains(r.Problem.Detail, "signature expired") {
				w.Errorf("detail %q does not say what the resolver said", r.Problem.Detail)
			}
		}},
		{"several tokens at one name", func(w *world) {
			second := w.claim
			second.Tenant = "t2"
			w.zone.Set(owner, txt(w.value(second)), w.token())
			w.want(w.verify(), dnsverify.Verified, "")
			w.claim = second
			w.want(w.verify(), dnsverify.Verified, "")
		}},
		{"value correct but no match: quotes", wrongValue(func(s string) string { return `"` + s + `"` }, "quotes")},
		{"value correct but no match: curly quotes", wrongValue(func(s string) string { return "\u201c" + s + "\u201d" }, "quotes")},
		{"value correct but no match: final dot", wrongValue(func(s string) string { return s + "." }, "final dot")},
		{"value correct but no match: blanks", wrongValue(func(s string) string { return " " + s[:12] + " " + s[12:] }, "blanks")},
		{"value correct but no match: no-break space", wrongValue(func(s string) string { return s + "\u00a0" }, "invisible")},
		{"value correct but no match: soft hyphen", wrongValue(func(s string) string { return s[:12] + "\u00ad" + s[12:] }, "invisible")},
		{"value correct but no match: whole line pasted", wrongValue(func(s string) string { return owner + " IN TXT " + s }, "more text")},
		{"value correct but no match: cut off", wrongValue(func(s string) string { return s[:20] }, "cut off")},
		{"value correct but no match: name doubled", func(w *world) {
			w.zone.Set(owner+".example.com", w.token())
			w.want(w.verify(), dnsverify.Absent, dnsverify.RecordDoubledName)
		}},
		{"value correct but no match: 255 split", func(w *world) {
			v := w.value(w.claim)
			w.zone.Set(owner, fmt.Sprintf("TXT %q %q", strings.Repeat("x", 255), "y"), fmt.Sprintf("TXT %q %q", v[:1], v[1:]))
			w.want(w.verify(), dnsverify.Verified, "")
		}},
		{"TXT cannot be added: an alias is at the name", func(w *world) {
			w.zone.Set(owner, "CNAME www.example.com.")
			w.zone.Set("www", "A 192.0.2.1")
			w.want(w.verify(), dnsverify.Absent, dnsverify.CNAMEBlocksTXT)
		}},
		{"UDP answers lost: large answers go over TCP", func(w *world) {
			records := []string{w.token()}
			for i := range 40 {
				records = append(records, txt(fmt.Sprintf("%d %s", i, strings.Repeat("x", 200))))
			}
			w.zone.Set(owner, records...)
			r := w.verify()
			w.want(r, dnsverify.Verified, "")
			if !r.Servers[0].TCP {
				w.Error("answered over UDP, although the answer is larger than 1232 octets")
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(newWorld(t))
		})
	}
}

// wrongValue puts a spoilt value at the right name and wants it explained with a word.
func wrongValue(spoil func(string) string, word string) func(w *world) {
	return func(w *world) {
		w.zone.Set(owner, txt(spoil(w.value(w.claim))))
		r := w.verify()
		w.want(r, dnsverify.Wrong, dnsverify.RecordWrongValue)
		if !strings.Contains(r.Problem.Detail, word) {
			w.Errorf("detail %q says nothing of %q", r.Problem.Detail, word)
		}
	}
}

func TestNearestMistake(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		domain string
		put    func(w *world)
		code   dnsverify.Code
		word   string
	}{
		{"at the domain itself", "example.com", func(w *world) { w.zone.Set("@", w.token(), txt("v=spf1 -all")) }, dnsverify.RecordAtApex, owner},
		{"without underscore", "example.com", func(w *world) { w.zone.Set(owner[1:], w.token()) }, dnsverify.RecordAbsent, "underscore"},
		{"below www", "example.com", func(w *world) { w.zone.Set(owner+".www", w.token()) }, dnsverify.RecordAbsent, "www"},
		{"for the zone above", "mail.example.com", func(w *world) { w.zone.Set(owner, w.token()) }, dnsverify.RecordAbsent, "made for example.com"},
		{"zone appended to a name below it", "mail.example.com", func(w *world) { w.zone.Set(owner+".mail.example.com", w.token()) },
			dnsverify.RecordDoubledName, "belongs at"},
		{"quotes and wrong place", "example.com", func(w *world) { w.zone.Set("@", txt(`"`+w.value(w.claim)+`"`)) }, dnsverify.RecordAtApex, ""},
		{"token of the domain above", "mail.example.com", func(w *world) {
			w.zone.Set(owner+".mail", txt(w.value(dnsverify.Claim{Tenant: "t1", Domain: "example.com"})))
		}, dnsverify.RecordWrongValue, "the one for example.com"},
		{"token of an unknown account", "example.com", func(w *world) {
			w.zone.Set(owner, txt(w.value(dnsverify.Claim{Tenant: "t9", Domain: "example.com"})))
		}, dnsverify.RecordWrongValue, "looks like a token"},
		{"something else here, the token at the domain", "example.com", func(w *world) {
			w.zone.Set(owner, txt("hello"))
			w.zone.Set("@", w.token())
		}, dnsverify.RecordAtApex, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.claim.Domain = tt.domain
			tt.put(w)
			r := w.verify()
			if r.Problem == nil || r.Problem.Code != tt.code || !strings.Contains(r.Problem.Detail, tt.word) {
				t.Errorf("problem %v, want %s with %q", r.Problem, tt.code, tt.word)
			}
		})
	}
}

// place is a vantage point.
type place struct {
	id     string
	values []string
	err    error
}

func (p place) ID() string                                          { return p.id }
func (p place) LookupTXT(context.Context, string) ([]string, error) { return p.values, p.err }

func TestVantages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		signed bool
		good   int
		bad    int
		status dnsverify.Status
	}{
		{"all agree", false, 2, 0, dnsverify.Verified},
		{"one of three dissents", false, 2, 1, dnsverify.Verified},
		{"two of three dissent", false, 1, 2, dnsverify.Failed},
		{"the only one dissents", false, 0, 1, dnsverify.Failed},
		{"signed: they are not asked", true, 0, 3, dnsverify.Verified},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.zone.Set(owner, w.token())
			if tt.signed {
				w.zone.Sign()
			}
			for i := range tt.good {
				w.verifier.Vantages = append(w.verifier.Vantages, place{id: fmt.Sprint("good", i), values: []string{"x", w.value(w.claim)}})
			}
			for i := range tt.bad {
				w.verifier.Vantages = append(w.verifier.Vantages, place{id: fmt.Sprint("bad", i), err: errors.New("no route\n")})
			}
			r := w.verify()
			if r.Status != tt.status || r.Secure != tt.signed || r.Downgraded {
				t.Errorf("status %s, secure %v, downgraded %v; want %s, %v, false", r.Status, r.Secure, r.Downgraded, tt.status, tt.signed)
			}
		})
	}
}

// TestADIsNotTrusted makes the resolver look like one at a distance.
func TestADIsNotTrusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zone.Set(owner, w.token())
	w.zone.Sign()
	far := netip.MustParseAddrPort("9.9.9.9:53")
	near := w.verifier.Client.Resolvers[0]
	w.verifier.Client.Resolvers = []netip.AddrPort{far}
	w.verifier.Client.Exchanger = redirect{far, near}
	if r := w.verify(); r.Secure || !r.Downgraded || r.Status != dnsverify.Verified {
		t.Errorf("AD of a distant resolver: secure %v, downgraded %v, status %s", r.Secure, r.Downgraded, r.Status)
	}
	trusting := w.net.Client()
	trusting.Resolvers, trusting.Exchanger, trusting.TrustAD = []netip.AddrPort{far}, redirect{far, near}, true
	w.verifier.Client = trusting
	if r := w.verify(); !r.Secure {
		t.Error("AD of a distant resolver does not count with TrustAD")
	}
}

// TestDoubt wants an answer with the question in other letters to be taken over TCP only: a forger off the path
// cannot know the letters.
func TestDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zone.Set(owner, w.token())
	w.zone.Server(0).Fault(dnstest.LowerCase)
	for _, a := range w.verify().Servers {
		if want := a.Server == "ns1.example.com"; a.TCP != want || a.Outcome != dnsverify.Match {
			t.Errorf("%s: over TCP %v, want %v; %s", a.Server, a.TCP, want, a.Outcome)
		}
	}
}

// TestBudget wants a check that needs too many questions to end without a finding.
func TestBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zone.Set(owner, w.token())
	w.verifier.Client.Queries = 3
	r := w.verify()
	if r.Status != dnsverify.Failed || w.verifier.Client.Asked() > 3 {
		t.Errorf("%s after %d questions: %v", r.Status, w.verifier.Client.Asked(), r.Problem)
	}
}

// TestGlueOfOthers wants an address for a name in another zone, sent along with a delegation, to be passed over.
func TestGlueOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zone.HostedBy(w.net.Zone("provider.net", nil))
	w.zone.Set(owner, w.token())
	attacker := w.net.Servers(1)[0]
	w.verifier.Client.Exchanger = poison{"ns1-example-com.provider.net.", attacker.Addr()}
	w.want(w.verify(), dnsverify.Verified, "")
	for _, q := range w.net.Queries() {
		if q.Server == attacker.Addr() {
			t.Fatalf("the attacker's server was asked for %s", q.Name)
		}
	}
}

// TestForgedDatagrams sends wrong answers before the right one: they must not end the question.
func TestForgedDatagrams(t *testing.T) {
	t.Parallel()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 512)
		for {
			n, peer, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			var q dns.Msg
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			good := new(dns.Msg).SetReply(&q)
			good.Authoritative, good.Rcode = true, dns.RcodeNameError
			for _, spoil := range []func(m *dns.Msg){
				func(m *dns.Msg) { m.Id++ },
				func(m *dns.Msg) { m.Response = false },
				func(m *dns.Msg) { m.Question[0].Name = "x." + m.Question[0].Name },
				func(m *dns.Msg) { m.Question[0].Qtype++ },
				func(m *dns.Msg) { m.Question = nil },
			} {
				bad := good.Copy()
				bad.Rcode = dns.RcodeRefused
				spoil(bad)
				out, _ := bad.Pack()
				udp.WriteToUDPAddrPort(out, peer)
			}
			udp.WriteToUDPAddrPort([]byte("x"), peer)
			out, _ := good.Pack()
			udp.WriteToUDPAddrPort(out, peer)
		}
	})
	t.Cleanup(func() {
		udp.Close()
		wg.Wait()
	})
	at := udp.LocalAddr().(*net.UDPAddr).AddrPort()
	c := &dnsverify.Client{Roots: []netip.Addr{at.Addr()}, Port: at.Port(), Timeout: 30 * time.Second}
	v := &dnsverify.Verifier{Challenge: &dnsverify.Challenge{Key: make([]byte, 16)}, Client: c}
	r, err := v.Verify(t.Context(), dnsverify.Claim{Tenant: "t", Domain: "example.com"})
	if err != nil || r.Problem == nil || r.Problem.Code != dnsverify.NoSuchDomain || c.Asked() != 1 {
		t.Errorf("%+v, %v after %d questions; want no_such_domain after one", r.Problem, err, c.Asked())
	}
}

// TestVerifyOldTokenBehindAlias: a token before the current one is told as such behind an alias too, or it would be
// spent before its successor is there.
func TestVerifyOldTokenBehindAlias(t *testing.T) {
	t.Parallel()
	for name, alias := range map[string]func(w *world) string{
		"in another zone": func(w *world) string {
			w.net.Zone("example.net", dnstest.Records{"proof": {"CNAME token"}, "token": {w.token()}})
			return "proof.example.net"
		},
		"in the target": func(w *world) string {
			w.verifier.Challenge.Pool = "verify.gw.test"
			r, err := w.verifier.Challenge.Delegation(w.claim)
			if err != nil {
				w.Fatal(err)
			}
			return r.Value
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.zone.Set(owner, "CNAME "+alias(w)+".")
			for epoch, old := range []bool{false, true} {
				w.claim.Epoch = uint32(epoch)
				r := w.verify()
				w.want(r, dnsverify.Verified, "")
				if r.OldToken != old {
					t.Errorf("epoch %d: OldToken is %v", epoch, r.OldToken)
				}
			}
		})
	}
}
