package app

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay/store"
)

type messageCmd struct {
	List    messageListCmd    `cmd:"" help:"List what came through, newest first."`
	Show    messageShowCmd    `cmd:"" help:"Show what the ledger has of a message."`
	Explain messageExplainCmd `cmd:"" help:"Say why a message was treated as it was, and what became of it."`
	Condemn messageCondemnCmd `cmd:"" help:"Take delivered messages out of the mailboxes again."`
	Absolve messageAbsolveCmd `cmd:"" help:"Put condemned messages back."`
}

func (messageCmd) Help() string {
	return `The ledger has a row for every message whose content was received, for 90 days (retention.ledger). The id of a message stands in its X-Postreeve-Id field, in our reply to the sender and in the log.

Example:
  postreeve message list -c postreeve.yaml --from ann@ex.org --since 1d
  postreeve message explain -c postreeve.yaml ID
  postreeve message condemn -c postreeve.yaml --reason "phishing" ID`
}

type messageListCmd struct {
	keptFlags
	filterFlags
	headFlags
	Action string `placeholder:"ACTION" help:"deliver, tag, defer, hold or reject."`
}

func (messageListCmd) Help() string {
	return `Times are UTC. --json: id at node tenant domain peer origin mail_from recipients from subject message_id size class action reply hop held queued judged_ms hop_ms took_ms.

Example:
  postreeve message list -c postreeve.yaml --class malicious --since 7d
  postreeve message list -c postreeve.yaml --to ann@ex.net --action tag --json

Exit codes: 0, also if there is none; 1 the store cannot be read, 64 wrong usage or configuration.`
}

// Run lists.
func (c *messageListCmd) Run(e *env) error {
	f, err := c.filter(e, c.headFlags, c.Action)
	if err != nil {
		return err
	}
	l := listing[store.Entry]{
		heads: []string{"ID", "RECEIVED", "CLASS", "ACTION", "REPLY", "FROM", "TO", "SUBJECT"}, none: "There is no message that fits.",
		ask: func(st *store.Store) ([]store.Entry, error) { return st.Messages(e.ctx, f) },
		row: func(t *table, m store.Entry) string {
			t.row(m.ID, rowTime(m.At), m.Class.String(), actionOf(m), replyCode(m.Reply), cut(bracket(m.MailFrom), 40), several(m.Recipients), cut(m.Subject, 60))
			t.paint(2, classStyle(m.Class))
			return m.ID
		},
	}
	return l.print(e, c.keptFlags, c.pageFlags)
}

// actionOf is what was done at once.
func actionOf(m store.Entry) string {
	if m.Queued {
		return m.Action.String() + ", queued"
	}
	return m.Action.String()
}

// replyCode is the number in front of a reply.
func replyCode(reply string) string {
	code, _, _ := strings.Cut(reply, " ")
	return code
}

type messageShowCmd struct {
	keptFlags
	ID string `arg:"" help:"The id."`
}

func (messageShowCmd) Help() string {
	return `With --json the whole row: that of the list, and report{report{class score findings runs took_ms} auth{spf dkim dmarc arc}}, events[]{at what who detail} and remedies[]{recipient restore state at due attempts who detail}, what was ordered by condemn and absolve.

Example:
  postreeve message show -c postreeve.yaml ID

Exit codes: 0, 1 there is none, or it cannot be read, 64 wrong usage or configuration.`
}

// Run shows.
func (c *messageShowCmd) Run(e *env) error {
	return single[store.Entry]{what: "message", find: (*store.Store).Message, tell: c.tell}.show(e, c.keptFlags, c.ID)
}

func (c *messageShowCmd) tell(e *env, _ *config.Config, st *store.Store, m store.Entry) error {
	remedies, err := st.Remedies(e.ctx, m.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		e.out.line(remediedEntry{m, remedies})
		return finish(e, exitOK)
	}
	printEntry(e.out, m)
	printEvents(e.out, m.Events)
	printRemedies(e.out, remedies)
	return finish(e, exitOK)
}

// remediedEntry is a row of the ledger with what was ordered about the message after it was delivered.
type remediedEntry struct {
	store.Entry
	Remedies []store.Remedy `json:"remedies,omitempty"`
}

func printEntry(s *screen, m store.Entry) {
	s.printf("%s  %s -> %s\n", s.style(bold, show(m.ID)), s.style(classStyle(m.Class), m.Class.String()), show(actionOf(m)))
	t := &table{}
	t.row("received", moment(m.At)+" by "+m.Node)
	t.row("client", cmp.Or(m.Peer, "unknown"))
	if m.Origin != m.Peer {
		t.row("origin", cmp.Or(m.Origin, "unknown"))
	}
	t.row("envelope", bracket(m.MailFrom))
	for _, to := range m.Recipients {
		t.row("", "-> "+bracket(to))
	}
	for _, f := range []struct{ name, value string }{
		{"From", m.Author}, {"Subject", m.Subject}, {"Message-ID", m.MessageID}, {"size", byteCount(m.Size)}, {"domain", m.Domain}, {"tenant", m.Tenant},
		{"reply", m.Reply}, {"next hop", m.Hop}, {"held as", m.Held},
	} {
		if f.value != "" {
			t.row(f.name, f.value)
		}
	}
	t.row("took", "judged "+msText(m.JudgedMS)+", next hop "+msText(m.HopMS)+", in all "+msText(m.TookMS))
	t.print(s, "  ")
}

func msText(ms int64) string { return strconv.FormatInt(ms, 10) + " ms" }

func printEvents(s *screen, events []store.Event) {
	if len(events) == 0 {
		return
	}
	s.printf("\n%s\n", s.style(bold, "What became of it later"))
	t := &table{}
	for _, ev := range events {
		who := ""
		if ev.Who != "" {
			who = "by " + ev.Who
		}
		t.row(moment(ev.At), ev.What, who, cut(ev.Detail, 160))
	}
	t.print(s, "  ")
}
