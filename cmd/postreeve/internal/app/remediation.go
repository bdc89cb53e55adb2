package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay/store"
)

// remedyPatience is how long one tenant may keep the orders about others waiting.
const remedyPatience = 5 * time.Minute

// newRemediator makes what takes delivered mail back in the tenants of a configuration. It is nil without any. Profiles
// and secrets are read, and nobody is asked.
func newRemediator(c *config.Config, log *slog.Logger) (store.Remediator, error) {
	if len(c.Remediation) == 0 {
		return nil, nil
	}
	places, err := newRemedyPlaces(c)
	if err != nil {
		return nil, err
	}
	for _, t := range places.tenants {
		if err := t.taker.open(); err != nil {
			return nil, fmt.Errorf("remediation (%s): %w", t.profile, err)
		}
	}
	return &remediator{places: places, header: idHeader(c), log: log}, nil
}

// idHeader is the field in which the gateway writes its id of a message.
func idHeader(c *config.Config) string { return cmp.Or(c.Headers.Prefix, "X-Postreeve") + "-Id" }

// remedyPlaces knows in which tenant a mailbox is.
type remedyPlaces struct {
	tenants []*remedyTenant
	by      map[string]*remedyTenant // by domain
}

// newRemedyPlaces reads the profiles, and no secrets.
func newRemedyPlaces(c *config.Config) (*remedyPlaces, error) {
	p := &remedyPlaces{by: map[string]*remedyTenant{}}
	for _, r := range c.Remediation {
		t, err := newRemedyTenant(r)
		if err != nil {
			return nil, fmt.Errorf("remediation (%s): %w", r.Profile, err)
		}
		for _, name := range t.domains {
			if other := p.by[name]; other != nil {
				return nil, fmt.Errorf("remediation: %s stands in %s and in %s, and it is not known in which tenant its mailboxes are: take it out of one of them", name, other.profile, t.profile)
			}
			p.by[name] = t
		}
		p.tenants = append(p.tenants, t)
	}
	return p, nil
}

// find returns the tenant of a recipient whose mail came by a route, nil if there is none. A route of subdomains (.ex.net)
// stands for names that no profile lists: the domain above them counts then.
func (p *remedyPlaces) find(route, recipient string) *remedyTenant {
	base := strings.TrimPrefix(route, ".")
	name := recipient[strings.LastIndexByte(recipient, '@')+1:]
	for name = asciiDomain(name); ; {
		if t := p.by[name]; t != nil {
			return t
		}
		_, above, _ := strings.Cut(name, ".")
		if base == route || above != base && !strings.HasSuffix(above, "."+base) {
			return nil
		}
		name = above
	}
}

// asciiDomain writes a domain as profiles and directories do.
func asciiDomain(name string) string {
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		name = ascii
	}
	return strings.ToLower(name)
}

// remediator does the orders of a store in the tenants of a configuration.
type remediator struct {
	places *remedyPlaces
	header string
	log    *slog.Logger
}

// Remediate implements store.Remediator.
func (r *remediator) Remediate(ctx context.Context, domain string, restore bool, orders []store.Remedy) ([]store.RemedyResult, error) {
	results := make([]store.RemedyResult, len(orders))
	todo := map[*remedyTenant][]int{}
	for i, o := range orders {
		t := r.places.find(domain, o.Recipient)
		switch {
		case t == nil:
			results[i] = store.RemedyResult{State: store.StateFailed, Again: true, Detail: "nothing is configured that can take back mail of " + strings.TrimPrefix(domain, ".")}
		case t.taker.refuses(targetOf(o)) != "":
			results[i] = store.RemedyResult{State: store.StateFailed, Detail: t.taker.refuses(targetOf(o))}
		default:
			todo[t] = append(todo[t], i)
		}
	}
	for _, t := range r.places.tenants {
		if len(todo[t]) > 0 {
			r.inTenant(ctx, t, restore, orders, todo[t], results)
		}
	}
	count := map[string]int{}
	for _, x := range results {
		count[x.State]++
	}
	r.log.Info("delivered mail was looked for in mailboxes", "domain", domain, "restore", restore, "done", count[store.StateDone],
		"missing", count[store.StateMissing], "failed", count[store.StateFailed])
	return results, ctx.Err()
}

// inTenant does those orders that are of one tenant.
func (r *remediator) inTenant(ctx context.Context, t *remedyTenant, restore bool, orders []store.Remedy, which []int, results []store.RemedyResult) {
	ctx, cancel := context.WithTimeout(ctx, remedyPatience)
	defer cancel()
	targets := make([]target, len(which))
	for i, n := range which {
		targets[i] = targetOf(orders[n])
	}
	outcomes, err := t.taker.take(ctx, restore, r.header, targets)
	if err != nil {
		// There may be addresses in the error: it stands with the messages.
		r.log.Warn("delivered mail cannot be taken back in a tenant, or put back: postreeve check and message show say why", "profile", t.profile)
	}
	for i, n := range which {
		results[n] = foldRemedy(targets[i], outcomes, err)
	}
}

// targetOf is what to look for.
func targetOf(o store.Remedy) target {
	at := strings.LastIndexByte(o.Recipient, '@') + 1
	return target{MessageID: o.MessageID, Recipient: o.Recipient[:at] + asciiDomain(o.Recipient[at:]), OurID: o.Message}
}

// foldRemedy makes one result of what became of a message in each of the mailboxes that a recipient stands for. With an
// error there may be mailboxes nobody tells of.
func foldRemedy(t target, outcomes []remedied, err error) store.RemedyResult {
	same := func(byRecipient bool) (out []remedied) {
		for _, o := range outcomes {
			if o.Target.MessageID == t.MessageID && o.Target.OurID == t.OurID && (o.Target.Recipient == t.Recipient || !byRecipient) {
				out = append(out, o)
			}
		}
		return out
	}
	all := same(true)
	alone := len(all) == 1 && strings.EqualFold(all[0].Mailbox, t.Recipient)
	if err != nil && !(alone && all[0].State == mailCured) {
		return store.RemedyResult{State: store.StateFailed, Again: true, Detail: remedyReason(err.Error())}
	}
	if len(all) == 0 { // it reached the mailbox in another way too, and was looked for once
		all = same(false)
	}
	if len(all) == 0 {
		return store.RemedyResult{State: store.StateFailed, Again: true, Detail: "nobody said what became of it"}
	}
	if i := slices.IndexFunc(all, func(o remedied) bool { return o.State == mailFailed }); i >= 0 {
		return store.RemedyResult{State: store.StateFailed, Again: true, Detail: remedyReason(all[i].Reason)}
	}
	cured, missed := 0, 0
	for _, o := range all {
		switch {
		case o.State == mailCured:
			cured++
		case o.State == mailNotFound && o.Mailbox != "":
			missed++
		}
	}
	switch {
	case cured > 0 && alone:
		return store.RemedyResult{State: store.StateDone}
	case cured > 0 && len(all) == 1:
		return store.RemedyResult{State: store.StateDone, Detail: "in the mailbox " + all[0].Mailbox}
	case cured > 0:
		return store.RemedyResult{State: store.StateDone, Detail: fmt.Sprintf("in %d of %s", cured, plural(len(all), "mailbox"))}
	case missed > 0 && len(all) == 1:
		return store.RemedyResult{State: store.StateMissing, Again: true, Detail: cmp.Or(remedyReason(all[0].Reason), "there is no such message in the mailbox")}
	case missed > 0:
		return store.RemedyResult{State: store.StateMissing, Again: true, Detail: "there is no such message in " + plural(len(all), "mailbox")}
	}
	return store.RemedyResult{State: store.StateMissing, Detail: remedyReason(all[0].Reason)}
}

// States of remedied, as both packages write them.
const (
	mailCured    = "cured"
	mailNotFound = "not found"
	mailFailed   = "failed"
)

// remedyReason is an error of one of the packages, for a line of a list.
func remedyReason(s string) string {
	for _, prefix := range []string{"m365: ", "gworkspace: "} {
		s = strings.TrimPrefix(s, prefix)
	}
	return cut(s, 300)
}
