package verdicttest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// broken is a scanner whose engine stands behind a FaultServer.
type broken struct {
	*Suite
	tb     testing.TB
	sc     verdict.Scanner
	server *FaultServer
	reply  int64 // length of the answer to Hit
	nay    int64 // and to Clean
}

// behind returns a scanner that has just found Hit, so that whatever it keeps open is open.
func (s *Suite) behind(tb testing.TB) *broken {
	tb.Helper()
	b := &broken{Suite: s, tb: tb, server: NewFaultServer(tb, s.Engine(tb))}
	b.sc = s.New(tb, b.server.Addr())
	if r := s.healthy(tb, b.sc, s.hit(tb), "the hit, before any fault"); r.failed() || !s.found(r) {
		tb.Fatalf("the hit, before any fault: %v", r)
	}
	b.reply = b.server.Replied()
	b.server.Set(Fault{})
	b.patient(s.clean, "the clean message, before any fault")
	if b.nay = b.server.Replied(); b.reply == 0 || b.nay == 0 {
		tb.Fatal("the scanner has answered the hit, and the engine has said nothing: does New use the address it gets?")
	}
	return b
}

// under scans what message gives while the engine is broken, in as little time as Patience. It scans
// again as long as the scanner has only met that its old connections are closed.
func (b *broken) under(f Fault, message func(tb testing.TB) *verdict.Message, what string) (r result) {
	b.tb.Helper()
	b.server.Set(f)
	for range 5 {
		ctx, cancel := context.WithTimeout(b.tb.Context(), b.patience())
		r = b.scan(b.tb, ctx, b.sc, message(b.tb), what)
		cancel()
		if r.deaf || !r.failed() || b.server.Accepted() > 0 {
			break
		}
	}
	return r
}

// patient scans what message gives until it gets an answer, or Recovery is over.
func (b *broken) patient(message func(tb testing.TB) *verdict.Message, what string) result {
	b.tb.Helper()
	for end := time.Now().Add(b.recovery()); ; time.Sleep(10 * time.Millisecond) {
		r := b.healthy(b.tb, b.sc, message(b.tb), what)
		if !r.failed() || r.deaf || time.Now().After(end) {
			return r
		}
	}
}

// recovers ends the fault and waits until the scanner works again.
func (b *broken) recovers(after string) {
	b.tb.Helper()
	b.server.Set(Fault{})
	r := b.patient(b.hit, "after "+after)
	switch {
	case r.failed():
		b.tb.Errorf("after %s: the scanner does not work %v later: %v", after, b.recovery(), r)
	case b.lost(r):
		b.tb.Errorf("after %s: the hit is lost: %v", after, r)
	}
}

// checkSlow delays the answer, though not beyond the deadline.
func checkSlow(tb testing.TB, s *Suite) {
	b := s.behind(tb)
	b.server.Set(Fault{Kind: Late, Delay: 50 * time.Millisecond})
	if r := b.patient(s.hit, "an engine that takes 50 ms"); r.failed() || !s.found(r) {
		tb.Errorf("an engine that takes 50 ms: %v; want the hit", r)
	}
}

// checkFaultsClean breaks the engine in every way while it is asked about the clean message. The scanner
// cannot know that it is clean.
func checkFaultsClean(tb testing.TB, s *Suite) {
	b := s.behind(tb)
	for _, f := range Faults(b.nay) {
		what := fmt.Sprintf("fault %v, clean message", f)
		if r := b.under(f, s.clean, what); r.deaf {
			return
		} else if !r.failed() {
			tb.Errorf("%s: %v; want an error", what, r)
		}
	}
	large := func(testing.TB) *verdict.Message { return of(lines(16 << 20)) } // more than sockets hold
	if r := b.under(Fault{Kind: Deaf}, large, "fault deaf, 16 MB"); !r.failed() {
		tb.Errorf("fault deaf, 16 MB: %v; want an error", r)
	}
}

// checkFaultsHit does the same with the hit, which must not be lost, and after each fault the scanner
// has to work again.
func checkFaultsHit(tb testing.TB, s *Suite) {
	b := s.behind(tb)
	for _, f := range Faults(b.reply) {
		what := fmt.Sprintf("fault %v, hit", f)
		if r := b.under(f, s.hit, what); r.deaf {
			return
		} else if s.lost(r) {
			tb.Errorf("%s: %v; want an error", what, r)
		}
		b.recovers(what)
	}
}

// checkCuts cuts the answer to Hit at every byte, or at 100 places if it is long.
func checkCuts(tb testing.TB, s *Suite) {
	b := s.behind(tb)
	for after := int64(0); after < b.reply; after += max(1, b.reply/100) {
		f := Fault{Kind: Cut, After: after}
		if r := b.under(f, s.hit, f.String()); s.lost(r) {
			tb.Errorf("the answer to a hit, %v of %d bytes: %v; want an error", f, b.reply, r)
		}
	}
	b.recovers("cut replies")
}

// checkFlood counts what a scanner reads of a reply without end, until it has had enough.
func checkFlood(tb testing.TB, s *Suite) {
	const most = 32 << 20
	b := s.behind(tb)
	for _, after := range []int64{0, b.reply / 2, b.reply - 1} {
		f := Fault{Kind: Flood, After: after}
		b.server.Set(f)
		ctx, cancel := context.WithTimeout(tb.Context(), s.timeout())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for ctx.Err() == nil && b.server.Sent() <= most {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		r := s.scan(tb, ctx, b.sc, s.hit(tb), f.String())
		cancel()
		<-watched
		switch sent := b.server.Sent(); {
		case r.deaf:
			return
		case s.lost(r):
			tb.Errorf("%v: %v; want an error", f, r)
		case sent > most:
			tb.Errorf("%v: the scanner has read %d MB of a reply without end; bound what it reads", f, sent>>20)
		}
	}
	b.recovers("a flood")
}

// checkHanging looks for goroutines that wait for an engine nobody waits for any more.
func checkHanging(tb testing.TB, s *Suite) {
	b := s.behind(tb)
	b.server.Set(Fault{Kind: Hang})
	s.growth(tb, func(n int) {
		for range n {
			ctx, cancel := context.WithTimeout(tb.Context(), 50*time.Millisecond)
			r := s.scan(tb, ctx, b.sc, s.clean(tb), "an engine that hangs")
			cancel()
			if r.deaf {
				return
			}
		}
	}, "scans by an engine that hangs")
}
