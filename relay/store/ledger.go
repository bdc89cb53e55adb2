package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// Entry is what the ledger knows about one message.
type Entry struct {
	ID         string          `json:"id"`
	At         time.Time       `json:"at"`
	Node       string          `json:"node"`
	Tenant     string          `json:"tenant,omitempty"`
	Domain     string          `json:"domain"`
	Peer       string          `json:"peer,omitempty"`
	Origin     string          `json:"origin,omitempty"`
	MailFrom   string          `json:"mail_from"`
	Recipients []string        `json:"recipients"`
	Author     string          `json:"from,omitempty"`
	Subject    string          `json:"subject,omitempty"`
	MessageID  string          `json:"message_id,omitempty"`
	Size       int64           `json:"size"`
	Class      verdict.Class   `json:"class"`
	Action     relay.Action    `json:"action"`
	Reply      string          `json:"reply"`
	Hop        string          `json:"hop,omitempty"`
	Held       string          `json:"held,omitempty"`
	Queued     bool            `json:"queued,omitempty"`
	JudgedMS   int64           `json:"judged_ms"`
	HopMS      int64           `json:"hop_ms"`
	TookMS     int64           `json:"took_ms"`
	Report     json.RawMessage `json:"report,omitempty"` // see reportRow; only Message has it
	Events     []Event         `json:"events,omitempty"` // only Message has them
}

// Event is something that became of a message after it was answered.
type Event struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"` // "delivered", "released", "bounced", "condemned", …
	Who    string    `json:"who,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

// reportRow is a report as the ledger and the quarantine keep it.
type reportRow struct {
	*verdict.Report
	Auth verdict.AuthResults
}

// MarshalJSON adds to the report what was known about the sender.
func (r reportRow) MarshalJSON() ([]byte, error) {
	report, err := r.Report.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"report":%s,"auth":%s}`, report, pack(authOf(r.Auth))), nil
}

// authRow is what stands in a row of verdict.AuthResults: errors as text.
type authRow struct {
	SPF   string   `json:"spf,omitempty"`
	DKIM  []string `json:"dkim,omitempty"`
	DMARC string   `json:"dmarc,omitempty"`
	ARC   string   `json:"arc,omitempty"`
}

func authOf(a verdict.AuthResults) authRow {
	line := func(result verdict.AuthResult, what string, err error) string {
		s := strings.TrimSpace(string(result) + " " + what)
		if err != nil {
			s += ": " + err.Error()
		}
		return text(s, 512)
	}
	out := authRow{
		SPF: line(a.SPF.Result, a.SPF.Domain, a.SPF.Err), DMARC: line(a.DMARC.Result, strings.TrimSpace(a.DMARC.Domain+" "+a.DMARC.Policy), a.DMARC.Err),
		ARC: line(a.ARC.Result, a.ARC.Sealer, a.ARC.Err),
	}
	for _, d := range a.DKIM {
		out.DKIM = append(out.DKIM, line(d.Result, strings.Trim(d.Domain+"/"+d.Selector, "/"), d.Err))
	}
	return out
}

func packReport(r *verdict.Report, m *verdict.Message) string {
	if r == nil {
		return "null"
	}
	const most = 256 << 10
	s := pack(reportRow{r, m.Auth})
	if len(s) > most { // half a document would be none: the class and the author's authentication are kept
		s = pack(reportRow{&verdict.Report{Class: r.Class, Took: r.Took}, m.Auth})
	}
	return text(s, most)
}

const insertMessage = `INSERT INTO message (id, at, node, tenant, domain, peer, origin, mail_from, author, subject, message_id,
 recipients, size, class, action, reply, hop, held, queued, judged_ms, hop_ms, took_ms, report)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

const insertEvent = `INSERT INTO message_event (message, at, what, who, detail) VALUES (?, ?, ?, ?, ?)`

// RecordMessage writes the row of a message. It implements relay.Ledger: it is called when what became of the
// message is settled and before the sender is told.
func (s *Store) RecordMessage(ctx context.Context, d *relay.Domain, m *verdict.Message, o relay.Outcome) error {
	if err := s.room.take(4096, 2); err != nil {
		return fmt.Errorf("store: ledger: %w", err)
	}
	head := headlineOf(m)
	to := m.Envelope.Addresses()
	for i := range to {
		to[i] = address(to[i])
	}
	reply := ""
	if o.Reply != nil {
		reply = text(o.Reply.Error(), 512)
	}
	queued := 0
	if o.Queued {
		queued = 1
	}
	args := []any{
		o.ID, millis(m.Received), s.config.Node, "", o.Domain, addrText(m.Peer.Addr), addrText(m.Origin.Addr), text(m.Envelope.From, 512),
		head.author, head.subject, head.messageID, pack(to), o.Size, o.Class.String(), o.Action.String(), reply, text(o.Hop, 512), o.Held, queued,
		o.Judged.Milliseconds(), o.Delivered.Milliseconds(), o.Took.Milliseconds(), packReport(o.Report, m),
	}
	if d != nil {
		args[3] = d.Tenant
	}
	return s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		return t.put(ctx, insertMessage, args...)
	})
}

// ErrNotFound says that there is no message, held message or queued message with this id.
var ErrNotFound = errors.New("store: not found")

// Filter chooses messages of a list. The zero value chooses all.
type Filter struct {
	Domain    string    // exactly
	Sender    string    // part of the reverse-path or of From
	Recipient string    // part of a recipient's address
	Subject   string    // part of it
	MessageID string    // exactly, with or without angle brackets
	Class     string    // exactly
	Action    string    // exactly; of the ledger only
	Since     time.Time // the first that counts
	Until     time.Time // the first that does not
	Before    string    // an id: those that come after it in the list, for the next page
	Limit     int       // 0 means 100, at most 10 000
}

func (f Filter) limit() int {
	switch {
	case f.Limit <= 0:
		return 100
	case f.Limit > 10000:
		return 10000
	}
	return f.Limit
}

// where collects the conditions of a query.
type where struct {
	conds []string
	args  []any
}

func (w *where) add(cond string, args ...any) {
	w.conds = append(w.conds, cond)
	w.args = append(w.args, args...)
}

func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// like is a pattern for "contains", with the characters that mean something in LIKE taken for what they are.
func like(s string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(text(s, 512))) + "%"
}

// common adds the conditions that rows of the ledger and of the quarantine share.
func (f Filter) common(w *where) {
	if f.Domain != "" {
		w.add("domain = ?", strings.ToLower(f.Domain))
	}
	if f.Sender != "" {
		w.add(`(lower(mail_from) LIKE ? ESCAPE '\' OR lower(author) LIKE ? ESCAPE '\')`, like(f.Sender), like(f.Sender))
	}
	if f.Subject != "" {
		w.add(`lower(subject) LIKE ? ESCAPE '\'`, like(f.Subject))
	}
	if f.MessageID != "" {
		w.add("message_id = ?", "<"+strings.Trim(f.MessageID, "<> ")+">")
	}
	if f.Class != "" {
		w.add("class = ?", f.Class)
	}
	if !f.Since.IsZero() {
		w.add("at >= ?", millis(f.Since))
	}
	if !f.Until.IsZero() {
		w.add("at < ?", millis(f.Until))
	}
}

const messageColumns = `id, at, node, tenant, domain, peer, origin, mail_from, author, subject, message_id, recipients, size,
 class, action, reply, hop, held, queued, judged_ms, hop_ms, took_ms`

// Messages lists the ledger, newest first, without reports and events.
func (s *Store) Messages(ctx context.Context, f Filter) ([]Entry, error) {
	var w where
	f.common(&w)
	if f.Recipient != "" {
		w.add(`lower(recipients) LIKE ? ESCAPE '\'`, like(f.Recipient))
	}
	if f.Action != "" {
		w.add("action = ?", f.Action)
	}
	if f.Before != "" {
		w.add("(at, id) < (SELECT at, id FROM message WHERE id = ?)", f.Before)
	}
	rows, err := s.db.search(ctx, "SELECT "+messageColumns+" FROM message"+w.String()+fmt.Sprintf(" ORDER BY at DESC, id DESC LIMIT %d", f.limit()), w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Entry
	for rows.Next() {
		e, err := scanEntry(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// Message returns one row with everything that is known, by our id.
func (s *Store) Message(ctx context.Context, id string) (Entry, error) {
	var report string
	e, err := scanEntry(func(dst ...any) error {
		return s.db.queryRow(ctx, "SELECT "+messageColumns+", report FROM message WHERE id = ?", id).Scan(append(dst, &report)...)
	})
	if err != nil {
		return e, notFound(err, "message", id)
	}
	e.Report = json.RawMessage(report)
	rows, err := s.db.query(ctx, "SELECT at, what, who, detail FROM message_event WHERE message = ? ORDER BY at", id)
	if err != nil {
		return e, err
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var ev Event
		if err := rows.Scan(&at, &ev.What, &ev.Who, &ev.Detail); err != nil {
			return e, err
		}
		ev.At = fromMillis(at)
		e.Events = append(e.Events, ev)
	}
	return e, rows.Err()
}

func scanEntry(scan func(dst ...any) error) (Entry, error) {
	var e Entry
	var at int64
	var to, class, action string
	var queued int
	err := scan(&e.ID, &at, &e.Node, &e.Tenant, &e.Domain, &e.Peer, &e.Origin, &e.MailFrom, &e.Author, &e.Subject, &e.MessageID, &to, &e.Size,
		&class, &action, &e.Reply, &e.Hop, &e.Held, &queued, &e.JudgedMS, &e.HopMS, &e.TookMS)
	if err != nil {
		return e, err
	}
	e.At, e.Queued = fromMillis(at), queued != 0
	// A row that somebody changed by hand is shown as far as it can be read.
	_ = json.Unmarshal([]byte(to), &e.Recipients)
	_ = e.Class.UnmarshalText([]byte(class))
	_ = e.Action.UnmarshalText([]byte(strings.TrimPrefix(action, "none")))
	return e, nil
}
