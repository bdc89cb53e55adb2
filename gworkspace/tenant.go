package gworkspace

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	// Told is what people said they did and saw. It counts for what cannot be read.
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

// An Answer is what a person said about a step.
type Answer struct {
	Step string    `json:"step"` // its id
	Done bool      `json:"done"`
	By   string    `json:"by,omitempty"`
	At   time.Time `json:"at"`
}

// answer is the newest about a step; nil: there is none.
func (t *Tenant) answer(step string) *Answer {
	var out *Answer
	for i, a := range t.Told {
		if a.Step == step && (out == nil || !a.At.Before(out.At)) {
			out = &t.Told[i]
		}
	}
	return out
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
	auditErr  error
	mx        map[string][]string
	mxErr     map[string]error
	admin     *directoryUser
	purge     []string // scopes for taking mail back that are not granted
	purgeErr  error
}

var (
	errNoClient = errors.New("no access was given")
	errNoScope  = errors.New("the scope for it is not granted")
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
		return o.accessErr
	}
	if o.treeErr = granted(ScopePolicies); o.treeErr == nil {
		o.tree, o.treeErr = t.readTree(ctx, granted(ScopeUnits) == nil)
	}
	if o.domainErr = granted(ScopeDomains); o.domainErr == nil {
		o.domains, o.domainErr = c.Domains(ctx)
	}
	if o.auditErr = granted(ScopeAudit); o.auditErr == nil {
		o.changes, o.auditErr = c.Changes(ctx, time.Time{})
	}
	if granted(ScopeUsers) == nil {
		o.admin, _ = c.user(ctx, c.cfg.Admin) // only to explain why something else failed
	}
	if r := t.Profile.Remediation; r != nil {
		if id := otherClient(c.mailTokens(), r.ClientID); id != "" {
			o.purgeErr = fmt.Errorf("the key that was given is of the client %s, not of %s: what the latter may do was not tried", id, r.ClientID)
		} else {
			o.purge, o.purgeErr = c.Granted(ctx, c.mailTokens(), t.mailSubject(), r.mailScopes())
		}
	}
	return o, ctx.Err()
}

// otherClient is the client that a key is of, if it is known and not the one that is wanted.
func otherClient(tokens TokenSource, want string) string {
	if a, ok := tokens.(*ServiceAccount); ok && a.ClientID != want {
		return a.ClientID
	}
	return ""
}

// mailSubject is the user whose mailbox the access to mail is tried with.
func (t *Tenant) mailSubject() string {
	if t.Probes != nil && t.Probes.Mailbox != "" {
		return t.Probes.Mailbox
	}
	return t.Client.cfg.Admin
}

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
	return newTree(policies, units), nil
}

func (t *Tenant) observeMX(ctx context.Context, o *observation) {
	look := t.LookupMX
	if look == nil {
		look = systemMX
	}
	for _, d := range t.Profile.Domains {
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		hosts, err := look(ctx, d)
		cancel()
		for i, h := range hosts {
			hosts[i] = strings.ToLower(strings.TrimSuffix(h, "."))
		}
		o.mx[d], o.mxErr[d] = hosts, err
	}
}

func systemMX(ctx context.Context, domain string) ([]string, error) {
	all, err := net.DefaultResolver.LookupMX(ctx, domain)
	var out []string
	for _, m := range all {
		out = append(out, m.Host)
	}
	if len(out) > 0 {
		return out, nil // records that are no host names are left out with an error
	}
	return out, err
}

// googleMX says whether a host takes mail of Workspace. The hosts of consumer Gmail do not.
func googleMX(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "smtp.google.com" || host == "aspmx.l.google.com" || strings.HasSuffix(host, ".aspmx.l.google.com") {
		return true
	}
	n, ok := strings.CutPrefix(host, "aspmx")
	return ok && (n == "2.googlemail.com" || n == "3.googlemail.com" || n == "4.googlemail.com" || n == "5.googlemail.com")
}

// mxState says where the MX records of all domains lead.
func (o *observation) mxState(p *Profile) (google, ours bool, text string) {
	google, ours = true, true
	var parts []string
	for _, d := range p.Domains {
		hosts := o.mx[d]
		if o.mxErr[d] != nil || len(hosts) == 0 {
			google, ours = false, false
			parts = append(parts, d+": none found")
			continue
		}
		for _, h := range hosts {
			google = google && googleMX(h)
			ours = ours && slices.Contains(p.mxHosts(), h)
		}
		parts = append(parts, d+": "+strings.Join(hosts, " "))
	}
	return google, ours, strings.Join(parts, "; ")
}
