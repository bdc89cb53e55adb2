package gworkspace

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Report is what Verify found. Its form extends the one of package m365.
type Report struct {
	Tenant   string    `json:"tenant"`
	At       time.Time `json:"at"`
	Mode     string    `json:"mode"`               // the effective one, in words
	Scanning bool      `json:"scanning"`           // mail goes through the gateway, as far as is known
	Drift    []Drift   `json:"drift"`              // what is not as wanted
	Findings []Problem `json:"findings,omitempty"` // what the owner should know: rules of others, lists, actions
	InOrder  []string  `json:"in-order,omitempty"`
	Checks   []Check   `json:"checks"`            // every setting, with how it is known
	Changes  []Change  `json:"changes,omitempty"` // of the audit log
	Probes   []Probe   `json:"probes,omitempty"`
	Skipped  []string  `json:"skipped,omitempty"` // what nobody looked at, with the reason
	// Unread is what was asked for and did not answer, with the reason: the access that was given cannot be used, or a
	// service or DNS is down. What nobody gave access to stands in Skipped alone, a scope that is missing in Drift.
	Unread []string `json:"unread,omitempty"`
}

// A State is what a check found.
type State string

// The states. Overridden: right where it is set, and not so in a unit or group below. Unknown: nobody can tell.
const (
	Right      State = "right"
	Wrong      State = "wrong"
	Missing    State = "missing"
	Overridden State = "overridden"
	Disabled   State = "disabled"
	Unknown    State = "unknown"
)

// A How is how something is known.
type How string

// The ways to know. Read: an API gave the value. Inferred: the audit log or a probe shows it. Told: a person
// said so.
const (
	Read     How = "read"
	Inferred How = "inferred"
	Told     How = "told"
)

// A Check is what was found about one setting.
type Check struct {
	Step   string `json:"step"` // id of the step that makes it
	Object string `json:"object"`
	Unit   string `json:"unit,omitempty"` // organizational unit or group, where it is about one
	State  State  `json:"state"`
	How    How    `json:"how,omitempty"`  // empty: unknown
	From   string `json:"from,omitempty"` // the policy, log entry, probe or person
	Note   string `json:"note,omitempty"`
}

// A Drift is one thing that is not as wanted.
type Drift struct {
	Step   string `json:"step"`   // id of the step that would put it right
	Object string `json:"object"` // what it is about
	Name   string `json:"name"`   // of the object in the tenant
	Field  string `json:"field"`
	Wanted any    `json:"wanted"`
	Found  any    `json:"found"` // null: absent
	Note   string `json:"note,omitempty"`
	Unit   string `json:"unit,omitempty"`
	State  State  `json:"state"`
	How    How    `json:"how"`
}

// OK says whether nothing is known to be other than wanted, no probe went wrong, and everything that was asked
// answered. What nobody could be asked about does not count: see [Report.Sure].
func (r *Report) OK() bool {
	return len(r.Drift) == 0 && len(r.Unread) == 0 && !slices.ContainsFunc(r.Probes, func(p Probe) bool { return p.State == Wrong })
}

// Sure says whether everything is known to be right.
func (r *Report) Sure() bool {
	for _, c := range r.Checks {
		if c.State != Right {
			return false
		}
	}
	return r.OK()
}

// String is one line about a drift.
func (d Drift) String() string {
	at, note := "", ""
	if d.Unit != "" {
		at = " in " + d.Unit
	}
	if d.Note != "" {
		note = " (" + d.Note + ")"
	}
	return fmt.Sprintf("%s%s: %s: wanted %v, found %v, %s%s", d.Object, at, d.Field, d.Wanted, d.Found, d.How, note)
}

// findings collects what the checks say.
type findings struct {
	checks   []Check
	drift    []Drift
	problems []Problem
	notes    []string
}

func (f *findings) check(c Check)     { f.checks = append(f.checks, c) }
func (f *findings) problem(p Problem) { f.problems = append(f.problems, p) }

// wrong adds a check and the drifts that explain it.
func (f *findings) wrong(c Check, drifts ...Drift) {
	f.check(c)
	for _, d := range drifts {
		d.Step, d.Object, d.Unit, d.How = c.Step, c.Object, c.Unit, c.How
		if d.State == "" {
			d.State = c.State
		}
		d.Name = first(d.Name, c.Object)
		d.Note = first(d.Note, c.Note)
		f.drift = append(f.drift, d)
	}
}

// state is the worst that is known of a step.
func (f *findings) state(step string) State {
	out := Unknown
	seen := false
	for _, c := range f.checks {
		switch {
		case c.Step != step:
		case c.State != Right && c.State != Unknown:
			return c.State
		case !seen:
			out, seen = c.State, true
		case c.State == Unknown:
			out = Unknown
		}
	}
	return out
}

// Verify reads the tenant, sends the probes if there are any, and says what is not as the profile wants it.
func (t *Tenant) Verify(ctx context.Context) (*Report, error) {
	o, err := t.observe(ctx)
	if err != nil {
		return nil, err
	}
	p := t.Profile
	r := &Report{Tenant: strings.Join(p.Domains, ", "), At: time.Now().UTC(), Drift: []Drift{}}
	r.Probes = t.probeHost(ctx)
	if p.Mode == Reroute && t.CheckHost == nil {
		r.Skipped = append(r.Skipped, "the host of the gateway was not connected to (P1)")
	}
	if t.Probes != nil {
		more, err := t.probe(ctx, o.mxState(p))
		if err != nil {
			return nil, err
		}
		r.Probes = append(r.Probes, more...)
	} else {
		r.Skipped = append(r.Skipped, "no message was sent through: no probes were given")
	}
	f := t.judge(o, r.Probes)
	r.Checks, r.Findings, r.Skipped = f.checks, f.problems, append(r.Skipped, f.notes...)
	r.Unread = o.unread()
	r.Drift = append(r.Drift, f.drift...)
	for i := range r.Findings {
		r.Findings[i].Blocks = false // nothing is about to be done
	}
	for _, s := range p.settings(nil) {
		if f.state(s.ID) == Right {
			r.InOrder = append(r.InOrder, s.Title)
		}
	}
	for _, c := range o.changes {
		if !c.At.Before(t.Since) {
			r.Changes = append(r.Changes, c)
		}
	}
	r.Mode, r.Scanning = t.effective(o, f, r.Probes)
	h := t.hider()
	h.all(&r.Mode)
	h.list(r.Unread)
	h.probes(r.Probes)
	return r, nil
}

// judge makes checks, drifts and problems of what was observed.
func (t *Tenant) judge(o *observation, probes []Probe) *findings {
	f := &findings{}
	f.notes = append(f.notes, t.unheard()...)
	t.checkAccess(o, f)
	t.checkGaps(o, f)
	t.checkMX(o, f)
	t.checkDomains(o, f)
	t.checkMembers(o, f)
	if o.tree != nil {
		t.checkUnits(o, f)
		t.checkService(o, f)
		t.checkSpam(o, f)
		t.checkForeign(o, f)
	} else {
		f.notes = append(f.notes, "policies were not read: "+o.treeErr.Error())
	}
	if o.auditErr != nil {
		f.notes = append(f.notes, "the audit log was not read: "+o.auditErr.Error())
	}
	if t.Profile.Mode == Reroute {
		t.checkStorage(o, f)
		t.checkHost(o, f, probes)
		t.checkGateway(o, f, probes)
		t.checkRule(o, f, probes)
	} else {
		t.checkGateway(o, f, probes)
		t.checkPolicyFile(f)
		t.checkReject(o, f, probes)
		f.problems = append(f.problems, t.lockedOut(o, probes)...)
	}
	if t.Profile.Mode == Reroute {
		t.checkNoReject(f, probes)
	}
	t.checkRemediation(o, f)
	t.checkOurSide(f)
	for _, x := range probes {
		if x.State == Wrong {
			f.problem(Problem{Code: "probe." + strings.ToLower(x.ID), Object: x.Title, Text: x.Detail, Do: x.Do, Blocks: x.ID == "P1"})
		}
	}
	t.hider().findings(f)
	return f
}

// effective says in words what happens to mail.
func (t *Tenant) effective(o *observation, f *findings, probes []Probe) (string, bool) {
	p := t.Profile
	if x := probeOf(probes, "P2"); x != nil && x.State == Right {
		return "mail goes through the gateway: a probe came by it", true
	}
	if p.Mode == MXFirst {
		s := o.mxState(p)
		switch {
		case !s.ours && p.MXMoved:
			return "MX first: the profile says mx-moved, and the MX records do not name the gateway alone: mail goes around it, or is refused (" + s.text + ")", false
		case !s.ours:
			return "MX first, being set up: mail does not go through the gateway until the MX records name it (" + s.text + ")", false
		case s.err != nil:
			return "MX first: whether mail goes through the gateway is not known: DNS could not be asked", false
		case f.state(idReject) == Right:
			return "MX first: mail is taken from the gateway only", true
		}
		return "MX first: whether mail can go around the gateway is not known", true
	}
	switch f.state(idRule) {
	case Right:
		if p.stage() == StagePilot {
			return "mail of the pilot units goes through the gateway before it is delivered, as far as settings tell", true
		}
		return "mail goes through the gateway before it is delivered, as far as settings tell", true
	case Missing:
		return "no mail goes through the gateway: there is no redirect rule", false
	case Disabled:
		return "no mail goes through the gateway: the redirect rule is off", false
	case Overridden:
		return "mail of some units does not go through the gateway: they override the redirect rule", true
	case Wrong:
		return "the redirect rule is not as it should be: mail may not go through the gateway", false
	}
	return "whether mail goes through the gateway is not known", false
}

func probeOf(all []Probe, id string) *Probe {
	for i := range all {
		if all[i].ID == id {
			return &all[i]
		}
	}
	return nil
}
