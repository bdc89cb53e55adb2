package relay

import (
	"sync"
	"time"
)

// refusals remembers which recipients a next hop refused while it took others of the same message.
//
// At the end of the data there is one reply for all recipients, so nobody is given such a message:
// the sender is told to try again, and then gets for each recipient at RCPT what the hop has said.
type refusals struct {
	mu      sync.Mutex
	replies map[string]refusal
}

type refusal struct {
	reply   *Reply
	expires time.Time
}

const (
	maxRefusals = 10_000
	refusalLife = time.Hour // longer than senders wait before they try again
)

func (r *refusals) put(group, recipient string, reply *Reply) {
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
		r.replies = map[string]refusal{}
	}
	// Err names the hop and is of no use to a later message.
	r.replies[group+"\x00"+recipient] = refusal{&Reply{Code: reply.Code, Enhanced: reply.Enhanced, Text: reply.Text}, now.Add(refusalLife)}
}

func (r *refusals) get(group, recipient string) *Reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := group + "\x00" + recipient
	v, ok := r.replies[k]
	if !ok {
		return nil
	}
	if time.Now().After(v.expires) {
		delete(r.replies, k)
		return nil
	}
	return v.reply
}
