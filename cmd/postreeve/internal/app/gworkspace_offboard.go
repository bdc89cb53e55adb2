package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/gworkspace"
)

type gworkspaceOffboardCmd struct {
	gworkspaceFlags
	probeFlags
	Wait time.Duration `placeholder:"DURATION" help:"Wait so long at most for the queue of the gateway (-c) to be empty, looking every half minute."`
}

func (gworkspaceOffboardCmd) Help() string {
	return `Shows the steps that are left of the way out, in the order that loses no mail: what sends mail to the gateway first, what it needs to come back next, the access that confirms it last. While mail may still be at the gateway it says until when to wait: with -c the queue, the quarantine and the last message are read from its store, with --probe a message from outside shows whether mail is still sent to it. What cannot be read is said with --done STEP --told FILE: the file keeps it and when it was said, from which waits count.

Example:
  postreeve gworkspace offboard --profile ex.yaml --key-file key.json \
    -c postreeve.yaml --wait 30m
  postreeve gworkspace offboard --profile ex.yaml --key-file key.json \
    -c postreeve.yaml --told told.json --done redirect-rule.off

` + codesOfTenants + ` Something in the way is an error.`
}

// emptyPause is the time between two looks at the queue.
const emptyPause = 30 * time.Second

// Run shows the way out.
func (c *gworkspaceOffboardCmd) Run(e *env) error {
	t, side, err := c.openWith(e, &c.probeFlags)
	if err != nil {
		return err
	}
	defer side.close()
	if c.Wait > 0 && t.Backlog == nil {
		return usage(e, "--wait: %s", side.why)
	}
	if err := c.keepTold(e, t); err != nil {
		return err
	}
	if err := c.empty(e, t); err != nil {
		return err
	}
	plan, err := t.Offboard(e.ctx)
	if err != nil {
		return err
	}
	return c.planned(e, t.Profile, plan)
}

// empty waits until nothing is queued, or the time is over: the plan says then that it is not.
func (c *gworkspaceOffboardCmd) empty(e *env, t *gworkspace.Tenant) error {
	for end, said := time.Now().Add(c.Wait), false; c.Wait > 0; {
		b, err := t.Backlog(e.ctx)
		if err != nil || b.Queued == 0 || !time.Now().Before(end) {
			return nil
		}
		if !said {
			t.Progress(fmt.Sprintf("waiting for %s at the gateway to be delivered", plural(b.Queued, "message")), end)
			said = true
		}
		ctx, cancel := context.WithTimeout(e.ctx, min(emptyPause, time.Until(end)))
		<-ctx.Done()
		cancel()
		if e.ctx.Err() != nil {
			return errors.New("interrupted")
		}
	}
	return nil
}
