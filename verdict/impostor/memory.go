package impostor

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Memory is Contacts in memory, for one process. It holds hashes under a key of its own and no addresses, and
// forgets. The zero value is ready for use, by many goroutines at once.
type Memory struct {
	// For is how long a contact is remembered after its last mail. 0 means 90 days. It must not be changed after the first use.
	For time.Duration
	// Most is how many contacts are remembered; the oldest are forgotten first. 0 means one million, about 100 MB at most.
	Most int

	mu       sync.Mutex
	key      maphash.Seed
	young    map[uint64]int64 // contact to the second of its last mail
	old      map[uint64]int64 // the generation before
	turned   time.Time
	prepared bool
}

// Learn remembers the author of a message as a contact of its recipients. Call it for mail that was delivered and
// is clean: whoever is learned is not new any more.
func (c *Memory) Learn(m *verdict.Message) {
	sender := readMail(m).from.first().address
	if sender == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.prepare()
	for _, r := range m.Envelope.To {
		c.young[c.hash(r.Address, sender)] = now.Unix()
	}
}

// Seen implements Contacts. The error is that of ctx.
func (c *Memory) Seen(ctx context.Context, recipient, sender string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.prepare()
	h := c.hash(recipient, sender)
	at, ok := c.young[h]
	if !ok {
		at, ok = c.old[h]
	}
	return ok && now.Sub(time.Unix(at, 0)) < c.keep(), nil
}

// prepare makes the maps, and turns generations when one is full or old. It returns the time.
func (c *Memory) prepare() time.Time {
	now := time.Now()
	if !c.prepared {
		c.key, c.prepared = maphash.MakeSeed(), true
		c.young, c.turned = make(map[uint64]int64), now
	}
	most := c.Most
	if most <= 0 {
		most = 1_000_000
	}
	if len(c.young) >= (most+1)/2 || now.Sub(c.turned) >= c.keep() {
		c.old, c.young, c.turned = c.young, make(map[uint64]int64), now
	}
	return now
}

func (c *Memory) keep() time.Duration {
	if c.For <= 0 {
		return 90 * 24 * time.Hour
	}
	return c.For
}

func (c *Memory) hash(recipient, sender string) uint64 {
	var h maphash.Hash
	h.SetSeed(c.key)
	h.WriteString(plainAddress(recipient))
	h.WriteByte(0)
	h.WriteString(plainAddress(sender))
	return h.Sum64()
}
