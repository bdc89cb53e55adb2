package dnstest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// exchange asks one server with a client of another make.
func exchange(s *dnstest.Server, port uint16, network, name string, qtype uint16, rd bool) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	q.RecursionDesired = rd
	q.SetEdns0(1232, true)
	c := &dns.Client{Net: network, Timeout: 2 * time.Second}
	r, _, err := c.Exchange(q, fmt.Sprintf("%s:%d", s.Addr(), port))
	return r, err
}

func TestAuthoritative(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	z := n.Zone("example.com", dnstest.Records{
		"@": {"MX 10 mail", `300 TXT "a b" "c"`}, "mail": {"A 192.0.2.1"}, "alias": {"CNAME mail"}, "out": {"CNAME x.example.net."},
		"deep.down": {"A 192.0.2.2"}, "*.wild": {"TXT w"},
	})
	n.Zone("child.example.com", nil)
	tests := []struct {
		name  string
		qtype uint16
		want  string // rcode, AA, answers, authority
	}{
		{"example.com", dns.TypeMX, "NOERROR true [MX 10 mail.example.com.] []"},
		{"EXAMPLE.com", dns.TypeTXT, `NOERROR true [TXT "a b" "c"] []`},
		{"alias.example.com", dns.TypeA, "NOERROR true [CNAME mail.example.com. A 192.0.2.1] []"},
		{"out.example.com", dns.TypeA, "NOERROR true [CNAME x.example.net.] []"},
		{"mail.example.com", dns.TypeMX, "NOERROR true [] [SOA]"},
		{"down.example.com", dns.TypeA, "NOERROR true [] [SOA]"},
		{"none.example.com", dns.TypeA, "NXDOMAIN true [] [SOA]"},
		{"a.b.wild.example.com", dns.TypeTXT, `NOERROR true [TXT "w"] []`},
		{"x.child.example.com", dns.TypeA, "NOERROR false [] [NS NS]"},
		{"example.org", dns.TypeA, "REFUSED false [] []"},
	}
	for _, tt := range tests {
		for _, network := range []string{"udp", "tcp"} {
			r, err := exchange(z.Server(0), n.Port(), network, tt.name, tt.qtype, false)
			if err != nil {
				t.Fatal(err)
			}
			var answer, authority []string
			for _, rr := range r.Answer {
				answer = append(answer, dns.TypeToString[rr.Header().Rrtype]+" "+strings.TrimPrefix(rr.String(), rr.Header().String()))
			}
			for _, rr := range r.Ns {
				authority = append(authority, dns.TypeToString[rr.Header().Rrtype])
			}
			if got := fmt.Sprintf("%s %v %v %v", dns.RcodeToString[r.Rcode], r.Authoritative, answer, authority); got != tt.want {
				t.Errorf("%s %s: %s, want %s", network, tt.name, got, tt.want)
			}
		}
	}
	if r, err := exchange(n.Root(), n.Port(), "udp", "example.com", dns.TypeA, false); err != nil || r.Authoritative || len(r.Ns) != 1 || len(r.Extra) < 2 {
		t.Errorf("the root does not delegate com with glue: %v %v", r, err)
	}
}

// TestFaults wants each fault to show, under its name.
func TestFaults(t *testing.T) {
	t.Parallel()
	describe := func(n *dnstest.Net, s *dnstest.Server, network string) string {
		r, err := exchange(s, n.Port(), network, "X.example.com", dns.TypeTXT, s == n.Resolver())
		if err != nil {
			if strings.Contains(err.Error(), "timeout") || strings.Contains(err.Error(), "EOF") {
				return "silence"
			}
			return "broken"
		}
		out := dns.RcodeToString[r.Rcode]
		for i, on := range []bool{r.Authoritative, r.RecursionAvailable, r.Truncated} {
			if on {
				out += []string{" AA", " RA", " TC"}[i]
			}
		}
		if q := r.Question[0].Name; q != "X.example.com." {
			out += " to " + q
		}
		for _, rr := range r.Answer {
			out += " " + strings.TrimPrefix(rr.String(), rr.Header().String())
		}
		return out
	}
	tests := []struct {
		fault    dnstest.Fault
		udp, tcp string
	}{
		{"", `NOERROR AA "new"`, `NOERROR AA "new"`},
		{dnstest.Lame, "REFUSED", "REFUSED"},
		{dnstest.NotAuthoritative, `NOERROR "new"`, `NOERROR "new"`},
		{dnstest.Intercepted, `NOERROR RA "new"`, `NOERROR RA "new"`},
		{dnstest.Silent, "silence", "silence"},
		{dnstest.Truncating, "NOERROR AA TC", `NOERROR AA "new"`},
		{dnstest.WrongID, "silence", "broken"},
		{dnstest.WrongQuestion, `NOERROR AA to other.X.example.com. "new"`, `NOERROR AA to other.X.example.com. "new"`},
		{dnstest.Late, "silence", `NOERROR AA "new"`},
		{dnstest.Split, `NOERROR AA "old"`, `NOERROR AA "old"`},
		{dnstest.ServFail, "SERVFAIL", "SERVFAIL"},
		{dnstest.Bogus, `NOERROR AA "new"`, `NOERROR AA "new"`},
		{dnstest.CNAMELoop, "NOERROR AA loop-1.example.com.", "NOERROR AA loop-1.example.com."},
		{dnstest.Garbage, "broken", "silence"},
		{dnstest.LowerCase, `NOERROR AA to x.example.com. "new"`, `NOERROR AA to x.example.com. "new"`},
		{dnstest.NoEDNS, "FORMERR", "FORMERR"},
		{dnstest.NoNS, `NOERROR AA "new"`, `NOERROR AA "new"`},
		{dnstest.Minimal, `NOERROR AA "new"`, `NOERROR AA "new"`},
	}
	seen := map[dnstest.Fault]bool{"": true}
	for _, tt := range tests {
		seen[tt.fault] = true
		t.Run(string(tt.fault), func(t *testing.T) {
			t.Parallel()
			n := dnstest.New(t)
			z := n.Zone("example.com", dnstest.Records{"x": {"TXT old"}})
			if tt.fault != "" {
				z.Server(0).Fault(tt.fault)
			}
			z.Set("x", "TXT new")
			if got := describe(n, z.Server(0), "udp"); got != tt.udp {
				t.Errorf("udp: %q, want %q", got, tt.udp)
			}
			if got := describe(n, z.Server(0), "tcp"); got != tt.tcp && tt.fault != dnstest.Garbage {
				t.Errorf("tcp: %q, want %q", got, tt.tcp)
			}
			if got := describe(n, z.Server(1), "udp"); got != `NOERROR AA "new"` {
				t.Errorf("the other server has the fault too: %q", got)
			}
			z.Server(0).Fault()
			if got := describe(n, z.Server(0), "udp"); got != `NOERROR AA "new"` {
				t.Errorf("not healed: %q", got)
			}
		})
	}
	for _, f := range dnstest.Faults() {
		if !seen[f] {
			t.Errorf("no row for the fault %q", f)
		}
	}
}

func TestFaultNoNS(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	z := n.Zone("example.com", nil)
	z.Fault(dnstest.NoNS)
	for name, want := range map[string]int{"x.example.com": dns.RcodeServerFailure, "example.com": dns.RcodeSuccess} {
		if r, err := exchange(z.Server(0), n.Port(), "udp", name, dns.TypeNS, false); err != nil || r.Rcode != want {
			t.Errorf("%s NS: %v, %v; want %s", name, r, err, dns.RcodeToString[want])
		}
	}
}

func TestResolver(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	z := n.Zone("example.com", dnstest.Records{"x": {"TXT one"}})
	z.Sign()
	ask := func(name string, cd bool) *dns.Msg {
		t.Helper()
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT)
		q.CheckingDisabled = cd
		q.SetEdns0(1232, true)
		r, _, err := new(dns.Client).Exchange(q, fmt.Sprintf("%s:%d", n.Resolver().Addr(), n.Port()))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask("x.example.com", false); !r.AuthenticatedData || !r.RecursionAvailable || len(r.Answer) != 1 {
		t.Errorf("signed: %v", r)
	}
	if r := ask("later.example.com", false); r.Rcode != dns.RcodeNameError || len(r.Ns) != 1 {
		t.Errorf("missing: %v", r)
	}
	z.Set("later", "TXT here")
	if r := ask("later.example.com", false); r.Rcode != dns.RcodeNameError {
		t.Errorf("the resolver does not keep that there was nothing: %v", r)
	}
	z.Fault(dnstest.Bogus)
	z.Set("y", "TXT two")
	r := ask("y.example.com", false)
	if r.Rcode != dns.RcodeServerFailure || len(r.IsEdns0().Option) != 1 {
		t.Errorf("bogus: %v", r)
	}
	if r := ask("y.example.com", true); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 {
		t.Errorf("bogus with CD: %v", r)
	}
}

// recorder is a TB that fails like a test: Fatalf ends the goroutine.
type recorder struct {
	cleanups []func()
	errors   []string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// TestMisuse wants each misuse to fail the test, with a word about it.
func TestMisuse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, word string
		run        func(n *dnstest.Net, z *dnstest.Zone)
	}{
		{"no record", "not a record", func(_ *dnstest.Net, z *dnstest.Zone) { z.Set("x", "no record at all") }},
		{"two records in one", "more than one", func(_ *dnstest.Net, z *dnstest.Zone) { z.Set("x", "A 192.0.2.1\nx A 192.0.2.2") }},
		{"absolute owner", "not relative", func(_ *dnstest.Net, z *dnstest.Zone) { z.Set("x.example.com.", "A 192.0.2.1") }},
		{"empty owner", "not relative", func(_ *dnstest.Net, z *dnstest.Zone) { z.Set("", "A 192.0.2.1") }},
		{"owner that is no name", "not a name", func(_ *dnstest.Net, z *dnstest.Zone) { z.Set(strings.Repeat("x", 64), "A 192.0.2.1") }},
		{"zone twice", "there already", func(n *dnstest.Net, _ *dnstest.Zone) { n.Zone("Example.com.", nil) }},
		{"root zone", "there already", func(n *dnstest.Net, _ *dnstest.Zone) { n.Zone(".", nil) }},
		{"server that is not there", "not one with number", func(_ *dnstest.Net, z *dnstest.Zone) { z.Server(2) }},
		{"unknown fault", "no fault", func(_ *dnstest.Net, z *dnstest.Zone) { z.Server(0).Fault("lazy") }},
		{"resolver split", "cache", func(n *dnstest.Net, _ *dnstest.Zone) { n.Resolver().Fault(dnstest.Split) }},
		{"hosted by itself", "cannot be hosted", func(_ *dnstest.Net, z *dnstest.Zone) { z.HostedBy(z) }},
		{"strict: recursion asked of an authority", "RD is true", func(n *dnstest.Net, z *dnstest.Zone) {
			n.Strict()
			exchange(z.Server(0), n.Port(), "udp", "example.com", dns.TypeA, true)
		}},
		{"strict: no recursion asked of the resolver", "RD is false", func(n *dnstest.Net, z *dnstest.Zone) {
			n.Strict()
			exchange(n.Resolver(), n.Port(), "udp", "example.com", dns.TypeA, false)
		}},
		{"strict: no EDNS", "no EDNS", func(n *dnstest.Net, z *dnstest.Zone) {
			n.Strict()
			q := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
			q.RecursionDesired = false
			dns.Exchange(q, fmt.Sprintf("%s:%d", z.Server(0).Addr(), n.Port()))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			done := make(chan struct{})
			go func() {
				defer close(done)
				n := dnstest.New(r)
				tt.run(n, n.Zone("example.com", nil))
			}()
			<-done
			for _, f := range r.cleanups {
				f()
			}
			if len(r.errors) != 1 || !strings.Contains(r.errors[0], tt.word) {
				t.Errorf("errors %q, want one with %q", r.errors, tt.word)
			}
		})
	}
}

func TestUsePanicsOnMisuse(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	dnstest.Use(func(n *dnstest.Net) { n.Zone("example.com", dnstest.Records{"x": {"nonsense"}}) })
}

func TestQueries(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	z := n.Zone("example.com", nil)
	if _, err := exchange(z.Server(1), n.Port(), "tcp", "A.example.com", dns.TypeMX, false); err != nil {
		t.Fatal(err)
	}
	want := dnstest.Query{Server: z.Server(1).Addr(), Network: "tcp", Name: "a.example.com", Type: "MX"}
	if q := n.Queries(); len(q) != 1 || q[0] != want || n.Count() != 1 {
		t.Errorf("%+v, want %+v", q, want)
	}
}
