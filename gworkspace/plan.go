package gworkspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Direction says where a plan leads.
type Direction string

// The directions.
const (
	Onboard      Direction = "onboard"
	OffboardPlan Direction = "offboard"
)

// A Plan is the steps that are left from what was observed to what is wanted. It is data, in the form of
// package m365: encode it, review it, tick it off. It holds no secrets unless [Tenant.Reveal] is set.
type Plan struct {
	Version   int       `json:"version"`
	ID        string    `json:"id"` // changes with everything but Made
	Direction Direction `json:"direction"`
	Tenant    string    `json:"tenant"`   // its domains
	Observed  string    `json:"observed"` // what the tenant looked like
	Made      time.Time `json:"made"`
	Profile   *Profile  `json:"profile,omitempty"`

	Steps    []Step    `json:"steps"`
	InOrder  []string  `json:"in-order,omitempty"` // titles of what is as wanted already
	Problems []Problem `json:"problems,omitempty"`
	Notes    []string  `json:"notes,omitempty"` // what could not be read, and what follows later
	Roles    []string  `json:"roles,omitempty"` // rights that the steps need
}

const planVersion = 1

// Blocked joins the problems that are in the way, or is nil. Each is a [Problem].
func (p *Plan) Blocked() error {
	var errs []error
	for _, x := range p.Problems {
		if x.Blocks {
			errs = append(errs, x)
		}
	}
	return errors.Join(errs...)
}

// sum is the ID that the plan should have.
func (p *Plan) sum() string {
	c := *p
	c.ID, c.Made = "", time.Time{}
	raw, err := json.Marshal(c)
	if err != nil { // values of steps are plain: cannot happen
		return ""
	}
	h := sha256.Sum256(raw)
	return hex.EncodeToString(h[:16])
}

// fingerprint changes when what was read does. Entries of the log do not count.
func (o *observation) fingerprint() string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	if o.tree != nil {
		_ = enc.Encode(o.tree.policies) // a hash takes everything
		_ = enc.Encode(o.tree.units)
	}
	_ = enc.Encode([]any{o.domains, o.mx, o.missing, o.purge})
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Plan reads the tenant and returns the steps to what the profile asks for. Problems that are in the way are
// in the plan: see [Plan.Blocked]. No message is sent.
func (t *Tenant) Plan(ctx context.Context) (*Plan, error) {
	o, err := t.observe(ctx)
	if err != nil {
		return nil, err
	}
	f := t.judge(o, t.probeHost(ctx))
	p := t.newPlan(Onboard, o)
	p.Problems = f.problems
	unknown := 0
	for _, s := range t.Profile.settings(t.shown()) {
		if s.ID == idReject && !t.Profile.MXMoved {
			p.Notes = append(p.Notes, "The step \""+s.Title+"\" follows when the MX records have moved: set mx-moved in the profile then.")
			continue
		}
		if s.ID == idReject && f.state(idMX) != Right { // whatever the profile says: it would refuse what still comes directly
			p.Notes = append(p.Notes, "The step \""+s.Title+"\" is left out: the profile says mx-moved, and DNS does not show that the MX records name the gateway alone. It would refuse all mail that still goes to Google.")
			continue
		}
		switch f.state(s.ID) {
		case Right:
			p.InOrder = append(p.InOrder, s.Title)
			continue
		case Disabled:
			s.Verb = VerbEnable
		case Wrong, Overridden:
			if s.Verb == VerbCreate {
				s.Verb = VerbUpdate
			}
		case Unknown:
			unknown++
		}
		for _, d := range f.drift {
			if d.Step == s.ID {
				s.Fields = append(s.Fields, Diff{Name: strings.TrimPrefix(d.Unit+": "+d.Field, ": "), Before: d.Found, After: d.Wanted, Note: d.Note})
			}
		}
		p.Steps = append(p.Steps, s)
	}
	if unknown > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d of the steps may be done already: no API shows these settings. Say what you see, or send the probes.", unknown))
	}
	p.Notes = append(p.Notes, f.notes...)
	p.finish()
	return p, nil
}

// shown are the secrets that a plan may hold.
func (t *Tenant) shown() *Secrets {
	if t.Reveal {
		return t.Secrets
	}
	return nil
}

func (t *Tenant) newPlan(d Direction, o *observation) *Plan {
	profile := *t.Profile
	return &Plan{Version: planVersion, Direction: d, Tenant: strings.Join(profile.Domains, ", "), Observed: o.fingerprint(), Made: time.Now().UTC(), Profile: &profile, Steps: []Step{}}
}

// finish drops needs that are done, sums up the rights and seals the plan.
func (p *Plan) finish() {
	here := map[string]bool{}
	for _, s := range p.Steps {
		here[s.ID] = true
	}
	for i := range p.Steps {
		p.Steps[i].Needs = slices.DeleteFunc(slices.Clone(p.Steps[i].Needs), func(id string) bool { return !here[id] })
		p.Roles = append(p.Roles, p.Steps[i].Roles...)
	}
	slices.Sort(p.Roles)
	p.Roles = slices.Compact(p.Roles)
	p.ID = p.sum()
}
