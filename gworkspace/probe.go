package gworkspace

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// Probes send messages from outside through the whole way and look at both ends. Mailbox and Send are
// required. What a probe lacks makes it unknown, never right.
type Probes struct {
	// Mailbox takes the messages: one that the profile protects, best one that nobody reads.
	Mailbox string
	// Send hands messages over from outside of the tenant.
	Send Sender
	// Gateway says what the gateway saw. Nil: nobody can tell, and P2 and P4 to P7 are neither sent nor checked.
	Gateway Witness
	// Unwatched says why Gateway is nil, for whoever reads the report.
	Unwatched string
	// Look finds what was delivered; nil: the Client of the tenant, by the Gmail API. Without either P4, P5 and
	// P6 say what a person has to look at.
	Look Looker
	// Group, Alias, Unrecognized and Suspended are addresses for P7: of a group, an alias, one that only the
	// catch-all knows, a suspended user. Empty ones are left out.
	Group, Alias, Unrecognized, Suspended string
	// Within is how long it may take; zero: 15 minutes. Every is the time between two looks; zero: 20 seconds.
	Within, Every time.Duration
}

// check refuses probes that cannot be sent.
func (x *Probes) check() error {
	if x.Send == nil || !isAddress(x.Mailbox) {
		return errors.New("gworkspace: probes need a mailbox and something to send with")
	}
	return nil
}

// times are how long to wait at most, and between two looks.
func (x *Probes) times() (within, every time.Duration) {
	return cmp.Or(max(x.Within, 0), 15*time.Minute), cmp.Or(max(x.Every, 0), 20*time.Second)
}

// A Sender hands a message over from outside of the tenant. It returns an error that wraps [ErrRefused] when
// the receiver answered 5xx, and one that wraps [ErrNotSent] when it could not send such a message at all.
type Sender interface {
	Send(ctx context.Context, m ProbeMail) error
}

var (
	// ErrRefused is what a Sender returns for a message that the receiver refuses for good.
	ErrRefused = errors.New("the receiver refuses the message")
	// ErrNotSent is what a Sender returns for a message that it cannot send, whatever the receiver says.
	ErrNotSent = errors.New("it cannot be sent from here")
)

// A ProbeMail is a message to send. What is not given is up to the sender.
type ProbeMail struct {
	Probe     string  // P2 to P7
	MessageID string  // with angle brackets
	Subject   string  // holds what no other message does, for a person who cannot choose the Message-ID
	To        string  // envelope and header
	Direct    bool    // to Google's own hosts, whatever the MX records say
	Spam      bool    // with something in it that the gateway calls spam
	Header    []Value // further header fields
}

// A Witness says what the gateway saw of a message: each time that it passed, the first one first. A message
// that a person sent is known by its subject alone.
type Witness interface {
	Passages(ctx context.Context, m ProbeMail) ([]Passage, error)
}

// A Passage is one time that a message came to the gateway. Of the pointers, nil means that nobody can tell.
type Passage struct {
	At         time.Time `json:"at"`
	ID         string    `json:"id,omitempty"`         // of the message at the gateway
	MessageID  string    `json:"message-id,omitempty"` // if it is not the one of the ProbeMail
	Node       string    `json:"node,omitempty"`       // of the gateway
	Tenant     *bool     `json:"tenant,omitempty"`     // it had the right tenant secret
	OriginalTo *bool     `json:"original-to,omitempty"`
	Scanned    bool      `json:"scanned,omitempty"` // it had a good loop secret already
	Class      string    `json:"class,omitempty"`   // clean, spam, malicious or unknown
	Action     string    `json:"action,omitempty"`  // deliver, tag, defer, hold or reject
	Hop        string    `json:"hop,omitempty"`     // where it went on to, and what was said there
	Reply      string    `json:"reply,omitempty"`   // to whoever sent it
	Queued     bool      `json:"queued,omitempty"`  // it waits for its next hop
}

// String is one line about a passage.
func (p Passage) String() string {
	words := []string{"at the gateway " + p.At.UTC().Format(time.RFC3339)}
	add := func(word, text string) {
		if text != "" {
			words = append(words, word+oneLine(text, 200))
		}
	}
	add("as ", p.ID)
	add("on ", p.Node)
	add("judged ", p.Class)
	add("action ", p.Action)
	if p.Queued {
		words = append(words, "queued")
	}
	add("next hop ", p.Hop)
	add("answered ", p.Reply)
	return strings.Join(words, ", ")
}

// A Looker finds a delivered message by its Message-ID: every copy in the mailbox, also in Spam and Trash.
type Looker interface {
	Look(ctx context.Context, mailbox, messageID string) ([]Copy, error)
}

// A Copy is a message in a mailbox.
type Copy struct {
	ID     string
	Labels []string // of Gmail: INBOX, SPAM, TRASH
	Header textproto.MIMEHeader
}

// A Probe is what became of one of P1 to P7.
type Probe struct {
	ID        string        `json:"id"`
	Title     string        `json:"title"`
	State     State         `json:"state"` // right, wrong or unknown
	Detail    string        `json:"detail,omitempty"`
	Do        string        `json:"do,omitempty"` // what to do when it is wrong, or what a person can look at
	Took      time.Duration `json:"took,omitempty"`
	MessageID string        `json:"message-id,omitempty"`
	Passages  []Passage     `json:"passages,omitempty"`
	Labels    []string      `json:"labels,omitempty"` // of Gmail, where it ended
}

// flight is one message on its way.
type flight struct {
	mail    ProbeMail
	mailbox string // where to look for it; empty: at the gateway alone
	sent    error
	passes  []Passage
	copies  []Copy
	err     error // of the gateway
	unseen  error // why nobody can look into the mailbox; nil: somebody did
}

// shot is one probe with its message.
type shot struct {
	Probe
	flight *flight
	judge  func(*flight) outcome
}

// probe sends all and waits until nothing is open any more or the time is over. What P3 has to find depends on where the
// MX records lead.
func (t *Tenant) probe(ctx context.Context, s mxState) ([]Probe, error) {
	x := t.Probes
	if err := x.check(); err != nil {
		return nil, err
	}
	start := time.Now()
	within, every := x.times()
	shots := t.shots(s)
	flights := flightsOf(shots)
	for _, f := range flights {
		f.sent = x.Send.Send(ctx, f.mail)
	}
	if t.Progress != nil && len(flights) > 0 {
		t.Progress(fmt.Sprintf("waiting for %d messages to come through the gateway to %s", len(flights), x.Mailbox), start.Add(within))
	}
	for deadline, calm := start.Add(within), 0; calm < 2; {
		if t.lookAll(ctx, flights); anyOpen(shots) {
			calm = 0
		} else {
			calm++ // once more: a second copy or passage comes later
		}
		if !time.Now().Add(every).Before(deadline) {
			break
		}
		if calm < 2 {
			if err := sleep(ctx, every); err != nil {
				return nil, err
			}
		}
	}
	var out []Probe
	for _, s := range shots {
		out = append(out, s.result(start))
	}
	return merge(append(out, t.unsent()...)), ctx.Err()
}

// result is what a probe came to.
func (s *shot) result(start time.Time) Probe {
	o, f := s.judge(s.flight), s.flight
	p := s.Probe
	p.State, p.Detail, p.Took = o.state, oneLine(o.text, 600), time.Since(start)
	p.MessageID, p.Passages = f.mail.MessageID, f.passes
	if len(f.passes) > 0 {
		p.MessageID = first(f.passes[0].MessageID, p.MessageID)
	}
	for _, c := range f.copies {
		p.Labels = append(p.Labels, c.Labels...)
	}
	switch {
	case o.state == Right:
		p.Do = ""
	case o.do != "":
		p.Do = o.do
	case o.state == Unknown:
		p.Do = ""
	}
	return p
}

// flightsOf lists the messages, of which two probes may share one.
func flightsOf(shots []*shot) []*flight {
	var out []*flight
	for _, s := range shots {
		if !slices.Contains(out, s.flight) {
			out = append(out, s.flight)
		}
	}
	return out
}

// lookAll looks at both ends for all messages.
func (t *Tenant) lookAll(ctx context.Context, flights []*flight) {
	look := t.Probes.Look
	if look == nil && t.Client != nil {
		look = t.Client
	}
	for _, f := range flights {
		if f.sent != nil || t.Probes.Gateway == nil {
			continue
		}
		if f.passes, f.err = t.Probes.Gateway.Passages(ctx, f.mail); f.err != nil || f.mailbox == "" {
			continue
		}
		if look == nil {
			f.unseen = errNoLook
			continue
		}
		id := f.mail.MessageID
		if len(f.passes) > 0 {
			id = first(f.passes[0].MessageID, id)
		}
		f.copies, f.unseen = look.Look(ctx, f.mailbox, id)
	}
}

// errNoLook is why a mailbox was not looked into.
var errNoLook = errors.New("no access to the mailbox was given")

// anyOpen says whether time may change something.
func anyOpen(shots []*shot) bool {
	return slices.ContainsFunc(shots, func(s *shot) bool { return s.judge(s.flight).open })
}

// shots are the messages of P2 to P7. Without a witness there is P3 alone.
func (t *Tenant) shots(s mxState) []*shot {
	p, x := t.Profile, t.Probes
	var out []*shot
	add := func(id, title, do string, m ProbeMail, mailbox string, judge func(*flight) outcome) *flight {
		token := strings.ToLower(rand.Text())
		m.Probe, m.MessageID, m.Subject = id, "<probe-"+token+"@"+p.Domains[0]+">", p.product()+" probe "+id+" "+token
		f := &flight{mail: m, mailbox: mailbox}
		out = append(out, &shot{Probe: Probe{ID: id, Title: title, Do: do}, flight: f, judge: judge})
		return f
	}
	add("P3", titleP3, t.doP3(s), ProbeMail{To: x.Mailbox, Direct: true}, "", func(f *flight) outcome { return t.judgeDirect(f, s) })
	if x.Gateway == nil {
		return out
	}
	clean := add("P2", titleP2, "look at the rule, its organizational unit and whether a day has passed", ProbeMail{To: x.Mailbox}, x.Mailbox, t.judgeArrival)
	out = append(out, &shot{Probe: Probe{ID: "P4", Title: titleP4, Do: "look at the inbound gateway setting, and at comprehensive mail storage"}, flight: clean, judge: t.judgeReturn})
	add("P5", titleP5, "look at the addresses and the regexp of the inbound gateway setting", ProbeMail{To: x.Mailbox, Spam: true}, x.Mailbox, t.judgeSpam)
	forged := rand.Text()
	add("P6", titleP6, "keep the gateway from taking its own headers from strangers", ProbeMail{To: x.Mailbox,
		Header: []Value{{p.Headers.token(), forged}, {p.Headers.tenant(), forged}, {p.Headers.spam(), "FAIL"}, {p.Headers.id(), forged}}}, x.Mailbox,
		func(f *flight) outcome { return t.judgeForged(f, forged) })
	for _, a := range []struct {
		what, to string
		want     bool
	}{{"a group", x.Group, !p.SkipGroups}, {"an alias", x.Alias, true}, {"an unrecognized address", x.Unrecognized, !p.SkipUnrecognized}, {"a suspended user", x.Suspended, false}} {
		if a.to != "" {
			add("P7", "Mail to "+a.what, "look at the account types of the rule", ProbeMail{To: a.to}, "", func(f *flight) outcome { return judgeKind(f, a.want) })
		}
	}
	return out
}

// The titles of the probes.
const (
	titleP1 = "The host answers with TLS and a valid certificate"
	titleP2 = "Mail from outside comes to the gateway"
	titleP3 = "Mail sent to Google directly"
	titleP4 = "Clean mail comes back to the inbox, once"
	titleP5 = "Tagged mail comes to Spam"
	titleP6 = "Forged headers are stripped and the message is scanned"
	titleP7 = "Mail to a group, an alias, an unrecognized address, a suspended user"
)

// unsent are the probes that nobody could have looked at.
func (t *Tenant) unsent() []Probe {
	x := t.Probes
	var out []Probe
	add := func(id, title, why string) {
		out = append(out, Probe{ID: id, Title: title, State: Unknown, Detail: "not checked: " + why})
	}
	if x.Gateway == nil {
		why := first(x.Unwatched, "nobody can look into the ledger of the gateway")
		for _, p := range []struct{ id, title string }{{"P2", titleP2}, {"P4", titleP4}, {"P5", titleP5}, {"P6", titleP6}, {"P7", titleP7}} {
			add(p.id, p.title, why)
		}
		return out
	}
	if x.Group == "" && x.Alias == "" && x.Unrecognized == "" && x.Suspended == "" {
		add("P7", titleP7, "no such addresses were named")
	}
	return out
}

// merge makes one probe of those with the same id.
func merge(all []Probe) []Probe {
	var out []Probe
	for _, p := range all {
		i := slices.IndexFunc(out, func(x Probe) bool { return x.ID == p.ID })
		if i < 0 {
			out = append(out, p)
			continue
		}
		if p.State == Wrong || out[i].State == Right {
			out[i].State = p.State
		}
		out[i].Title += "; " + strings.ToLower(p.Title[:1]) + p.Title[1:]
		out[i].Detail = strings.Trim(out[i].Detail+"; "+p.Detail, "; ")
		out[i].Do = first(out[i].Do, p.Do)
		out[i].Passages = slices.Concat(out[i].Passages, p.Passages)
	}
	slices.SortStableFunc(out, func(a, b Probe) int { return strings.Compare(a.ID, b.ID) })
	return out
}
