package gworkspace

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// A Quota is how many units of the Gmail API a minute may be used. Zero fields have the defaults given, which
// are what a project gets that began after May 2026.
type Quota struct {
	Project int // for all mailboxes; 1,200,000
	User    int // for one mailbox; 6,000
}

func (q Quota) orDefaults() Quota {
	return Quota{Project: cmp.Or(q.Project, 1_200_000), User: cmp.Or(q.User, 6_000)}
}

// What calls cost, by the newer of two tables where they differ.
const (
	unitsList   = 5
	unitsGet    = 20
	unitsModify = 5
	unitsTrash  = 5
	unitsDelete = 10
)

// A limiter spends units as tokens of two buckets, the one of all and the one of a user. A tenth of a minute's
// units may be spent at once and nine tenths a minute come back, so that no minute sees more than all of them,
// whenever it begins.
type limiter struct {
	project, user rate

	mu    sync.Mutex
	all   bucket
	users map[string]*bucket
}

// A rate is how fast a bucket fills and how much it holds.
type rate struct{ perSecond, most float64 }

// A bucket holds the units that were left at a time. Less than nothing: they are owed.
type bucket struct {
	left float64
	at   time.Time
}

func perMinute(units int) rate {
	return rate{perSecond: float64(units) * 0.9 / 60, most: float64(units) / 10}
}

func newLimiter(project, user rate) *limiter {
	return &limiter{project: project, user: user, all: bucket{left: project.most}, users: map[string]*bucket{}}
}

// wait takes the units, later if they are not there yet.
func (l *limiter) wait(ctx context.Context, user string, units int) error {
	return sleep(ctx, l.take(user, float64(units)))
}

// take reserves units and says how long to wait for them.
func (l *limiter) take(user string, units float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.forget(now)
	b := l.users[user]
	if b == nil {
		b = &bucket{left: l.user.most, at: now}
		l.users[user] = b
	}
	return max(b.take(now, units, l.user), l.all.take(now, units, l.project))
}

// take makes the bucket owe what it lacks: whoever comes next waits longer.
func (b *bucket) take(now time.Time, units float64, r rate) time.Duration {
	if !b.at.IsZero() {
		b.left = min(r.most, b.left+now.Sub(b.at).Seconds()*r.perSecond)
	}
	b.at = now
	b.left -= units
	if b.left >= 0 {
		return 0
	}
	return time.Duration(-b.left / r.perSecond * float64(time.Second))
}

// forget drops buckets that are full again.
func (l *limiter) forget(now time.Time) {
	if len(l.users) < 10_000 {
		return
	}
	for u, b := range l.users {
		if b.left+now.Sub(b.at).Seconds()*l.user.perSecond >= l.user.most {
			delete(l.users, u)
		}
	}
}
