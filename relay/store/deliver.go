package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// deliveryTime bounds one attempt, with everything that has to be read for it.
const deliveryTime = 15 * time.Minute

// attempt tries to deliver one row, and writes down what came of it. What is too old is tried once more, and given up
// if that fails.
func (s *Store) attempt(ctx context.Context, q Queued) result {
	dctx, cancel := context.WithTimeout(ctx, cmp.Or(s.deliveries.limit, deliveryTime))
	defer cancel()
	q, open, r := s.whole(dctx, q)
	if r != went {
		return r
	}
	q.last = !q.ends.IsZero() && !q.ends.After(time.Now()) && s.deliveries.clock.sound()
	body, err := s.body(dctx, q)
	switch {
	case s.bodyGone(err): // with all the others
		return s.failed(ctx, q, err)
	case errors.Is(err, ErrNoBody) || errors.Is(err, ErrDamaged):
		s.setAside(ctx, q, err)
		return useless
	case err != nil:
		return s.failed(ctx, q, err)
	}
	e := q.envelope
	e.To = make([]verdict.Recipient, len(open))
	for i, n := range open {
		e.To[i] = q.envelope.To[n]
	}
	watched := &watchedSource{Source: body}
	receipts, err := s.send(dctx, q, e, watched)
	if why := watched.damage(); why != nil { // the hop was not told the end, so it has nothing
		s.setAside(ctx, q, why)
		return useless
	}
	if ctx.Err() != nil && err != nil {
		s.unclaim(context.WithoutCancel(ctx), []Queued{q}, time.Time{}) // we stop; nobody's fault
		return useless
	}
	if err == nil && len(receipts) != len(e.To) {
		err = fmt.Errorf("the next hop gave %d receipts for %d recipients", len(receipts), len(e.To))
	}
	return s.settleQueued(ctx, q, open, receipts, err)
}

// giveUp is attempt without one, for what is too old. It says whether that is done.
func (s *Store) giveUp(ctx context.Context, q Queued) bool {
	rctx, cancel := context.WithTimeout(ctx, s.config.claim())
	defer cancel()
	q, open, r := s.whole(rctx, q)
	return r == useless || r == went && s.settleQueued(ctx, q, open, nil, errExpired) != broken
}

// whole reads all of a row that this node has claimed, and returns which of its recipients wait. The result is went if
// there is something to do.
func (s *Store) whole(ctx context.Context, q Queued) (Queued, []int, result) {
	if !s.deliveries.holds(q.ID) {
		return q, nil, useless // somebody else may be at it
	}
	fresh := len(q.envelope.To) > 0
	if !fresh {
		full, err := s.QueuedMessage(ctx, q.ID)
		switch {
		case errors.Is(err, ErrNotFound):
			return q, nil, useless // dropped
		case errors.Is(err, errUnreadable):
			s.setAside(ctx, q, err)
			return q, nil, useless
		case err != nil:
			return q, nil, s.failed(ctx, q, err)
		case full.Claimant != s.claimant:
			return q, nil, useless // taken over
		}
		full.since, full.ends = q.since, q.ends
		q = full
	}
	var open []int
	for i := range q.envelope.To {
		if fresh || q.Recipients[i].State == StateWaiting {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return q, nil, max(useless, s.settleQueued(ctx, q, nil, nil, nil)) // says nothing about the hop
	}
	return q, open, went
}

// errPanic is the cause of a failure of a message, where the hop cannot be blamed for it.
var errPanic = errors.New("panic in the next hop")

// send gives a message to the hop of its destination. A panic there is a failure of this message, and ends nothing else.
func (s *Store) send(ctx context.Context, q Queued, e verdict.Envelope, body verdict.Source) (receipts []relay.Receipt, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.config.Log.Error("panic in the next hop", "id", q.ID, "domain", q.Domain, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			receipts, err = nil, &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 3, 0}, Text: "temporary problem",
				Err: fmt.Errorf("%w: %w: %v", errPanic, relay.ErrUncertain, p)}
		}
	}()
	hop, err := s.hop(ctx, q.Domain)
	if err != nil {
		return nil, err
	}
	return hop.Deliver(ctx, e, body)
}

// body is what is sent.
func (s *Store) body(ctx context.Context, q Queued) (verdict.Source, error) {
	if q.bytes != nil {
		return verdict.Bytes(q.bytes), nil
	}
	return s.bodies.Get(ctx, q.body)
}

// hop finds where a destination is today.
func (s *Store) hop(ctx context.Context, domain string) (relay.NextHop, error) {
	dir, bounces := s.deliveries.hops()
	if isBounce(domain) {
		if bounces == nil {
			return nil, errors.New("no way for notices is configured")
		}
		return bounces, nil
	}
	if dir == nil {
		return nil, errors.New("the store does not run")
	}
	d, err := dir.Lookup(ctx, domain)
	if err != nil {
		return nil, err
	}
	if d == nil || d.Next == nil {
		return nil, errors.New("the domain has no next hop")
	}
	return d.Next, nil
}

var errExpired = &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 4, 7}, Text: "the message could not be delivered in time"}

// failed puts a row back for later, for reasons of our own.
func (s *Store) failed(ctx context.Context, q Queued, why error) result {
	s.config.Log.Error("a queued message cannot be delivered now", "id", q.ID, "error", why)
	s.unclaim(context.WithoutCancel(ctx), []Queued{q}, time.Now().Add(retryAfter(q.Attempts+1)))
	return broken
}

// setAside keeps a row that cannot be delivered as it is, and that nobody must delete, out of the way.
func (s *Store) setAside(ctx context.Context, q Queued, why error) {
	s.config.Log.Error("a queued message cannot be read and was set aside: see queue show", "id", q.ID, "error", why)
	err := s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "UPDATE queued SET state = 'aside', claimed = 0, claimant = '', last = ? WHERE id = ? AND claimant = ?", text(why.Error(), 512), q.ID, s.claimant)
		return err
	})
	if err != nil {
		s.config.Log.Error("a queued message cannot be set aside", "id", q.ID, "error", err)
	}
}

// watchedSource notices that a body is damaged while it is being sent.
type watchedSource struct {
	verdict.Source
	mu  sync.Mutex
	why error
}

func (w *watchedSource) damage() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

func (w *watchedSource) Open() (io.ReadCloser, error) {
	r, err := w.Source.Open()
	if err != nil {
		return nil, err
	}
	return watchedReader{r, w}, nil
}

type watchedReader struct {
	io.ReadCloser
	w *watchedSource
}

func (r watchedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if errors.Is(err, ErrDamaged) {
		r.w.mu.Lock()
		r.w.why = err
		r.w.mu.Unlock()
	}
	return n, err
}
