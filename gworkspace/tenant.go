package gworkspace

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Tenant is a Google Workspace tenant and what is wanted of it. Profile is required. Its methods read the
// fields only and keep nothing between calls; none of them changes the tenant.
type Tenant struct {
	Profile *Profile
	// Secrets are compared with what the rule looks for. If nil, only the name of the header is.
	Secrets *Secrets
	// Client reads the settings. If nil, nothing is read: what nobody told stays unknown.
	Client *Client
	// Probes send messages through. If nil, none is sent.
	Probes *Probes
	// Told is what people said they did and saw. It counts for what cannot be read; see [Answer].
	Told []Answer
	// Since leaves older entries of the audit log out of the report; zero: six months.
	Since time.Time
	// LookupMX returns the hosts of the MX records of a domain; nil: the system's resolver.
	LookupMX func(ctx context.Context, domain string) ([]string, error)
	// CheckHost connects to the host of the gateway as Google does, such as [CheckSMTPHost]; nil: nobody does.
	CheckHost func(ctx context.Context, host string, port int) error
	// Gateway is what the gateway is set to, for each domain. If empty, it is not compared.
	Gateway []Gateway
	// Backlog says what the gateway still has of the tenant; nil: nobody can tell.
	Backlog func(context.Context) (Backlog, error)
	// Progress, if set, is told what is waited for, and until when at most. It must not block.
	Progress func(text string, until time.Time)
	// Reveal puts the secrets into the values to paste of a plan.
	Reveal bool
}

// observation is what was read in one go. A part that could not be read has its error.
type observation struct {
	missing   []string // scopes for reading that are not granted
	accessErr error
	accessKey string // the client of the key, if it is not the one of the profile
	tree      *tree
	treeErr   error
	domains   []Domain
	domainErr error
	changes   []Change
	states    []Change // of rules, of the last day; see observeStates
	auditErr  error
	mx        map[string][]string
	mxErr     map[string]error
	admin     *directoryUser
	remedy    []string // scopes for taking mail back that were tried
	purge     []string // of them, those that are not granted
	purgeErr  error
	outside   []string // members of the protected group in domains that are not in the profile
	noGroups  []string // protected groups that do not exist
	noScope   bool     // access was given, and the profile asks for none: what it does not allow is a gap
	memberErr error
}

var (
	errNoClient = errors.New("no access was given")
	errNoScope  = errors.New("the scope for it is not granted")
	errNoKey    = errors.New("there is no key of this client")
	errAccess   = errors.New("the access cannot be used: see access")
)

// observe reads everything that can be read. Only a profile that makes no sense and the end of ctx are errors.
func (t *Tenant) observe(ctx context.Context) (*observation, error) {
	if t.Profile == nil {
		return nil, errors.New("gworkspace: a tenant needs a profile")
	}
	if err := t.Profile.Check(); err != nil {
		return nil, err
	}
	if t.Secrets != nil {
		if err := t.Secrets.Check(); err != nil {
			return nil, err
		}
	}
	o := &observation{mx: map[string][]string{}, mxErr: map[string]error{}}
	t.observeMX(ctx, o)
	if t.Client == nil {
		o.accessErr, o.treeErr, o.domainErr, o.auditErr, o.purgeErr = errNoClient, errNoClient, errNoClient, errNoClient, errNoClient
		return o, ctx.Err()
	}
	c := t.Client
	if a := t.Profile.Access; a != nil {
		o.accessKey = otherClient(c.cfg.Tokens, a.ClientID)
	}
	o.missing, o.accessErr = c.Granted(ctx, c.cfg.Tokens, c.cfg.Admin, readScopes)
	granted := func(scope string) error {
		if slices.Contains(o.missing, scope) {
			return fmt.Errorf("%w: %s", errNoScope, scope)
		}
		if o.accessErr != nil {
			return errAccess // the reason is long, and said once
		}
		return nil
	}
	o.noScope = t.Profile.Access == nil && t.Profile.Remediation == nil
	if o.treeErr = granted(ScopePolicies); o.treeErr == nil {
		o.tree, o.treeErr = t.readTree(ctx, granted(ScopeUnits) == nil)
	}
	if o.domainErr = granted(ScopeDomains); o.domainErr == nil {
		o.domains, o.domainErr = c.Domains(ctx)
	}
	if o.auditErr = granted(ScopeAudit); o.auditErr == nil {
		o.changes, o.auditErr = c.Changes(ctx, time.Time{})
		t.hider().changes(o.changes)
	}
	if granted(ScopeUsers) == nil {
		o.admin, _ = c.user(ctx, c.cfg.Admin) // only to explain why something else failed
	}
	if len(t.Profile.Protect.Groups) > 0 && o.domainErr == nil {
		if o.memberErr = errors.Join(granted(ScopeGroups), granted(ScopeUsers)); o.memberErr == nil {
			o.memberErr = t.observeMembers(ctx, o)
		}
	}
	if t.Profile.Remediation != nil {
		t.observeRemediation(ctx, o)
	}
	return o, ctx.Err()
}

// observeStates reads which states of rules were changed within the time that a rule may still act. The log does not say
// of which rule, so they can make the way out wait, and prove nothing.
func (t *Tenant) observeStates(ctx context.Context, o *observation) {
	if t.Client == nil || o.auditErr != nil || t.Profile.Mode != Reroute {
		return
	}
	o.states, o.auditErr = t.Client.changes(ctx, time.Now().Add(-drainTime), eventApplication)
	o.states = slices.DeleteFunc(o.states, func(c Change) bool { return !c.ruleState() })
}

// otherClient is the client that a key is of, if it is known and not the one that is wanted.
func otherClient(tokens TokenSource, want string) string {
	if a, ok := tokens.(*ServiceAccount); ok && a.ClientID != want {
		return a.ClientID
	}
	return ""
}

// observeRemediation asks for a token with each scope that taking mail back needs. Users and groups are for the client
// that reads settings, if there is one: access has found out about them then.
func (t *Tenant) observeRemediation(ctx context.Context, o *observation) {
	c, r := t.Client, t.Profile.Remediation
	if id := otherClient(c.mailTokens(), r.ClientID); id != "" {
		o.purgeErr = fmt.Errorf("%w: the key that was given is of the client %s, not of %s: what the latter may do was not tried", errNoKey, id, r.ClientID)
		return
	}
	o.remedy = r.mailScopes()
	if o.purge, o.purgeErr = c.Granted(ctx, c.mailTokens(), t.mailSubject(), o.remedy); o.purgeErr != nil {
		if o.accessErr != nil && c.cfg.MailTokens == nil && o.purgeErr.Error() == o.accessErr.Error() {
			o.purgeErr = errAccess
		}
		return
	}
	if t.Profile.Access != nil && (o.accessKey == "" || c.cfg.MailTokens != nil) {
		return
	}
	o.remedy = append(o.remedy, directoryScopes...)
	lack, err := c.Granted(ctx, c.cfg.Tokens, c.cfg.Admin, directoryScopes)
	o.purge, o.purgeErr = append(o.purge, lack...), err
}

// observeMembers finds the members of the protected group whose addresses are in domains of the tenant that are not in
// the profile. Those outside of the tenant are not among them: no rule acts on their mail.
func (t *Tenant) observeMembers(ctx context.Context, o *observation) error {
	for _, g := range t.Profile.Protect.Groups {
		all, err := t.Client.members(ctx, g)
		if err != nil {
			return err
		}
		if all == nil {
			o.noGroups = append(o.noGroups, g)
		}
		for _, a := range all {
			domain := a[strings.LastIndexByte(a, '@')+1:]
			of := func(d Domain) bool { return strings.EqualFold(d.Name, domain) }
			if !t.Profile.serves(domain) && slices.ContainsFunc(o.domains, of) {
				o.outside = append(o.outside, a)
			}
		}
	}
	slices.Sort(o.outside)
	o.outside = slices.Compact(o.outside)
	return nil
}

// A gap is something that was to be read and did not answer.
type gap struct {
	what string
	err  error
}

// gaps are all of them. Scopes that are not granted are a matter of the access, if the profile has one.
func (o *observation) gaps() []gap {
	var out []gap
	add := func(what string, err error) {
		known := errors.Is(err, errNoClient) || errors.Is(err, errNoKey) || errors.Is(err, errNoScope) && !o.noScope
		if err != nil && !known {
			out = append(out, gap{what, err})
		}
	}
	add("access", o.accessErr)
	if o.accessErr == nil { // else these fail for the same reason
		add("policies", o.treeErr)
		add("domains", o.domainErr)
		add("audit log", o.auditErr)
		add("members of the group", o.memberErr)
	}
	add("remediation", o.purgeErr)
	return out
}

// unread says the gaps in words, those of DNS among them.
func (o *observation) unread() []string {
	var out []string
	for _, g := range o.gaps() {
		out = append(out, g.what+": "+oneLine(g.err.Error(), 500))
	}
	for _, d := range slices.Sorted(maps.Keys(o.mxErr)) {
		if err := o.mxErr[d]; err != nil {
			out = append(out, "MX records of "+d+": "+oneLine(err.Error(), 300))
		}
	}
	return out
}

// mailSubject is the user whose mailbox the access to mail is tried with.
func (t *Tenant) mailSubject() string {
	if t.Probes != nil && t.Probes.Mailbox != "" {
		return t.Probes.Mailbox
	}
	return t.Client.cfg.Admin
}

// readTree reads policies. Without the units nobody can tell where a policy of one counts: one of Sales would pass for
// one of all.
func (t *Tenant) readTree(ctx context.Context, withUnits bool) (*tree, error) {
	policies, err := t.Client.Policies(ctx)
	if err != nil {
		return nil, err
	}
	var units []Unit
	if withUnits {
		if units, err = t.Client.Units(ctx); err != nil {
			return nil, err
		}
	}
	if !withUnits && slices.ContainsFunc(policies, func(p Policy) bool { return p.Unit != "" }) {
		return nil, fmt.Errorf("the organizational units were not read, so where a policy counts cannot be told: %w: %s", errNoScope, ScopeUnits)
	}
	return newTree(policies, units), nil
}
