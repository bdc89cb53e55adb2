package gworkspace

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// Probes send messages from outside through the whole way and look at both ends. Mailbox, Send and Gateway are
// required; what a probe lacks makes it unknown, never right.
type Probes struct {
	// Mailbox takes the messages: one that the profile protects, best one that nobody reads.
	Mailbox string
	// Send hands messages over from outside of the tenant.
	Send Sender
	// Gateway says what the gateway saw.
	Gateway Witness
	// Look finds what was delivered; nil: the Client of the tenant, by the Gmail API.
	Look Looker
	// CheckHost connects to the host of the gateway as Google does; nil: [CheckSMTPHost].
	CheckHost func(ctx context.Context, host string, port int) error
	// Group, Alias, Unrecognized and Suspended are addresses for P7: of a group, an alias, one that only the
	// catch-all knows, a suspended user. Empty ones are left out.
	Group, Alias, Unrecognized, Suspended string
	// Within is how long it may take; zero: 15 minutes. Every is the time between two looks; zero: 20 seconds.
	Within, Every time.Duration
}

// A Sender hands a message over from outside of the tenant. It returns an error that wraps [ErrRefused] when
// the receiver answered 5xx.
type Sender interface {
	Send(ctx context.Context, m ProbeMail) error
}

// ErrRefused is what a Sender returns for a message that the receiver refuses for good.
var ErrRefused = errors.New("the receiver refuses the message")

// A ProbeMail is a message to send. What is not given is up to the sender.
type ProbeMail struct {
	MessageID string  // with angle brackets
	To        string  // envelope and header
	Direct    bool    // to Google's own hosts, whatever the MX records say
	Spam      bool    // with something in it that the gateway calls spam
	Header    []Value // further header fields
}

// A Witness says what the gateway saw of a message: each time that it passed.
type Witness interface {
	Passages(ctx context.Context, messageID string) ([]Passage, error)
}

// A Passage is one time that a message came to the gateway.
type Passage struct {
	At         time.Time
	Tenant     bool // it had the right tenant secret
	OriginalTo bool // it had X-Gm-Original-To
	Scanned    bool // it had a good loop secret already
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
	ID     string        `json:"id"`
	Title  string        `json:"title"`
	State  State         `json:"state"` // right, wrong or unknown
	Detail string        `json:"detail,omitempty"`
	Do     string        `json:"do,omitempty"` // what to do when it is wrong
	Took   time.Duration `json:"took,omitempty"`
}

// flight is one message on its way.
type flight struct {
	mail    ProbeMail
	mailbox string // where to look for it; empty: at the gateway alone
	sent    error
	passes  []Passage
	copies  []Copy
	err     error
}

// shot is one probe with its message.
type shot struct {
	Probe
	flight *flight
	judge  func(*flight) (State, string)
}

// probe sends all and waits until all are right or the time is over.
func (t *Tenant) probe(ctx context.Context) ([]Probe, error) {
	x := t.Probes
	if x.Send == nil || x.Gateway == nil || !isAddress(x.Mailbox) {
		return nil, errors.New("gworkspace: probes need a mailbox, and something to send and to ask the gateway with")
	}
	if x.Look == nil && t.Client == nil {
		return nil, errors.New("gworkspace: probes need a client, or something else to look into the mailbox with")
	}
	start := time.Now()
	within, every := x.Within, x.Every
	if within <= 0 {
		within = 15 * time.Minute
	}
	if every <= 0 {
		every = 20 * time.Second
	}
	p1 := t.probeHost(ctx)
	shots := t.shots()
	flights := flightsOf(shots)
	for _, f := range flights {
		f.sent = x.Send.Send(ctx, f.mail)
	}
	if t.Progress != nil {
		t.Progress(fmt.Sprintf("waiting for %d messages to come through the gateway to %s", len(flights), x.Mailbox), start.Add(within))
	}
	for deadline, calm := start.Add(within), 0; calm < 2; {
		if t.lookAll(ctx, flights); !allRight(shots) {
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
	out := p1
	for _, s := range shots {
		s.State, s.Detail = s.judge(s.flight)
		s.Took = time.Since(start)
		if s.State != Wrong {
			s.Do = ""
		}
		out = append(out, s.Probe)
	}
	return merge(out), ctx.Err()
}

// probeHost is P1.
func (t *Tenant) probeHost(ctx context.Context) []Probe {
	if t.Profile.Mode != Reroute {
		return nil
	}
	check := t.Probes.CheckHost
	if check == nil {
		check = CheckSMTPHost
	}
	p := Probe{ID: "P1", Title: "The host answers with TLS and a valid certificate", State: Right}
	for _, r := range t.Profile.regions() {
		if err := check(ctx, r.SmartHost, r.port()); err != nil {
			p.State, p.Detail = Wrong, fmt.Sprintf("%s port %d: %s", r.SmartHost, r.port(), oneLine(err.Error(), 300))
			p.Do = "renew the certificate, or name the host that it is for: Google sends to no other"
		}
	}
	return []Probe{p}
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
	if look == nil {
		look = t.Client
	}
	for _, f := range flights {
		if f.sent != nil {
			continue
		}
		if f.passes, f.err = t.Probes.Gateway.Passages(ctx, f.mail.MessageID); f.err == nil && f.mailbox != "" {
			f.copies, f.err = look.Look(ctx, f.mailbox, f.mail.MessageID)
		}
	}
}

// allRight says whether no probe has anything left to wait for.
func allRight(shots []*shot) bool {
	for _, s := range shots {
		if state, _ := s.judge(s.flight); state != Right {
			return false
		}
	}
	return true
}

// shots are the messages of P2 to P7.
func (t *Tenant) shots() []*shot {
	p, x := t.Profile, t.Probes
	var out []*shot
	add := func(id, title, do string, m ProbeMail, mailbox string, judge func(*flight) (State, string)) *flight {
		m.MessageID = "<probe-" + strings.ToLower(rand.Text()) + "@" + p.Domains[0] + ">"
		f := &flight{mail: m, mailbox: mailbox}
		out = append(out, &shot{Probe: Probe{ID: id, Title: title, Do: do}, flight: f, judge: judge})
		return f
	}
	clean := add("P2", "Mail from outside comes to the gateway", "look at the rule, its organizational unit and whether a day has passed", ProbeMail{To: x.Mailbox}, x.Mailbox, t.judgeArrival)
	out = append(out, &shot{Probe: Probe{ID: "P4", Title: "Clean mail comes back to the inbox, once", Do: "look at the inbound gateway setting, and at comprehensive mail storage"}, flight: clean, judge: t.judgeReturn})
	add("P3", "Mail sent to Google directly", "", ProbeMail{To: x.Mailbox, Direct: true}, "", t.judgeDirect)
	add("P5", "Tagged mail comes to Spam", "look at the addresses and the regexp of the inbound gateway setting", ProbeMail{To: x.Mailbox, Spam: true}, x.Mailbox, judgeSpam)
	forged := rand.Text()
	add("P6", "Forged headers are stripped and the message is scanned", "keep the gateway from taking its own headers from strangers", ProbeMail{To: x.Mailbox,
		Header: []Value{{p.Headers.token(), forged}, {p.Headers.tenant(), forged}, {p.Headers.spam(), "FAIL"}, {p.Headers.id(), forged}}}, x.Mailbox,
		func(f *flight) (State, string) { return t.judgeForged(f, forged) })
	for _, a := range []struct {
		what, to string
		want     bool
	}{{"a group", x.Group, !p.SkipGroups}, {"an alias", x.Alias, true}, {"an unrecognized address", x.Unrecognized, !p.SkipUnrecognized}, {"a suspended user", x.Suspended, false}} {
		if a.to != "" {
			add("P7", "Mail to "+a.what, "look at the account types of the rule", ProbeMail{To: a.to}, "", func(f *flight) (State, string) { return judgeKind(f, a.want) })
		}
	}
	return out
}

// trouble judges what kept a probe from being looked at.
func trouble(f *flight) (State, string, bool) {
	switch {
	case errors.Is(f.sent, ErrRefused):
		return Wrong, "the message was refused: " + oneLine(f.sent.Error(), 300), true
	case f.sent != nil:
		return Unknown, "the message was not sent: " + oneLine(f.sent.Error(), 300), true
	case f.err != nil:
		return Unknown, oneLine(f.err.Error(), 300), true
	}
	return "", "", false
}

func (t *Tenant) judgeArrival(f *flight) (State, string) {
	if s, d, bad := trouble(f); bad {
		return s, d
	}
	switch {
	case len(f.passes) == 0 && len(f.copies) > 0:
		return Wrong, "it was delivered past the gateway"
	case len(f.passes) == 0:
		return Wrong, "it did not come to the gateway"
	case t.Profile.Mode != Reroute:
		return Right, ""
	case !f.passes[0].Tenant:
		return Wrong, "it came without the tenant's header: look at the custom header of the rule"
	case f.passes[0].Scanned:
		return Wrong, "it came with the loop header already"
	case !f.passes[0].OriginalTo:
		return Wrong, "it came without X-Gm-Original-To: tick it in the rule"
	}
	return Right, ""
}

func (t *Tenant) judgeReturn(f *flight) (State, string) {
	if s, d, bad := trouble(f); bad {
		return s, d
	}
	switch {
	case len(f.copies) == 0:
		return Wrong, "it was not delivered"
	case len(f.passes) > 1:
		return Wrong, fmt.Sprintf("it passed the gateway %d times: the rule does not see the loop secret", len(f.passes))
	case len(f.copies) > 1:
		return Wrong, fmt.Sprintf("%d copies were delivered", len(f.copies))
	case slices.Contains(f.copies[0].Labels, "SPAM"):
		return Wrong, "clean mail went to Spam: the addresses of the gateway are not trusted, or not yet"
	case !slices.Contains(f.copies[0].Labels, "INBOX"):
		return Wrong, "it is not in the inbox but in " + strings.Join(f.copies[0].Labels, " ")
	}
	return Right, oneLine(strings.Join(f.copies[0].Header.Values("Authentication-Results"), " | "), 300)
}

// judgeDirect is P3: in mode Reroute, and before the MX records moved, Google has to take it.
func (t *Tenant) judgeDirect(f *flight) (State, string) {
	lock := t.Profile.Mode == MXFirst && t.Profile.MXMoved
	switch {
	case errors.Is(f.sent, ErrRefused) && lock:
		return Right, ""
	case errors.Is(f.sent, ErrRefused):
		return Wrong, "Google refuses mail from the internet: " + oneLine(f.sent.Error(), 300)
	case f.sent != nil:
		return Unknown, "the message was not sent: " + oneLine(f.sent.Error(), 300)
	case lock:
		return Wrong, "Google takes mail past the gateway"
	}
	return Right, ""
}

func judgeSpam(f *flight) (State, string) {
	if s, d, bad := trouble(f); bad {
		return s, d
	}
	switch {
	case len(f.copies) == 0:
		return Wrong, "it was not delivered"
	case !slices.Contains(f.copies[0].Labels, "SPAM"):
		return Wrong, "it is not in Spam but in " + strings.Join(f.copies[0].Labels, " ")
	}
	return Right, ""
}

func (t *Tenant) judgeForged(f *flight, forged string) (State, string) {
	if s, d, bad := trouble(f); bad {
		return s, d
	}
	switch {
	case len(f.passes) == 0:
		return Wrong, "it did not come to the gateway: the rule takes a forged header for a good one"
	case len(f.copies) == 0:
		return Wrong, "it was not delivered"
	case slices.Contains(f.copies[0].Header.Values(t.Profile.Headers.id()), forged):
		return Wrong, "the forged id header is still there"
	case slices.Contains(f.copies[0].Labels, "SPAM"):
		return Wrong, "the forged spam header had effect"
	}
	return Right, ""
}

func judgeKind(f *flight, want bool) (State, string) {
	if errors.Is(f.sent, ErrRefused) && !want {
		return Right, ""
	}
	if s, d, bad := trouble(f); bad {
		return s, d
	}
	switch {
	case want && len(f.passes) == 0:
		return Wrong, "mail to " + f.mail.To + " did not come to the gateway"
	case !want && len(f.passes) > 0:
		return Wrong, "mail to " + f.mail.To + " came to the gateway, which was not wanted"
	}
	return Right, ""
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
	}
	slices.SortStableFunc(out, func(a, b Probe) int { return strings.Compare(a.ID, b.ID) })
	return out
}
