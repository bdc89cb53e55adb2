package store

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// firstPause is how long a destination is left alone after a failure.
const firstPause = 5 * time.Second

// backoff is how long a destination is left alone after so many failures: first, 5 s, doubled each time up to a
// minute, a quarter more or less, so that not all nodes come back at the same moment. What comes back is one
// message, so that a hop that is up again is soon found out and a hop that is not is not bothered.
func backoff(first time.Duration, failures int) time.Duration {
	d := min(12*first, first<<min(max(1, failures)-1, 5))
	return d*3/4 + rand.N(d/2)
}

// retryAfter is how long a single message waits after so many attempts: a minute, doubled up to two hours.
func retryAfter(attempts int) time.Duration {
	d := 2 * time.Hour
	if attempts < 8 {
		d = min(d, time.Minute<<(max(1, attempts)-1))
	}
	return d*3/4 + rand.N(d/2)
}

// insane is how far in the future no time of a row can be unless the clock was wrong when it was written.
const insane = 3 * time.Hour

// accuse notes that a message was put off.
func (l *lane) accuse(id string) {
	if !l.acquitted[id] && len(l.accused) < mostAccused {
		l.accused[id] = true
	}
}

// acquit returns those that were put off while the hop was away, for the first time.
func (l *lane) acquit() []string {
	list := slices.Collect(maps.Keys(l.accused))
	if len(l.acquitted)+len(list) > 2*mostAccused {
		clear(l.acquitted)
	}
	maps.Copy(l.acquitted, l.accused)
	clear(l.accused)
	return list
}

// away lists the destinations whose hop has been found away again and again.
func (d *deliveries) away() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for name, l := range d.lanes {
		if l.gone >= manyFailures {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// leaveAlone begins the pause of a destination.
func (d *deliveries) leaveAlone(l *lane, r result, failures int) {
	pause := time.Now().Add(backoff(cmp.Or(d.s.config.pauseFor, firstPause), failures))
	d.mu.Lock()
	l.pause = pause
	d.mu.Unlock()
	why := "next hop away: queue waits"
	if r == broken {
		why = "the store is in trouble: queue waits"
	}
	d.s.config.Log.Warn(why, "domain", l.name, "failures", failures, "until", pause.UTC().Format(time.RFC3339))
	d.s.stir(l.name, pause)
}
