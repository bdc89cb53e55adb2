package dnsverify

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Monitor keeps claims true over time: it checks those that are pending until they are proven or expire, and those
// that are proven every day. It may be used by many goroutines at once, and several monitors may share a
// Store; its fields must not change while it is in use.
type Monitor struct {
	Checker Checker // required: a *Verifier
	Store   Store   // required
	// Backoff is for pending claims.
	Backoff Backoff
	// Every is how often proven claims are checked; 0 means daily. The time varies by a fifth, and doubles after an
	// error, up to two days.
	Every time.Duration
	// Confirm is the time between the two matches that it takes; 0 means 30 s.
	Confirm time.Duration
	// Grace is how long a record has to stay away, over at least 3 checks, before a claim lapses; 0 means 7 days.
	Grace time.Duration
	// Parallel is how many checks run side by side; 0 means 8.
	Parallel int
	// Changed, if not nil, is called after an entry has been saved with another state. It must not block.
	Changed func(before, after Entry, r *Result)
	// Logger gets one record per check. Nil logs nothing.
	Logger *slog.Logger

	mu sync.Mutex // held while a result becomes a state

	failed map[Key]time.Time // when claims that could not be checked are tried again
}

const (
	pendingTime   = 72 * time.Hour
	conflictGrace = 72 * time.Hour
	lapseMisses   = 3
	manualPause   = 10 * time.Second
	hurryEvery    = time.Hour
	worriedEvery  = 6 * time.Hour
	maxErrorPause = 48 * time.Hour
)

// Add puts a claim under watch and returns its entry, the token in which is that of Entry.Claim. A claim that
// is watched already stays as it is. One that was revoked or has lapsed gets a new token; an expired one starts
// again with the same.
func (m *Monitor) Add(ctx context.Context, cl Claim) (Entry, error) {
	if n, err := (Names{PrivateSuffix: true, UnlistedTLD: true}).Normalize(cl.Domain); err != nil || n != cl.Domain {
		return Entry{}, cmp.Or(err, error(invalid(show(cl.Domain, 80), "it is not in normal form")))
	}
	if cl.Tenant == "" {
		return Entry{}, errors.New("dnsverify: Claim.Tenant is empty")
	}
	return m.change(ctx, cl.Key(), true, func(e *Entry, now time.Time) {
		switch e.State {
		case "":
			e.Claim = cl
		case StateRevoked, StateLapsed:
			e.Epoch = max(e.Epoch+1, e.Spent)
			e.Spent = e.Epoch
			e.Holder = e.Holder && e.State == StateLapsed // mail goes on while the new token is awaited
		case StateExpired:
		default:
			return
		}
		e.enter(StatePending, now)
		e.Issued, e.Next, e.Checks, e.Matches = now, now, 0, 0
	})
}

// Renew issues a new token for a claim. The one before counts until the new one is everywhere, and never again
// after that.
func (m *Monitor) Renew(ctx context.Context, k Key) (Entry, error) {
	return m.change(ctx, k, false, func(e *Entry, now time.Time) {
		if e.State != StateRevoked {
			e.Spent = e.Epoch
			e.Epoch++
		}
	})
}

// Revoke gives a claim up. Its tokens are spent: a record that stays in the zone proves nothing any more.
func (m *Monitor) Revoke(ctx context.Context, k Key) (Entry, error) {
	return m.change(ctx, k, false, func(e *Entry, now time.Time) {
		e.enter(StateRevoked, now)
		e.Spent, e.Next, e.Holder = e.Epoch+1, time.Time{}, false
	})
}

// Resolve decides a conflict for one tenant. The claims of the others are revoked.
func (m *Monitor) Resolve(ctx context.Context, winner Key) (Entry, error) {
	all, err := m.Store.Domain(ctx, winner.Domain)
	if err != nil {
		return Entry{}, err
	}
	for _, o := range all {
		if o.Tenant != winner.Tenant && o.State == StateConflict {
			if _, err := m.Revoke(ctx, o.Key()); err != nil {
				return Entry{}, err
			}
		}
	}
	return m.change(ctx, winner, false, func(e *Entry, now time.Time) {
		if e.State == StateConflict {
			e.enter(StateVerified, now)
			e.Holder, e.Next = true, now
		}
	})
}

// Hurry has a claim checked hourly until then, while its MX records are being changed.
func (m *Monitor) Hurry(ctx context.Context, k Key, until time.Time) (Entry, error) {
	return m.change(ctx, k, false, func(e *Entry, now time.Time) {
		if e.Hurry = until.UTC(); !e.Next.IsZero() && e.Next.After(now.Add(hurryEvery)) {
			e.Next = now.Add(hurryEvery)
		}
	})
}

// change reads, changes and saves an entry, again if somebody else was faster.
func (m *Monitor) change(ctx context.Context, k Key, create bool, f func(e *Entry, now time.Time)) (Entry, error) {
	for {
		before, _, err := m.load(ctx, k)
		if errors.Is(err, ErrNotFound) && create {
			before, err = Entry{Claim: Claim{Tenant: k.Tenant, Domain: k.Domain, Region: k.Region}}, nil
		}
		if err != nil {
			return Entry{}, err
		}
		after := before
		f(&after, time.Now().UTC())
		after, err = m.save(ctx, before, after, nil)
		if !errors.Is(err, ErrStale) {
			return after, err
		}
	}
}

func (m *Monitor) save(ctx context.Context, before, after Entry, r *Result) (Entry, error) {
	if err := m.Store.Save(ctx, after); err != nil {
		return before, err
	}
	after.Version++
	if m.Changed != nil && before.State != after.State {
		m.Changed(before, after, r)
	}
	return after, nil
}

func (m *Monitor) load(ctx context.Context, k Key) (e Entry, others []Entry, err error) {
	all, err := m.Store.Domain(ctx, k.Domain)
	if err != nil {
		return Entry{}, nil, err
	}
	i := slices.IndexFunc(all, func(e Entry) bool { return e.Key() == k })
	if i < 0 {
		return Entry{}, nil, ErrNotFound
	}
	return all[i], slices.Delete(slices.Clone(all), i, i+1), nil
}

// Check checks one claim now and returns its entry. Less than 10 s after the last check it is refused with
// a *Problem that says how long to wait.
func (m *Monitor) Check(ctx context.Context, k Key) (Entry, *Result, error) {
	e, _, err := m.load(ctx, k)
	if err != nil {
		return Entry{}, nil, err
	}
	if since := time.Since(e.Last); since < manualPause {
		return e, nil, &Problem{Code: Temporary, Name: e.Domain, Detail: "It was checked a moment ago.", Wait: manualPause - since}
	}
	return m.check(ctx, k)
}

func (m *Monitor) check(ctx context.Context, k Key) (Entry, *Result, error) {
	e, others, err := m.load(ctx, k)
	if err != nil {
		return Entry{}, nil, err
	}
	switch e.State {
	case StateRevoked, StateExpired, StateLapsed:
		return e, nil, &Problem{Code: RecordOldToken, Name: e.Domain, Detail: "The claim is " + string(e.State) + ": add it again."}
	}
	var claims []Claim
	for _, o := range others {
		claims = append(claims, o.Claim)
	}
	r, err := m.Checker.Verify(ctx, e.Claim, claims...)
	if err != nil {
		return e, nil, err
	}
	if ctx.Err() != nil && r.Status == Failed {
		return e, r, ctx.Err() // stopped in the middle: nothing was learnt
	}
	return m.record(ctx, k, e.Claim, r)
}

// record turns a result into the next state. In one process nothing else happens meanwhile, so that of two claims
// for a domain that are proven at once one is the first; between processes matched puts it right later.
func (m *Monitor) record(ctx context.Context, k Key, checked Claim, r *Result) (Entry, *Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		e, others, err := m.load(ctx, k)
		if err != nil || e.Claim != checked || e.State == StateRevoked {
			return e, r, cmp.Or(err, ErrStale) // the result is about another token
		}
		after, err := m.save(ctx, e, m.step(e, r, others, time.Now().UTC()), r)
		if errors.Is(err, ErrStale) {
			continue
		}
		m.log(ctx, e, after, r, err)
		if err == nil && after.Holder && after.State == StateVerified {
			err = m.relieve(ctx, others)
		}
		return after, r, err
	}
}

// relieve takes the mail from lapsed claims, now that somebody else has proven the domain.
func (m *Monitor) relieve(ctx context.Context, others []Entry) error {
	for _, o := range others {
		if !o.Holder || o.State != StateLapsed && o.State != StatePending {
			continue
		}
		_, err := m.change(ctx, o.Key(), false, func(e *Entry, _ time.Time) {
			e.Holder = e.Holder && e.State != StateLapsed && e.State != StatePending
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Monitor) log(ctx context.Context, before, after Entry, r *Result, err error) {
	if m.Logger == nil {
		return
	}
	level := slog.LevelInfo
	if before.State != after.State || err != nil {
		level = slog.LevelWarn
	}
	m.Logger.Log(ctx, level, "domain checked", "domain", after.Domain, "tenant", after.Tenant, "status", string(r.Status),
		"code", string(after.Code), "state", string(after.State), "before", string(before.State), "next", after.Next,
		"took", r.Took, "error", err)
}

// Run checks what is due until ctx ends, and returns the error of ctx. Errors of single claims are logged.
// An entry whose check cannot even be made is tried again after an hour.
func (m *Monitor) Run(ctx context.Context) error {
	if m.Checker == nil || m.Store == nil {
		return errors.New("dnsverify: Monitor needs Checker and Store")
	}
	for {
		next := m.Sweep(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(time.Until(next), time.Second)):
		}
	}
}

// Sweep checks what is due now, once, and returns when there is something to do again, in a minute at most: a
// change made elsewhere is seen by then. It is what Run does again and again, for those whose own jobs say when.
func (m *Monitor) Sweep(ctx context.Context) time.Time {
	all, err := m.Store.List(ctx)
	if err != nil && m.Logger != nil && ctx.Err() == nil { // one that cannot be read keeps none of the others from being checked
		m.Logger.ErrorContext(ctx, "domains cannot be listed", "error", err)
	}
	now := time.Now()
	next := now.Add(time.Minute)
	var due []Key
	for _, e := range all {
		switch at := later(e.Next, m.notBefore(e.Key())); {
		case e.Next.IsZero():
		case !at.After(now):
			due = append(due, e.Key())
		case at.Before(next):
			next = at
		}
	}
	checked := make([]Entry, len(due))
	each(cmp.Or(m.Parallel, 8), len(due), func(i int) {
		if ctx.Err() == nil {
			checked[i] = m.checkDue(ctx, due[i])
		}
	})
	for _, e := range checked { // a first match is confirmed soon after
		if !e.Next.IsZero() && e.Next.Before(next) {
			next = e.Next
		}
	}
	return next
}

// checkDue checks one claim, and returns its entry as it is then, with no Next if that could not be done.
func (m *Monitor) checkDue(ctx context.Context, k Key) Entry {
	e, _, err := m.check(ctx, k)
	m.mu.Lock()
	delete(m.failed, k)
	if err != nil && ctx.Err() == nil {
		if m.failed == nil {
			m.failed = make(map[Key]time.Time)
		}
		m.failed[k] = time.Now().Add(time.Hour)
		e.Next = time.Time{}
	}
	m.mu.Unlock()
	if err != nil && ctx.Err() == nil && m.Logger != nil {
		m.Logger.ErrorContext(ctx, "domain cannot be checked", "domain", k.Domain, "tenant", k.Tenant, "error", err)
	}
	return e
}

func (m *Monitor) notBefore(k Key) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed[k]
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
