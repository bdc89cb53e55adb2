package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// bounceDomain is the destination of our own notices. No domain is called that.
const bounceDomain = "(bounces)"

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
	domain   string // empty: by the way of bounces
	source   verdict.Source
	envelope verdict.Envelope
	at       time.Time
	expires  time.Time
}

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

// delayNotice makes the notice that a message is late.
func (s *Store) delayNotice(ctx context.Context, q Queued, late []failure, now time.Time) *notice {
	late = slices.DeleteFunc(slices.Clone(late), func(f failure) bool {
		return len(f.to.Notify) > 0 && !slices.ContainsFunc(f.to.Notify, func(n string) bool { return strings.EqualFold(n, "DELAY") })
	})
	if len(late) == 0 || q.envelope.From == "" {
		return nil
	}
	return s.notice(ctx, q, late, now, "delayed", "Delayed mail (still being retried)",
		"Your message has not been delivered yet to the recipients below. You need not send it again: it is tried until "+q.Expires.Format(time.RFC1123Z)+".")
}

func (s *Store) notice(ctx context.Context, q Queued, list []failure, now time.Time, action, subject, text string) *notice {
	var head []byte
	if body, err := s.bodies.Get(ctx, q.body); err == nil {
		head = withoutFields(headerOf(body), cmp.Or(s.config.HeaderPrefix, "X-Postreeve")+"-")
	}
	n := &notice{id: strings.ToLower(rand.Text()[:16]), body: newKey(now), at: now, expires: now.Add(s.config.QueuedFor)}
	n.envelope = verdict.Envelope{To: []verdict.Recipient{{Address: q.envelope.From, Notify: []string{"NEVER"}}}, UTF8: q.envelope.UTF8}
	n.source = verdict.Bytes(s.report(q, list, now, n.id, action, subject, text, head))
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

// report writes the notice: for people, for programs (RFC 3464) and the header of the message (RFC 6522). Only
// the header is returned, whatever RET asked for: a large or harmful body is not carried back.
func (s *Store) report(q Queued, list []failure, now time.Time, id, action, subject, text string, head []byte) []byte {
	var b bytes.Buffer
	boundary := "=_" + rand.Text()
	host := s.config.Hostname
	field := func(name, value string) {
		if value != "" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	field("Date", now.Format(time.RFC1123Z))
	field("From", "Mail Delivery System <"+s.config.postmaster()+">")
	field("To", "<"+oneLine(q.envelope.From)+">")
	field("Subject", mime.QEncoding.Encode("utf-8", subject))
	field("Message-ID", "<"+id+"@"+host+">")
	field("Auto-Submitted", "auto-replied")
	field("MIME-Version", "1.0")
	field("Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	b.WriteString("\r\nThis is a MIME message about the delivery of another one.\r\n")

	b.WriteString("\r\n--" + boundary + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	fmt.Fprintf(&b, "This is the mail gateway at %s.\r\n\r\n%s\r\n\r\n", host, text)
	for _, f := range list {
		fmt.Fprintf(&b, "<%s>: %s\r\n", oneLine(f.to.Address), oneLine(f.said()))
	}

	utf8 := q.envelope.UTF8
	kind, address := "message/delivery-status", "rfc822"
	if utf8 { // RFC 6533
		kind, address = "message/global-delivery-status", "utf-8"
	}
	b.WriteString("\r\n--" + boundary + "\r\nContent-Type: " + kind + "\r\n\r\n")
	field("Reporting-MTA", "dns; "+host)
	field("Original-Envelope-Id", oneLine(q.envelope.ID))
	field("Arrival-Date", q.At.Format(time.RFC1123Z))
	for _, f := range list {
		b.WriteString("\r\n")
		field("Original-Recipient", oneLine(f.to.Original))
		field("Final-Recipient", address+"; "+oneLine(f.to.Address))
		field("Action", action)
		field("Status", status(f.reply, action))
		if host, _, _ := strings.Cut(f.host, ":"); host != "" {
			field("Remote-MTA", "dns; "+oneLine(host))
			field("Diagnostic-Code", "smtp; "+oneLine(said(f.reply)))
		}
		field("Last-Attempt-Date", now.Format(time.RFC1123Z))
		if action == "delayed" {
			field("Will-Retry-Until", q.Expires.Format(time.RFC1123Z))
		}
	}

	kind = "text/rfc822-headers"
	if utf8 {
		kind = "message/global-headers"
	}
	b.WriteString("\r\n--" + boundary + "\r\nContent-Type: " + kind + "\r\n\r\n")
	b.Write(head)
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return b.Bytes()
}

// status is the code of RFC 3463 that fits the action.
func status(r *relay.Reply, action string) string {
	e := r.Enhanced
	class := map[string]int{"failed": 5, "delayed": 4}[action]
	if e == (relay.EnhancedCode{}) || e[0] != class {
		return fmt.Sprintf("%d.0.0", class)
	}
	return e.String()
}

// oneLine keeps what others wrote from becoming fields of ours.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return s[:min(len(s), 900)]
}

// insert writes the row of the notice.
func (n *notice) insert(ctx context.Context, t *tx) error {
	q := Queued{
		ID: n.id, At: n.at, Expires: n.expires, Domain: cmp.Or(n.domain, bounceDomain), Size: n.source.Size(), Due: n.at, envelope: n.envelope, body: n.body,
	}
	// Written again after a commit of which nobody knew whether it was made.
	if res, err := t.exec(ctx, insertQueued+" ON CONFLICT (id) DO NOTHING", q.row()...); err != nil {
		return err
	} else if made, err := res.RowsAffected(); err != nil || made == 0 {
		return err
	}
	_, err := t.exec(ctx, insertQueuedRecipient, n.id, 0, text(n.envelope.To[0].Address, 512), millis(n.at))
	return err
}

// postmaster is who notices come from.
func (c Config) postmaster() string {
	return cmp.Or(c.Postmaster, "postmaster@"+c.Hostname)
}
