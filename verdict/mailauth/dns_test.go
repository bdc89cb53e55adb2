package mailauth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/verdict/mailauth"
)

// nameServer is a server on loopback that answers over UDP and TCP.
type nameServer struct {
	addr  string
	count atomic.Int32 // of questions
}

func serveDNS(t testing.TB, answer func(q dns.Question, network string) *dns.Msg) *nameServer {
	t.Helper()
	var (
		pc net.PacketConn
		l  net.Listener
	)
	for range 20 { // the port that UDP got may be taken for TCP
		var err error
		if pc, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if l, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			break
		}
		pc.Close()
	}
	if l == nil {
		t.Fatal("no port for UDP and TCP")
	}
	s := &nameServer{addr: pc.LocalAddr().String()}
	handle := func(network string) dns.Handler {
		return dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			s.count.Add(1)
			m := answer(q.Question[0], network)
			if m == nil {
				return
			}
			rcode, truncated := m.Rcode, m.Truncated
			if m.Question == nil {
				m.SetReply(q)
			}
			m.Id, m.Rcode, m.Truncated = q.Id, rcode, truncated
			if err := w.WriteMsg(m); err != nil && network == "tcp" {
				t.Logf("name server: %v", err)
			}
		})
	}
	var started sync.WaitGroup
	started.Add(2)
	udp := &dns.Server{PacketConn: pc, Handler: handle("udp"), NotifyStartedFunc: started.Done}
	tcp := &dns.Server{Listener: l, Handler: handle("tcp"), NotifyStartedFunc: started.Done}
	var wg sync.WaitGroup
	for _, srv := range []*dns.Server{udp, tcp} {
		wg.Go(func() { srv.ActivateAndServe() })
	}
	started.Wait()
	t.Cleanup(func() {
		udp.Shutdown()
		tcp.Shutdown()
		wg.Wait()
	})
	return s
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDNSAnswers(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 250)
	var bigTXT []string
	for range 250 {
		bigTXT = append(bigTXT, `"`+big+`"`)
	}
	zone := map[string][]string{
		"txt.example. TXT":   {`txt.example. 60 TXT "a b" "c"`, `txt.example. 60 TXT "q\"\\\195\188\000"`},
		"a.example. A":       {"a.example. 60 A 192.0.2.1", "other.example. 60 A 192.0.2.9"},
		"a.example. AAAA":    {"a.example. 60 AAAA 2001:db8::1"},
		"mx.example. MX":     {"mx.example. 60 MX 20 b.example.", "mx.example. 60 MX 10 a.example."},
		"null.example. MX":   {"null.example. 60 MX 0 ."},
		"ptr.example. PTR":   {"ptr.example. 60 PTR host.example."},
		"alias.example. A":   {"alias.example. 60 CNAME A.example.", "a.example. 60 A 192.0.2.1"},
		"far.example. A":     {"far.example. 60 CNAME a.example."},
		"loop.example. A":    {"loop.example. 60 CNAME pool.example.", "pool.example. 60 CNAME loop.example."},
		"slow.example. A":    {"slow.example. 60 CNAME swol.example."},
		"swol.example. A":    {"swol.example. 60 CNAME slow.example."},
		"big.example. TXT":   {"big.example. 60 TXT " + strings.Join(bigTXT, " ")},
		"dangle.example. A":  {"dangle.example. 60 CNAME gone.example."},
		"nothing.example. A": {},
	}
	s := serveDNS(t, func(q dns.Question, network string) *dns.Msg {
		m := new(dns.Msg)
		switch q.Name {
		case "servfail.example.":
			m.Rcode = dns.RcodeServerFailure
			return m
		case "refused.example.":
			m.Rcode = dns.RcodeRefused
			return m
		case "silent.example.":
			return nil
		case "cut.example.":
			m.Truncated = true
			return m
		case "other.example.":
			m.SetQuestion("another.example.", q.Qtype)
			m.Response = true
			return m
		}
		list, ok := zone[strings.ToLower(q.Name)+" "+dns.TypeToString[q.Qtype]]
		if q.Name == "big.example." && network == "udp" {
			m.Truncated = true
			return m
		}
		if !ok || q.Name == "dangle.example." {
			m.Rcode = dns.RcodeNameError
			m.Ns = append(m.Ns, rr(t, "example. 60 SOA a. b. 1 1 1 1 30"))
		}
		for _, text := range list {
			m.Answer = append(m.Answer, rr(t, text))
		}
		return m
	})
	patient := &mailauth.DNS{Servers: []string{s.addr}, Timeout: 30 * time.Second, Attempts: 1}
	hasty := &mailauth.DNS{Servers: []string{s.addr}, Timeout: 300 * time.Millisecond, Attempts: 1}
	for _, c := range []struct {
		name string
		kind mailauth.RecordType
		want []string
		err  error
	}{
		{"txt.example", mailauth.TXT, []string{"a bc", "q\"\\\xc3\xbc\x00"}, nil},
		{"TXT.Example.", mailauth.TXT, []string{"a bc", "q\"\\\xc3\xbc\x00"}, nil},
		{"a.example", mailauth.A, []string{"192.0.2.1"}, nil},
		{"a.example", mailauth.AAAA, []string{"2001:db8::1"}, nil},
		{"mx.example", mailauth.MX, []string{"a.example", "b.example"}, nil},
		{"null.example", mailauth.MX, []string{""}, nil},
		{"ptr.example", mailauth.PTR, []string{"host.example"}, nil},
		{"alias.example", mailauth.A, []string{"192.0.2.1"}, nil},
		{"far.example", mailauth.A, []string{"192.0.2.1"}, nil},
		{"loop.example", mailauth.A, nil, mailauth.ErrTemporary},
		{"slow.example", mailauth.A, nil, mailauth.ErrTemporary},
		{"big.example", mailauth.TXT, []string{strings.Repeat(big, 250)}, nil},
		{"dangle.example", mailauth.A, nil, nil},
		{"nothing.example", mailauth.A, nil, nil},
		{"absent.example", mailauth.A, nil, mailauth.ErrNotExist},
		{"servfail.example", mailauth.A, nil, mailauth.ErrTemporary},
		{"refused.example", mailauth.A, nil, mailauth.ErrTemporary},
		{"silent.example", mailauth.A, nil, mailauth.ErrTemporary},
		{"cut.example", mailauth.A, nil, mailauth.ErrTemporary},
		{"other.example", mailauth.A, nil, mailauth.ErrTemporary},
		{"two..dots", mailauth.A, nil, mailauth.ErrNotExist},
		{"new\nline.example", mailauth.A, nil, mailauth.ErrNotExist},
		{strings.Repeat("a", 64) + ".example", mailauth.A, nil, mailauth.ErrNotExist},
	} {
		d := patient
		if errors.Is(c.err, mailauth.ErrTemporary) { // some of these are never answered
			d = hasty
		}
		got, err := d.Lookup(t.Context(), c.name, c.kind)
		if !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s %s: error %v, want %v", c.name, c.kind, err, c.err)
		}
		if errors.Is(err, mailauth.ErrTemporary) && errors.Is(err, mailauth.ErrNotExist) {
			t.Errorf("%s %s: temporary and permanent: %v", c.name, c.kind, err)
		}
		if diff := cmp.Diff(c.want, got); len(c.want)+len(got) > 0 && diff != "" {
			t.Errorf("%s %s: %s", c.name, c.kind, diff)
		}
	}
}

func TestDNSCache(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	s := serveDNS(t, func(q dns.Question, _ string) *dns.Msg {
		m := new(dns.Msg)
		switch q.Name {
		case "wait.example.":
			close(arrived)
			<-release
		case "gone.example.":
			m.Rcode = dns.RcodeNameError
			return m
		case "fails.example.":
			m.Rcode = dns.RcodeServerFailure
			return m
		}
		m.Answer = []dns.RR{rr(t, q.Name+" 0 A 192.0.2.1")}
		return m
	})
	d := &mailauth.DNS{Servers: []string{s.addr}, Attempts: 1}
	ask := func(name string) error {
		_, err := d.Lookup(t.Context(), name, mailauth.A)
		return err
	}
	for _, c := range []struct {
		name string
		want int32
	}{{"once.example", 1}, {"gone.example", 1}, {"fails.example", 3}} {
		before := s.count.Load()
		for range 3 {
			ask(c.name) // the error is looked at elsewhere
		}
		if got := s.count.Load() - before; got != c.want {
			t.Errorf("%s: %d questions for 3 look-ups, want %d", c.name, got, c.want)
		}
	}
	// Twenty at once cause one question, and one that gives up does not take it from the others.
	before := s.count.Load()
	var wg sync.WaitGroup
	gaveUp, stop := context.WithCancel(t.Context())
	first := make(chan error, 1)
	wg.Go(func() {
		_, err := d.Lookup(gaveUp, "wait.example", mailauth.A)
		first <- err
	})
	<-arrived
	for range 20 {
		wg.Go(func() {
			if err := ask("wait.example"); err != nil {
				t.Error(err)
			}
		})
	}
	stop()
	if err := <-first; !errors.Is(err, mailauth.ErrTemporary) || !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up: %v", err)
	}
	close(release)
	wg.Wait()
	if got := s.count.Load() - before; got != 1 {
		t.Errorf("%d questions", got)
	}
}

func TestDNSCacheBound(t *testing.T) {
	t.Parallel()
	s := serveDNS(t, func(q dns.Question, _ string) *dns.Msg {
		m := new(dns.Msg)
		m.Answer = []dns.RR{rr(t, q.Name+` 600 TXT "x"`)}
		return m
	})
	d := &mailauth.DNS{Servers: []string{s.addr}, CacheEntries: 10}
	names := func(n int) {
		for i := range n {
			if _, err := d.Lookup(t.Context(), fmt.Sprintf("n%d.example", i), mailauth.TXT); err != nil {
				t.Fatal(err)
			}
		}
	}
	names(100)
	before := s.count.Load()
	names(100)
	if again := s.count.Load() - before; again < 90 {
		t.Errorf("100 names in a cache of 10: only %d were asked again", again)
	}
	names(5)
	before = s.count.Load()
	names(5)
	if again := s.count.Load() - before; again != 0 {
		t.Errorf("5 names in a cache of 10: %d were asked again", again)
	}
}

func TestDNSServers(t *testing.T) {
	t.Parallel()
	good := serveDNS(t, func(q dns.Question, _ string) *dns.Msg {
		m := new(dns.Msg)
		m.Answer = []dns.RR{rr(t, q.Name+" 60 A 192.0.2.1")}
		return m
	})
	bad := serveDNS(t, func(dns.Question, string) *dns.Msg {
		m := new(dns.Msg)
		m.Rcode = dns.RcodeServerFailure
		return m
	})
	d := &mailauth.DNS{Servers: []string{bad.addr, good.addr}}
	if got, err := d.Lookup(t.Context(), "a.example", mailauth.A); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	for _, servers := range [][]string{{"name.example"}, {}, {"192.0.2.1:x"}} {
		d := &mailauth.DNS{Servers: servers}
		if _, err := d.Lookup(t.Context(), "a.example", mailauth.A); !errors.Is(err, mailauth.ErrTemporary) || !strings.Contains(err.Error(), "name server") {
			t.Errorf("%q: %v", servers, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d = &mailauth.DNS{Servers: []string{good.addr}}
	if _, err := d.Lookup(ctx, "a.example", mailauth.A); !errors.Is(err, mailauth.ErrTemporary) {
		t.Errorf("a context that has ended: %v", err)
	}
	if _, err := d.Lookup(t.Context(), "a.example", "ANY"); !errors.Is(err, mailauth.ErrNotExist) {
		t.Errorf("an unknown type: %v", err)
	}
}
