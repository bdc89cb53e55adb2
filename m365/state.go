package m365

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// kind is a kind of object in the tenant, by the name its cmdlets have.
type kind string

const (
	kindRule         kind = "TransportRule"
	kindInbound      kind = "InboundConnector"
	kindOutbound     kind = "OutboundConnector"
	kindConnection   kind = "HostedConnectionFilterPolicy"
	kindContent      kind = "HostedContentFilterPolicy"
	kindOrganization kind = "OrganizationConfig"
	kindSpoof        kind = "TenantAllowBlockListSpoofItems"
	kindArc          kind = "ArcConfig"
	kindRoleGroup    kind = "RoleGroup"
	kindPrincipal    kind = "ServicePrincipal"
	kindConsent      kind = "consent"
	kindProbe        kind = "probe"
)

// owned says whether objects of the kind carry our mark.
func (k kind) owned() bool {
	return k == kindRule || k == kindInbound || k == kindOutbound || k == kindRoleGroup
}

// commentField is where the mark stands.
func (k kind) commentField() string {
	switch k {
	case kindRule:
		return "Comments"
	case kindRoleGroup:
		return "Description"
	}
	return "Comment"
}

// An observation is what was read of a tenant at one time.
type observation struct {
	org      Organization
	domains  []AcceptedDomain
	rules    []TransportRule
	inbound  []InboundConnector
	outbound []OutboundConnector
	filters  []ConnectionFilterPolicy
	content  []ContentFilterPolicy
	policies []PolicyRule
	phish    []AntiPhishPolicy
	spoof    []SpoofItem
	arc      ArcConfig
	groups   []RoleGroup
	apps     []ServicePrincipal
	consent  consentState
	denied   []*Error // reads that were refused
}

// An object is one that can carry our mark, in whatever kind.
type object struct {
	kind     kind
	name     string
	guid     string
	comment  string
	priority int
	row      Row
}

// objects lists the objects of an owned kind.
func (o *observation) objects(k kind) []object {
	var out []object
	add := func(name, guid, comment string, priority int, row Row) {
		out = append(out, object{k, name, guid, comment, priority, row})
	}
	switch k {
	case kindRule:
		for _, r := range o.rules {
			add(r.Name, r.Guid, r.Comments, deref(r.Priority), r.Row)
		}
	case kindInbound:
		for _, c := range o.inbound {
			add(c.Name, c.Guid, c.Comment, 0, c.Row)
		}
	case kindOutbound:
		for _, c := range o.outbound {
			add(c.Name, c.Guid, c.Comment, 0, c.Row)
		}
	case kindRoleGroup:
		for _, g := range o.groups {
			add(g.Name, g.Guid, g.Description, 0, g.Row)
		}
	}
	return out
}

// single returns the row of a kind that exists once.
func (o *observation) single(k kind) Row {
	switch k {
	case kindConnection:
		return o.connection().Row
	case kindContent:
		return o.antispam().Row
	case kindOrganization:
		return o.org.Row
	}
	return nil
}

// connection is the connection filter policy that counts: the default one.
func (o *observation) connection() ConnectionFilterPolicy {
	for _, f := range o.filters {
		if f.IsDefault != nil && *f.IsDefault || strings.EqualFold(f.Name, "Default") || strings.EqualFold(f.Identity, "Default") {
			return f
		}
	}
	return ConnectionFilterPolicy{}
}

// antispam is the default anti-spam policy.
func (o *observation) antispam() ContentFilterPolicy {
	for _, f := range o.content {
		if f.IsDefault != nil && *f.IsDefault || strings.EqualFold(f.Name, "Default") || strings.EqualFold(f.Identity, "Default") {
			return f
		}
	}
	return ContentFilterPolicy{}
}

// sealers lists the trusted ARC sealers in the words and the order of the tenant, which the service sends as one
// string.
func (o *observation) sealers() []string {
	var out []string
	for _, s := range o.arc.Row.Strings("ArcTrustedSealers") {
		for d := range strings.SplitSeq(s, ",") {
			if d = strings.TrimSpace(d); d != "" {
				out = append(out, d)
			}
		}
	}
	return out
}

// connectorName returns the name of the outbound connector that a rule names by name, DN or GUID.
func (o *observation) connectorName(ref string) string {
	for _, c := range o.outbound {
		if strings.EqualFold(ref, c.Name) || strings.EqualFold(ref, c.Guid) ||
			len(ref) > 3 && strings.EqualFold(ref[:3], "CN=") && strings.HasPrefix(strings.ToLower(ref[3:]), strings.ToLower(c.Name)+",") {
			return c.Name
		}
	}
	return ref
}

// look reads one kind again.
func (o *observation) look(ctx context.Context, t *session, k kind) (err error) {
	c := t.Exchange
	switch k {
	case kindRule:
		o.rules, err = c.TransportRules(ctx)
	case kindInbound:
		o.inbound, err = c.InboundConnectors(ctx)
	case kindOutbound:
		o.outbound, err = c.OutboundConnectors(ctx)
	case kindConnection:
		o.filters, err = c.ConnectionFilterPolicies(ctx)
	case kindContent:
		o.content, err = c.ContentFilterPolicies(ctx)
	case kindOrganization:
		o.org, err = c.Organization(ctx)
	case kindSpoof:
		o.spoof, err = c.SpoofItems(ctx)
	case kindArc:
		o.arc, err = c.Arc(ctx)
	case kindRoleGroup:
		o.groups, err = c.RoleGroups(ctx)
	case kindPrincipal:
		o.apps, err = c.ServicePrincipals(ctx)
	case kindConsent:
		o.consent, err = t.lookConsent(ctx)
	}
	return err
}

// observe reads all that a plan depends on. Reads that are refused for want of rights are collected, so that
// they can be said at once.
func (t *session) observe(ctx context.Context) (*observation, error) {
	o := &observation{}
	kinds := []kind{kindOrganization, kindRule, kindInbound, kindOutbound, kindConnection, kindContent, kindSpoof, kindArc}
	if t.Profile.Access != nil || t.ledger.knows(kindRoleGroup) {
		kinds = append(kinds, kindRoleGroup, kindPrincipal)
	}
	reads := []func() error{
		func() (err error) { o.domains, err = t.Exchange.AcceptedDomains(ctx); return },
		func() (err error) { o.policies, err = t.Exchange.PolicyRules(ctx); return },
		func() (err error) { // for advice only: whoever may not read it gets none
			if o.phish, err = t.Exchange.AntiPhishPolicies(ctx); err != nil && ctx.Err() == nil {
				t.skipped = append(t.skipped, "The anti-phishing policies could not be read: what they do to mail that comes back is not known.")
				err = nil
			}
			return err
		},
		func() (err error) { return o.look(ctx, t, kindConsent) },
	}
	for _, k := range kinds {
		reads = append(reads, func() error { return o.look(ctx, t, k) })
	}
	for _, read := range reads {
		err := read()
		var refused *Error
		switch {
		case err == nil:
		case errors.Is(err, ErrForbidden) && errors.As(err, &refused):
			o.denied = append(o.denied, refused)
		default:
			return nil, err
		}
	}
	return o, nil
}

// fingerprint changes with everything that a plan depends on, and with nothing else: times, descriptions and
// the order in which the service lists things do not count.
func (o *observation) fingerprint() string {
	var lines []string
	add := func(parts ...any) {
		line, _ := json.Marshal(parts) // of plain values: cannot fail
		lines = append(lines, string(line))
	}
	for _, d := range o.domains {
		add("domain", d.DomainName, d.DomainType, d.MatchSubDomains)
	}
	for _, k := range []kind{kindRule, kindInbound, kindOutbound, kindRoleGroup} {
		for _, x := range o.objects(k) {
			add(k, x.name, x.guid, x.comment, x.priority, stable(x.row))
		}
	}
	for _, k := range []kind{kindConnection, kindContent} {
		add(k, stable(o.single(k)))
	}
	add(kindOrganization, o.org.IsDehydrated, o.org.RejectDirectSend)
	for _, r := range o.policies {
		add("policy", r.Name, r.State, r.Preset)
	}
	for _, s := range o.spoof {
		add(kindSpoof, s.Identity, s.SpoofedUser, s.SendingInfrastructure, s.SpoofType, s.Action)
	}
	add(kindArc, o.arc.ArcTrustedSealers)
	for _, a := range o.apps {
		add(kindPrincipal, a.AppId)
	}
	add(kindConsent, o.consent.known, o.consent.present)
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// stable leaves out of a row what changes without anybody changing the object.
func stable(r Row) Row {
	out := make(Row, len(r))
	for k, v := range r {
		switch {
		case strings.HasPrefix(k, "When"), strings.HasPrefix(k, "Last"), strings.HasPrefix(k, "@"),
			k == "Description", k == "IsValidated", k == "ValidationRecipients", k == "ExchangeObjectId", k == "ObjectState", k == "ExchangeVersion":
		default:
			out[k] = v
		}
	}
	return out
}
