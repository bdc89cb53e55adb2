package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
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
		return s.unread(ctx, q, err)
	}
	e := q.envelope
	e.To = make([]verdict.Recipient, len(open))
	for i, n := range open {
		e.To[i] = q.envelope.To[n]
	}
	watched := &watchedSource{Source: body}
	receipts, err := s.sendAll(dctx, q, e, watched)
	unread := watched.trouble()
	if !reached(receipts, err) {
		switch {
		case errors.Is(err, errNoHop):
			return s.unread(ctx, q, err)
		case errors.Is(unread, ErrDamaged):
			s.setAside(ctx, q, unread)
			return useless
		case ctx.Err() != nil && err != nil:
			return s.letGo(ctx, q)
		case unread != nil: // whatever the hop said, it was not about the message
			return s.unread(ctx, q, unread)
		}
	}
	if unread != nil || ctx.Err() != nil { // for whoever was not reached that was no attempt
		q.last = false
	}
	if err == nil && len(receipts) != len(e.To) {
		err = fmt.Errorf("the next hop gave %d receipts for %d recipients", len(receipts), len(e.To))
	}
	return s.settleQueued(ctx, q, open, receipts, err)
}

// mostRounds bounds the transactions of one attempt. Hops take 100 recipients at once, mostly (RFC 5321 section 4.5.3.1.8).
const mostRounds = 100

// sendAll gives a message to the hop of its destination, and to those for whom there was no room beside others in the next
// transaction (RFC 5321 section 4.5.3.1.10). Each has to deliver to somebody, else the rest waits as for any other reason.
func (s *Store) sendAll(ctx context.Context, q Queued, e verdict.Envelope, body *watchedSource) ([]relay.Receipt, error) {
	receipts, err := s.send(ctx, q, e, body)
	if err != nil || len(receipts) != len(e.To) {
		return receipts, err
	}
	receipts = slices.Clone(receipts)
	places, last := make([]int, len(receipts)), receipts // who the last transaction was for, and what came of it
	for i := range places {
		places[i] = i
	}
	for range mostRounds - 1 {
		if places = leftOut(places, last); len(places) == 0 || ctx.Err() != nil || body.trouble() != nil {
			break
		}
		if ours, _ := s.deliveries.holds(q.ID); !ours { // somebody else may be at it
			break
		}
		next := e
		next.To = make([]verdict.Recipient, len(places))
		for i, n := range places {
			next.To[i] = e.To[n]
		}
		if last, err = s.send(ctx, q, next, body); err == nil && len(last) != len(places) {
			err = fmt.Errorf("the next hop gave %d receipts for %d recipients", len(last), len(places))
		}
		if err != nil && !reached(nil, err) && (errors.Is(err, errNoHop) || ctx.Err() != nil || body.trouble() != nil) {
			break // that was no attempt: they were told that there is no room for them
		}
		for i, n := range places {
			if err == nil {
				receipts[n] = last[i]
				continue
			}
			reply, host := replyOf(nil, i, err)
			receipts[n] = relay.Receipt{Recipient: e.To[n].Address, Host: host, Reply: reply}
		}
		if err != nil {
			break
		}
	}
	return receipts, nil
}

// leftOut are those among some recipients who were too many, if others were taken.
func leftOut(places []int, receipts []relay.Receipt) (rest []int) {
	if !slices.ContainsFunc(receipts, relay.Receipt.Accepted) {
		return nil
	}
	for i, n := range places {
		if tooMany(receipts[i].Reply) {
			rest = append(rest, n)
		}
	}
	return rest
}

// tooMany says whether a reply is about the number of recipients (RFC 5321 section 4.5.3.1.10).
func tooMany(r *relay.Reply) bool {
	return r != nil && r.Code == 452 && (r.Enhanced == (relay.EnhancedCode{}) || r.Enhanced == relay.EnhancedCode{4, 5, 3})
}

// reached says whether the hop has the message for somebody, or may have it.
func reached(receipts []relay.Receipt, err error) bool {
	return errors.Is(err, relay.ErrUncertain) || slices.ContainsFunc(receipts, func(r relay.Receipt) bool {
		return r.Accepted() || r.Reply != nil && errors.Is(r.Reply, relay.ErrUncertain)
	})
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
	ours, again := s.deliveries.holds(q.ID)
	if !ours {
		return q, nil, useless // somebody else may be at it
	}
	fresh := len(q.envelope.To) > 0 && !again // else somebody else may have been at it
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

var (
	// errPanic is the cause of a failure of a message, where the hop cannot be blamed for it.
	errPanic = errors.New("panic in the next hop")
	// errNoHop is the cause where it cannot be found out today where a destination is. That is trouble of our own.
	errNoHop = errors.New("where the mail of its domain goes is not known now")
	// errNoNext is why, where the Directory knows the domain and names no hop.
	errNoNext = errors.New("the domain has no next hop")
)

// send gives a message to the hop of its destination. A panic there is a failure of this message, and ends nothing else.
func (s *Store) send(ctx context.Context, q Queued, e verdict.Envelope, body verdict.Source) (receipts []relay.Receipt, err error) {
	var hop relay.NextHop
	defer func() {
		p := recover()
		switch {
		case p == nil:
			return
		case hop == nil:
			s.config.Log.Error("panic in the directory of domains", "id", q.ID, "domain", q.Domain, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			receipts, err = nil, fmt.Errorf("%w: panic: %v", errNoHop, p)
		default:
			s.config.Log.Error("panic in the next hop", "id", q.ID, "domain", q.Domain, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			receipts, err = nil, &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 3, 0}, Text: "temporary problem",
				Err: fmt.Errorf("%w: %w: %v", errPanic, relay.ErrUncertain, p)}
		}
	}()
	if hop, err = s.hop(ctx, q); err != nil {
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

// hop finds where a message goes today. A destination that is known to have no way is as one that is away, and its mail
// ends in time; the error is errNoHop where that is not known. What we have written ourselves, a digest, gets the token of
// its domain there, and not when it is written: see tokened.
func (s *Store) hop(ctx context.Context, q Queued) (relay.NextHop, error) {
	dir, bounces := s.deliveries.hops()
	if dir == nil {
		return nil, fmt.Errorf("%w: the store does not run", errNoHop)
	}
	if isBounce(q.Domain) {
		return s.noticeHop(ctx, dir, bounces, q.Domain)
	}
	d, err := lookup(ctx, dir, q.Domain)
	switch {
	case err != nil:
		return nil, err
	case q.own:
		return tokened{d.Next, s.tokenField(d)}, nil
	}
	return d.Next, nil
}

// lookup asks for a domain that has a hop.
func lookup(ctx context.Context, dir relay.Directory, domain string) (*relay.Domain, error) {
	d, err := dir.Lookup(ctx, domain)
	switch {
	case errors.Is(err, relay.ErrUnknownDomain) || errors.Is(err, relay.ErrUnverified):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNoHop, err)
	case d == nil || d.Next == nil:
		return nil, fmt.Errorf("%w: %w", errNoHop, errNoNext)
	}
	return d, nil
}

var errExpired = &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 4, 7}, Text: "the message could not be delivered in time"}

// failed puts a row back for later, for reasons of our own. It may be this one alone, so it waits longer each time and
// others go before it.
func (s *Store) failed(ctx context.Context, q Queued, why error) result {
	if errors.Is(ctx.Err(), context.Canceled) {
		return s.letGo(ctx, q)
	}
	s.config.Log.Error("a queued message cannot be delivered now", "id", q.ID, "error", why)
	err := s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		return t.put(ctx, retryQueued, millis(time.Now().Add(retryAfter(q.Attempts+1))), text(why.Error(), 512), q.ID, s.claimant)
	})
	if err != nil {
		s.config.Log.Warn("a claim was not given back and will end by itself", "id", q.ID, "error", err)
	}
	return broken
}

// asideAfter is how long after its time a message is still tried whose body cannot be read, or whose hop is not known.
const asideAfter = 2 * time.Hour

// unread puts a row back that cannot be sent now: its body cannot be read, or where it goes is not known. It is never given
// up, since no hop has seen it, and would be tried for ever: somebody has to look.
func (s *Store) unread(ctx context.Context, q Queued, why error) result {
	if q.last && time.Since(q.ends) > asideAfter {
		s.setAside(ctx, q, why)
		return useless
	}
	return s.failed(ctx, q, why)
}

// letGo puts a row back as it was: we stop, which is nobody's fault.
func (s *Store) letGo(ctx context.Context, q Queued) result {
	s.unclaim(context.WithoutCancel(ctx), []Queued{q})
	return useless
}

// setAside keeps a row that cannot be delivered as it is, and that nobody must delete, out of the way.
func (s *Store) setAside(ctx context.Context, q Queued, why error) {
	s.config.Log.Error("a queued message cannot be delivered and was set aside: see queue show", "id", q.ID, "error", why)
	err := s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		return t.put(ctx, "UPDATE queued SET state = 'aside', claimed = 0, claimant = '', last = ? WHERE id = ? AND claimant = ?", text(why.Error(), 512), q.ID, s.claimant)
	})
	if err != nil {
		s.config.Log.Error("a queued message cannot be set aside", "id", q.ID, "error", err)
	}
}

// watchedSource notices that a body cannot be read while it is being sent, or is damaged.
type watchedSource struct {
	verdict.Source
	mu  sync.Mutex
	why error
}

// trouble is what was wrong, and nil if nothing was.
func (w *watchedSource) trouble() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// note takes note of an error. Damage stays, and the rest may pass.
func (w *watchedSource) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why == nil || errors.Is(err, ErrDamaged) {
		w.why = err
	}
}

func (w *watchedSource) Open() (io.ReadCloser, error) {
	r, err := w.Source.Open()
	if err != nil {
		w.note(err)
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
	if err != nil && err != io.EOF {
		r.w.note(err)
	}
	return n, err
}
