package m365

import (
	"errors"
	"fmt"
	"time"
)

// waitFor looks again and again until ready says so. With NoWait it looks once.
func (r *run) waitFor(step Step, text string, ready func() (bool, string, error)) error {
	until := time.Now().Add(orDuration(r.Times.Longest, 24*time.Hour))
	told := ""
	for {
		ok, why, err := ready()
		if err != nil || ok {
			return err
		}
		if r.NoWait {
			return &leftError{why + " (not waited for: run it again later)"}
		}
		if !time.Now().Before(until) {
			return &leftError{why + " (waited until now: run it again later)"}
		}
		if why != told {
			told = why
			r.tell(Event{What: EventWait, Step: step.ID, Title: step.Title, Text: text + ": " + why, Until: until})
		}
		if err := sleep(r.ctx, orDuration(r.Times.Interval, time.Minute)); err != nil {
			return err
		}
	}
}

// gateLock lets the lock be turned on only when mail comes through the gateway alone.
func gateLock(r *run) error {
	s := Step{ID: idLockOn, Title: "Turn on " + r.Profile.lockName()}
	clean, start := orDuration(r.Times.Clean, time.Hour), time.Now()
	if r.NoWait {
		text := "it was not waited until the old TTL of the MX records is over: mail of whoever still knows the old ones would be refused"
		r.out.Skipped = append(r.out.Skipped, s.Title+": "+text)
		r.tell(Event{What: EventSkipped, Step: s.ID, Title: s.Title, Text: text})
	}
	err := r.waitFor(s, "no direct mail", func() (bool, string, error) {
		if r.askDNS {
			ask := *r.Tenant
			ask.MX = MXAskDNS
			state, err := ask.mxState(r.ctx)
			if err != nil || state != MXYes {
				return false, "the MX records do not name the gateway", err
			}
		}
		if rest := clean - time.Since(start); rest > 0 && !r.NoWait && !r.Force {
			return false, "for " + clean.String() + " others may still know the old MX records", nil
		}
		m, err := r.directMail(r.ctx, r.obs, time.Now().Add(-clean))
		switch {
		case errors.Is(err, ErrForbidden) || errors.Is(err, ErrIncompleteList):
			if r.Force {
				return true, "", nil
			}
			return false, "the message trace cannot be read, so nobody knows whether mail still comes in directly: " + r.clean(err).Error(), nil
		case err != nil:
			return false, "", err
		case m != nil:
			return false, fmt.Sprintf("mail came in directly from %s at %s, past the gateway; with the lock on it would be refused", m.FromIP, m.Received.UTC().Format(time.RFC3339)), nil
		}
		return true, "", nil
	})
	var left *leftError
	if r.Force && errors.As(err, &left) {
		return nil
	}
	return err
}

// gateMXBack waits until the MX records no longer name the gateway, and their old TTL is over.
func gateMXBack(r *run) error {
	s := Step{ID: idMX + ".back", Title: "Move the MX records back to Exchange Online"}
	if r.Tenant.MX == MXUnknown && r.NoWait {
		r.out.Skipped = append(r.out.Skipped, s.Title+": not asked for; mail that still comes through the gateway will be judged like any other")
		r.tell(Event{What: EventSkipped, Step: s.ID, Title: s.Title, Text: "nobody asked whether the MX records are back"})
		return nil
	}
	if r.moved == MXYes && r.NoWait {
		return &leftError{"the MX records still name the gateway: move them back, then run it again saying so"}
	}
	drain := orDuration(r.Times.Drain, 30*time.Minute)
	var back time.Time // since when no record names the gateway
	return r.waitFor(s, "the MX records", func() (bool, string, error) {
		for _, d := range r.Profile.Domains {
			hosts, err := r.lookupMX(r.ctx, d)
			if err != nil {
				back = time.Time{}
				return false, "the MX records of " + d + " cannot be looked up", r.ctx.Err()
			}
			if len(hosts) == 0 || r.Profile.named(hosts) {
				back = time.Time{}
				return false, "the MX records of " + d + " still name the gateway", nil
			}
		}
		if r.NoWait {
			return true, "", nil
		}
		if back.IsZero() {
			back = time.Now()
		}
		if time.Since(back) < drain {
			return false, "for " + drain.String() + " others may still know the old MX records", nil
		}
		return r.queueEmpty()
	})
}

// gateDrain waits until what is at the gateway has come back.
func gateDrain(r *run) error {
	return r.drain(Step{ID: idRedirect + ".remove", Title: "Remove " + r.Profile.redirectName()}, r.Profile.region().SmartHost, r.queueEmpty)
}

// drain waits until nothing new goes to a smart host, and what went there has come back, as far as it can be asked.
func (r *run) drain(s Step, host string, back func() (bool, string, error)) error {
	drain := orDuration(r.Times.Drain, 30*time.Minute)
	if r.NoWait {
		text := "it was not waited until mail on its way has come back: such mail is judged like any other"
		r.out.Skipped = append(r.out.Skipped, s.Title+": "+text)
		r.tell(Event{What: EventSkipped, Step: s.ID, Title: s.Title, Text: text})
		return nil
	}
	start := time.Now()
	return r.waitFor(s, "mail on its way", func() (bool, string, error) {
		if rest := drain - time.Since(start); rest > 0 {
			return false, "the rule takes some " + drain.String() + " until it has no effect any more", nil
		}
		if n, err := r.handOffs(r.ctx, host, time.Now().Add(-drain)); err == nil && n > 0 {
			return false, "the trace still shows mail that went to " + host, nil
		}
		return back()
	})
}

// queueEmpty asks the gateway whether it still holds mail, if it can be asked.
func (r *run) queueEmpty() (bool, string, error) {
	if r.QueueEmpty == nil {
		return true, "", nil
	}
	if empty, err := r.QueueEmpty(r.ctx); err != nil || !empty {
		return false, "the gateway still holds mail of the tenant", r.ctx.Err()
	}
	return true, "", nil
}

// gateCustomize opens the tenant for changes and waits until that has taken place.
func gateCustomize(r *run) error {
	st := r.customizeTask().step
	err := r.write(&task{step: st, kind: kindOrganization}, write{call: Call{Cmdlet: "Enable-OrganizationCustomization"}})
	if err != nil && !r.mayStand(err) {
		return err
	}
	err = r.waitFor(st, "the service", func() (bool, string, error) {
		if err := r.obs.look(r.ctx, r.session, kindOrganization); err != nil {
			return false, "", err
		}
		return r.obs.org.IsDehydrated == nil || !*r.obs.org.IsDehydrated, "the tenant is being opened for changes, which takes from minutes to hours", nil
	})
	var left *leftError
	if errors.As(err, &left) {
		return errors.New(left.why)
	}
	return err
}

// afterOutbound lets the service send a test message to the gateway.
func afterOutbound(r *run) error {
	box := r.Profile.ValidationMailbox
	if box == "" {
		return nil
	}
	if r.NoWait {
		r.out.Skipped = append(r.out.Skipped, "the test message to "+box+" through the outbound connector was not sent")
		return nil
	}
	res, err := r.Exchange.Invoke(r.ctx, Call{Cmdlet: "Validate-OutboundConnector", Params: Params{"Identity": r.Profile.outboundName(), "Recipients": []string{box}}})
	if err != nil {
		return fmt.Errorf("the connector stands, but its validation failed: %w: is the smart host reachable from the Internet, with a valid certificate?", err)
	}
	for _, row := range res.Rows {
		for _, f := range []string{"IsTaskSuccessful", "Succeeded"} {
			if ok, known := row.Bool(f); known && !ok {
				detail, _ := row.Text("TaskDetail")
				task, _ := row.Text("TaskName")
				return fmt.Errorf("the connector stands, but its validation failed at %q: %s", task, oneLine(detail, 300))
			}
		}
	}
	return nil
}

// afterRedirect sends a message through the loop, and turns the rule off again when none comes through.
func afterRedirect(r *run) error {
	if r.Canary == nil || r.Profile.stage() == StageAudit {
		return nil
	}
	if r.NoWait {
		r.out.Skipped = append(r.out.Skipped, "no message was sent through the loop")
		return nil
	}
	seen, err := r.Canary.fly(r.ctx, r.Profile, func(text string, until time.Time) {
		r.tell(Event{What: EventWait, Step: idCanary, Title: "A message through the loop", Text: text, Until: until})
	})
	r.out.Canary = seen
	if err == nil || r.ctx.Err() != nil {
		return err
	}
	x, ours := r.objectOf(r.obs, kindRule, idRedirect, "")
	if x == nil || !ours {
		return err
	}
	off := write{call: Call{"Disable-TransportRule", Params{"Identity": first(x.guid, x.name)}, false}}
	werr := r.write(&task{step: Step{ID: idRedirectOn, Object: x.name, Title: "Turn off " + x.name}, kind: kindRule}, off)
	if werr != nil {
		return fmt.Errorf("%w; and turning the rule off again failed: %w: do it by hand", err, werr)
	}
	return fmt.Errorf("%w; the rule %s was turned off again", err, x.name)
}
