package m365

import (
	"context"
	"errors"
)

// consentState is what is known of the consent of the remediation application.
type consentState struct {
	known, present bool
	existed        bool  // the tenant knows the application
	grants         int   // it has
	err            error // why it is not known
}

// lookConsent asks for the consent. That nobody can tell is no error: it is said instead.
func (t *session) lookConsent(ctx context.Context) (consentState, error) {
	if t.Graph == nil || t.Profile.RemediationApp == "" {
		return consentState{}, nil
	}
	a, err := t.Graph.App(ctx, t.Profile.RemediationApp)
	if err != nil {
		return consentState{err: err}, ctx.Err()
	}
	return consentState{known: true, present: a.ID != "" && a.Enabled && a.Has("Mail.ReadWrite"),
		existed: a.ID != "", grants: len(a.Grants) + len(a.Delegated)}, nil
}

// gateGrant gives the consent, or leaves it to a person who may.
func gateGrant(r *run) error {
	app := r.Profile.RemediationApp
	if r.obs.consent.present {
		return nil
	}
	step := r.Profile.consentSetting().step(VerbCreate, nil)
	if err := r.noteConsent(app); err != nil {
		return err
	}
	r.tell(Event{What: EventWrite, Step: step.ID, Title: step.Title, Text: "grant"})
	r.out.Writes++
	_, err := r.Graph.Grant(r.ctx, app, RemediationPermissions()...)
	switch {
	case errors.Is(err, ErrForbidden), errors.Is(err, ErrUnauthorized):
		step.Verb = VerbManual
		c := r.Profile.consentSetting().console
		step.Console = &c
		r.out.Manual = append(r.out.Manual, step)
		r.tell(Event{What: EventManual, Step: step.ID, Title: step.Title, Text: c.Link})
		return &leftError{"whoever signed in may not grant it: a Privileged Role Administrator has to, at " + c.Link}
	case err != nil && !errors.Is(err, ErrAmbiguous):
		return err
	}
	return r.obs.look(r.ctx, r.session, kindConsent)
}

// noteConsent writes down what the application was allowed before us.
func (r *run) noteConsent(app string) error {
	if len(r.ledger.added[idConsent]) > 0 {
		return nil
	}
	c := r.obs.consent
	return r.record(record{What: whatWrite, Plan: r.plan.ID, Step: idConsent, Setting: idConsent, Kind: kindConsent, Object: app, Adds: []string{app},
		Values: map[string]any{"existed": true, "grants": true}, Before: map[string]any{"existed": c.existed, "grants": c.grants > 0}})
}

// gateRevoke takes the consent back.
func gateRevoke(r *run) error {
	app := first(r.ledger.added[idConsent]...)
	if err := r.record(record{What: whatWrite, Plan: r.plan.ID, Step: idConsent + ".revoke", Setting: idConsent, Kind: kindConsent, Object: app}); err != nil {
		return err
	}
	r.out.Writes++
	err := r.Graph.Revoke
	if r.ledger.first[idConsent]["existed"] == true {
		err = r.Graph.RevokeGrants // the tenant knew the application before us
	}
	if err := err(r.ctx, app); err != nil {
		return err
	}
	return r.obs.look(r.ctx, r.session, kindConsent)
}
