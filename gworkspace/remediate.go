package gworkspace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// A Cure is what is done with mail that was delivered.
type Cure string

// The cures.
const (
	Trash     Cure = "trash"     // to the trash, from where it is gone after 30 days
	Untrash   Cure = "untrash"   // back from the trash
	Spam      Cure = "spam"      // to Spam
	NotSpam   Cure = "not-spam"  // from Spam to the inbox
	Permanent Cure = "permanent" // for good, with a scope of its own; there is no way back
)

var cures = []Cure{Trash, Untrash, Spam, NotSpam, Permanent}

// A Target is a message that a recipient got.
type Target struct {
	MessageID string `json:"message_id"` // of the header field, with its angle brackets
	Recipient string `json:"recipient"`  // an address of a mailbox or of a group
	// OurID is the value of our own id header in the message. Message-IDs are chosen by senders, may be
	// missing and may be there twice: what has not this id is left alone.
	OurID string `json:"our_id"`
}

// Check says why a message cannot be looked for, whatever is to be done with it: its Message-ID is none, or the recipient
// is no address. [Client.Remediate] refuses a remedy with such a target as a whole.
func (t Target) Check() error {
	switch {
	case t.MessageID == "" || len(t.MessageID) > 998 || strings.ContainsFunc(t.MessageID, notPrintable):
		return fmt.Errorf("gworkspace: %q is no Message-ID", oneLine(t.MessageID, 100))
	case !isAddress(t.Recipient):
		return fmt.Errorf("gworkspace: %q is no address", oneLine(t.Recipient, 100))
	}
	return nil
}

// A Remedy says what to do with which messages.
type Remedy struct {
	Cure     Cure
	Targets  []Target
	IDHeader string // the header field that OurID is in, such as X-Postreeve-Id
	// Unconfirmed also takes messages whose OurID is not known, by Message-ID and recipient alone.
	Unconfirmed bool
	// Mailboxes is how many are worked on at a time; zero: 10.
	Mailboxes int
	// Done, if set, is told of each outcome as soon as it is known, by one goroutine at a time.
	Done func(Remediation)
}

// The states a [Remediation] can be in.
const (
	MailCured    = "cured"     // everything that was found
	MailNotFound = "not found" // no such message in the mailbox, or not with our id: deleted, or never arrived
	MailSkipped  = "skipped"   // there is no mailbox to look into: no Gmail, suspended, no such user
	MailFailed   = "failed"    // see Err
)

// A Remediation is what became of one message in one mailbox.
type Remediation struct {
	Target  Target `json:"target"`
	Mailbox string `json:"mailbox,omitempty"` // primary address; of a member when the recipient is a group
	State   string `json:"state"`
	Found   int    `json:"found"` // messages that matched
	Cured   int    `json:"cured"` // of them, those that are now, or were already, where the cure puts them
	Err     error  `json:"-"`
	Reason  string `json:"reason,omitempty"` // Err in words
}

// Remediate takes back, or gives back, delivered mail: it finds each message by its Message-ID in the mailbox
// of its recipient, or of every member if that is a group, confirms it by our own id, and cures it. One worker
// is at one mailbox at a time. The outcomes are in the order of the targets, one for each mailbox; an error
// means that the remedy makes no sense, that the delegation does not allow it, or that ctx ended, with what
// was done until then: what was not tried any more has no outcome.
func (c *Client) Remediate(ctx context.Context, r Remedy) ([]Remediation, error) {
	if err := checkRemedy(r); err != nil {
		return nil, err
	}
	n := cmp.Or(r.Mailboxes, 10)
	boxes, early, err := c.resolve(ctx, r.Targets, n)
	if err != nil {
		return nil, err
	}
	t := &tally{done: r.Done}
	for _, o := range early {
		t.add(o)
	}
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(n)
	for _, b := range boxes {
		eg.Go(func() error { return c.cureBox(ctx, r, b, t) })
	}
	err = eg.Wait()
	return t.sorted(r.Targets), err
}

func checkRemedy(r Remedy) error {
	if !slices.Contains(cures, r.Cure) {
		return fmt.Errorf("gworkspace: unknown cure %q: use trash, untrash, spam, not-spam or permanent", r.Cure)
	}
	if r.Mailboxes < 0 || r.Mailboxes > 100 {
		return fmt.Errorf("gworkspace: %d mailboxes at a time: use 1 to 100", r.Mailboxes)
	}
	if r.IDHeader != "" && !headerForm.MatchString(r.IDHeader) {
		return fmt.Errorf("gworkspace: %q is no name of a header field", oneLine(r.IDHeader, 100))
	}
	for _, t := range r.Targets {
		if err := t.Check(); err != nil {
			return err
		}
		switch {
		case t.OurID == "" && !r.Unconfirmed:
			return fmt.Errorf("gworkspace: the message %s for %s has no id of ours: it could be another one of that Message-ID", oneLine(t.MessageID, 200), t.Recipient)
		case t.OurID != "" && r.IDHeader == "":
			return errors.New("gworkspace: a remedy needs the name of the header field our id is in")
		}
	}
	return nil
}

// cureBox works on one mailbox, which no other worker has. Its error ends the other workers too.
func (c *Client) cureBox(ctx context.Context, r Remedy, b box, t *tally) error {
	for i, x := range b.targets {
		if ctx.Err() != nil { // what was never tried has no outcome
			return ctx.Err()
		}
		o := c.cureOne(ctx, r, b.mailbox, r.Targets[x])
		if ctx.Err() != nil && o.Found == 0 && (errors.Is(o.Err, ctx.Err()) || errors.Is(o.Err, context.Cause(ctx))) {
			return ctx.Err() // cut short before anything was done; the cause is the error of another mailbox
		}
		switch {
		case errors.Is(o.Err, ErrSubject), errors.Is(o.Err, ErrNoMailbox):
			for _, y := range b.targets[i:] {
				t.add(Remediation{Target: r.Targets[y], Mailbox: b.mailbox, State: MailSkipped, Err: o.Err, Reason: oneLine(o.Err.Error(), 500)})
			}
			return nil
		case errors.Is(o.Err, ErrScope) && c.stranger(ctx, b.mailbox):
			for _, y := range b.targets[i:] {
				t.add(Remediation{Target: r.Targets[y], Mailbox: b.mailbox, State: MailSkipped, Reason: "the member is no user of the tenant"})
			}
			return nil
		case errors.Is(o.Err, ErrScope): // so it is for all mailboxes
			t.add(o)
			return o.Err
		}
		t.add(o)
	}
	return nil
}

// cureOne finds, confirms and cures one message in one mailbox.
func (c *Client) cureOne(ctx context.Context, r Remedy, mailbox string, target Target) Remediation {
	o := Remediation{Target: target, Mailbox: mailbox}
	fail := func(err error) Remediation {
		o.State, o.Err, o.Reason = MailFailed, err, oneLine(err.Error(), 500)
		return o
	}
	ids, err := c.find(ctx, mailbox, target.MessageID)
	if err != nil {
		return fail(err)
	}
	var errs []error
	for _, id := range ids {
		fields := []string{"Message-ID"}
		if r.IDHeader != "" {
			fields = append(fields, r.IDHeader)
		}
		m, err := c.header(ctx, mailbox, id, fields...)
		if errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return fail(err)
		}
		if !confirmed(m, r, target) {
			continue
		}
		o.Found++
		if err := c.act(ctx, r.Cure, mailbox, m); err != nil {
			errs = append(errs, err)
			continue
		}
		o.Cured++
	}
	if err := errors.Join(errs...); err != nil {
		return fail(err)
	}
	o.State = MailCured
	if o.Found == 0 {
		o.State = MailNotFound
	}
	return o
}

// confirmed says whether a message is the one that is meant.
func confirmed(m Copy, r Remedy, t Target) bool {
	if !sameID(m.Header.Get("Message-Id"), t.MessageID) {
		return false
	}
	if t.OurID == "" {
		return r.Unconfirmed
	}
	return slices.ContainsFunc(m.Header.Values(r.IDHeader), func(v string) bool { return strings.TrimSpace(v) == t.OurID })
}

// act cures one message. What is there already needs no call.
func (c *Client) act(ctx context.Context, cure Cure, mailbox string, m Copy) error {
	has := func(label string) bool { return slices.Contains(m.Labels, label) }
	path := "messages/" + url.PathEscape(m.ID)
	post := func(name, verb string, units int, in any) error {
		_, err := c.gmail(ctx, name, http.MethodPost, mailbox, c.modifyScope(), path+"/"+verb, nil, units, in, nil)
		return err
	}
	type labels struct {
		Add    []string `json:"addLabelIds"`
		Remove []string `json:"removeLabelIds"`
	}
	switch cure {
	case Trash:
		if has("TRASH") {
			return nil
		}
		return post("gmail.trash", "trash", unitsTrash, nil)
	case Untrash:
		if !has("TRASH") {
			return nil
		}
		return post("gmail.untrash", "untrash", unitsTrash, nil)
	case Spam:
		if has("SPAM") {
			return nil
		}
		return post("gmail.modify", "modify", unitsModify, labels{[]string{"SPAM"}, []string{"INBOX"}})
	case NotSpam:
		if !has("SPAM") {
			return nil
		}
		return post("gmail.modify", "modify", unitsModify, labels{[]string{"INBOX"}, []string{"SPAM"}})
	}
	lost, err := c.gmail(ctx, "gmail.delete", http.MethodDelete, mailbox, ScopePurge, path, nil, unitsDelete, nil, nil)
	if lost && errors.Is(err, ErrNotFound) {
		return nil // the attempt without a reply did it
	}
	return err
}

// tally collects outcomes from all workers.
type tally struct {
	mu   sync.Mutex
	all  []Remediation
	done func(Remediation)
}

func (t *tally) add(o Remediation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, o)
	if t.done != nil {
		t.done(o)
	}
}

// sorted puts the outcomes into the order of the targets, and by mailbox.
func (t *tally) sorted(targets []Target) []Remediation {
	t.mu.Lock()
	defer t.mu.Unlock()
	place := map[Target]int{}
	for i, x := range targets {
		if _, ok := place[x]; !ok {
			place[x] = i
		}
	}
	slices.SortStableFunc(t.all, func(a, b Remediation) int {
		return cmp.Or(place[a.Target]-place[b.Target], strings.Compare(a.Mailbox, b.Mailbox))
	})
	return t.all
}
