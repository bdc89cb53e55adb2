package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay/store"
)

// Exit codes of condemn and absolve, beside exitOK, exitFailed and exitUsage.
const (
	exitMissing = 2 // there was no such message in some mailboxes
	exitWaiting = 3 // with --wait: the time was over before all was known
)

// orderFlags are what condemn and absolve share.
type orderFlags struct {
	keptFlags
	asFlag
	Reason string        `placeholder:"TEXT" help:"Why, for those who look later."`
	Yes    bool          `short:"y" help:"Do not ask."`
	Wait   time.Duration `placeholder:"TIME" help:"Wait until it is known what became of it, so long at most, as in 2m. By default it is ordered, no more."`
	ID     []string      `arg:"" help:"The ids."`
}

const orderCodes = `--json: an object for each message and recipient: id recipient domain message_id restore state at due attempts who detail. States: waiting, done, missing, failed.

Exit codes: 0 ordered, or with --wait done; with --wait: 2 some were not found, 3 some still wait; 1 some failed, or there is no such message; 64 wrong usage or configuration, and nothing was ordered.`

type messageCondemnCmd struct{ orderFlags }

func (messageCondemnCmd) Help() string {
	return `Takes messages that were delivered out of the mailboxes of everybody who got them; of a group, out of those of its members. A running gateway does it within seconds, in the tenants that remediation in its configuration names: postreeve message show says what became of it. What is not there yet, and tenants that do not answer, are tried again for up to a day. All messages are ordered, or none. absolve puts them back.

Example:
  postreeve message condemn -c postreeve.yaml --reason "phishing" --wait 2m ID

` + orderCodes
}

// Run condemns.
func (c *messageCondemnCmd) Run(e *env) error {
	return c.order(e, ordering{
		question: "%s will be taken out of the mailboxes of all who got it.", done: "taken back",
		find:  deliveredTo,
		order: (*store.Store).Condemn,
	})
}

type messageAbsolveCmd struct{ orderFlags }

func (messageAbsolveCmd) Help() string {
	return `Puts condemned messages back into the mailboxes they were taken from. A running gateway does it within seconds: postreeve message show says what became of it.

Example:
  postreeve message absolve -c postreeve.yaml --reason "it was ours" ID

` + orderCodes
}

// Run absolves.
func (c *messageAbsolveCmd) Run(e *env) error {
	return c.order(e, ordering{
		restore: true, question: "%s will be put back into the mailboxes.", done: "put back",
		find:  condemnedFor,
		order: (*store.Store).Absolve,
	})
}

// ordering is what an order is about.
type ordering struct {
	restore  bool
	question string // with the number of messages
	done     string // what a message is then
	find     func(ctx context.Context, st *store.Store, id string) (ordered, error)
	order    func(st *store.Store, ctx context.Context, who, why string, ids ...string) ([]store.Remedy, error)
}

// ordered is a message that an order is about.
type ordered struct {
	id, domain, messageID string
	to                    []string
}

// deliveredTo finds a message in the ledger. The store knows better who of its recipients has got it.
func deliveredTo(ctx context.Context, st *store.Store, id string) (ordered, error) {
	m, err := st.Message(ctx, id)
	switch {
	case err != nil:
		err = noSuch(err, "message", id)
	case m.MessageID == "":
		err = fmt.Errorf("message %s has no Message-ID, by which it could be found", id)
	case m.Held == "" && !m.Action.Releases():
		err = fmt.Errorf("message %s was not delivered: its sender was told %s", id, m.Reply)
	}
	return ordered{m.ID, m.Domain, m.MessageID, m.Recipients}, err
}

// condemnedFor finds a message among the condemned ones.
func condemnedFor(ctx context.Context, st *store.Store, id string) (ordered, error) {
	all, err := st.Remedies(ctx, id)
	m := ordered{id: id}
	for _, r := range all {
		if !r.Restore {
			m.domain, m.messageID, m.to = r.Domain, r.MessageID, append(m.to, r.Recipient)
		}
	}
	switch {
	case err != nil:
		return m, err
	case len(all) == 0:
		return m, fmt.Errorf("there is no condemned message %s", id)
	case len(m.to) == 0:
		return m, fmt.Errorf("message %s is absolved already: see postreeve message show", id)
	}
	return m, nil
}

// order looks whether it can be done, asks, and orders it.
func (f *orderFlags) order(e *env, o ordering) error {
	if f.Wait < 0 {
		return usage(e, "--wait wants a time as in 2m")
	}
	var ids []string
	for _, id := range f.ID {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	cfg, st, err := f.open(e)
	if err != nil {
		return err
	}
	defer st.Close()
	places, err := newRemedyPlaces(cfg)
	if err != nil {
		return err
	}
	var homeless []ordered
	for _, id := range ids {
		m, err := o.find(e.ctx, st, id)
		if err != nil {
			return err
		}
		m.to = slices.DeleteFunc(m.to, func(to string) bool { return places.find(m.domain, to) != nil })
		if len(m.to) > 0 {
			homeless = append(homeless, m)
		}
	}
	if len(homeless) > 0 {
		return f.refuse(e, cfg, o, homeless)
	}
	if err := agree(e, f.Yes, fmt.Sprintf(o.question, plural(len(ids), "message"))); err != nil {
		return err
	}
	list, err := o.order(st, e.ctx, operator(f.As), f.Reason, ids...)
	if err != nil {
		return errors.New(plainStore(err))
	}
	if f.Wait > 0 {
		if list, err = f.await(e, st, ids); err != nil {
			return err
		}
	}
	return f.tell(e, o, list)
}

// refuse says what is missing, and how to do it by hand.
func (f *orderFlags) refuse(e *env, cfg *config.Config, o ordering, homeless []ordered) error {
	var names []string
	for _, m := range homeless {
		for _, to := range m.to {
			if name := asciiDomain(to[strings.LastIndexByte(to, '@')+1:]); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	e.err.printf("postreeve: nothing was ordered: no entry of remediation in %s has a profile with %s, so the gateway cannot reach the mailboxes. Add one (postreeve check looks whether it works), or do it by hand:\n",
		show(f.Config), show(strings.Join(names, " and ")))
	for _, m := range homeless {
		for _, line := range byHand(cfg, o.restore, m) {
			e.err.printf("  %s\n", show(line))
		}
	}
	return exit(exitUsage)
}

// await asks until no order waits any more, or the time is over.
func (f *orderFlags) await(e *env, st *store.Store, ids []string) ([]store.Remedy, error) {
	end := time.Now().Add(f.Wait)
	if e.err.tty {
		e.err.printf("waiting until %s at most\n", end.Local().Format(time.TimeOnly))
	}
	for {
		var all []store.Remedy
		for _, id := range ids {
			list, err := st.Remedies(e.ctx, id)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
		left := time.Until(end)
		if left <= 0 || !slices.ContainsFunc(all, remedyWaits) {
			return all, nil
		}
		select {
		case <-e.ctx.Done():
			return nil, errors.New("interrupted: it is ordered all the same")
		case <-time.After(min(left, 300*time.Millisecond)):
		}
	}
}

func remedyWaits(r store.Remedy) bool { return r.State == store.StateWaiting }

// tell prints the orders, and what became of them.
func (f *orderFlags) tell(e *env, o ordering, list []store.Remedy) error {
	count := map[string]int{}
	t := &table{}
	for _, r := range list {
		count[r.State]++
		if f.JSON {
			e.out.line(r)
			continue
		}
		t.row(r.Message, r.Recipient, remedyState(r), cut(r.Detail, 160))
		t.paint(2, map[string]string{store.StateDone: green, store.StateMissing: yellow, store.StateFailed: red}[r.State])
	}
	if !f.JSON {
		t.print(e.out, "")
		f.next(e, o, list, count[store.StateWaiting])
	}
	switch {
	case f.Wait == 0:
	case count[store.StateFailed] > 0:
		return finish(e, exitFailed)
	case count[store.StateWaiting] > 0:
		return finish(e, exitWaiting)
	case count[store.StateMissing] > 0:
		return finish(e, exitMissing)
	}
	return finish(e, exitOK)
}

// next says what happens now.
func (f *orderFlags) next(e *env, o ordering, list []store.Remedy, waiting int) {
	if waiting == 0 {
		return
	}
	see := "postreeve message show -c " + shellWord(f.Config) + " " + shellWord(list[0].Message)
	if f.Wait > 0 {
		still := plural(waiting, "order") + " still wait"
		if waiting == 1 {
			still += "s"
		}
		e.out.printf("%s: does the gateway run? It goes on trying, for up to a day: %s\n", still, show(see))
		return
	}
	e.out.printf("A running gateway does it within seconds. Whether it is %s: %s\n", o.done, show(see))
}

// remedyState is the state of an order for people.
func remedyState(r store.Remedy) string {
	done := map[bool]string{false: "taken back", true: "put back"}[r.Restore]
	switch r.State {
	case store.StateDone:
		return done
	case store.StateMissing:
		return "not found"
	case store.StateFailed:
		return "failed"
	}
	if r.Attempts == 0 {
		return "ordered"
	}
	return "waits, tried " + plural(r.Attempts, "time")
}

// printRemedies prints the orders about a message that wait. Of the others the events tell.
func printRemedies(s *screen, all []store.Remedy) {
	t := &table{}
	for _, r := range all {
		if remedyWaits(r) {
			t.row(bracket(r.Recipient), map[bool]string{false: "is to be taken back", true: "is to be put back"}[r.Restore], "since "+moment(r.At),
				"tried "+plural(r.Attempts, "time")+", next "+dueText(r.Due), cut(r.Detail, 160))
		}
	}
	if len(t.rows) > 0 {
		s.printf("\n%s\n", s.style(bold, "What is ordered"))
		t.print(s, "  ")
	}
}

func dueText(at time.Time) string {
	if at.Before(time.Now()) {
		return "now"
	}
	return rowTime(at)
}
