package mailauth

import (
	"sync"
	"time"
)

// cache remembers answers in two generations: the new one is filled, and when it is full the old one is
// dropped as a whole and the new one becomes old. What is still asked for moves back into the new one.
// That bounds entries and bytes without ever walking over them.
type cache struct {
	entries, bytes int // of both generations together

	mu    sync.Mutex
	young map[question]cached
	old   map[question]cached
	size  int // bytes in young
}

type cached struct {
	answer answer
	until  time.Time
	size   int
}

func (c *cache) get(q question) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.young[q]
	if !ok {
		if e, ok = c.old[q]; !ok {
			return answer{}, false
		}
	}
	if !time.Now().Before(e.until) {
		return answer{}, false
	}
	if _, young := c.young[q]; !young {
		c.add(q, e)
	}
	return e.answer, true
}

func (c *cache) put(q question, a answer, ttl time.Duration) {
	const overhead = 200 // of the maps and headers, roughly
	e := cached{answer: a, until: time.Now().Add(ttl), size: overhead + len(q.name)}
	for _, v := range a.values {
		e.size += len(v) + 16
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(q, e)
}

// add puts e into the young generation. The caller holds the lock.
func (c *cache) add(q question, e cached) {
	if e.size > c.bytes/8 {
		return // not worth a whole generation
	}
	if c.young == nil || len(c.young) >= max(c.entries/2, 1) || c.size+e.size > c.bytes/2 {
		c.old, c.young, c.size = c.young, make(map[question]cached), 0
	}
	if was, ok := c.young[q]; ok {
		c.size -= was.size
	}
	c.young[q] = e
	c.size += e.size
}
