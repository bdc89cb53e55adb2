package dnsverify

import (
	"cmp"
	"slices"
	"time"
)

func (e *Entry) enter(s State, now time.Time) {
	if e.State != s {
		e.State, e.Since = s, now
	}
}

// step says what becomes of an entry after a check. Others are the other claims for the same domain.
func (m *Monitor) step(e Entry, r *Result, others []Entry, now time.Time) Entry {
	e.Last, e.Status, e.Code = now, r.Status, ""
	if r.Problem != nil {
		e.Code = r.Problem.Code
	}
	switch r.Status {
	case Verified:
		e.Errors = 0
		m.matched(&e, r, others, now)
	case Wrong, Absent:
		e.Errors = 0
		m.missed(&e, others, now)
	case Partial:
		e.Errors, e.Matches = 0, 0
		m.expire(&e, now)
	default:
		e.Errors++ // never changes the state
	}
	if e.State == StatePending {
		e.Checks++
	}
	m.plan(&e, r, now)
	return e
}

// rival returns whether another tenant has the mail of the domain with more right, and whether one waits for it.
// A claim that has lapsed has no right: it yields to whoever proves the domain.
func rival(e *Entry, others []Entry) (holds, waits bool) {
	for _, o := range others {
		switch {
		case o.Tenant == e.Tenant:
		case o.Holder && (o.State == StateVerified || o.State == StateAtRisk || o.State == StateConflict):
			// Two holders can only be there for a moment, after two processes were equally fast.
			if !e.Holder || first(o, *e) {
				holds = true
			} else {
				waits = true
			}
		case o.State == StateConflict:
			waits = true
		}
	}
	return holds, waits
}

// first says whether a was proven before b.
func first(a, b Entry) bool {
	var at, bt time.Time
	if a.Proof != nil {
		at = a.Proof.At
	}
	if b.Proof != nil {
		bt = b.Proof.At
	}
	return cmp.Or(at.Compare(bt), cmp.Compare(a.Tenant, b.Tenant)) < 0
}

func (m *Monitor) matched(e *Entry, r *Result, others []Entry, now time.Time) {
	e.Misses, e.FirstMiss = 0, time.Time{}
	holds, waits := rival(e, others)
	if e.Matches++; e.Matches == 1 {
		e.FirstMatch = now
	}
	if !r.OldToken && e.Spent < e.Epoch {
		e.Spent = e.Epoch // the new token is everywhere: the one before is spent
	}
	switch e.State {
	case StatePending:
		if e.Matches < 2 || now.Sub(e.FirstMatch) < m.confirm() {
			return
		}
		proof := r.Evidence()
		e.Proof = &proof
		if e.Holder = !holds; holds {
			e.enter(StateConflict, now)
		} else {
			e.enter(StateVerified, now)
		}
	case StateVerified, StateAtRisk, StateConflict:
		e.Holder = !holds
		if holds || waits {
			e.enter(StateConflict, now)
		} else {
			e.enter(StateVerified, now)
		}
	}
}

func (m *Monitor) missed(e *Entry, others []Entry, now time.Time) {
	e.Matches = 0
	if e.Misses++; e.Misses == 1 {
		e.FirstMiss = now
	}
	_, waits := rival(e, others)
	gone := now.Sub(e.FirstMiss)
	switch e.State {
	case StatePending:
		m.expire(e, now)
	case StateVerified:
		e.enter(StateAtRisk, now)
	case StateConflict:
		if !e.Holder { // it never had the mail: back to the start
			e.enter(StatePending, now)
			e.Issued, e.Checks, e.Misses = now, 0, 0
		}
	}
	grace := cmp.Or(m.Grace, 7*24*time.Hour)
	if waits {
		grace = min(grace, conflictGrace)
	}
	if e.Holder && (e.State == StateAtRisk || e.State == StateConflict) && e.Misses >= lapseMisses && gone >= grace {
		e.enter(StateLapsed, now)
		e.Holder = !waits // somebody else has proven the domain and waits for it
	}
}

// expire ends a claim that was never proven. One that lapsed before and still has the mail does not expire.
func (m *Monitor) expire(e *Entry, now time.Time) {
	if e.State == StatePending && !e.Holder && now.Sub(e.Issued) >= pendingTime {
		e.enter(StateExpired, now)
	}
}

func (m *Monitor) confirm() time.Duration { return cmp.Or(m.Confirm, 30*time.Second) }

// plan sets the time of the next check.
func (m *Monitor) plan(e *Entry, r *Result, now time.Time) {
	moved := len(e.NameServers) > 0 && len(r.NameServers) > 0 && !slices.Equal(e.NameServers, sorted(r.NameServers))
	if len(r.NameServers) > 0 {
		e.NameServers = sorted(r.NameServers)
	}
	var d time.Duration
	switch e.State {
	case StatePending:
		if d = m.Backoff.Next(e.Checks - 1); e.Matches > 0 {
			d = m.confirm()
		}
	case StateVerified:
		d = jitter(cmp.Or(m.Every, 24*time.Hour), 0.2)
	case StateAtRisk, StateConflict:
		d = jitter(min(cmp.Or(m.Every, 24*time.Hour), worriedEvery), 0.2)
	default:
		e.Next = time.Time{}
		return
	}
	switch {
	case r.Status == Failed && e.State != StatePending: // there the back-off doubles anyway
		d = max(min(d<<min(e.Errors, 8), maxErrorPause), d)
	case r.Status == Partial && e.State != StatePending, now.Before(e.Hurry):
		d = min(d, hurryEvery)
	case moved: // the domain may have changed hands
		d = min(d, m.confirm())
	}
	if r.Problem != nil && r.Problem.Wait > 0 {
		d = max(d, r.Problem.Wait)
	}
	e.Next = now.Add(d)
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
