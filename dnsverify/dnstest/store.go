package dnstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/postreeve/postreeve/dnsverify"
)

// TestStore holds a Store against its contract. Open returns a store with the same content each time; it begins empty.
func TestStore(tb TB, open func() dnsverify.Store) {
	tb.Helper()
	ctx := context.Background()
	s := open()
	if l, err := s.List(ctx); err != nil || len(l) != 0 {
		tb.Fatalf("List of an empty store: %v, %v", l, err)
	}
	if l, err := s.Domain(ctx, "none.example.com"); err != nil || len(l) != 0 {
		tb.Fatalf("Domain of an unknown domain: %v, %v; want none and no error", l, err)
	}
	for _, k := range []dnsverify.Claim{
		{Tenant: "b", Domain: "example.com"}, {Tenant: "a", Domain: "example.com", Region: "eu"},
		{Tenant: "a", Domain: "example.com"}, {Tenant: "../é\n", Domain: "a.example.com"},
	} {
		if err := s.Save(ctx, dnsverify.Entry{Claim: k, State: dnsverify.StatePending}); err != nil {
			tb.Fatalf("Save of a new entry %+v: %v", k, err)
		}
	}
	if err := s.Save(ctx, dnsverify.Entry{Claim: dnsverify.Claim{Tenant: "b", Domain: "example.com"}}); !errors.Is(err, dnsverify.ErrStale) {
		tb.Errorf("Save of an entry that is there as a new one: %v, want ErrStale", err)
	}
	if err := s.Save(ctx, dnsverify.Entry{Claim: dnsverify.Claim{Tenant: "z", Domain: "example.com"}, Version: 3}); !errors.Is(err, dnsverify.ErrStale) {
		tb.Errorf("Save of version 3 of an entry that is not there: %v, want ErrStale", err)
	}
	testReopen(tb, ctx, open())
	testRace(tb, ctx, open)
}

func testReopen(tb TB, ctx context.Context, s dnsverify.Store) {
	tb.Helper()
	list, err := s.List(ctx)
	if err != nil {
		tb.Fatalf("List: %v", err)
	}
	order := ""
	for _, e := range list {
		order += fmt.Sprintf("%s/%s/%s ", e.Domain, e.Tenant, e.Region)
		if e.Version != 1 {
			tb.Errorf("version %d of %+v, want 1", e.Version, e.Claim)
		}
	}
	if want := "a.example.com/../é\n/ example.com/a/ example.com/a/eu example.com/b/ "; order != want {
		tb.Errorf("order of List: %q, want %q", order, want)
	}
	if l, err := s.Domain(ctx, "example.com"); err != nil || len(l) != 3 {
		tb.Errorf("Domain: %d entries, %v; want 3", len(l), err)
	}
}

// testRace adds one to a counter from many sides: nothing may be lost.
func testRace(tb TB, ctx context.Context, open func() dnsverify.Store) {
	tb.Helper()
	const sides, times = 4, 10
	var wg sync.WaitGroup
	var failed atomic.Value
	for range sides {
		s := open()
		wg.Go(func() {
			for done := 0; done < times; {
				l, err := s.Domain(ctx, "a.example.com")
				if err != nil || len(l) != 1 {
					failed.Store(fmt.Errorf("%d entries of the domain, %v", len(l), err))
					return
				}
				l[0].Checks++
				if err = s.Save(ctx, l[0]); err == nil {
					done++
				} else if !errors.Is(err, dnsverify.ErrStale) {
					failed.Store(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err, ok := failed.Load().(error); ok {
		tb.Fatalf("saving from several sides: %v", err)
	}
	l, err := open().Domain(ctx, "a.example.com")
	if err != nil || len(l) != 1 || l[0].Checks != sides*times || l[0].Version != 1+sides*times {
		tb.Errorf("after %d saves: %+v, %v", sides*times, l, err)
	}
}
