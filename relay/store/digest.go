package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Digest says who is told by mail what is held. Each mail lists what came since the last one, with links by which
// it can be released: see Links.
type Digest struct {
	// Every is how often; 0 means 24 hours.
	Every time.Duration
	// Admin gets one digest of everything. Empty: every recipient gets one of what is held for them, by the next hop
	// of their domain.
	Admin string
	// Way is the domain of RunConfig.Directory by whose next hop the digest of Admin goes. Empty: it goes by the way of
	// bounces.
	Way string
	// Domains are those whose mail is listed; empty means all.
	Domains []string
	// Links makes the links. Nil: there are none, and the mail says to ask an administrator.
	Links *Links
}

const digestKind = "digest"

// digestState is how far the digests have come. It is written with the mails of each step, so that a node that
// dies neither skips nor repeats one.
type digestState struct {
	From  int64  `json:"from"`  // what came from here on
	Until int64  `json:"until"` // and before this is being told of; 0: nothing is under way
	Done  string `json:"done"`  // the last address that has been told
}

// DigestTask makes the task that sends digests. The first one only looks at the time, so that nobody is told of
// what was held for years.
func (s *Store) DigestTask(d Digest) (Task, error) {
	if d.Admin != "" && !strings.Contains(d.Admin, "@") {
		return Task{}, fmt.Errorf("store: digest: %q is no address", d.Admin)
	}
	if d.Links != nil {
		if err := d.Links.valid(); err != nil {
			return Task{}, err
		}
	}
	d.Every = cmp.Or(d.Every, 24*time.Hour)
	every := max(time.Second, min(d.Every/6, 10*time.Minute)) // of looking whether it is time
	return Task{Name: "digest", Every: every, Do: func(ctx context.Context) error { return s.digest(ctx, d, time.Now()) }}, nil
}

// digestLag is how long what is held waits for its row at most, and how far the clocks of a fleet are apart: what is
// younger is of the next digest, or it would be of none.
func digestLag(d Digest) time.Duration { return min(time.Minute, d.Every/100) }

func (s *Store) digest(ctx context.Context, d Digest, now time.Time) error {
	id := cmp.Or(d.Admin, "recipients")
	rec, err := s.Record(ctx, digestKind, id)
	if errors.Is(err, ErrNotFound) {
		_, err = s.PutRecord(ctx, Record{Kind: digestKind, ID: id, Value: pack(digestState{From: millis(now)})})
		return err
	}
	if err != nil {
		return err
	}
	var state digestState
	if err := json.Unmarshal([]byte(rec.Value), &state); err != nil {
		return fmt.Errorf("store: digest %s: %w", id, err)
	}
	if state.Until == 0 {
		from := fromMillis(state.From)
		if from.Sub(now) > d.Every { // the clock was ahead
			_, err = s.PutRecord(ctx, Record{Kind: digestKind, ID: id, Revision: rec.Revision, Value: pack(digestState{From: millis(now)})})
			return err
		}
		// Digests keep to their times of the day, however late one is.
		n := now.Add(-digestLag(d)).Sub(from) / d.Every
		if n < 1 {
			return nil
		}
		state.Until = millis(from.Add(n * d.Every))
	}
	for {
		done, err := s.digestStep(ctx, d, &rec, &state, now)
		if errors.Is(err, ErrConflict) {
			return nil // another node does it
		}
		if err != nil || done {
			return err
		}
	}
}

// digestStep sends some mails, and says whether those were the last.
func (s *Store) digestStep(ctx context.Context, d Digest, rec *Record, state *digestState, now time.Time) (done bool, err error) {
	const some = 200
	to := []string{d.Admin}
	if d.Admin == "" {
		if to, err = s.digestAddresses(ctx, d, *state, some); err != nil {
			return false, err
		}
	}
	var notices []*notice
	for _, a := range to {
		n, err := s.digestMail(ctx, d, a, *state, now)
		if err != nil {
			for _, n := range notices { // of which the next round makes others
				s.discard(ctx, n.body, unwritten{err})
			}
			return false, err
		}
		if n != nil {
			notices = append(notices, n)
		}
	}
	next := digestState{From: state.Until}
	if done = d.Admin != "" || len(to) < some; !done {
		next = *state
		next.Done = to[len(to)-1]
	}
	value, at := pack(next), millis(time.Now())
	err = s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		res, err := t.exec(ctx, "UPDATE record SET revision = revision + 1, at = ?, value = ? WHERE kind = ? AND id = ? AND revision = ?",
			at, value, rec.Kind, rec.ID, rec.Revision)
		if err := s.changed(ctx, t, res, err, rec.Kind, rec.ID); err != nil {
			return err
		}
		for _, n := range notices {
			if err := n.insert(ctx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for _, n := range notices {
			s.discard(ctx, n.body, err)
		}
		return false, err
	}
	rec.Revision++
	*state = next
	for _, n := range notices {
		s.stir(n.lane(), now)
	}
	return done, nil
}

// digestWhere chooses what is held and not yet told of.
func digestWhere(d Digest, state digestState) *where {
	w := &where{}
	w.add("h.state = 'held' AND r.state = 'held' AND h.at >= ? AND h.at < ?", state.From, state.Until)
	if len(d.Domains) > 0 {
		args := make([]any, len(d.Domains))
		for i, name := range d.Domains {
			args[i] = strings.ToLower(name)
		}
		w.add("h.domain IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
	}
	return w
}

func (s *Store) digestAddresses(ctx context.Context, d Digest, state digestState, most int) ([]string, error) {
	w := digestWhere(d, state)
	w.add("r.address > ?", state.Done)
	rows, err := s.db.query(ctx, "SELECT DISTINCT r.address FROM held h JOIN held_recipient r ON r.held = h.id"+w.String()+
		fmt.Sprintf(" ORDER BY r.address LIMIT %d", most), w.args...)
	if err != nil {
		return nil, err
	}
	var out []string
	for rows.Next() {
		var a string
		if err := rows.Scan(&a); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, a)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// mostListed bounds one digest.
const mostListed = 200

// digestMail makes the mail to one address, nil if there is nothing to tell.
func (s *Store) digestMail(ctx context.Context, d Digest, to string, state digestState, now time.Time) (*notice, error) {
	w := digestWhere(d, state)
	if d.Admin == "" {
		w.add("r.address = ?", to)
	}
	rows, err := s.db.query(ctx, "SELECT h.id, h.at, h.expires, h.domain, h.author, h.mail_from, h.subject, h.class, MIN(r.address), COUNT(*) FROM held h JOIN held_recipient r ON r.held = h.id"+
		w.String()+" GROUP BY h.id, h.at, h.expires, h.domain, h.author, h.mail_from, h.subject, h.class ORDER BY h.at DESC, h.id"+fmt.Sprintf(" LIMIT %d", mostListed+1), w.args...)
	if err != nil {
		return nil, err
	}
	var list []digestLine
	for rows.Next() {
		var l digestLine
		var at, expires int64
		if err := rows.Scan(&l.id, &at, &expires, &l.domain, &l.author, &l.sender, &l.subject, &l.class, &l.to, &l.count); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		l.at, l.expires = fromMillis(at), fromMillis(expires)
		list = append(list, l)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(list) == 0 {
		return nil, err
	}
	n := &notice{id: s.digestID(to, state), body: newKey(now), at: now, expires: now.Add(s.config.QueuedFor)}
	if n.domain = d.Way; d.Admin == "" {
		n.domain = list[0].domain
	}
	n.envelope = verdict.Envelope{To: []verdict.Recipient{{Address: to, Notify: []string{"NEVER"}}}}
	if !isASCII(to) { // who offers SMTPUTF8 offers 8BITMIME (RFC 6531 section 3.1)
		n.envelope.UTF8, n.envelope.Body = true, "8BITMIME"
	}
	n.source = verdict.Bytes(s.digestText(d, to, list, n.id, now))
	return n, s.bodies.Put(ctx, n.body, n.source)
}

// digestID is the same for the same digest.
func (s *Store) digestID(to string, state digestState) string {
	return "d" + strings.ToLower(strings.NewReplacer("-", "a", "_", "b").Replace(s.sign("digest", fmt.Sprint(to, state.From, state.Until))[:20]))
}

// digestLine is one held message in a digest.
type digestLine struct {
	id, domain, author, sender, subject, class, to string
	count                                          int
	at, expires                                    time.Time
}

// digestText is the mail itself, in ASCII but for the address it goes to.
func (s *Store) digestText(d Digest, to string, list []digestLine, id string, now time.Time) []byte {
	var b bytes.Buffer
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	subject := fmt.Sprintf("Quarantine: %d messages", len(list))
	if len(list) == 1 {
		subject = "Quarantine: 1 message"
	} else if len(list) > mostListed {
		subject = fmt.Sprintf("Quarantine: more than %d messages", mostListed)
	}
	field("Date", now.Format(time.RFC1123Z))
	field("From", "Mail Quarantine <"+s.config.postmaster()+">")
	field("To", "<"+oneLine(to)+">")
	field("Subject", mime.QEncoding.Encode("utf-8", subject))
	field("Message-ID", "<"+id+"@"+s.config.Hostname+">")
	field("Auto-Submitted", "auto-generated") // RFC 3834
	field("MIME-Version", "1.0")
	field("Content-Type", "text/plain; charset=utf-8")
	field("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = io.WriteString(w, s.digestBody(d, to, list, now)) // into memory
	_ = w.Close()
	return b.Bytes()
}

// digestBody is the text of the mail.
func (s *Store) digestBody(d Digest, to string, list []digestLine, now time.Time) string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(fmt.Sprintf(format, args...) + "\r\n") }
	line("These messages were held back by the mail gateway at %s.", s.config.Hostname)
	if d.Links == nil {
		line("To get one of them, ask your administrator and name its id.")
	} else {
		line("To get one of them, open its link and confirm. Do not pass the links on.")
	}
	for _, l := range list[:min(len(list), mostListed)] {
		line("")
		line("From:    %s", shown(cmp.Or(l.author, l.sender, "(no sender)")))
		line("Subject: %s", shown(l.subject))
		if d.Admin != "" {
			more := ""
			if l.count > 1 {
				more = fmt.Sprintf(" and %d more", l.count-1)
			}
			line("For:     %s%s", shown(l.to), more)
		}
		line("Held:    %s UTC as %s, id %s, kept until %s", l.at.Format(time.DateTime), l.class, l.id, l.expires.Format(time.DateOnly))
		if d.Links == nil {
			continue
		}
		if l.class == verdict.Malicious.String() && d.Admin == "" && !d.Links.Malicious {
			line("Only an administrator can release it.")
			continue
		}
		t := ticket{held: l.id, to: to, who: to}
		if d.Admin != "" {
			t.to = everyRecipient
		}
		line("Release: %s", d.Links.url(s, t, now))
	}
	if len(list) > mostListed {
		line("\r\nThere are more, which are not listed.")
	}
	return b.String()
}

// shown is what a stranger wrote, in a line of a mail of ours.
func shown(s string) string {
	s = oneLine(harmless(text(s, 200), false))
	return text(s, 400)
}

func isASCII(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool { return c >= 0x80 })
}

// Links makes links that release one held message to one recipient, once.
type Links struct {
	// Base is where LinkHandler is served: "https://mx.gw.example/quarantine". Required; https, but for a loopback.
	Base string
	// For is how long a link works; 0 means 7 days.
	For time.Duration
	// Malicious lets recipients also have what was held as malicious. Admins have links for that always.
	Malicious bool
}

func (l *Links) valid() error {
	u, err := url.Parse(l.Base)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("store: links: %q is no URL like https://mx.gw.example/quarantine", l.Base)
	}
	if host := u.Hostname(); u.Scheme != "https" && !(u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1")) {
		return fmt.Errorf("store: links: %q is not https", l.Base)
	}
	return nil
}

// URL returns the link for a recipient of a held message.
func (l *Links) URL(s *Store, held, recipient string, now time.Time) string {
	return l.url(s, ticket{held: held, to: recipient, who: recipient}, now)
}

func (l *Links) url(s *Store, t ticket, now time.Time) string {
	t.until = now.Add(cmp.Or(l.For, 7*24*time.Hour))
	return strings.TrimSuffix(l.Base, "/") + "?t=" + s.seal(t)
}
