package verdict_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
)

// versioned is a scanner with a signature set. It counts what it is asked.
type versioned struct {
	version atomic.Value // string; "" is an error
	answer  func(m *verdict.Message) ([]verdict.Finding, error)
	scans   atomic.Int64
	asked   atomic.Int64
}

func (v *versioned) Name() string { return "versioned" }

func (v *versioned) Scan(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	v.scans.Add(1)
	return v.answer(m)
}

func (v *versioned) Version(context.Context) (string, error) {
	v.asked.Add(1)
	if v := v.version.Load().(string); v != "" {
		return v, nil
	}
	return "", errors.New("down")
}

func newVersioned(fs ...verdict.Finding) *versioned {
	v := &versioned{answer: func(*verdict.Message) ([]verdict.Finding, error) { return slices.Clone(fs), nil }}
	v.version.Store("1")
	return v
}

func mailOf(s string) *verdict.Message {
	m := verdict.NewMessage(verdict.Bytes("Subject: x\r\n\r\n" + s))
	m.Peer = verdict.Client{Addr: netip.MustParseAddrPort("192.0.2.1:25")}
	m.Origin = m.Peer
	m.Envelope = verdict.Envelope{From: "a@example.org", To: []verdict.Recipient{{Address: "b@example.net"}}}
	return m
}

// The same attachment to many: one scan, the same findings, until the signatures change or the answer is old.
func TestCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := newVersioned(verdict.Finding{Code: "v.found", Class: verdict.Malicious})
		s := verdict.Cache(v, verdict.CacheOptions{ContentOnly: true, Age: time.Hour, VersionAge: time.Minute})
		scan := func(m *verdict.Message, scans int64) {
			t.Helper()
			fs, err := s.Scan(t.Context(), m)
			if d := cmp.Diff([]verdict.Finding{{Code: "v.found", Class: verdict.Malicious}}, fs); d != "" || err != nil {
				t.Error(err, d)
			}
			if len(fs) > 0 {
				fs[0].Class = verdict.Clean // what the caller does with its copy is its own business
			}
			if n := v.scans.Swap(0); n != scans {
				t.Errorf("scanned %d times, want %d", n, scans)
			}
		}
		scan(mailOf("a"), 1)
		for i := range 1000 {
			m := mailOf("a")
			m.Envelope.From = fmt.Sprint(i)
			scan(m, 0)
		}
		scan(mailOf("b"), 1)
		v.version.Store("2")
		scan(mailOf("a"), 0)
		time.Sleep(time.Minute)
		scan(mailOf("a"), 1)
		scan(mailOf("a"), 0)
		if n := v.asked.Load(); n != 2 {
			t.Errorf("asked for the version %d times, want 2", n)
		}
		time.Sleep(time.Hour)
		scan(mailOf("a"), 1)
		v.version.Store("")
		time.Sleep(time.Minute)
		scan(mailOf("a"), 1)
		scan(mailOf("a"), 1)
		v.version.Store("2")
		time.Sleep(time.Second)
		scan(mailOf("a"), 0)
	})
}

// Unless the answer depends on the content alone, everything around it counts.
func TestCacheAround(t *testing.T) {
	t.Parallel()
	v := newVersioned()
	s := verdict.Cache(v, verdict.CacheOptions{})
	for name, change := range map[string]func(m *verdict.Message){
		"sender": func(m *verdict.Message) { m.Envelope.From = "c@example.org" },
		"recipients": func(m *verdict.Message) {
			m.Envelope.To = append(m.Envelope.To, verdict.Recipient{Address: "c@example.net"})
		},
		"client": func(m *verdict.Message) { m.Origin.Addr = netip.MustParseAddrPort("192.0.2.2:25") },
		"peer":   func(m *verdict.Message) { m.Peer.Addr = netip.MustParseAddrPort("192.0.2.2:25") },
		"HELO":   func(m *verdict.Message) { m.Origin.Helo = "x" },
		"auth":   func(m *verdict.Message) { m.Auth.SPF.Result = "fail" },
	} {
		m := mailOf("a")
		change(m)
		for i := range 3 {
			v.scans.Store(0)
			s.Scan(t.Context(), m)
			if n := v.scans.Load(); n != int64(1-min(i, 1)) {
				t.Errorf("%s: scanned %d times in round %d", name, n, i)
			}
		}
	}
	s.Scan(t.Context(), mailOf("a"))
	v.scans.Store(0)
	m := mailOf("a")
	m.Peer.Addr, m.Origin.Addr, m.ID = netip.MustParseAddrPort("192.0.2.1:26"), netip.MustParseAddrPort("192.0.2.1:27"), "other"
	if s.Scan(t.Context(), m); v.scans.Load() != 0 {
		t.Error("ports and ids count")
	}
}

// Failures are never remembered, nor what is too large to remember, nor answers to messages that cannot be read.
func TestCacheNever(t *testing.T) {
	t.Parallel()
	found := []verdict.Finding{{Code: "v.found", Class: verdict.Spam}}
	for name, tt := range map[string]struct {
		findings []verdict.Finding
		err      error
		m        func() *verdict.Message
	}{
		"an error":             {nil, errors.New("down"), func() *verdict.Message { return mailOf("a") }},
		"findings and error":   {found, errors.New("down"), func() *verdict.Message { return mailOf("a") }},
		"could not tell":       {append(found, verdict.Finding{Code: "v.limit", Err: errors.New("too deep")}), nil, func() *verdict.Message { return mailOf("a") }},
		"many findings":        {make([]verdict.Finding, 51), nil, func() *verdict.Message { return mailOf("a") }},
		"much text":            {[]verdict.Finding{{Detail: strings.Repeat("x", 9<<10)}}, nil, func() *verdict.Message { return mailOf("a") }},
		"an unreadable source": {found, nil, func() *verdict.Message { return verdict.NewMessage(unreadable{}) }},
		"no content":           {found, nil, func() *verdict.Message { return new(verdict.Message) }},
	} {
		v := newVersioned()
		v.answer = func(*verdict.Message) ([]verdict.Finding, error) { return tt.findings, tt.err }
		s := verdict.Cache(v, verdict.CacheOptions{ContentOnly: true})
		for range 3 {
			s.Scan(t.Context(), tt.m())
		}
		if n := v.scans.Load(); n != 3 {
			t.Errorf("%s: scanned %d times, want 3", name, n)
		}
	}
}

type unreadable struct{}

func (unreadable) Open() (io.ReadCloser, error) { return nil, errDisk }
func (unreadable) Size() int64                  { return 10 }

// What was asked with a context that ended on the way is not remembered, whatever it says.
func TestCacheCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	v := newVersioned()
	v.answer = func(*verdict.Message) ([]verdict.Finding, error) { cancel(); return nil, nil }
	s := verdict.Cache(v, verdict.CacheOptions{})
	s.Scan(ctx, mailOf("a"))
	s.Scan(t.Context(), mailOf("a"))
	if n := v.scans.Load(); n != 2 {
		t.Errorf("scanned %d times, want 2", n)
	}
}

// The number of entries is bounded, and the least recently used one goes first.
func TestCacheEntries(t *testing.T) {
	t.Parallel()
	v := newVersioned()
	s := verdict.Cache(v, verdict.CacheOptions{Entries: 2})
	asked := func(content string) bool {
		v.scans.Store(0)
		s.Scan(t.Context(), mailOf(content))
		return v.scans.Load() == 1
	}
	var got []bool
	for _, c := range strings.Split("a b a c a b", " ") {
		got = append(got, asked(c))
	}
	if d := cmp.Diff([]bool{true, true, false, true, false, true}, got); d != "" {
		t.Error(d)
	}
}

func TestCacheConcurrent(t *testing.T) {
	t.Parallel()
	v := newVersioned(verdict.Finding{Code: "v.found", Class: verdict.Spam})
	s := verdict.Cache(v, verdict.CacheOptions{Entries: 3, VersionAge: time.Nanosecond})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				if fs, err := s.Scan(t.Context(), mailOf(fmt.Sprint(i%5))); err != nil || len(fs) != 1 {
					t.Errorf("%v, %v", fs, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		size  int64
		class verdict.Class
		want  verdict.Class
	}{
		{0, verdict.Unknown, verdict.Spam},
		{-1, verdict.Unknown, verdict.Spam},
		{mail.Size(), verdict.Unknown, verdict.Spam},
		{mail.Size() - 1, verdict.Unknown, verdict.Unknown},
		{mail.Size() - 1, verdict.Clean, verdict.Clean},
		{mail.Size() - 1, verdict.Spam, verdict.Spam},
		{mail.Size() - 1, verdict.Malicious, verdict.Malicious},
	} {
		s := verdict.MaxSize(finds("a", verdict.Spam), tt.size, tt.class)
		r := (&verdict.Engine{Scanners: []verdict.Scanner{s}}).Judge(t.Context(), verdict.NewMessage(mail))
		passed := tt.size <= 0 || tt.size >= mail.Size()
		if r.Class != tt.want || (r.Findings[0].Code == verdict.CodeScannerSize) == passed {
			t.Errorf("up to %d, else %v: %v by %s, want %v", tt.size, tt.class, r.Class, r.Findings[0].Code, tt.want)
		}
	}
}

func ExampleMaxSize() {
	s := verdict.MaxSize(verdict.Nothing, 10, verdict.Unknown)
	r := (&verdict.Engine{Scanners: []verdict.Scanner{s}}).Judge(context.Background(), verdict.NewMessage(verdict.Bytes("Subject: large\r\n\r\n")))
	fmt.Println(r.Class, r.Findings[0].Code, r.Findings[0].Detail)
	// Output: unknown scanner.size 18 bytes, and nothing is asked about no more than 10
}

// After two failures the engine is left alone.
func ExampleBreaker() {
	down := verdict.Func("av", func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
		return nil, errors.New("connection refused")
	})
	e := &verdict.Engine{Scanners: []verdict.Scanner{verdict.Breaker(down, 2, time.Minute)}}
	for range 3 {
		r := e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes("Subject: x\r\n\r\n")))
		fmt.Println(r.Class, r.Runs[0].Err)
	}
	// Output:
	// unknown connection refused
	// unknown connection refused
	// unknown verdict: scanner not asked, it has failed too often: 2 times in a row, last: connection refused
}

// The second message of the same content is not scanned.
func ExampleCache() {
	av := verdict.Func("av", func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
		fmt.Println("scanning")
		return []verdict.Finding{{Code: "av.found", Class: verdict.Malicious}}, nil
	})
	e := &verdict.Engine{Scanners: []verdict.Scanner{verdict.Cache(av, verdict.CacheOptions{ContentOnly: true})}}
	for _, from := range []string{"ann@example.org", "bob@example.org"} {
		m := verdict.NewMessage(verdict.Bytes("Subject: x\r\n\r\n"))
		m.Envelope.From = from
		fmt.Println(e.Judge(context.Background(), m).Class)
	}
	// Output:
	// scanning
	// malicious
	// malicious
}
