package dnsverify

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Backoff says how often to look. The zero value is 1, 2, 4, … minutes, at most an hour, each up to a fifth more or less.
type Backoff struct {
	First time.Duration // 0 means 1 minute
	Max   time.Duration // 0 means 1 hour
	// Jitter is the part by which each wait varies; 0 means 0.2, negative means none.
	Jitter float64
}

// Next returns how long to wait after the n-th look, counted from 0.
func (b Backoff) Next(n int) time.Duration {
	d, limit := cmp.Or(b.First, time.Minute), cmp.Or(b.Max, time.Hour)
	for range n {
		if d >= limit {
			break
		}
		d *= 2
	}
	return jitter(min(d, limit), b.Jitter)
}

// jitter varies d, so that what was started together does not stay together.
func jitter(d time.Duration, by float64) time.Duration {
	by = cmp.Or(by, 0.2)
	if by < 0 {
		return d
	}
	return time.Duration(float64(d) * (1 + min(by, 0.9)*(2*rand.Float64()-1)))
}

// Checker checks claims. Verifier is one.
type Checker interface {
	Verify(ctx context.Context, cl Claim, others ...Claim) (*Result, error)
}

// Wait checks a claim until it is verified twice, confirm apart, since the servers behind one address need not
// change together. A confirm of 0 means 30 s, a negative one that once is enough. After each look progress, if not nil,
// gets the result and how long the wait will be, 0 after the last. When ctx ends, Wait returns the last result
// with the error of ctx. It also returns when the claim cannot be checked at all.
func Wait(ctx context.Context, v Checker, cl Claim, b Backoff, confirm time.Duration,
	progress func(r *Result, next time.Duration)) (*Result, error) {
	confirm = cmp.Or(confirm, 30*time.Second)
	matches, misses := 0, 0
	for {
		r, err := v.Verify(ctx, cl)
		if err != nil {
			return r, err
		}
		next := time.Duration(0)
		if r.Status == Verified {
			if matches++; matches == 1 && confirm > 0 {
				next = confirm
			}
		} else {
			matches = 0
			next = b.Next(misses)
			if r.Problem != nil {
				next = max(next, r.Problem.Wait)
			}
			misses++
		}
		if progress != nil {
			progress(r, next)
		}
		if next == 0 {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(next):
		}
	}
}
