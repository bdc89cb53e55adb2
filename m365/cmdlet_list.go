package m365

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Everything here lists all objects of a kind: a Get- with an identity that does not exist may return all of
// them, so the one that is meant is picked by the caller, by its exact name or GUID.

func list[T any](ctx context.Context, c *Client, cmdlet string, p Params, tidy func(*T)) ([]T, error) {
	res, err := c.Invoke(ctx, Call{Cmdlet: cmdlet, Params: p})
	if err != nil {
		return nil, err
	}
	return loadAll(res.Rows, tidy), nil
}

var unlimited = Params{"ResultSize": "Unlimited"}

// TransportRules lists the rules by priority.
func (c *Client) TransportRules(ctx context.Context) ([]TransportRule, error) {
	out, err := list(ctx, c, "Get-TransportRule", unlimited, func(r *TransportRule) {
		if state, ok := r.Row.Text("State"); ok {
			on := strings.EqualFold(state, "Enabled")
			r.Enabled = &on
		}
		for _, s := range [][]string{r.Conditions, r.Actions, r.Exceptions} {
			for i := range s {
				s[i] = lastDot(s[i])
			}
		}
	})
	slices.SortStableFunc(out, func(a, b TransportRule) int { return deref(a.Priority) - deref(b.Priority) })
	return out, err
}

func deref(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// InboundConnectors lists the inbound connectors.
func (c *Client) InboundConnectors(ctx context.Context) ([]InboundConnector, error) {
	return list(ctx, c, "Get-InboundConnector", unlimited, func(r *InboundConnector) {
		for i := range r.SenderDomains {
			r.SenderDomains[i] = plainDomain(r.SenderDomains[i])
		}
	})
}

// OutboundConnectors lists the outbound connectors, with those that only a rule uses and those in test mode.
// The service leaves these out of a plain listing, or does not, so it is asked in both ways.
func (c *Client) OutboundConnectors(ctx context.Context) ([]OutboundConnector, error) {
	var out []OutboundConnector
	seen := map[string]bool{}
	for _, scoped := range []bool{false, true} {
		p := Params{"ResultSize": "Unlimited", "IncludeTestModeConnectors": true}
		if scoped {
			p["IsTransportRuleScoped"] = true
		}
		got, err := list[OutboundConnector](ctx, c, "Get-OutboundConnector", p, nil)
		if err != nil {
			return nil, err
		}
		for _, o := range got {
			if o.Guid == "" || !seen[o.Guid] {
				seen[o.Guid] = true
				out = append(out, o)
			}
		}
	}
	return out, nil
}

// ConnectionFilterPolicies lists the connection filter policies; there is normally one, "Default".
func (c *Client) ConnectionFilterPolicies(ctx context.Context) ([]ConnectionFilterPolicy, error) {
	return list[ConnectionFilterPolicy](ctx, c, "Get-HostedConnectionFilterPolicy", nil, nil)
}

// ContentFilterPolicies lists the anti-spam policies, presets too.
func (c *Client) ContentFilterPolicies(ctx context.Context) ([]ContentFilterPolicy, error) {
	return list[ContentFilterPolicy](ctx, c, "Get-HostedContentFilterPolicy", nil, nil)
}

// PolicyRules lists the rules that put policies other than the default one in force: those of custom
// anti-spam policies and those of the presets.
func (c *Client) PolicyRules(ctx context.Context) ([]PolicyRule, error) {
	out, err := list[PolicyRule](ctx, c, "Get-HostedContentFilterRule", nil, nil)
	if err != nil {
		return nil, err
	}
	preset, err := list(ctx, c, "Get-EOPProtectionPolicyRule", nil, func(r *PolicyRule) { r.Preset = true })
	return append(out, preset...), err
}

// DefenderRules lists the preset rules of Defender for Office 365, which rewrite links and open attachments
// before we see them. A tenant without Defender answers as one where it is not allowed to ask: ErrForbidden.
func (c *Client) DefenderRules(ctx context.Context) ([]PolicyRule, error) {
	return list(ctx, c, "Get-ATPProtectionPolicyRule", nil, func(r *PolicyRule) { r.Preset = true })
}

// AntiPhishPolicies lists the anti-phishing policies.
func (c *Client) AntiPhishPolicies(ctx context.Context) ([]AntiPhishPolicy, error) {
	return list[AntiPhishPolicy](ctx, c, "Get-AntiPhishPolicy", nil, nil)
}

// SpoofItems lists the spoof pairs of the tenant allow/block list.
func (c *Client) SpoofItems(ctx context.Context) ([]SpoofItem, error) {
	return list[SpoofItem](ctx, c, "Get-TenantAllowBlockListSpoofItems", nil, nil)
}

// Arc returns the trusted ARC sealers. The service sends them as one string.
func (c *Client) Arc(ctx context.Context) (ArcConfig, error) {
	return one(ctx, c, "Get-ArcConfig", func(a *ArcConfig) {
		var out []string
		for _, s := range a.ArcTrustedSealers {
			for d := range strings.SplitSeq(s, ",") {
				if d = strings.ToLower(strings.TrimSpace(d)); d != "" {
					out = append(out, d)
				}
			}
		}
		slices.Sort(out)
		a.ArcTrustedSealers = slices.Compact(out)
	})
}

// Organization returns the settings of the tenant as a whole.
func (c *Client) Organization(ctx context.Context) (Organization, error) {
	return one[Organization](ctx, c, "Get-OrganizationConfig", nil)
}

// one is for what exists once. More than one row would mean that something else was answered.
func one[T any](ctx context.Context, c *Client, cmdlet string, tidy func(*T)) (T, error) {
	all, err := list(ctx, c, cmdlet, nil, tidy)
	var zero T
	if err != nil {
		return zero, err
	}
	if len(all) > 1 {
		return zero, &Error{Cmdlet: cmdlet, Message: fmt.Sprintf("%d objects where one is expected", len(all))}
	}
	if len(all) == 0 {
		return zero, nil
	}
	return all[0], nil
}

// AcceptedDomains lists the domains of the tenant.
func (c *Client) AcceptedDomains(ctx context.Context) ([]AcceptedDomain, error) {
	return list(ctx, c, "Get-AcceptedDomain", unlimited, func(d *AcceptedDomain) { d.DomainName = strings.ToLower(d.DomainName) })
}

// Recipients returns what has exactly this address as its primary or as another one: nothing, one object,
// or several in a tenant that is not sound. Microsoft 365 groups are among them.
func (c *Client) Recipients(ctx context.Context, address string) ([]Recipient, error) {
	if !strings.Contains(address, "@") || strings.ContainsAny(address, "*\"") || strings.ContainsFunc(address, notPrintable) {
		return nil, badCall(Call{Cmdlet: "Get-Recipient"}, fmt.Sprintf("%q is no address", oneLine(address, 100)))
	}
	filter := "EmailAddresses -eq 'smtp:" + strings.ReplaceAll(address, "'", "''") + "'"
	var out []Recipient
	for _, unified := range []bool{false, true} {
		p := Params{"Filter": filter, "ResultSize": "Unlimited"}
		if unified { // a plain listing leaves these out
			p["RecipientTypeDetails"] = []string{"GroupMailbox"}
		}
		got, err := list[Recipient](ctx, c, "Get-Recipient", p, nil)
		if err != nil {
			return nil, err
		}
		for _, r := range got {
			known := slices.ContainsFunc(out, func(o Recipient) bool { return o.Guid == r.Guid })
			if r.has(address) && !known {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

func (r Recipient) has(address string) bool {
	return strings.EqualFold(r.PrimarySmtpAddress, address) || slices.ContainsFunc(r.EmailAddresses, func(s string) bool {
		kind, a, ok := strings.Cut(s, ":")
		return ok && strings.EqualFold(kind, "smtp") && strings.EqualFold(a, address)
	})
}

// IsGroup says whether a rule can be scoped to the members of the recipient.
func (r Recipient) IsGroup() bool {
	t := r.RecipientTypeDetails
	return strings.Contains(t, "Group") && !strings.Contains(t, "Room")
}

// RoleGroups lists the role groups.
func (c *Client) RoleGroups(ctx context.Context) ([]RoleGroup, error) {
	return list[RoleGroup](ctx, c, "Get-RoleGroup", unlimited, nil)
}

// ServicePrincipals lists the applications Exchange knows.
func (c *Client) ServicePrincipals(ctx context.Context) ([]ServicePrincipal, error) {
	return list[ServicePrincipal](ctx, c, "Get-ServicePrincipal", nil, nil)
}

// Trace returns what became of the messages with this Message-ID, sent between the two times, which may be
// ten days apart and ninety days back at most. A list of five thousand is not complete: ErrIncompleteList.
func (c *Client) Trace(ctx context.Context, messageID string, from, to time.Time) ([]MessageEvent, error) {
	return c.TraceAll(ctx, Params{"MessageId": []string{messageID}}, from, to)
}

// TraceAll is Trace with other conditions: the parameters of Get-MessageTraceV2.
func (c *Client) TraceAll(ctx context.Context, where Params, from, to time.Time) ([]MessageEvent, error) {
	const most, longest = 5000, 10 * 24 * time.Hour
	if to.Sub(from) > longest || !from.Before(to) {
		return nil, badCall(Call{Cmdlet: "Get-MessageTraceV2"}, "a trace is over ten days at most")
	}
	p := Params{"ResultSize": most, "StartDate": stamp(from), "EndDate": stamp(to)}
	for k, v := range where {
		p[k] = v
	}
	out, err := list[MessageEvent](ctx, c, "Get-MessageTraceV2", p, nil)
	if err == nil && len(out) >= most {
		return nil, &Error{Cmdlet: "Get-MessageTraceV2", Kind: ErrIncompleteList, Message: "more messages than one trace returns: ask for a shorter time"}
	}
	return out, err
}

// TraceDetail returns the events of one line of a trace: the connectors and rules it met.
func (c *Client) TraceDetail(ctx context.Context, ev MessageEvent) ([]MessageEvent, error) {
	return list[MessageEvent](ctx, c, "Get-MessageTraceDetailV2",
		Params{"MessageTraceId": ev.MessageTraceId, "RecipientAddress": ev.RecipientAddress}, nil)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
