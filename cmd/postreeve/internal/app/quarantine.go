package app

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

type quarantineCmd struct {
	List    quarantineListCmd    `cmd:"" help:"List what is held, newest first."`
	Show    quarantineShowCmd    `cmd:"" help:"Show a held message so that it is safe to look at."`
	Release quarantineReleaseCmd `cmd:"" help:"Deliver held messages after all."`
	Delete  quarantineDeleteCmd  `cmd:"" help:"Delete held messages for good."`
}

func (quarantineCmd) Help() string {
	return `Held mail waits here until somebody releases or deletes it, or its time is over (retention.held, 30 days). Every release and deletion is written down with who did it. The gateway may be running or not.

Example:
  postreeve quarantine list -c postreeve.yaml --class malicious --since 1d
  postreeve quarantine show -c postreeve.yaml ID
  postreeve quarantine release -c postreeve.yaml ID`
}

type quarantineListCmd struct {
	keptFlags
	filterFlags
	headFlags
	State string `default:"held" enum:"held,released,deleted,all" help:"held, released, deleted or all."`
}

func (quarantineListCmd) Help() string {
	return `Times are UTC. --json: id at expires tenant domain mail_from from subject message_id size class state recipients[]{address state at detail}.

Example:
  postreeve quarantine list -c postreeve.yaml --to ann@ --subject invoice

Exit codes: 0, also if there is none; 1 the store cannot be read, 64 wrong usage or configuration.`
}

// Run lists.
func (c *quarantineListCmd) Run(e *env) error {
	f, err := c.filter(e, c.headFlags, "")
	if err != nil {
		return err
	}
	state := c.State
	if state == "all" {
		state = ""
	}
	l := listing[store.Held]{
		heads: []string{"ID", "HELD", "CLASS", "STATE", "FROM", "TO", "SUBJECT"}, none: "Nothing is held that fits.",
		ask: func(st *store.Store) ([]store.Held, error) { return st.HeldMessages(e.ctx, state, f) },
		row: func(t *table, h store.Held) string {
			t.row(h.ID, rowTime(h.At), h.Class.String(), heldState(h), cut(bracket(h.MailFrom), 40), several(heldTo(h)), cut(h.Subject, 60))
			t.paint(2, classStyle(h.Class))
			return h.ID
		},
	}
	return l.print(e, c.keptFlags, c.pageFlags)
}

func heldTo(h store.Held) []string {
	var out []string
	for _, r := range h.Recipients {
		out = append(out, r.Address)
	}
	return out
}

// heldState is the state of a message, or what some of its recipients have beside it.
func heldState(h store.Held) string {
	for _, r := range h.Recipients {
		if h.State == store.StateHeld && r.State != store.StateHeld {
			return "partly " + r.State
		}
	}
	return h.State
}

type quarantineShowCmd struct {
	keptFlags
	asFlag
	Raw bool   `help:"Write the message as it came in, byte for byte, to standard output. It may be dangerous, and who did it is written down."`
	ID  string `arg:"" help:"The id, from the list, the log or the reply to the sender."`
}

func (quarantineShowCmd) Help() string {
	return `Shows why a message is held, who has it, and its text: links are dead, nothing of it can control the terminal, and nothing is opened or fetched.

Example:
  postreeve quarantine show -c postreeve.yaml ID
  postreeve quarantine show -c postreeve.yaml --raw ID > sample.eml

Exit codes: 0, 1 there is none, or it cannot be read, 64 wrong usage or configuration.`
}

// Run shows.
func (c *quarantineShowCmd) Run(e *env) error {
	return single[store.Held]{what: "held message", find: (*store.Store).HeldMessage, tell: c.tell}.show(e, c.keptFlags, c.ID)
}

func (c *quarantineShowCmd) tell(e *env, cfg *config.Config, st *store.Store, h store.Held) error {
	if c.Raw {
		return c.raw(e, st)
	}
	if c.JSON {
		e.out.line(h)
		return finish(e, exitOK)
	}
	e.out.printf("%s  %s\n", e.out.style(bold, show(h.ID)), e.out.style(classStyle(h.Class), h.Class.String()))
	t := &table{}
	t.row("held", moment(h.At)+", until "+moment(h.Expires))
	t.row("from", bracket(h.MailFrom)+" "+h.Author)
	t.row("subject", h.Subject)
	t.row("size", byteCount(h.Size))
	for _, r := range h.Recipients {
		t.row("to", strings.TrimSpace(bracket(r.Address)+" "+r.State+" since "+moment(r.At)+" "+cut(r.Detail, 120)))
	}
	t.print(e.out, "  ")
	e.out.printf("\n")
	printVerdict(e.out, cfg, h.Report)
	c.history(e, st)
	return c.preview(e, st)
}

// history shows who did what with it.
func (c *quarantineShowCmd) history(e *env, st *store.Store) {
	acts, err := st.Audit(e.ctx, store.ActFilter{Object: c.ID, Limit: 20})
	if err != nil || len(acts) == 0 {
		return
	}
	e.out.printf("\n%s\n", e.out.style(bold, "Who did what"))
	t := &table{}
	for _, a := range acts {
		t.row(moment(a.At), a.Who, a.What, cut(a.Detail, 100))
	}
	t.print(e.out, "  ")
}

func (c *quarantineShowCmd) preview(e *env, st *store.Store) error {
	body, err := st.HeldBody(e.ctx, c.ID)
	if errors.Is(err, store.ErrNoBody) {
		e.out.printf("\nIts bytes are gone.\n")
		return finish(e, exitOK)
	}
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := store.Preview(&b, verdict.NewMessage(body)); err != nil {
		return err
	}
	e.out.printf("\n%s\n", e.out.style(bold, "What is in it, made harmless"))
	for line := range strings.Lines(b.String()) {
		e.out.printf("  | %s\n", show(strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    ")))
	}
	return finish(e, exitOK)
}

func (c *quarantineShowCmd) raw(e *env, st *store.Store) error {
	if e.out.tty {
		return usage(e, "--raw writes what others have sent: put it into a file, as in --raw %s > sample.eml", c.ID)
	}
	body, err := st.ExportHeld(e.ctx, c.ID, operator(c.As))
	if err != nil {
		return err
	}
	return copyBody(e.ctx, screenWriter{e.out}, body)
}

// copyBody writes a message as it is.
func copyBody(ctx context.Context, w io.Writer, body verdict.Source) error {
	r, err := body.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return ctx.Err()
}

// noSuch makes an error of the store one for people. The id is empty where it stands before the error anyway.
func noSuch(err error, what, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return errors.New(strings.TrimSpace("there is no " + what + " " + id))
	}
	return err
}
