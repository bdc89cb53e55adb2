package relay

import (
	"sync"
	"time"
)

// refusals remembers which recipients a next hop refused while it took others of the same message.
//
// At the end of the data there is one reply for all recipients, so nobody is given such a message:
// the sender is told to try again, and then gets for each recipient at RCPT what the hop has said. It is
// told once, and to the same sender only: why the hop refused is not known here, and what one sender has
// brought about must keep out nobody else.
type refusals struct {
	mu      sync.Mutex
	replies map[refusalKey]refusal
}

// refusalKey says to whom a refusal is told: domain group, reverse-path, recipient.
type refusalKey struct{ group, sender, recipient string }

type refusal struct {
	reply   *Reply
	expires time.Time
}

const (
	maxRefusals = 10_000
	refusalLife = 4 * time.Hour // longer than senders wait before they try again for the first time
)

func (r *refusals) put(k refusalKey, reply *Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if len(r.replies) >= maxRefusals {
		for k, v := range r.replies {
			if now.After(v.expires) {
				delete(r.replies, k)
			}
		}
		if len(r.replies) >= maxRefusals {
			clear(r.replies) // the senders will be told anew, one round later
		}
	}
	if r.replies == nil {
		r.replies = map[refusalKey]refusal{}
	}
	// Err names the hop and is of no use to a later message.
	r.replies[k] = refusal{&Reply{Code: reply.Code, Enhanced: reply.Enhanced, Text: reply.Text}, now.Add(refusalLife)}
}

// take returns the refusal, or nil, and forgets it.
func (r *refusals) take(k refusalKey) *Reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.replies[k]
	if !ok {
		return nil
	}
	delete(r.replies, k)
	if time.Now().After(v.expires) {
		return nil
	}
	return v.reply
}
