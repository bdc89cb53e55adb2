package m365

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// ErrStale reports that the tenant is not as it was when the plan was made. Plan again and review it.
var ErrStale = errors.New("the tenant changed since the plan was made")

// A Tenant is a Microsoft 365 tenant and what is wanted of it. Profile and Exchange are required; Journal is
// required by whatever writes. Its methods read the fields only and keep nothing between calls.
type Tenant struct {
	Profile  *Profile
	Exchange *Client
	// Graph gives the remediation application its consent and takes it back. If nil, both are left to a
	// person.
	Graph *Graph
	// Journal is the directory of the journal. Only one run at a time can write to it.
	Journal string
	// Progress, if set, is told what happens. It must not block.
	Progress func(Event)

	// MX says whether the MX records name the gateway. Matters in mode MXFirst.
	MX MXState
	// LookupMX returns the hosts of the MX records of a domain, for MXAskDNS; nil: the system's resolver.
	LookupMX func(ctx context.Context, domain string) ([]string, error)
	// NoWait neither waits for effects nor sends probes. What was left out is said.
	NoWait bool
	// Force also overwrites and removes what somebody changed after we did.
	Force bool
	// Canary, if set, sends a message through the whole loop after a change.
	Canary *Canary
	// LookAtCertificate returns the certificate that the smart host shows, for Verify: [SMTPCertificate]. If
	// nil, it is not looked at.
	LookAtCertificate func(ctx context.Context, host string) (*Certificate, error)
	// QueueEmpty says whether the gateway holds no more mail of the tenant; nil: nobody can tell.
	QueueEmpty func(context.Context) (bool, error)
	// Times are the waits; the zero value is good for a real tenant.
	Times Times
}

// Times are the waits of a run. Zero fields have the defaults given.
type Times struct {
	Settle   time.Duration // until a write is read back; 1 minute
	Drain    time.Duration // without a hand-off before the way to the gateway is taken down; 30 minutes
	Clean    time.Duration // without direct mail before the lock is turned on; 1 hour
	Longest  time.Duration // any wait; 24 hours
	Interval time.Duration // between two looks while waiting; 1 minute
}

// A Direction says where a plan leads.
type Direction string

// The directions.
const (
	Onboard       Direction = "onboard"
	OffboardPlan  Direction = "offboard"
	VendorRemoval Direction = "vendor-removal"
)

// A Plan is the steps from what was observed to what is wanted. It is data: encode it, review it, store it and
// apply it later. It holds no secrets.
type Plan struct {
	Version   int          `json:"version"`
	ID        string       `json:"id"` // changes with everything but Made
	Direction Direction    `json:"direction"`
	Tenant    string       `json:"tenant"`   // GUID of the organization
	Observed  string       `json:"observed"` // what the tenant looked like
	Made      time.Time    `json:"made"`
	MX        MXState      `json:"mx,omitempty"`
	Force     bool         `json:"force,omitempty"`
	Profile   *Profile     `json:"profile,omitempty"`
	Vendor    *Predecessor `json:"vendor,omitempty"`

	Steps    []Step    `json:"steps"`
	InOrder  []string  `json:"in-order,omitempty"` // titles of what is as wanted already
	Problems []Problem `json:"problems,omitempty"`
	Notes    []string  `json:"notes,omitempty"` // facts that no document settles, and what the posture means
	Roles    []string  `json:"roles,omitempty"` // rights that the steps need
}

const planVersion = 1

// Changes counts the steps that write to the tenant.
func (p *Plan) Changes() int {
	n := 0
	for _, s := range p.Steps {
		if s.Verb.writes() {
			n++
		}
	}
	return n
}

// Manual lists the steps that only a person can do.
func (p *Plan) Manual() []Step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Verb != VerbManual })
}

// Kept lists what offboarding leaves because somebody changed it after us.
func (p *Plan) Kept() []Step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Verb != VerbKeep })
}

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

// ReadPlan reads a plan in JSON. One that was edited by hand is refused: plan again instead.
func ReadPlan(r io.Reader) (*Plan, error) {
	const most = 16 << 20
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("m365: plan: %w", err)
	}
	if len(raw) > most {
		return nil, errors.New("m365: plan: larger than 16 MiB")
	}
	var p Plan
	if err := strictJSON(raw, &p); err != nil {
		return nil, fmt.Errorf("m365: plan: %w", err)
	}
	if p.Version != planVersion {
		return nil, fmt.Errorf("m365: plan: version %d, this program knows %d: plan again", p.Version, planVersion)
	}
	if p.ID == "" || p.ID != p.sum() {
		return nil, errors.New("m365: plan: it is not as it was made: change the profile and plan again instead of editing the plan")
	}
	if p.Direction != VendorRemoval && p.Profile == nil || p.Direction == VendorRemoval && p.Vendor == nil {
		return nil, errors.New("m365: plan: it does not say what is wanted")
	}
	return &p, nil
}

// A session is one call of a method of Tenant: the tenant with what its journal says.
type session struct {
	*Tenant
	ledger  *ledger
	secrets secrets
	moved   MXState
	skipped []string
}

// begin reads the journal.
func (t *Tenant) begin(ctx context.Context) (*session, error) {
	if t.Profile == nil || t.Exchange == nil {
		return nil, errors.New("m365: a tenant needs a profile and a client")
	}
	if err := t.Profile.Check(); err != nil {
		return nil, err
	}
	return t.open(ctx)
}

func (t *Tenant) open(ctx context.Context) (*session, error) {
	l, err := readLedger(t.Journal)
	if err != nil {
		return nil, err
	}
	s, err := readSecrets(t.Journal)
	if err != nil {
		return nil, err
	}
	out := &session{Tenant: t, ledger: l, secrets: s}
	out.moved, err = t.mxState(ctx)
	return out, err
}

// observe reads the tenant and makes sure that the journal is about the same one.
func (t *session) observed(ctx context.Context) (*observation, error) {
	o, err := t.observe(ctx)
	if err != nil {
		return nil, err
	}
	if t.ledger.tenant != "" && o.org.Guid != "" && t.ledger.tenant != o.org.Guid {
		return nil, fmt.Errorf("m365: the journal %s is about the tenant %s, this is %s: use another directory", t.Journal, t.ledger.tenant, o.org.Guid)
	}
	return o, nil
}

// Plan reads the tenant and returns the steps to what the profile asks for. It writes nothing, neither to the
// tenant nor to the journal. Problems that are in the way are in the plan: see [Plan.Blocked].
func (t *Tenant) Plan(ctx context.Context) (*Plan, error) {
	s, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	o, err := s.observed(ctx)
	if err != nil {
		return nil, err
	}
	p, _, err := s.plan(ctx, o)
	return p, err
}

// plan derives the plan and its tasks from an observation.
func (t *session) plan(ctx context.Context, o *observation) (*Plan, []*task, error) {
	profile := *t.Profile
	p := &Plan{Version: planVersion, Direction: Onboard, Tenant: o.org.Guid, Observed: o.fingerprint(), Made: time.Now().UTC(),
		MX: t.moved, Force: t.Force, Profile: &profile}
	b := t.build(o)
	p.InOrder, p.Problems = b.inOrder, append(b.problems, t.preflight(ctx, o, b)...)
	p.fill(b.tasks)
	p.Notes = t.notes(b)
	p.ID = p.sum()
	return p, b.tasks, nil
}

// fill takes over what the tasks say.
func (p *Plan) fill(tasks []*task) {
	p.Steps = []Step{}
	here := map[string]bool{}
	for _, k := range tasks {
		here[k.step.ID] = true
	}
	for _, k := range tasks {
		k.step.Needs = slices.DeleteFunc(slices.Clone(k.step.Needs), func(id string) bool { return !here[id] })
		p.Steps = append(p.Steps, k.step)
		p.Roles = append(p.Roles, k.step.Roles...)
	}
	slices.Sort(p.Roles)
	p.Roles = slices.Compact(p.Roles)
}
