package m365

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const maxRounds = 4 // of writes for one task, each after a look at what stands

// task makes one task stand.
func (r *run) task(k *task) error {
	if k.step.Verb == VerbKeep {
		return nil
	}
	r.tell(Event{What: EventStart, Step: k.step.ID, Title: k.step.Title})
	if k.gate != nil {
		if err := k.gate(r); err != nil {
			return err
		}
	}
	if k.step.Verb == VerbManual {
		if k.gate == nil {
			r.out.Manual = append(r.out.Manual, k.step)
			r.tell(Event{What: EventManual, Step: k.step.ID, Title: k.step.Title, Text: k.step.Why})
		}
		return nil
	}
	if k.next != nil {
		if err := r.converge(k); err != nil {
			return err
		}
	}
	if err := r.stands(k); err != nil {
		return err
	}
	if k.after != nil {
		return k.after(r)
	}
	return nil
}

// converge writes what is missing and reads back, until nothing is missing.
func (r *run) converge(k *task) error {
	var last error
	for range maxRounds {
		todo := k.next(r.obs)
		if len(todo) == 0 {
			return nil
		}
		unclear := false
		for _, w := range todo {
			err := r.write(k, w)
			if err == nil {
				continue
			}
			if r.ctx.Err() != nil || r.journal.broken != nil || !r.mayStand(err) {
				return err
			}
			last, unclear = err, true
			break
		}
		if err := r.settle(k, unclear); err != nil {
			return err
		}
	}
	if todo := k.next(r.obs); len(todo) > 0 {
		if last != nil {
			return last
		}
		return fmt.Errorf("%s was accepted, but the tenant does not show it: look at %s in the admin center, then run this again", todo[0].call.Cmdlet, k.step.Object)
	}
	return nil
}

// mayStand says whether a write that failed may have had effect, or is superfluous.
func (r *run) mayStand(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, kind := range []error{ErrInvalid, ErrForbidden, ErrUnauthorized, ErrClaims, ErrLimit, ErrDehydrated, ErrInUse} {
		if errors.Is(err, kind) {
			return false
		}
	}
	return errors.Is(err, ErrAmbiguous) || errors.Is(err, ErrExists) || errors.Is(err, ErrNotFound) || e.Status < 400 || e.Status >= 500 || e.Status == 429
}

// settle reads the kind again until the task stands or the time for that is over. After an unclear reply one
// look is enough to go on from.
func (r *run) settle(k *task, unclear bool) error {
	until := time.Now().Add(orDuration(r.Times.Settle, time.Minute))
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		if err := r.obs.look(r.ctx, r.session, k.kind); err != nil {
			return err
		}
		if len(k.next(r.obs)) == 0 || unclear || !time.Now().Add(pause).Before(until) {
			return nil
		}
		r.tell(Event{What: EventWait, Step: k.step.ID, Title: k.step.Title, Text: "until the tenant shows the change", Until: until})
		if err := sleep(r.ctx, pause); err != nil {
			return err
		}
	}
}

// write makes one write, between two records.
func (r *run) write(k *task, w write) error {
	id := k.step.ID
	if k.set != nil {
		id = k.set.id
	}
	if base, ok := strings.CutSuffix(id, ".old"); ok {
		id = base
	}
	params, err := json.Marshal(w.call.Params)
	if err != nil {
		return err
	}
	rec := record{What: whatWrite, Plan: r.plan.ID, Step: k.step.ID, Setting: id, Kind: k.kind, Object: k.step.Object,
		Cmdlet: w.call.Cmdlet, Params: params, Values: w.values, Before: w.before, Adds: w.adds, Drops: w.drops}
	// Announced before, and not refused: what exists by now may be what an attempt without a reply made.
	announced := len(w.adds) > 0 && len(without(w.adds, r.ledger.added[id])) == 0
	if err := r.record(rec); err != nil {
		return err
	}
	r.tell(Event{What: EventWrite, Step: k.step.ID, Title: k.step.Title, Text: w.call.Cmdlet})
	res, err := r.invoke(k, w)
	r.out.Writes++
	if k.kind == kindSpoof && len(w.adds) > 0 && errors.Is(err, ErrExists) && !announced {
		// Another address of the same /24 is there: the service makes no difference between them.
		if err := r.record(record{What: whatWide, Note: "spoof pairs count for the /24"}); err != nil {
			return err
		}
	}
	rec.Params, rec.Values, rec.Before, rec.Request = nil, nil, nil, res.RequestID
	rec.What = whatWrote
	if err != nil {
		if r.mayStand(err) && !errors.Is(err, ErrExists) || r.ctx.Err() != nil {
			return err // nobody knows: the next look tells
		}
		if rec.Error = r.clean(err).Error(); !announced || !errors.Is(err, ErrExists) {
			rec.What = whatFailed
		}
	}
	if jerr := r.record(rec); jerr != nil {
		return errors.Join(err, jerr)
	}
	return err
}

func (r *run) invoke(k *task, w write) (Result, error) {
	if w.clear == "" {
		return r.Exchange.Invoke(r.ctx, w.call)
	}
	return Result{}, r.Exchange.Clear(r.ctx, w.call, w.clear, func(ctx context.Context) (bool, error) {
		if err := r.obs.look(ctx, r.session, k.kind); err != nil {
			return false, err
		}
		for _, todo := range k.next(r.obs) {
			if todo.clear == w.clear {
				return false, nil
			}
		}
		return true, nil
	})
}

// stands records that a task is done: an object with its GUID, or that nothing of a setting is left.
func (r *run) stands(k *task) error {
	if r.ledger.plan != r.plan.ID || k.set == nil && !k.undo {
		return nil
	}
	if k.set == nil { // old members of a list
		return nil
	}
	rec := record{What: whatStands, Step: k.step.ID, Setting: k.set.id, Kind: k.kind, Object: k.set.name}
	switch {
	case k.undo && k.step.Verb == VerbDisable:
	case k.undo && k.step.Verb == VerbRestore && hasKept(k.step):
	case k.undo:
		rec.What = whatUndone
	case k.kind.owned() && k.set.of == "":
		x, ours := r.objectOf(r.obs, k.kind, k.set.id, k.set.name)
		if x == nil || !ours {
			return fmt.Errorf("%s does not show in the tenant", k.set.objectName())
		}
		rec.Guid = x.guid
	}
	return r.record(rec)
}

func hasKept(s Step) bool {
	for _, d := range s.Fields {
		if strings.Contains(d.Note, keptNote) {
			return true
		}
	}
	return false
}

// probe makes a disabled inbound connector and removes it again. Developer tenants have none for good, and a tenant
// must not be left with half of the settings for that. To ask with WhatIf would be kinder, but whether that is
// honoured over this API, and what it checks, is not documented.
func (r *run) probe(tasks []*task) error {
	wanted := slices.ContainsFunc(tasks, func(k *task) bool { return k.step.ID == idProbe })
	if !wanted {
		return nil
	}
	name := r.Profile.product() + " Probe"
	step := Step{ID: idProbe, Title: "See whether the tenant can have inbound connectors", Object: "inbound connector " + name}
	call := Call{Cmdlet: "New-InboundConnector", Params: Params{"Name": name, "Comment": r.Profile.markText(idProbe), "ConnectorType": "Partner",
		"SenderDomains": []string{"*"}, "SenderIPAddresses": r.Profile.egress(), "RestrictDomainsToIPAddresses": false, "RequireTls": true, "Enabled": false}}
	there := func(o *observation) bool { x, _ := r.objectOf(o, kindInbound, idProbe, name); return x != nil }
	err := r.converge(&task{step: step, kind: kindInbound, next: func(o *observation) []write {
		if there(o) {
			return nil
		}
		return []write{{call: call}}
	}})
	if err != nil && (r.ctx.Err() != nil || r.mayStand(err)) {
		return err
	}
	if err != nil {
		return Problem{Code: "connector.refused", Object: r.Profile.inboundName(), Blocks: true,
			Text: "the tenant refuses to make an inbound connector: " + r.clean(err).Error(),
			Do: "developer (E5) tenants cannot have inbound connectors, use another one; in a new or trial tenant ask Microsoft support to allow them; " +
				"otherwise check the rights. Nothing was changed"}
	}
	return r.converge(&task{step: step, kind: kindInbound, undo: true,
		next: func(o *observation) []write { return r.removal(o, kindInbound, idProbe, "") }})
}
