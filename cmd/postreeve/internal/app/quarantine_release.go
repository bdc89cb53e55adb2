package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// Exit codes of release, beside exitOK, exitFailed and exitUsage.
const (
	exitStillHeld = 2 // the next hop did not take it: it is held as before
	exitUncertain = 3 // nobody knows whether the next hop has it
)

type quarantineReleaseCmd struct {
	keptFlags
	asFlag
	To    []string `placeholder:"ADDRESS" help:"Only to these recipients; by default to all that have not got it."`
	Again bool     `help:"Also where nobody knows whether the next hop has it already: it may arrive twice."`
	ID    []string `arg:"" help:"The ids."`
}

func (quarantineReleaseCmd) Help() string {
	return `Delivers held messages to the next hop of their domain, with their original bytes and envelope. A recipient gets a message once, however many people release it. Where mail leads through the gateway again a released message is not held again.

Example:
  postreeve quarantine release -c postreeve.yaml ID
  postreeve quarantine release -c postreeve.yaml --to ann@ex.net ID

Exit codes, of the recipients asked for: 0 delivered to all, 2 the next hop did not take it and it is held as before, 3 nobody knows whether the next hop has it; 1 nothing was tried, since there is none, it cannot be read, it is released already, or somebody is no recipient; 64 wrong usage or configuration.`
}

// released is the line of one message.
type released struct {
	ID         string                `json:"id"`
	Recipients []store.HeldRecipient `json:"recipients,omitempty"`
	Error      string                `json:"error,omitempty"`
}

// Run releases.
func (c *quarantineReleaseCmd) Run(e *env) error {
	cfg, st, err := c.open(e)
	if err != nil {
		return err
	}
	defer st.Close()
	log, _ := newLogger(e.err, config.Log{Level: slog.LevelError})
	routes, err := newRoutes(cfg, log)
	if err != nil {
		return err
	}
	defer routes.close()
	code := exitOK
	for i, id := range c.ID {
		if e.out.tty && len(c.ID) > 1 && !c.JSON {
			e.err.printf("%d of %d\n", i+1, len(c.ID))
		}
		tried, deliver := false, deliverHeld(cfg, routes, log)
		got, err := st.Release(e.ctx, store.Release{
			ID: id, Recipients: c.To, Who: operator(c.As), Again: c.Again,
			Deliver: func(ctx context.Context, h store.Held, env verdict.Envelope, body verdict.Source, mark string) ([]relay.Receipt, error) {
				tried = true
				return deliver(ctx, h, env, body, mark)
			},
		})
		code = max(code, c.code(got, tried, err))
		if errors.Is(err, store.ErrNotFound) {
			err = noSuch(err, "held message", id)
		}
		c.print(e, id, got, err)
		if e.ctx.Err() != nil {
			return errors.New("interrupted: what was not begun is held as before")
		}
	}
	return finish(e, code)
}

// code is the exit code for one message, of which only the recipients asked for count. tried says whether the next hop
// was asked.
func (c *quarantineReleaseCmd) code(got []store.HeldRecipient, tried bool, err error) int {
	if err == nil {
		return exitOK
	}
	if tried && len(got) == 0 { // what the next hop did is not written down
		return exitUncertain
	}
	code := exitFailed
	for _, r := range got {
		if len(c.To) > 0 && !slices.ContainsFunc(c.To, func(a string) bool { return strings.EqualFold(a, r.Address) }) {
			continue
		}
		switch r.State {
		case store.StateHeld:
			if tried {
				code = max(code, exitStillHeld)
			}
		case store.StateUncertain, store.StateReleasing:
			code = max(code, exitUncertain)
		}
	}
	return code
}

func (c *quarantineReleaseCmd) print(e *env, id string, got []store.HeldRecipient, err error) {
	line := released{ID: id, Recipients: got}
	if err != nil {
		line.Error = plainStore(err)
	}
	if c.JSON {
		e.out.line(line)
		return
	}
	styles := map[string]string{store.StateReleased: green, store.StateHeld: yellow, store.StateUncertain: magenta}
	t := &table{}
	for _, r := range got {
		t.row(id, r.Address, r.State, cut(r.Detail, 160))
		t.paint(2, styles[r.State])
	}
	t.print(e.out, "")
	if err != nil {
		e.err.printf("postreeve: %s\n", show(line.Error))
	}
}

// deliverHeld hands held messages to their next hops as the gateway would.
func deliverHeld(c *config.Config, routes *setup, log *slog.Logger) store.Deliver {
	srv := &relay.Server{Hostname: c.Hostname, Headers: c.Headers, Timeouts: c.Timeouts, Auth: relay.Auth{Results: mailauth.AuthenticationResults, ID: c.Auth.Name}, Logger: log}
	return func(ctx context.Context, h store.Held, env verdict.Envelope, body verdict.Source, mark string) ([]relay.Receipt, error) {
		d, err := routes.domains.Lookup(ctx, h.Domain)
		if err != nil {
			return nil, fmt.Errorf("the configuration has no domain %s any more, so nobody knows where its mail goes", h.Domain)
		}
		m := verdict.NewMessage(body)
		m.ID, m.Envelope, m.Received, m.Auth = h.ID, env, h.At, h.Auth
		return srv.Release(ctx, d, m, h.Class, mark)
	}
}

type quarantineDeleteCmd struct {
	keptFlags
	asFlag
	ID []string `arg:"" help:"The ids."`
}

func (quarantineDeleteCmd) Help() string {
	return `Deletes the bytes of held messages at once and for good. What was known about them, and who deleted them, stays until their time is over.

Example:
  postreeve quarantine delete -c postreeve.yaml ID

Exit codes: 0 deleted, 1 there is none, it is deleted already or being released, 64 wrong usage or configuration.`
}

// Run deletes.
func (c *quarantineDeleteCmd) Run(e *env) error {
	_, st, err := c.open(e)
	if err != nil {
		return err
	}
	defer st.Close()
	return each(e, c.ID, c.JSON, "deleted", func(id string) error {
		return noSuch(st.DeleteHeld(e.ctx, id, operator(c.As)), "held message", "")
	})
}

// done is the line of one message with which something was done.
type done struct {
	ID    string `json:"id"`
	Done  string `json:"done,omitempty"`
	Error string `json:"error,omitempty"`
}

// each does something with messages one after the other, and goes on after a failure.
func each(e *env, ids []string, json bool, what string, do func(id string) error) error {
	code := exitOK
	for _, id := range ids {
		line := done{ID: id, Done: what}
		if err := do(id); err != nil {
			line, code = done{ID: id, Error: plainStore(err)}, exitFailed
		}
		switch {
		case json:
			e.out.line(line)
		case line.Error != "":
			e.err.printf("postreeve: %s: %s\n", show(id), show(line.Error))
		default:
			e.out.printf("%s %s\n", show(id), what)
		}
	}
	return finish(e, code)
}
