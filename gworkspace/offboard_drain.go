package gworkspace

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// drainTime is how long a rule may still act after it was turned off, keepTime how long senders may keep MX
// records.
const (
	drainTime = 24 * time.Hour
	keepTime  = 72 * time.Hour
)

// A Backlog is what the gateway has of a tenant.
type Backlog struct {
	Queued int       // messages that wait for their next hop
	Held   int       // in quarantine
	Last   time.Time // when the last one came in; zero: none is known
}

// drain says what is waited for before the gateway can go, and drops the step that waits when nothing is.
func (t *Tenant) drain(ctx context.Context, o *observation, p *Plan, done map[string]bool) {
	id := idDrain
	switch {
	case t.Profile.Mode == Reroute && done[idRuleOff]:
		p.Problems = append(p.Problems, t.ruleActs(ctx, o, done)...)
	case t.Profile.Mode == MXFirst && done[idMXBack]:
		id = idKeep
		p.Problems = append(p.Problems, t.mxActs(done)...)
	default:
		return
	}
	p.Problems = append(p.Problems, t.backlog(ctx, id, done)...)
	if p.Blocked() != nil || !done[id] && id == idKeep {
		return
	}
	if t.Backlog == nil && !done[id] {
		return // the rule is gone, and nobody has looked whether the gateway still holds mail
	}
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.ID == id })
	if i >= 0 {
		p.InOrder = append(p.InOrder, p.Steps[i].Title)
		p.Steps = slices.Delete(p.Steps, i, i+1)
	}
}

// ruleActs says until when the rule may send mail that nobody expects any more.
func (t *Tenant) ruleActs(ctx context.Context, o *observation, done map[string]bool) []Problem {
	var out []Problem
	wait := func(text, do string) {
		out = append(out, Problem{Code: problemDrain, Object: t.Profile.ruleName(), Text: text, Do: do, Blocks: true})
	}
	off, silent := t.ruleOffSince(o, done[idRuleGone])
	state := last(o.states, func(Change) bool { return true })
	switch {
	case done[idDrain]:
	case off.IsZero() && silent && done[idRuleGone]: // gone for months
	case off.IsZero():
		wait("the rule is off, and nobody can tell since when", sayNow(idRuleOff, "24 hours")+
			". If it is off for longer than that, and the gateway holds nothing, say that the step "+idDrain+" is done")
	case state != nil && state.At.After(off) && time.Since(state.At) < drainTime:
		wait("the state of a rule was changed at "+state.At.UTC().Format(time.RFC3339)+", and the log does not say of which: it may be ours", waitUntil(idDrain, state.At.Add(drainTime))+
			". If it was another rule, and the gateway holds nothing, say that the step "+idDrain+" is done")
	case time.Since(off) < drainTime:
		wait("the rule was turned off at "+off.UTC().Format(time.RFC3339)+": it may still act in some places", waitUntil(idDrain, off.Add(drainTime)))
	}
	if t.Probes == nil || t.Probes.Gateway == nil {
		return out
	}
	acts, text := t.stillRerouted(ctx)
	switch acts {
	case Wrong:
		wait("a probe was still sent to the gateway: "+text, "wait, and look whether the rule is on in an organizational unit or for a group")
	case Unknown:
		out = append(out, Problem{Code: problemDrain, Object: t.Profile.ruleName(), Text: "whether mail is still sent to the gateway was not seen: " + text,
			Do: "send a message from outside, and look whether it comes without " + t.Profile.Headers.id()})
	}
	return out
}

// stillRerouted sends one message and looks whether it comes by the gateway, which it must not: Right.
func (t *Tenant) stillRerouted(ctx context.Context) (State, string) {
	alone := *t
	x := *t.Probes
	x.Group, x.Alias, x.Unrecognized, x.Suspended = "", "", "", ""
	alone.Probes = &x
	shots := slices.DeleteFunc(alone.shots(mxState{}), func(s *shot) bool { return s.ID != "P2" })
	f := shots[0].flight
	if f.sent = x.Send.Send(ctx, f.mail); f.sent != nil {
		return Unknown, oneLine(f.sent.Error(), 300)
	}
	within, every := x.times()
	if t.Progress != nil {
		t.Progress("waiting for a message to come past the gateway to "+x.Mailbox, time.Now().Add(within))
	}
	for end := time.Now().Add(within); ; {
		alone.lookAll(ctx, []*flight{f})
		switch {
		case len(f.passes) > 0:
			return Wrong, f.passes[0].String()
		case len(f.copies) > 0:
			return Right, ""
		case !time.Now().Add(every).Before(end) || ctx.Err() != nil:
			if f.err != nil {
				return Unknown, oneLine(f.err.Error(), 300)
			}
			return Unknown, "it did not come to the gateway, and was not seen in the mailbox"
		}
		if err := sleep(ctx, every); err != nil {
			return Unknown, err.Error()
		}
	}
}

// mxActs says until when senders may still go by the MX records of the gateway, and notes that they do not.
func (t *Tenant) mxActs(done map[string]bool) []Problem {
	back := t.since(idMXBack, time.Time{})
	switch {
	case done[idKeep]:
	case back.IsZero():
		return []Problem{{Code: problemDrain, Object: "MX records", Text: "they lead to Google again, and nobody can tell since when: senders may still know the old ones",
			Do: sayNow(idMXBack, "72 hours") + ", in which the gateway runs on. If the records never led to it, or are back for longer than that, say that the step " + idKeep + " is done", Blocks: true}}
	case time.Since(back) < keepTime:
		return []Problem{{Code: problemDrain, Object: "MX records", Text: "they were moved back at " + back.UTC().Format(time.RFC3339) + ": senders may still know the old ones",
			Do: "leave the gateway running: " + waitUntil(idKeep, back.Add(keepTime)), Blocks: true}}
	case t.Backlog != nil:
		done[idKeep] = true
	}
	return nil
}

// sayNow asks for an answer from which a wait counts. It is asked for at once: who waits first waits twice.
func sayNow(step, wait string) string {
	return "say now that the step " + step + " is done (--done " + step + " --told FILE): " + wait + " count from then"
}

// waitUntil says what waits. What stands before it in the plan does not.
func waitUntil(step string, at time.Time) string {
	return "the step " + step + " and all that follow it wait until " + at.UTC().Format(time.RFC3339)
}

// backlog says what the gateway still has.
func (t *Tenant) backlog(ctx context.Context, id string, done map[string]bool) []Problem {
	problem := func(text, do string, blocks bool) Problem {
		return Problem{Code: problemQueue, Object: "gateway", Text: text, Do: do, Blocks: blocks}
	}
	if t.Backlog == nil {
		if done[id] || done[idRuleGone] || id == idKeep {
			return nil
		}
		return []Problem{problem("nobody can tell whether the gateway still holds mail of the tenant", "look at its queue and its quarantine, and say that the step "+id+" is done", true)}
	}
	b, err := t.Backlog(ctx)
	if err != nil {
		return []Problem{problem("whether the gateway still holds mail cannot be told: "+oneLine(err.Error(), 300), "look at its queue", true)}
	}
	var out []Problem
	if b.Queued > 0 {
		out = append(out, problem(fmt.Sprintf("the gateway still holds mail of the tenant: %d queued", b.Queued), "wait until its queue is empty: what is there comes back only while the other settings stand", true))
	}
	quiet := drainTime
	if id == idKeep {
		quiet = keepTime
	}
	if !b.Last.IsZero() && time.Since(b.Last) < quiet {
		out = append(out, Problem{Code: problemDrain, Object: "gateway", Text: "the last message of the tenant came in at " + b.Last.UTC().Format(time.RFC3339),
			Do: waitUntil(id, b.Last.Add(quiet)) + ", and longer if more comes until then", Blocks: true})
	}
	if b.Held > 0 {
		out = append(out, problem(fmt.Sprintf("%d messages of the tenant are in quarantine: when the addresses of the gateway are trusted no more, what is released comes as a stranger's", b.Held),
			"release now what is wanted", false))
	}
	return out
}
