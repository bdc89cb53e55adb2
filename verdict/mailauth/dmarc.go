package mailauth

import (
	"errors"
	"fmt"

	"github.com/postreeve/postreeve/verdict"
)

// ErrPolicyTest is the Err of a DMARC fail whose policy is not to be applied in full: the owner of the domain
// is testing it (t=y, RFC 9989 section 4.7). Policy is what is published, Applied one step weaker.
var ErrPolicyTest = errors.New("mailauth: the DMARC policy is being tested (t=y)")

// identifier is a domain that SPF or DKIM speaks for.
type identifier struct {
	domain string
	result verdict.AuthResult
	strict func(r *dmarcRecord) bool
}

// maxAligned is how many identifiers a message may have that need a tree walk of their own.
const maxAligned = 10

// dmarcPolicy is the record that applies to an author domain, if there is one.
type dmarcPolicy struct {
	published
	err error // nobody can tell
}

// discover finds the record that applies to an author domain (RFC 9989 section 4.10.1): its own, that of its
// organizational domain, or that of its public suffix.
func (w *dmarcWalk) discover(domain string) dmarcPolicy {
	r, err := w.record(domain)
	if err != nil || r != nil {
		return dmarcPolicy{published{domain, r}, err}
	}
	found, err := w.walk(domain)
	if err != nil || len(found) == 0 {
		return dmarcPolicy{err: err}
	}
	org := organization(domain, found)
	for _, p := range found {
		if p.domain == org {
			return dmarcPolicy{published: p}
		}
	}
	return dmarcPolicy{published: found[len(found)-1]}
}

// evaluate says whether an identifier that passed is aligned with the author domain (RFC 9989 section 5.3).
func (w *dmarcWalk) evaluate(a *author, p dmarcPolicy, ids []identifier) verdict.DMARCResult {
	if a.err != nil {
		return verdict.DMARCResult{Result: "permerror", Err: a.err}
	}
	out := verdict.DMARCResult{Domain: a.domain()}
	switch {
	case p.err != nil:
		out.Result, out.Err = "temperror", p.err
		return out
	case p.record == nil || p.record.void:
		out.Result = "none"
		return out
	}
	aligned, err := w.anyAligned(a.domain(), p.record, ids)
	policy, perr := w.policy(a.domain(), p.published)
	out.Policy = policy
	switch {
	case aligned:
		out.Result = verdict.Pass
	case err != nil:
		out.Result, out.Err = "temperror", err
	case perr != nil:
		out.Result, out.Policy, out.Err = "temperror", "", perr
	default:
		out.Result, out.Applied = "fail", policy
		if p.record.testing {
			out.Applied, out.Err = weaker(policy), ErrPolicyTest
		}
	}
	return out
}

// anyAligned looks for an aligned identifier that passed. If there is none, the error says that one might
// have been: an aligned one could not be checked, or nobody knows whether it is aligned. Identifiers of
// other organizations do not come into it, so that nobody escapes a policy by a name server that is silent.
func (w *dmarcWalk) anyAligned(domain string, r *dmarcRecord, ids []identifier) (bool, error) {
	var unknown error
	walks := 0
	for _, want := range []verdict.AuthResult{verdict.Pass, "temperror"} {
		for _, id := range ids {
			if id.result != want || id.domain == "" {
				continue
			}
			if id.domain != domain && !id.strict(r) {
				if walks++; walks > maxAligned {
					break
				}
			}
			ok, err := w.aligned(domain, id, r)
			switch {
			case err != nil:
				unknown = errors.Join(unknown, err)
			case ok && want == verdict.Pass:
				return true, nil
			case ok:
				unknown = errors.Join(unknown, fmt.Errorf("%w: %s could not be checked", ErrTemporary, id.domain))
			}
		}
	}
	return false, unknown
}

// aligned says whether an identifier is aligned with the author domain: the same domain, or in relaxed mode
// of the same organization.
func (w *dmarcWalk) aligned(domain string, id identifier, r *dmarcRecord) (bool, error) {
	if id.domain == domain {
		return true, nil
	}
	if id.strict(r) {
		return false, nil
	}
	found, err := w.walk(domain)
	if err != nil {
		return false, err
	}
	org := organization(domain, found)
	if !within(id.domain, org) {
		return false, nil // its organization is itself or above it
	}
	if id.domain == org {
		return true, nil
	}
	found, err = w.walk(id.domain)
	if err != nil {
		return false, err
	}
	return organization(id.domain, found) == org, nil
}

// policy returns what the owner asks for when the author domain fails: p= of its own record, sp= or np= of
// one above it. The error says that nobody can tell whether the author domain exists, and that it matters.
func (w *dmarcWalk) policy(domain string, p published) (string, error) {
	r := p.record
	if p.domain == domain {
		return r.policy, nil
	}
	existing := r.policy
	if r.subdomain != "" {
		existing = r.subdomain
	}
	if r.absent == "" || r.absent == existing {
		return existing, nil
	}
	_, err := lookup(w.ctx, w.resolver, domain, A) // RFC 9989 section 3.2: non-existent means NXDOMAIN
	switch {
	case noData(err):
		return r.absent, nil
	case err != nil:
		return existing, err
	}
	return existing, nil
}
