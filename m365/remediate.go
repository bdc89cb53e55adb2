package m365

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// A Cure is what is done with mail that was delivered.
type Cure string

// The cures.
const (
	MoveToJunk    Cure = "junk"    // to the junk folder
	MoveToDeleted Cure = "deleted" // to the deleted items, where the user sees it
	SoftDelete    Cure = "soft"    // to the recoverable items: gone for the user, not for an admin
	Purge         Cure = "purge"   // for good, unless the mailbox is on hold; worldwide cloud only
	Restore       Cure = "restore" // back to the inbox, also from the recoverable items
)

// folders are the well-known names of where a cure moves to.
var folders = map[Cure]string{MoveToJunk: "junkemail", MoveToDeleted: "deleteditems", SoftDelete: "recoverableitemsdeletions", Restore: "inbox"}

// A Target is a message that a recipient got.
type Target struct {
	MessageID string `json:"message_id"` // of the header field, with its angle brackets
	Recipient string `json:"recipient"`  // an address of a mailbox or of a group
	// OurID is the value of our own id header in the message. Message-IDs are chosen by senders, may be
	// missing and may be there twice: what has not this id is left alone.
	OurID string `json:"our_id"`
}

// A Remedy says what to do with which messages.
type Remedy struct {
	Cure     Cure
	Targets  []Target
	IDHeader string // the header field that OurID is in, such as X-Postreeve-Id
	// Unconfirmed also takes messages whose OurID is not known, by Message-ID and recipient alone.
	Unconfirmed bool
	// Done, if set, is told of each outcome as soon as it is known, by one goroutine at a time.
	Done func(Remediation)
}

// The states an [Remediation] can be in.
const (
	MailCured = "cured" // everything that was found
	// MailNotFound: no such message in the mailbox, or not with our id: moved, deleted, never arrived. With a Reason:
	// there is no mailbox to look into.
	MailNotFound = "not found"
	MailFailed   = "failed" // see Err
)

// An Remediation is what became of one message in one mailbox.
type Remediation struct {
	Target  Target `json:"target"`
	Mailbox string `json:"mailbox,omitempty"` // user name of the mailbox; a member when the recipient is a group
	State   string `json:"state"`
	Found   int    `json:"found"` // messages that matched
	Cured   int    `json:"cured"` // of them, those that are now, or were already, where the cure puts them
	Err     error  `json:"-"`
	Reason  string `json:"reason,omitempty"` // Err in words, or why there was nowhere to look
}

// Remediate takes back, or gives back, delivered mail: it finds each message by its Message-ID in the mailbox
// of its recipient, or of every member if that is a group, confirms it by our own id, and cures it. One
// worker is at one mailbox at a time. The outcomes are in the order of the targets, one for each mailbox;
// an error means that the remedy makes no sense or that ctx ended, with what was done until then.
func (g *Graph) Remediate(ctx context.Context, r Remedy) ([]Remediation, error) {
	if err := g.checkRemedy(r); err != nil {
		return nil, err
	}
	boxes, early, err := g.resolve(ctx, r.Targets)
	if err != nil {
		return nil, err
	}
	t := &tally{done: r.Done}
	for _, o := range early {
		t.add(o)
	}
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(maxMailbox)
	for chunk := range slices.Chunk(boxes, maxBatch) {
		eg.Go(func() error { return g.cure(ctx, r, chunk, t) })
	}
	err = eg.Wait()
	return t.sorted(r.Targets), err
}

func (g *Graph) checkRemedy(r Remedy) error {
	if _, ok := folders[r.Cure]; !ok && r.Cure != Purge {
		return fmt.Errorf("m365: unknown cure %q: use junk, deleted, soft, purge or restore", r.Cure)
	}
	if n := g.cfg.Cloud.Name; r.Cure == Purge && n != "worldwide" && n != "gcc" {
		return fmt.Errorf("m365: the %s cloud cannot purge: use soft", n)
	}
	for _, t := range r.Targets {
		switch {
		case t.MessageID == "" || len(t.MessageID) > 998 || strings.ContainsFunc(t.MessageID, notPrintable):
			return fmt.Errorf("m365: %q is no Message-ID", oneLine(t.MessageID, 100))
		case !strings.Contains(t.Recipient, "@") || len(t.Recipient) > 320 || strings.ContainsFunc(t.Recipient, notPrintable):
			return fmt.Errorf("m365: %q is no address", oneLine(t.Recipient, 100))
		case t.OurID == "" && !r.Unconfirmed:
			return fmt.Errorf("m365: the message %s for %s has no id of ours: it could be another one of that Message-ID", oneLine(t.MessageID, 200), t.Recipient)
		case t.OurID != "" && r.IDHeader == "":
			return errors.New("m365: a remedy needs the name of the header field our id is in")
		}
	}
	return nil
}

// job is one message in one mailbox.
type job struct {
	target  int
	t       Target
	mailbox mailbox
	finds   []*part
	acts    []*part
	there   int // messages that are where the cure puts them already
}

// cure works on up to twenty mailboxes, which no other worker has.
func (g *Graph) cure(ctx context.Context, r Remedy, boxes []box, t *tally) error {
	var jobs []*job
	var finds []*part
	for _, b := range boxes {
		for _, x := range b.targets {
			j := &job{target: x, t: r.Targets[x], mailbox: b.mailbox}
			for _, path := range findPaths(r.Cure, b.id, j.t.MessageID) {
				j.finds = append(j.finds, &part{mailbox: b.id, method: http.MethodGet, path: path})
			}
			jobs, finds = append(jobs, j), append(finds, j.finds...)
		}
	}
	if err := g.batch(ctx, finds); err != nil {
		return g.giveUp(ctx, jobs, t, err)
	}
	var acts []*part
	var going []*job
	for _, j := range jobs {
		ids, err := j.found(r)
		switch {
		case err != nil && j.finds[0].noMailbox():
			o := j.outcome(MailNotFound, 0, nil)
			o.Reason = "there is no mailbox in Exchange Online: a guest, a user without a licence, or a mailbox on-premises"
			t.add(o)
		case err != nil:
			t.add(j.outcome(MailFailed, 0, err))
		case len(ids)+j.there == 0:
			t.add(j.outcome(MailNotFound, 0, nil))
		default:
			for _, id := range ids {
				j.acts = append(j.acts, actPart(r.Cure, j.mailbox.id, id))
			}
			acts, going = append(acts, j.acts...), append(going, j)
		}
	}
	if err := g.batch(ctx, acts); err != nil {
		return g.giveUp(ctx, going, t, err)
	}
	for _, j := range going {
		t.add(j.settled())
	}
	return nil
}

// giveUp makes an outcome of every job that has none. Only the end of ctx ends the other workers too.
func (g *Graph) giveUp(ctx context.Context, jobs []*job, t *tally, err error) error {
	for _, j := range jobs {
		t.add(j.outcome(MailFailed, len(j.acts), err))
	}
	return ctx.Err()
}

// findPaths are the queries that find a message. An ordinary one covers all folders but the recoverable
// items, which the second one is about.
func findPaths(c Cure, user, messageID string) []string {
	query := "messages?$filter=" + url.QueryEscape("internetMessageId eq ") + odataText(messageID) +
		"&$select=id,parentFolderId,internetMessageId,internetMessageHeaders&$top=50"
	base := "/users/" + url.PathEscape(user) + "/"
	if c == Restore || c == SoftDelete {
		return []string{base + query, base + "mailFolders/recoverableitemsdeletions/" + query}
	}
	return []string{base + query}
}

func actPart(c Cure, user, id string) *part {
	path := "/users/" + url.PathEscape(user) + "/messages/" + url.PathEscape(id)
	if c == Purge {
		return &part{mailbox: user, method: http.MethodPost, path: path + "/permanentDelete"}
	}
	return &part{mailbox: user, method: http.MethodPost, path: path + "/move", body: map[string]string{"destinationId": folders[c]}}
}

// noMailboxCodes are what Graph answers, with 404, for a user of the directory whose mail it cannot look into. The
// codes of a message or a folder that is not there are none of them.
var noMailboxCodes = []string{"MailboxNotEnabledForRESTAPI", "MailboxNotSupportedForRESTAPI", "ErrorNonExistentMailbox", "ErrorInvalidUser",
	"Request_ResourceNotFound", "ResourceNotFound"}

// noMailbox says whether the user has no mailbox: a guest, an unlicensed user, or one whose mailbox is on-premises.
func (p *part) noMailbox() bool {
	e, ok := errors.AsType[*Error](p.err(""))
	return ok && e.Status == http.StatusNotFound && slices.Contains(noMailboxCodes, e.Type)
}

// found returns the ids of the messages that are meant.
func (j *job) found(r Remedy) ([]string, error) {
	var ids []string
	for n, p := range j.finds {
		if err := p.err(j.mailbox.name); err != nil {
			return nil, err
		}
		var list struct {
			Value []struct {
				ID                     string
				InternetMessageID      string
				InternetMessageHeaders []struct{ Name, Value string }
			}
			Next string `json:"@odata.nextLink"`
		}
		if err := json.Unmarshal(p.reply, &list); err != nil {
			return nil, &Error{Cmdlet: "GET /users/{id}/messages", Object: j.mailbox.name, Message: "the reply is not what Graph sends"}
		}
		if list.Next != "" {
			return nil, &Error{Cmdlet: "GET /users/{id}/messages", Object: j.mailbox.name, Kind: ErrIncompleteList,
				Message: "more than fifty messages with this Message-ID"}
		}
		for _, m := range list.Value {
			ours := j.t.OurID == "" && r.Unconfirmed
			for _, h := range m.InternetMessageHeaders {
				ours = ours || j.t.OurID != "" && strings.EqualFold(h.Name, r.IDHeader) && strings.TrimSpace(h.Value) == j.t.OurID
			}
			switch {
			case m.ID == "" || m.InternetMessageID != j.t.MessageID || !ours || slices.Contains(ids, m.ID):
			case r.Cure == SoftDelete && n > 0:
				j.there++
			default:
				ids = append(ids, m.ID)
			}
		}
	}
	return ids, nil
}

// settled counts what was done.
func (j *job) settled() Remediation {
	var errs []error
	done := j.there
	for _, p := range j.acts {
		err := p.err(j.mailbox.name)
		if p.lost && errors.Is(err, ErrNotFound) {
			err = nil // the attempt without a reply did it
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done++
	}
	o := j.outcome(MailCured, len(j.acts)+j.there, errors.Join(errs...))
	o.Cured = done
	if len(errs) > 0 {
		o.State = MailFailed
	}
	return o
}

func (j *job) outcome(state string, found int, err error) Remediation {
	o := Remediation{Target: j.t, Mailbox: j.mailbox.name, State: state, Found: found, Err: err}
	if err != nil {
		o.Reason = oneLine(err.Error(), 500)
	}
	return o
}
