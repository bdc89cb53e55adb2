package app

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay/store"
)

type queueCmd struct {
	List  queueListCmd  `cmd:"" help:"List what waits for its next hop, oldest first."`
	Show  queueShowCmd  `cmd:"" help:"Show a queued message and what became of its recipients."`
	Retry queueRetryCmd `cmd:"" help:"Have messages tried again now."`
	Drop  queueDropCmd  `cmd:"" help:"Give messages up without telling their senders."`
}

func (queueCmd) Help() string {
	return `Mail waits here while its next hop is away (mode: continuity), or for its turn (mode: queue). A running gateway delivers it, oldest first; the commands work with and without one. A message that is "aside" cannot be read: look at the log, restore its body or drop it.

Example:
  postreeve queue list -c postreeve.yaml --domain ex.net
  postreeve queue retry -c postreeve.yaml --all`
}

type queueListCmd struct {
	keptFlags
	filterFlags
}

func (queueListCmd) Help() string {
	return `Times are UTC. --json: id at expires domain mail_from size attempts due claimed claimant warned state last.

Example:
  postreeve queue list -c postreeve.yaml --json | jq -r .domain | uniq -c

Exit codes: 0, also if there is none; 1 the store cannot be read, 64 wrong usage or configuration.`
}

// Run lists.
func (c *queueListCmd) Run(e *env) error {
	f, err := c.filter(e, headFlags{}, "")
	if err != nil {
		return err
	}
	l := listing[store.Queued]{
		heads: []string{"ID", "QUEUED", "DOMAIN", "STATE", "TRIED", "NEXT", "FROM", "LAST REPLY"}, none: "Nothing is queued that fits.",
		ask: func(st *store.Store) ([]store.Queued, error) { return st.QueuedMessages(e.ctx, f) },
		row: func(t *table, q store.Queued) string {
			t.row(q.ID, rowTime(q.At), q.Domain, q.State, strconv.Itoa(q.Attempts), nextTry(q), cut(bracket(q.MailFrom), 40), cut(q.Last, 80))
			if q.State == store.StateAside {
				t.paint(3, red)
			}
			return q.ID
		},
	}
	return l.print(e, c.keptFlags, c.pageFlags)
}

// leftQueue says where to look for a message that is in the queue no more, or never was: it goes when it has been
// delivered, given up or dropped.
func leftQueue(e *env, st *store.Store, id string) string {
	if _, err := st.Message(e.ctx, id); err != nil {
		return ""
	}
	return ": postreeve message explain " + id + " says what became of it"
}

// notQueued is noSuch for one of several queued messages.
func notQueued(e *env, st *store.Store, err error, id string) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w%s", noSuch(err, "queued message", ""), leftQueue(e, st, id))
}

// nextTry is when a message is tried again.
func nextTry(q store.Queued) string {
	switch {
	case q.State == store.StateAside:
		return "never"
	case !q.Claimed.IsZero() && q.Claimed.After(time.Now()):
		return "now"
	case q.Due.Before(time.Now()):
		return "due"
	}
	return rowTime(q.Due)
}

type queueShowCmd struct {
	keptFlags
	ID string `arg:"" help:"The id, from the list, the log or the reply to the sender."`
}

func (queueShowCmd) Help() string {
	return `Example:
  postreeve queue show -c postreeve.yaml ID

Exit codes: 0, 1 there is none, or it cannot be read, 64 wrong usage or configuration.`
}

// Run shows.
func (c *queueShowCmd) Run(e *env) error {
	return single[store.Queued]{what: "queued message", find: (*store.Store).QueuedMessage, gone: leftQueue, tell: c.tell}.show(e, c.keptFlags, c.ID)
}

func (c *queueShowCmd) tell(e *env, _ *config.Config, _ *store.Store, q store.Queued) error {
	if c.JSON {
		e.out.line(q)
		return finish(e, exitOK)
	}
	e.out.printf("%s  %s\n", e.out.style(bold, show(q.ID)), show(q.State))
	t := &table{}
	t.row("queued", moment(q.At)+", given up "+moment(q.Expires))
	t.row("domain", q.Domain)
	if q.About != "" {
		t.row("notice about", q.About)
	}
	t.row("from", bracket(q.MailFrom))
	t.row("size", byteCount(q.Size))
	t.row("tried", plural(q.Attempts, "time")+" from the queue, next "+nextTry(q))
	if q.Claimant != "" {
		t.row("worked on", "by "+q.Claimant+" until "+moment(q.Claimed))
	}
	if q.Last != "" {
		t.row("last reply", q.Last)
	}
	for _, r := range q.Recipients {
		t.row("to", strings.TrimSpace(bracket(r.Address)+" "+r.State+" since "+moment(r.At)+" "+r.Detail))
	}
	t.print(e.out, "  ")
	return finish(e, exitOK)
}

type queueRetryCmd struct {
	keptFlags
	asFlag
	All bool     `help:"All that is queued."`
	ID  []string `arg:"" optional:"" help:"The ids."`
}

func (queueRetryCmd) Help() string {
	return `Makes messages due now, also those that are "aside" and those of a next hop that is being left alone, which is tried once then. A running gateway delivers them within seconds, or leaves the hop alone again if it is still away; without one they wait for it.

Example:
  postreeve queue retry -c postreeve.yaml ID
  postreeve queue retry -c postreeve.yaml --all

Exit codes: 0 they are due, 1 there is none, 64 wrong usage or configuration.`
}

// Run makes them due.
func (c *queueRetryCmd) Run(e *env) error {
	if c.All == (len(c.ID) > 0) {
		return usage(e, "queue retry wants ids, or --all")
	}
	_, st, err := c.open(e)
	if err != nil {
		return err
	}
	defer st.Close()
	if !c.All {
		return each(e, c.ID, c.JSON, "is due now", func(id string) error {
			_, err := st.RetryQueued(e.ctx, operator(c.As), id)
			return notQueued(e, st, err, id)
		})
	}
	n, err := st.RetryQueued(e.ctx, operator(c.As))
	if err != nil {
		return err
	}
	if c.JSON {
		e.out.line(map[string]int{"due": n})
	} else {
		e.out.printf("%s due now\n", strings.Replace(plural(n, "message")+" are", "1 message are", "1 message is", 1))
	}
	return finish(e, exitOK)
}

type queueDropCmd struct {
	keptFlags
	asFlag
	ID []string `arg:"" help:"The ids."`
}

func (queueDropCmd) Help() string {
	return `Deletes queued messages for good. Their senders are not told. One that is being delivered at this moment is not dropped.

Example:
  postreeve queue drop -c postreeve.yaml ID

Exit codes: 0 dropped, 1 there is none, or it is being delivered, 64 wrong usage or configuration.`
}

// Run drops.
func (c *queueDropCmd) Run(e *env) error {
	_, st, err := c.open(e)
	if err != nil {
		return err
	}
	defer st.Close()
	return each(e, c.ID, c.JSON, "dropped", func(id string) error {
		return notQueued(e, st, st.DropQueued(e.ctx, id, operator(c.As)), id)
	})
}
