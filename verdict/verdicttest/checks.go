package verdicttest

import (
	"context"
	"errors"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

func checkClean(tb testing.TB, s *Suite) {
	r := s.healthy(tb, s.scanner(tb), s.clean(tb), "the clean message")
	if r.failed() {
		tb.Errorf("the clean message: %v", r)
	}
	for _, f := range r.findings {
		if f.Class > verdict.Clean {
			tb.Errorf("the clean message: %s makes it %v", f.Code, f.Class)
		}
	}
}

func checkHit(tb testing.TB, s *Suite) {
	m := s.hit(tb)
	if m == nil {
		tb.Skip("the suite has no Hit")
	}
	if r := s.healthy(tb, s.scanner(tb), m, "the hit"); r.failed() || !s.found(r) {
		tb.Errorf("the hit: %v; want %v", r, s.Want)
	}
}

// checkSame asks several times, and another scanner: the answer does not depend on what was asked before.
func checkSame(tb testing.TB, s *Suite) {
	sc := s.scanner(tb)
	other := s.scanner(tb)
	for what, make := range s.samples() {
		want := s.healthy(tb, sc, make(tb), what)
		for i := range 4 {
			got := s.healthy(tb, sc, make(tb), what)
			if i == 3 {
				got = s.healthy(tb, other, make(tb), what)
			}
			if !s.same(want, got) {
				tb.Errorf("%s: first %v, then %v", what, want, got)
			}
		}
	}
}

// samples are Clean and, if there is one, Hit.
func (s *Suite) samples() map[string]func(tb testing.TB) *verdict.Message {
	out := map[string]func(tb testing.TB) *verdict.Message{"the clean message": s.clean}
	if s.Hit != nil {
		out["the hit"] = s.Hit
	}
	return out
}

// same compares two answers. Errors only have to be there or not; what an engine says for people may
// have a time in it.
func (s *Suite) same(a, b result) bool {
	if (a.err == nil) != (b.err == nil) || len(a.findings) != len(b.findings) {
		return false
	}
	for i := range a.findings {
		f, g := a.findings[i], b.findings[i]
		if (f.Err == nil) != (g.Err == nil) {
			return false
		}
		f.Err, g.Err = nil, nil
		if s.Engine != nil {
			f.Detail, g.Detail = "", ""
		}
		if f != g {
			return false
		}
	}
	return true
}

// checkConcurrent asks one scanner from 16 goroutines, about messages of their own and one they share.
func checkConcurrent(tb testing.TB, s *Suite) {
	sc := s.scanner(tb)
	shared := s.clean(tb)
	ctx, cancel := context.WithTimeout(tb.Context(), s.timeout())
	defer cancel()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 4 {
				for _, m := range []*verdict.Message{shared, s.clean(tb)} {
					if r := s.scan(tb, ctx, sc, m, "a clean message beside others"); r.failed() || s.Hit != nil && s.Want > verdict.Clean && s.found(r) {
						tb.Errorf("goroutine %d, clean message: %v", i, r)
					}
				}
				if m := s.hit(tb); m != nil {
					if r := s.scan(tb, ctx, sc, m, "a hit beside others"); r.failed() || !s.found(r) {
						tb.Errorf("goroutine %d, hit: %v", i, r)
					}
				}
			}
		})
	}
	wg.Wait()
}

// checkCancelled asks with a context that has ended. A quick scanner may answer all the same, but it
// must not say that there is nothing.
func checkCancelled(tb testing.TB, s *Suite) {
	sc := s.scanner(tb)
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	for what, make := range s.samples() {
		r := s.scan(tb, ctx, sc, make(tb), what)
		if what == "the hit" && s.lost(r) {
			tb.Errorf("asked about a hit when the context had ended: %v; want an error", r)
		}
	}
}

// checkMidway ends the context when the scanner begins to read.
func checkMidway(tb testing.TB, s *Suite) {
	for what, make := range s.samples() {
		ctx, cancel := context.WithTimeout(tb.Context(), s.timeout())
		src := &tap{Source: make(tb), read: func(int64) error { cancel(); return nil }}
		r := s.scan(tb, ctx, s.scanner(tb), of(src), what)
		if what == "the hit" && s.lost(r) {
			tb.Errorf("the context ended while the scanner was reading a hit: %v; want an error", r)
		}
		cancel()
	}
}

// checkDeadline gives a message of 16 MB hardly any time.
func checkDeadline(tb testing.TB, s *Suite) {
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Millisecond)
	defer cancel()
	s.scan(tb, ctx, s.scanner(tb), of(lines(16<<20)), "16 MB in 20 ms")
}

// checkBorrowed takes the message back after the scan, looks at another, and waits for what still runs.
func checkBorrowed(tb testing.TB, s *Suite) {
	sc := s.scanner(tb)
	for what, make := range s.samples() {
		m, takeBack := Lend(tb, make(tb))
		labelled(func(settle func(want int, patience time.Duration) int) {
			s.healthy(tb, sc, m, what)
			takeBack()
			s.healthy(tb, sc, make(tb), what)
			settle(0, time.Second)
		})
	}
}

// checkUnchanged compares what a scanner could change in a message.
func checkUnchanged(tb testing.TB, s *Suite) {
	type fields struct {
		ID           string
		Peer, Origin verdict.Client
		Envelope     verdict.Envelope
		Received     time.Time
		Auth         verdict.AuthResults
		Limits       verdict.Limits
	}
	look := func(m *verdict.Message) fields {
		e := m.Envelope
		e.To = append([]verdict.Recipient(nil), e.To...)
		auth := m.Auth
		auth.DKIM = append([]verdict.DKIMResult(nil), auth.DKIM...)
		return fields{m.ID, m.Peer, m.Origin, e, m.Received, auth, m.Limits}
	}
	for what, make := range s.samples() {
		m := make(tb)
		before := look(m)
		s.healthy(tb, s.scanner(tb), m, what)
		if after := look(m); !reflect.DeepEqual(before, after) {
			tb.Errorf("%s: the scanner has changed the message:\n%+v\n%+v", what, before, after)
		}
	}
}

func checkHostile(tb testing.TB, s *Suite) {
	sc := s.scanner(tb)
	s.healthy(tb, sc, new(verdict.Message), "the zero message")
	for name, raw := range Hostile() {
		s.healthy(tb, sc, of(verdict.Bytes(raw)), name)
	}
}

// errUnreadable is what sources return that break.
var errUnreadable = errors.New("verdicttest: the disk is broken")

// checkUnreadable hands out messages whose bytes cannot be read. A scanner that has met the error must
// not say that there is nothing.
func checkUnreadable(tb testing.TB, s *Suite) {
	sc := s.scanner(tb)
	const at = 256 << 10 // far behind what is read of a header
	for what, src := range map[string]*tap{
		"a message that cannot be opened":   {Source: s.clean(tb), open: errUnreadable},
		"a message that breaks in its body": {Source: Text(tb, 2*at), read: func(off int64) error { return breakAt(off, at) }},
	} {
		if r := s.healthy(tb, sc, of(src), what); src.met.Load() && !r.failed() {
			tb.Errorf("%s: %v; want an error", what, r)
		}
	}
}

func breakAt(off, at int64) error {
	if off < at {
		return nil
	}
	return errUnreadable
}

// tap is a Source that lets a test act when it is opened or read.
type tap struct {
	verdict.Source
	open error                 // of Open
	read func(off int64) error // called before each Read; an error ends it
	met  atomic.Bool           // an error was returned
}

func (t *tap) Open() (io.ReadCloser, error) {
	if t.open != nil {
		t.met.Store(true)
		return nil, t.open
	}
	r, err := t.Source.Open()
	return &tapReader{ReadCloser: r, t: t}, err
}

// tapReader is neither io.ReaderAt nor io.WriterTo, so that every byte comes by Read.
type tapReader struct {
	io.ReadCloser
	t   *tap
	off int64
}

func (r *tapReader) Read(p []byte) (int, error) {
	if r.t.read != nil {
		if err := r.t.read(r.off); err != nil {
			r.t.met.Store(true)
			return 0, err
		}
	}
	n, err := r.ReadCloser.Read(p[:min(len(p), 4096)])
	r.off += int64(n)
	return n, err
}
