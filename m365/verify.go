package m365

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Report is what Verify found.
type Report struct {
	Tenant   string    `json:"tenant"`
	At       time.Time `json:"at"`
	Mode     string    `json:"mode"`               // the effective one, in words
	Scanning bool      `json:"scanning"`           // mail goes through the gateway, as far as settings tell
	Drift    []Drift   `json:"drift"`              // what is not as wanted
	Findings []Problem `json:"findings,omitempty"` // what the owner should know: foreign rules above ours, limits near
	InOrder  []string  `json:"in-order,omitempty"`
	Consent  string    `json:"consent,omitempty"` // granted, missing, or unknown with the reason
	// Certificate is the one that the smart host shows, nil if it was not looked at.
	Certificate *Certificate `json:"certificate,omitempty"`
	Canary      *Sighting    `json:"canary,omitempty"`
	Skipped     []string     `json:"skipped,omitempty"`
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
}

// OK says whether everything is as wanted.
func (r *Report) OK() bool { return len(r.Drift) == 0 }

// String is one line about a drift.
func (d Drift) String() string {
	note := ""
	if d.Note != "" {
		note = " (" + d.Note + ")"
	}
	return fmt.Sprintf("%s: %s: wanted %v, found %v%s", d.Object, d.Field, d.Wanted, d.Found, note)
}

// Verify reads the tenant and says what is not as the profile wants it. It changes nothing. Unless NoWait is
// set it also looks at the certificate of the smart host and, with a Canary, sends a message through the loop.
func (t *Tenant) Verify(ctx context.Context) (*Report, error) {
	s, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	o, err := s.observed(ctx)
	if err != nil {
		return nil, err
	}
	if len(o.denied) > 0 {
		return nil, fmt.Errorf("m365: verify: %w", errors.Join(problemErrors(s.rights(o, nil))...))
	}
	r := &Report{Tenant: o.org.Guid, At: time.Now().UTC(), Drift: []Drift{}}
	b := s.build(o)
	r.InOrder = b.inOrder
	for _, k := range b.tasks {
		r.Drift = append(r.Drift, drifts(k)...)
	}
	r.Findings = slices.Concat(b.problems, s.tenantProblems(o), s.limits(o, b), s.foreign(o), s.policyProblems(o), s.recipientProblems(ctx), s.above(o, b.facts.priority))
	for _, p := range b.problems {
		if p.Blocks {
			r.Drift = append(r.Drift, Drift{Object: p.Object, Name: p.Object, Field: "Comment", Wanted: "our mark", Found: nil, Note: p.Text})
		}
	}
	for i := range r.Findings {
		r.Findings[i].Blocks = false // nothing is about to be applied
	}
	r.Skipped = s.skipped
	r.Consent = s.consentText(o)
	r.Mode, r.Scanning = s.effective(o)
	return r, s.probe(ctx, r)
}

func problemErrors(all []Problem) []error {
	var out []error
	for _, p := range all {
		out = append(out, p)
	}
	return out
}

// drifts turns the differences of a task around: what would be written is wanted.
func drifts(k *task) []Drift {
	if k.step.Verb == VerbManual && k.kind != kindConsent {
		return nil // a step of the roll-out, not a drift
	}
	if k.kind == kindConsent {
		if k.step.Verb == VerbManual {
			return nil // nobody can tell
		}
		return []Drift{{Step: k.step.ID, Object: k.step.Object, Name: k.set.name, Field: "Consent", Wanted: "granted", Found: "missing"}}
	}
	name := k.step.Object
	if k.set != nil {
		name = k.set.name
	}
	switch k.step.Verb {
	case VerbCreate:
		return []Drift{{Step: k.step.ID, Object: k.step.Object, Name: name, Field: "Name", Wanted: name, Found: nil, Note: "it is not there"}}
	case VerbRemove:
		return []Drift{{Step: k.step.ID, Object: k.step.Object, Name: name, Field: "Name", Wanted: nil, Found: name, Note: "it is ours and no longer wanted"}}
	}
	var out []Drift
	for _, d := range k.step.Fields {
		out = append(out, Drift{Step: k.step.ID, Object: k.step.Object, Name: name, Field: d.Name, Wanted: d.After, Found: d.Before, Note: d.Note})
	}
	return out
}

// above lists the rules of others that act on a message before the redirect rule does at its place.
func (t *session) above(o *observation, place int) []Problem {
	if t.Profile.Mode != EOPFirst {
		return nil
	}
	self, _ := t.objectOf(o, kindRule, idRedirect, t.Profile.redirectName())
	if self != nil {
		place = max(place, self.priority)
	}
	var out []Problem
	for _, r := range o.rules {
		state, _ := r.Row.Text("State")
		if deref(r.Priority) >= place || !t.foreignRule(r) || blocksAddresses(r) || !strings.EqualFold(state, "Enabled") {
			continue
		}
		p := Problem{Code: "rule.above", Object: r.Name, Text: fmt.Sprintf("this rule of somebody else stands above %s (priority %d)", t.Profile.redirectName(), deref(r.Priority)),
			Do: "move it below, unless it is meant to act before mail is scanned"}
		if r.StopRuleProcessing != nil && *r.StopRuleProcessing {
			p.Text += " and ends the evaluation: mail it is about is not scanned"
		}
		out = append(out, p)
	}
	return out
}

func (t *session) consentText(o *observation) string {
	switch c := o.consent; {
	case t.Profile.RemediationApp == "":
		return ""
	case c.err != nil:
		return "unknown: " + c.err.Error()
	case !c.known:
		return "unknown: there is no access to Microsoft Graph"
	case c.present:
		return "granted"
	}
	return "missing"
}

// effective says in words what happens to mail, as far as settings tell.
func (t *session) effective(o *observation) (string, bool) {
	if t.Profile.Mode == MXFirst {
		lock, ours := t.objectOf(o, kindInbound, idLock, "")
		switch {
		case lock == nil || !ours:
			return "MX first, without the lock: mail can go around the gateway", t.moved == MXYes
		case flag("Enabled", true).value(o, lock) == true:
			return "MX first: mail is taken from the gateway only", true
		case t.moved == MXYes:
			return "MX first, the lock is off: mail can go around the gateway", true
		}
		return "MX first, being set up: mail does not go through the gateway until the MX records name it", false
	}
	x, ours := t.objectOf(o, kindRule, idRedirect, "")
	if x == nil || !ours {
		return "no mail goes through the gateway: there is no redirect rule", false
	}
	mode, _ := x.row.Text("Mode")
	out, ours := t.objectOf(o, kindOutbound, idOutbound, "")
	switch {
	case flag("Enabled", true).value(o, x) != true:
		return "no mail goes through the gateway: the redirect rule is off", false
	case strings.EqualFold(mode, "Audit") || strings.EqualFold(mode, "AuditAndNotify"):
		return "no mail goes through the gateway: the redirect rule only logs", false
	case out == nil || !ours || flag("Enabled", true).value(o, out) != true:
		return "redirected mail has no way to the gateway: the outbound connector is missing or off", false
	case t.Profile.stage() == StagePilot:
		return "mail of the pilot groups goes through the gateway before it is delivered", true
	}
	return "mail goes through the gateway before it is delivered", true
}

// probe looks at what settings do not tell.
func (t *session) probe(ctx context.Context, r *Report) error {
	if t.NoWait {
		r.Skipped = append(r.Skipped, "the certificate of the smart host was not looked at", "no message was sent through the loop")
		return nil
	}
	if host := t.Profile.region().SmartHost; t.Profile.Mode == EOPFirst && t.LookAtCertificate != nil {
		c, err := t.LookAtCertificate(ctx, host)
		if err != nil {
			r.Findings = append(r.Findings, Problem{Code: "certificate.unseen", Object: host, Text: "the certificate of the smart host cannot be seen from here: " + err.Error(),
				Do: "look from another place, or at the gateway"})
		} else {
			r.Certificate = c
			r.Findings = append(r.Findings, c.problems(t.Profile, time.Now())...)
		}
	}
	if t.Canary == nil {
		r.Skipped = append(r.Skipped, "no message was sent through the loop: no mailbox was given")
		return nil
	}
	seen, err := t.Canary.fly(ctx, t.Profile, func(text string, until time.Time) {
		if t.Progress != nil {
			t.Progress(Event{At: time.Now().UTC(), What: EventWait, Step: idCanary, Title: "A message through the loop", Text: text, Until: until})
		}
	})
	r.Canary = seen
	if errors.Is(err, errNoCanary) {
		r.Drift = append(r.Drift, Drift{Step: idCanary, Object: "mailbox " + t.Canary.Mailbox, Name: t.Canary.Mailbox, Field: "a message through the loop", Wanted: "scanned", Found: "not scanned", Note: err.Error()})
		r.Scanning = false
		return nil
	}
	return err
}
