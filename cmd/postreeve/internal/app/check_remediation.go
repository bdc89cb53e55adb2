package app

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

// remedies looks at the tenants whose mail can be taken back: a probe for each. No mailbox is touched.
func (k *checker) remedies() []probe {
	if len(k.cfg.Remediation) == 0 {
		return nil
	}
	places, err := newRemedyPlaces(k.cfg)
	if err != nil {
		return []probe{func(context.Context) []checked { return badProfile(err) }}
	}
	var out []probe
	for _, t := range places.tenants {
		out = append(out, func(ctx context.Context) []checked { return k.remedy(ctx, t) })
	}
	return out
}

// badProfile is a line for each thing that is wrong with a profile.
func badProfile(err error) []checked {
	const advice = "without it the gateway does not start: correct the profile, or the entry of remediation"
	bad, ok := errors.AsType[config.Errors](err)
	if !ok {
		return one("remedy", "profiles", stateFail, strings.TrimPrefix(err.Error(), "remediation: "), advice)
	}
	var out []checked
	for _, b := range bad {
		out = append(out, one("remedy", where(b), stateFail, b.Text, advice)...)
	}
	return out
}

// remedy signs in at one tenant.
func (k *checker) remedy(ctx context.Context, t *remedyTenant) []checked {
	if err := t.taker.open(); err != nil {
		return one("remedy", t.profile, stateFail, remedyReason(err.Error()), "without it the gateway does not start: make the file readable for the user that runs the gateway, and put in it what belongs there")
	}
	var out []checked
	ctx, cancel := context.WithTimeout(ctx, 2*k.timeout)
	defer cancel()
	if err := t.taker.signIn(ctx); err != nil {
		out = one("remedy", t.profile, stateFail, remedyReason(err.Error()), "until it can sign in at "+t.where+" nothing is taken back; what is ordered meanwhile is tried for a day")
	} else {
		out = one("remedy", t.profile, stateOK, "signs in at "+t.where+", takes mail of "+several(t.domains)+" back (cure: "+t.cure+")", "")
	}
	if h := idHeader(k.cfg); t.header != "" && !strings.EqualFold(t.header, h) {
		out = append(out, one("remedy", t.profile, stateWarn, "the profile says that our id is in "+t.header+", and the gateway writes and looks for "+h, "give headers in the profile and headers.prefix the same prefix")...)
	}
	if !slices.ContainsFunc(t.domains, func(name string) bool { return serving(k.cfg, name) != nil }) {
		out = append(out, one("remedy", t.profile, stateWarn, "none of its domains is a key of domains", "name the profile of a tenant whose mail comes this way")...)
	}
	return out
}
