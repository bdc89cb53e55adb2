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

// bounces is the condition for the rows of notices. The order of words is that of their characters in SQLite, which has an
// index for it then, and not always in PostgreSQL.
func (d *db) bounces() string {
	if d.pool != nil {
		return "domain LIKE '" + bounceDomain + "%'"
	}
	return "domain >= '" + bounceDomain + "' AND domain < '" + bounceDomain + "!'"
}

func isBounce(domain string) bool { return strings.HasPrefix(domain, bounceDomain) }

// fate is what a notice says of a recipient.
type fate struct {
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
func (f fate) said() string {
	if f.host == "" {
		return said(f.reply)
	}
	return f.host + " said: " + said(f.reply)
}

// notice is a message of ours about another one, on its way into the queue.
type notice struct {
	id, body string
	action   string // as in RFC 3464; empty: it is no notice about delivery
	about    string // the id of the message
	list     []fate
	domain   string // empty: by the way of bounces, see lane
	source   verdict.Source
	envelope verdict.Envelope
	at       time.Time
	expires  time.Time
}

// lane is the destination of a notice.
func (n *notice) lane() string { return cmp.Or(n.domain, bounceTo(n.envelope.To[0].Address)) }

// Actions of notices (RFC 3464 section 2.3.3).
const (
	actionFailed  = "failed"
	actionDelayed = "delayed"
	actionRelayed = "relayed"
)

// keywords are those of NOTIFY that ask for a notice.
var keywords = map[string]string{actionFailed: "FAILURE", actionDelayed: "DELAY", actionRelayed: "SUCCESS"}

// tellable returns those of a list whose fate the sender is told, and if there are none why not. The null sender is
// never told anything, nor who asked for something else with NOTIFY. Of a delay and of a relay only they are told whom
// somebody vouches for: while a hop is away spam waits too, and who it names as its sender has not sent it; and who
// forges a sender can ask for any notice in its name. Of a delay nobody need be told (RFC 3461 section 4.1); of a
// relay everybody who asks should be (section 5.2.2).
func (q Queued) tellable(action string, list []fate) (rest []fate, why string) {
	if q.envelope.From == "" {
		return nil, "the null sender"
	}
	for _, f := range list {
		asked := func(n string) bool { return strings.EqualFold(n, keywords[action]) }
		if len(f.to.Notify) == 0 && action != actionRelayed || slices.ContainsFunc(f.to.Notify, asked) {
			rest = append(rest, f)
		}
	}
	switch {
	case len(rest) == 0:
		return nil, "NOTIFY does not ask for it"
	case action != actionFailed && !q.vouched:
		return nil, "nobody vouched for the address"
	}
	return rest, ""
}

// notice makes the notice about the fate of some recipients (RFC 3461 section 6, RFC 3464). head reads the header of the
// message. It is returned only to a sender whom somebody vouches for: else whoever forges an address would have us carry
// words of its own to it, and to a domain whose mail is taken here as our own mail, that no scanner sees.
func (s *Store) notice(q Queued, head func() []byte, list []fate, action string, now time.Time) *notice {
	r := report{q: q, list: list, at: now, host: s.config.Hostname, from: s.config.postmaster(), action: action}
	if q.vouched {
		r.head = withoutFields(head(), s.prefix())
	}
	r.id = strings.ToLower(rand.Text()[:16])
	n := &notice{id: r.id, body: newKey(now), action: action, about: q.ID, list: list, at: now, expires: now.Add(s.config.QueuedFor)}
	n.envelope = verdict.Envelope{To: []verdict.Recipient{{Address: q.envelope.From, Notify: []string{"NEVER"}}}}
	n.envelope.RequireTLS = q.envelope.RequireTLS // RFC 8689 section 5; see redacting
	if r.utf8 = r.needsUTF8(); r.utf8 {           // who offers SMTPUTF8 offers 8BITMIME (RFC 6531 section 3.1)
		n.envelope.UTF8, n.envelope.Body = true, "8BITMIME"
	}
	n.source = verdict.Bytes(r.bytes())
	return n
}

// headOf is the header of a queued message, nil if it cannot be read.
func (s *Store) headOf(ctx context.Context, q Queued) []byte {
	body, err := s.body(ctx, q)
	if err != nil {
		return nil
	}
	return headerOf(body)
}

// withoutFields takes the fields whose names begin with prefix out of a header section: those that the gateway
// has put there are not for the sender's eyes, the token of the tenant above all.
func withoutFields(head []byte, prefix string) []byte {
	out := make([]byte, 0, len(head))
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
		ID: n.id, At: n.at, Expires: n.expires, Domain: n.lane(), Size: n.source.Size(), Due: n.at, envelope: n.envelope, body: n.body, own: true, About: n.about,
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

// prefix begins the names of the gateway's own header fields.
func (s *Store) prefix() string { return cmp.Or(s.config.HeaderPrefix, "X-Postreeve") + "-" }
