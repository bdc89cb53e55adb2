package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// bounceDomain begins the destinations of our own notices, one for each domain of a sender: one that does not answer
// keeps nobody else's waiting. No domain is called that.
const bounceDomain = "(bounces)"

// bounceTo is the destination of notices to an address.
func bounceTo(address string) string {
	return strings.TrimSpace(bounceDomain + " " + text(verdict.Domain(address), 255))
}

func isBounce(domain string) bool { return strings.HasPrefix(domain, bounceDomain) }

// failure is a recipient who will not get the message.
type failure struct {
	to    verdict.Recipient
	reply *relay.Reply
	host  string
}

// said is the reply without its cause, which is for our log alone.
func said(r *relay.Reply) string {
	public := *r
	public.Err = nil
	return public.Error()
}

// said is the line about the recipient for people.
func (f failure) said() string {
	if f.host == "" {
		return said(f.reply)
	}
	return f.host + " said: " + said(f.reply)
}

// notice is a message of ours about another one, on its way into the queue.
type notice struct {
	id, body string
	domain   string // empty: by the way of bounces, see lane
	source   verdict.Source
	envelope verdict.Envelope
	at       time.Time
	expires  time.Time
}

// lane is the destination of a notice.
func (n *notice) lane() string { return cmp.Or(n.domain, bounceTo(n.envelope.To[0].Address)) }

// bounce makes the notice that recipients will not get the message (RFC 3461 section 6, RFC 3464). Nil if
// there is nobody to tell: the null sender is never told anything, and who asked for NOTIFY=NEVER is not.
func (s *Store) bounce(ctx context.Context, q Queued, dead []failure, now time.Time) *notice {
	dead = slices.DeleteFunc(slices.Clone(dead), func(f failure) bool {
		return len(f.to.Notify) > 0 && !slices.ContainsFunc(f.to.Notify, func(n string) bool { return strings.EqualFold(n, "FAILURE") })
	})
	if len(dead) == 0 || q.envelope.From == "" {
		return nil
	}
	return s.notice(ctx, q, dead, now, "failed", "Undelivered mail returned to sender",
		"Your message could not be delivered to the recipients below. It will not be tried again.")
}

// delayNotice makes the notice that a message is late. Nil if there is nobody to tell, as for bounce, and where nobody
// vouched for the sender: while a hop is away spam waits too, and who it names as its sender has not sent it. Such a
// notice may always be left out, also where NOTIFY asks for it (RFC 3461 section 4.1).
func (s *Store) delayNotice(ctx context.Context, q Queued, late []failure, now time.Time) *notice {
	late = slices.DeleteFunc(slices.Clone(late), func(f failure) bool {
		return len(f.to.Notify) > 0 && !slices.ContainsFunc(f.to.Notify, func(n string) bool { return strings.EqualFold(n, "DELAY") })
	})
	if len(late) == 0 || q.envelope.From == "" || !q.vouched {
		return nil
	}
	return s.notice(ctx, q, late, now, "delayed", "Delayed mail (still being retried)",
		"Your message has not been delivered yet to the recipients below. You need not send it again: it is tried until "+q.Expires.Format(time.RFC1123Z)+".")
}

func (s *Store) notice(ctx context.Context, q Queued, list []failure, now time.Time, action, subject, text string) *notice {
	r := report{q: q, list: list, at: now, host: s.config.Hostname, from: s.config.postmaster(), action: action, subject: subject, text: text}
	if body, err := s.body(ctx, q); err == nil {
		r.head = withoutFields(headerOf(body), cmp.Or(s.config.HeaderPrefix, "X-Postreeve")+"-")
	}
	r.id = strings.ToLower(rand.Text()[:16])
	n := &notice{id: r.id, body: newKey(now), at: now, expires: now.Add(s.config.QueuedFor)}
	n.envelope = verdict.Envelope{To: []verdict.Recipient{{Address: q.envelope.From, Notify: []string{"NEVER"}}}}
	if r.utf8 = r.needsUTF8(); r.utf8 { // who offers SMTPUTF8 offers 8BITMIME (RFC 6531 section 3.1)
		n.envelope.UTF8, n.envelope.Body = true, "8BITMIME"
	}
	n.source = verdict.Bytes(r.bytes())
	return n
}

// withoutFields takes the fields whose names begin with prefix out of a header section: those that the gateway
// has put there are not for the sender's eyes, the token of the tenant above all.
func withoutFields(head []byte, prefix string) []byte {
	out := head[:0]
	ours := false
	for line := range bytes.Lines(head) {
		if len(line) > 0 && line[0] != ' ' && line[0] != '\t' {
			ours = len(line) >= len(prefix) && strings.EqualFold(string(line[:len(prefix)]), prefix)
		}
		if !ours {
			out = append(out, line...)
		}
	}
	return out
}

// mostReturned bounds what of the message's header is returned.
const mostReturned = 64 << 10

func headerOf(src verdict.Source) []byte {
	r, err := src.Open()
	if err != nil {
		return nil
	}
	defer r.Close()
	buf := make([]byte, mostReturned)
	n := 0
	for n < len(buf) {
		k, err := r.Read(buf[n:])
		n += k
		if err != nil {
			break
		}
	}
	head, _, whole := bytes.Cut(buf[:n], []byte("\r\n\r\n"))
	if !whole {
		head = head[:max(0, bytes.LastIndex(head, []byte("\r\n")))]
	}
	return append(slices.Clone(head), "\r\n"...)
}

// insert writes the row of the notice.
func (n *notice) insert(ctx context.Context, t *tx) error {
	q := Queued{
		ID: n.id, At: n.at, Expires: n.expires, Domain: n.lane(), Size: n.source.Size(), Due: n.at, envelope: n.envelope, body: n.body, own: true,
	}
	// Written again after a commit of which nobody knew whether it was made.
	if res, err := t.exec(ctx, insertQueued+" ON CONFLICT (id) DO NOTHING", q.row()...); err != nil {
		return err
	} else if made, err := res.RowsAffected(); err != nil || made == 0 {
		return err
	}
	return t.put(ctx, insertQueuedRecipient, n.id, 0, text(n.envelope.To[0].Address, 512), millis(n.at))
}

// postmaster is who notices come from.
func (c Config) postmaster() string {
	return cmp.Or(c.Postmaster, "postmaster@"+c.Hostname)
}
