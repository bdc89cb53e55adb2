package m365

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Event is something that happens during a run.
type Event struct {
	At    time.Time `json:"at"`
	What  EventKind `json:"what"`
	Step  string    `json:"step,omitempty"`
	Title string    `json:"title,omitempty"`
	Text  string    `json:"text,omitempty"`
	Until time.Time `json:"until,omitzero"` // of a wait: when it is given up
}

// An EventKind says what kind of event it is.
type EventKind string

// The kinds of events.
const (
	EventStart   EventKind = "start"   // of a step
	EventWrite   EventKind = "write"   // a cmdlet is about to be run
	EventWait    EventKind = "wait"    // Text says for what, Until until when
	EventDone    EventKind = "done"    // a step stands
	EventSkipped EventKind = "skipped" // Text says what was left out
	EventManual  EventKind = "manual"  // a person has to do this
	EventFailed  EventKind = "failed"
)

// String is one line for a terminal or a log.
func (e Event) String() string {
	var b strings.Builder
	b.WriteString(string(e.What))
	for _, s := range []string{e.Step, e.Title, e.Text} {
		if s != "" {
			b.WriteString(": " + s)
		}
	}
	if !e.Until.IsZero() {
		b.WriteString(" (until " + e.Until.Format(time.RFC3339) + " at most)")
	}
	return b.String()
}

// An Outcome is what a run did.
type Outcome struct {
	Plan    string    `json:"plan"`
	Done    []string  `json:"done"`              // titles of the steps that stand
	Left    []string  `json:"left,omitempty"`    // and of those that do not
	Failed  string    `json:"failed,omitempty"`  // the step that stopped the run
	Manual  []Step    `json:"manual,omitempty"`  // what a person has to do
	Skipped []string  `json:"skipped,omitempty"` // what was left out, and why
	Back    string    `json:"back,omitempty"`    // how to go back
	Writes  int       `json:"writes"`            // calls that changed something
	Canary  *Sighting `json:"canary,omitempty"`
}

// A leftError says why a step is left for a later run. It is no failure.
type leftError struct{ why string }

func (e *leftError) Error() string { return e.why }

// A run applies one plan.
type run struct {
	*session
	ctx     context.Context
	journal *journal
	obs     *observation
	plan    *Plan
	out     *Outcome
	askDNS  bool // MX records are looked up again where it matters
}

// Apply does a plan that was made and reviewed. It returns [ErrStale] and changes nothing if the tenant is not
// as it was when the plan was made. Each write is in the journal before it is made and after, so the same call
// finishes what a crash cut short. It stops at the first failure; the outcome, which is never nil, says what
// is done, what is left and how to go back.
//
// The steps are derived from the tenant again, and only those that the plan names are done: a plan cannot be
// made to do something else by editing it.
func (t *Tenant) Apply(ctx context.Context, p *Plan) (*Outcome, error) {
	out := &Outcome{Plan: p.ID, Done: []string{}}
	if err := p.Blocked(); err != nil {
		return out, err
	}
	if p.ID != p.sum() {
		return out, errors.New("m365: plan: it is not as it was made: plan again instead of editing it")
	}
	use := *t
	use.MX = p.MX
	if p.Profile != nil {
		use.Profile = p.Profile
	}
	if use.Force != p.Force {
		return out, errors.New("m365: plan: it was made with another answer to whether changes of others may be overwritten: plan again")
	}
	if use.Profile == nil && p.Direction == VendorRemoval {
		use.Profile = &Profile{}
	}
	if use.Profile == nil || use.Exchange == nil || p.Direction == VendorRemoval && p.Vendor == nil {
		return out, errors.New("m365: applying needs a client, and a plan with what it is about")
	}
	if p.Profile != nil {
		if err := p.Profile.Check(); err != nil {
			return out, err
		}
	}
	sec, err := readSecrets(t.Journal)
	if err != nil {
		return out, err
	}
	j := &journal{hide: sec.hider()}
	if t.Journal != "" || p.Direction == Onboard {
		j, err = openJournal(t.Journal, sec)
	}
	if err != nil {
		return out, err
	}
	s, err := use.open(ctx) // under the lock
	if err == nil {
		j.hide = s.secrets.hider() // of what stands there now
		err = (&run{session: s, ctx: ctx, journal: j, plan: p, out: out, askDNS: t.MX == MXAskDNS}).all()
	}
	return out, errors.Join(err, j.close())
}

// all is the run from the first look to the last record.
func (r *run) all() error {
	var err error
	if r.obs, err = r.observed(r.ctx); err != nil {
		return err
	}
	resumed := r.ledger.plan == r.plan.ID
	if !resumed && r.obs.fingerprint() != r.plan.Observed {
		return fmt.Errorf("m365: %w: plan again and review the new plan", ErrStale)
	}
	if err := r.ensureSecret(); err != nil {
		return err
	}
	tasks, err := r.tasks(resumed)
	if err != nil {
		return err
	}
	if err := r.prepare(tasks, resumed); err != nil {
		return err
	}
	return r.work(tasks)
}

// tasks derives the tasks again and holds them against the reviewed plan.
func (r *run) tasks(resumed bool) ([]*task, error) {
	var now *Plan
	var tasks []*task
	var err error
	switch r.plan.Direction {
	case Onboard:
		now, tasks, err = r.session.plan(r.ctx, r.obs)
	case OffboardPlan:
		now, tasks = r.planOffboard(r.obs)
	case VendorRemoval:
		now, tasks = r.planVendor(r.obs, r.plan.Vendor)
	default:
		return nil, fmt.Errorf("m365: plan: unknown direction %q", r.plan.Direction)
	}
	if err != nil {
		return nil, err
	}
	if err := now.Blocked(); err != nil {
		return nil, err
	}
	for _, s := range now.Steps {
		if !r.plan.names(s, resumed) {
			return nil, fmt.Errorf("m365: %w: the step %q is another one by now: plan again and review the new plan", ErrStale, s.Title)
		}
	}
	return tasks, nil
}

// names says whether the plan has a step with these changes. When a run is resumed part of the changes may
// have been made.
func (p *Plan) names(s Step, resumed bool) bool {
	i := slices.IndexFunc(p.Steps, func(o Step) bool { return o.ID == s.ID })
	if i < 0 {
		return false
	}
	if resumed && p.Steps[i].Verb == VerbReplace && s.Verb == VerbCreate {
		return true // the old one is gone, and the profile of the plan says what the new one is
	}
	for _, f := range s.Fields {
		j := slices.IndexFunc(p.Steps[i].Fields, func(o Diff) bool { return o.Name == f.Name })
		if j < 0 || !resumed && !sameValue(p.Steps[i].Fields[j].After, f.After) {
			return false
		}
		if resumed && s.Verb != VerbRestore && s.Verb != VerbRemove && !sameValue(p.Steps[i].Fields[j].After, f.After) {
			return false
		}
	}
	return true
}

// sameValue compares values one of which may have been through JSON.
func sameValue(a, b any) bool {
	list := func(v any) any {
		if v, ok := v.([]any); ok {
			out := make([]string, 0, len(v))
			for _, x := range v {
				out = append(out, fmt.Sprint(x))
			}
			return strings.Join(out, "\x00")
		}
		if v, ok := v.([]string); ok {
			return strings.Join(v, "\x00")
		}
		return fmt.Sprint(fromJSON(v))
	}
	return list(a) == list(b)
}

// ensureSecret makes the secret of the loop, or takes over the one that a rule of ours holds.
func (r *run) ensureSecret() error {
	if len(r.secrets.Tokens) > 0 || r.plan.Direction != Onboard || r.Profile.Mode != EOPFirst {
		return nil
	}
	r.secrets.Tokens = []string{first(r.liveToken(r.obs), rand.Text())}
	if err := r.journal.put(secretOfFile, r.secrets); err != nil {
		return err
	}
	r.journal.hide = r.secrets.hider()
	return nil
}

// prepare writes down where things stand before the first change.
func (r *run) prepare(tasks []*task, resumed bool) error {
	writes := slices.ContainsFunc(tasks, func(k *task) bool { return k.step.Verb.writes() })
	if !writes || resumed {
		return nil
	}
	if !r.ledger.open && r.plan.Direction == Onboard {
		if err := r.journal.put(snapshotFile, snapshotOf(r.obs)); err != nil {
			return err
		}
	}
	if err := r.journal.put(planFile, r.plan); err != nil {
		return err
	}
	if err := r.record(record{What: whatBegin, Tenant: r.obs.org.Guid, Plan: r.plan.ID, Direction: string(r.plan.Direction)}); err != nil {
		return err
	}
	if app := r.Profile.RemediationApp; r.plan.Direction == Onboard && app != "" && !r.obs.consent.present {
		return r.noteConsent(app) // a person may give it while nobody looks
	}
	return nil
}

// record appends to the journal and to what this run knows of it.
func (r *run) record(rec record) error {
	if err := r.journal.append(rec); err != nil {
		return fmt.Errorf("%w: nothing more is written to the tenant until the journal can be", err)
	}
	r.ledger.replay(rec)
	return nil
}

// work does the tasks in order.
func (r *run) work(tasks []*task) error {
	left := map[string]bool{}
	if err := r.probe(tasks); err != nil {
		r.leave(tasks)
		return err
	}
	for i, k := range tasks {
		why := ""
		for _, n := range k.step.Needs {
			if left[n] {
				why = "it needs a step that is left"
			}
		}
		var later *leftError
		err := error(nil)
		if why == "" {
			err = r.task(k)
		}
		switch {
		case errors.As(err, &later):
			why = later.why
		case err != nil:
			r.out.Failed = k.step.Title
			r.leave(tasks[i+1:])
			r.out.Back = r.back(k)
			r.tell(Event{What: EventFailed, Step: k.step.ID, Title: k.step.Title, Text: r.clean(err).Error()})
			return fmt.Errorf("m365: %s: %w", k.step.Title, r.clean(err))
		}
		if why != "" {
			left[k.step.ID] = true
			r.out.Left = append(r.out.Left, k.step.Title)
			if k.step.Verb == VerbManual {
				r.out.Manual = append(r.out.Manual, k.step)
			}
			r.skip(k, why)
			continue
		}
		if k.step.Verb != VerbManual || k.gate != nil {
			r.out.Done = append(r.out.Done, k.step.Title)
			r.tell(Event{What: EventDone, Step: k.step.ID, Title: k.step.Title})
		}
	}
	return r.finish(tasks, left)
}

// finish ends the plan in the journal, and closes the journal when nothing of ours is left.
func (r *run) finish(tasks []*task, left map[string]bool) error {
	if r.ledger.plan == r.plan.ID { // something was to be written
		if err := r.record(record{What: whatEnd, Plan: r.plan.ID}); err != nil {
			return err
		}
	}
	kept := slices.ContainsFunc(tasks, func(k *task) bool { return hasKept(k.step) })
	if r.plan.Direction != OffboardPlan || !r.ledger.open || len(left) > 0 || kept {
		return nil
	}
	if err := r.record(record{What: whatClosed}); err != nil {
		return err
	}
	return r.journal.put(secretOfFile, secrets{Tokens: []string{}})
}

func (r *run) leave(tasks []*task) {
	for _, k := range tasks {
		r.out.Left = append(r.out.Left, k.step.Title)
	}
}

func (r *run) skip(k *task, why string) {
	r.out.Skipped = append(r.out.Skipped, k.step.Title+": "+why)
	r.tell(Event{What: EventSkipped, Step: k.step.ID, Title: k.step.Title, Text: why})
}

func (r *run) tell(e Event) {
	if r.Progress != nil {
		e.At = time.Now().UTC()
		r.Progress(e)
	}
}

// back says how to undo what a failed run did.
func (r *run) back(k *task) string {
	if r.plan.Direction != Onboard {
		return "run it again: it goes on where it stopped"
	}
	if on, ours := r.objectOf(r.obs, kindRule, idRedirect, ""); on != nil && ours && flag("Enabled", true).value(r.obs, on) == true {
		return "run it again to go on; offboard takes back what was done; to stop redirecting at once, disable the rule " + r.Profile.redirectName()
	}
	return "run it again to go on where it stopped, or offboard to take back what was done; no mail goes through the gateway yet because of this run"
}

// clean takes the secrets out of an error, which may repeat what the service said about a value.
func (r *run) clean(err error) error {
	if err == nil {
		return nil
	}
	if text := r.journal.hide.Replace(err.Error()); text != err.Error() {
		return &cleanError{text, err}
	}
	return err
}

// cleanError shows another text than the error it stands for, and is otherwise the same.
type cleanError struct {
	text string
	err  error
}

func (e *cleanError) Error() string        { return e.text }
func (e *cleanError) Is(target error) bool { return errors.Is(e.err, target) }
