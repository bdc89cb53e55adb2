package m365test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// write runs a cmdlet that changes something. The lock is held.
func (s *Server) write(name string, args map[string]any) (*outcome, *exception) {
	if s.nouns["OrganizationConfig"][0]["IsDehydrated"] == true && needsHydration(name) {
		return nil, throw(tasks+"InvalidOperationInDehydratedContextException",
			"The command you tried to run isn't currently allowed in your organization. To run this command, you first need to run the command: Enable-OrganizationCustomization.")
	}
	verb, noun, _ := strings.Cut(name, "-")
	switch name {
	case "Enable-OrganizationCustomization":
		return s.customize()
	case "Set-OrganizationConfig":
		return s.set("OrganizationConfig", "", args)
	case "Set-HostedConnectionFilterPolicy":
		return s.setConnectionFilter(args)
	case "Set-HostedContentFilterPolicy":
		return s.setContentFilter(args)
	case "Set-ArcConfig":
		return s.setArc(args)
	case "Validate-OutboundConnector":
		return s.validateOutbound(args)
	case "Add-RoleGroupMember", "Remove-RoleGroupMember":
		return s.member(verb == "Add", args)
	}
	switch noun {
	case "TransportRule":
		return s.writeRule(verb, args)
	case "InboundConnector", "OutboundConnector":
		return s.writeConnector(verb, noun, args)
	case "TenantAllowBlockListSpoofItems":
		return s.writeSpoof(verb, args)
	case "RoleGroup", "ServicePrincipal":
		return s.writeRole(verb, noun, args)
	}
	return nil, &exception{status: 403}
}

func needsHydration(name string) bool {
	_, noun, _ := strings.Cut(name, "-")
	return strings.HasPrefix(noun, "Hosted") || strings.HasPrefix(noun, "RoleGroup") || noun == "ArcConfig"
}

func (s *Server) customize() (*outcome, *exception) {
	org := s.nouns["OrganizationConfig"][0]
	if org["IsDehydrated"] != true {
		return nil, throw("System.InvalidOperationException", "This operation is not allowed: the organization is already enabled for customization.")
	}
	org["IsDehydrated"] = false
	s.hydrate = s.cfg.Hydrating
	return &outcome{}, nil
}

// unchanged is the warning of a Set- that did nothing.
func unchanged(id string) []string {
	return []string{fmt.Sprintf("The command completed successfully but no settings of '%s' have been modified.", id)}
}

// set changes one object that is already checked. An empty id means the first one.
func (s *Server) set(kind, id string, args map[string]any) (*outcome, *exception) {
	i := 0
	if id != "" {
		i = s.index(kind, id)
	}
	if i < 0 {
		return nil, notFound(kind, id)
	}
	o := s.nouns[kind][i]
	if !assign(o, args) {
		return &outcome{warnings: unchanged(str(o["Identity"]))}, nil
	}
	o["WhenChangedUTC"] = s.now()
	return &outcome{}, nil
}

func (s *Server) setConnectionFilter(args map[string]any) (*outcome, *exception) {
	i := s.index("HostedConnectionFilterPolicy", str(args["Identity"]))
	if i < 0 {
		return nil, notFound("HostedConnectionFilterPolicy", str(args["Identity"]))
	}
	o := s.nouns["HostedConnectionFilterPolicy"][i]
	for _, k := range []string{"IPAllowList", "IPBlockList"} {
		v, ok := args[k]
		if !ok {
			continue
		}
		have, _ := o[k].([]string)
		next, _ := merged(have, v)
		if len(next) > 1273 {
			return nil, invalid("The property %s has %d entries. The maximum number is 1273.", k, len(next))
		}
		plain, networks := 0, 0
		for _, a := range next {
			if slices.Contains(have, a) {
				continue
			}
			if ex := checkAddress(a, true); ex != nil {
				return nil, ex
			}
			if strings.ContainsAny(a, "/-") {
				networks++
			} else {
				plain++
			}
		}
		if _, replace := v.([]string); replace && plain > 0 && networks > 0 {
			return nil, invalid("%s: single addresses and networks cannot be mixed in one value: use Add.", k)
		}
	}
	if utf8.RuneCountInString(str(args["AdminDisplayName"])) > 255 {
		return nil, invalid("The length of the property AdminDisplayName is too long. The maximum length is 255.")
	}
	return s.set("HostedConnectionFilterPolicy", str(args["Identity"]), args)
}

// checkAddress takes IPv4 addresses, networks from /24 to /32 and, in the filter, ranges of up to 256.
func checkAddress(a string, ranges bool) *exception {
	bad := invalid("The IP address '%s' is invalid. Use an IPv4 address or a CIDR range from /24 to /32.", a)
	if from, to, ok := strings.Cut(a, "-"); ok && ranges {
		x, err1 := netip.ParseAddr(from)
		y, err2 := netip.ParseAddr(to)
		if err1 != nil || err2 != nil || !x.Is4() || !y.Is4() || y.Less(x) {
			return bad
		}
		for n := 0; x != y; x, n = x.Next(), n+1 {
			if n >= 255 {
				return bad
			}
		}
		return nil
	}
	if p, err := netip.ParsePrefix(a); err == nil && p.Addr().Is4() && p.Bits() >= 24 {
		return nil
	}
	if x, err := netip.ParseAddr(a); err == nil && x.Is4() {
		return nil
	}
	return bad
}

func (s *Server) setContentFilter(args map[string]any) (*outcome, *exception) {
	id := str(args["Identity"])
	i := s.index("HostedContentFilterPolicy", id)
	if i < 0 {
		return nil, notFound("HostedContentFilterPolicy", id)
	}
	if p := str(s.nouns["HostedContentFilterPolicy"][i]["RecommendedPolicyType"]); p == "Standard" || p == "Strict" {
		return nil, throw("Microsoft.Exchange.Management.Tasks.RecommendedPolicyException",
			"You can't edit the policy '%s' because it's a preset security policy.", id)
	}
	return s.set("HostedContentFilterPolicy", id, args)
}

// setArc replaces the sealers. They are stored, and read back, as one string.
func (s *Server) setArc(args map[string]any) (*outcome, *exception) {
	if !strings.EqualFold(str(args["Identity"]), "Default") {
		return nil, notFound("ArcConfig", str(args["Identity"]))
	}
	list, ok := args["ArcTrustedSealers"].([]string)
	if !ok {
		return nil, throw("System.Management.Automation.ParameterBindingArgumentTransformationException", "Cannot bind parameter 'ArcTrustedSealers'.")
	}
	var out []string
	for _, v := range list {
		for d := range strings.SplitSeq(v, ",") {
			if d = strings.TrimSpace(d); d != "" {
				out = append(out, d)
			}
		}
	}
	return s.set("ArcConfig", "", map[string]any{"ArcTrustedSealers": strings.Join(out, ", ")})
}

func (s *Server) writeSpoof(verb string, args map[string]any) (*outcome, *exception) {
	const kind = "TenantAllowBlockListSpoofItems"
	id := strings.ToLower(str(args["Identity"]))
	if id != "default" && !strings.HasSuffix(id, `\default`) {
		return nil, notFound(kind, id)
	}
	if verb == "New" {
		return s.newSpoof(kind, args)
	}
	ids, _ := args["Ids"].([]string)
	out := &outcome{}
	for _, one := range ids {
		i := s.index(kind, one)
		if i < 0 { // an error that ends nothing: the reply is a success
			out.warnings = append(out.warnings, fmt.Sprintf("The entry '%s' couldn't be found.", one))
			continue
		}
		if verb == "Remove" {
			s.nouns[kind] = slices.Delete(s.nouns[kind], i, i+1)
		} else {
			s.nouns[kind][i]["Action"] = args["Action"]
		}
	}
	return out, nil
}

func (s *Server) newSpoof(kind string, args map[string]any) (*outcome, *exception) {
	user, infra := str(args["SpoofedUser"]), str(args["SendingInfrastructure"])
	if user == "*" && infra == "*" {
		return nil, invalid("SpoofedUser and SendingInfrastructure can't both be wildcards.")
	}
	if p, err := netip.ParsePrefix(infra); err == nil && p.Bits() != 24 {
		return nil, invalid("SendingInfrastructure '%s': only a /24 is supported.", infra)
	}
	if a, err := netip.ParseAddr(infra); err == nil {
		if !a.Is4() {
			return nil, invalid("SendingInfrastructure '%s' is not valid.", infra)
		}
		if !s.cfg.BareSpoof {
			p, _ := a.Prefix(24)
			infra = p.String()
		}
	}
	if len(s.nouns[kind]) >= 1024 {
		return nil, throw(tasks+"LimitExceededException", "The maximum number of 1024 spoofed sender entries is reached.")
	}
	for _, o := range s.nouns[kind] {
		if strings.EqualFold(str(o["SpoofedUser"]), user) && strings.EqualFold(str(o["SendingInfrastructure"]), infra) && o["SpoofType"] == args["SpoofType"] {
			return nil, exists("spoofed sender entry", user+", "+infra)
		}
	}
	o := Object{"SpoofedUser": user, "SendingInfrastructure": infra, "SpoofType": args["SpoofType"], "Action": args["Action"]}
	o["Guid"] = s.guid()
	o["Identity"] = o["Guid"]
	s.add(kind, o)
	return &outcome{rows: cloneAll([]Object{o})}, nil
}

func (s *Server) writeRole(verb, kind string, args map[string]any) (*outcome, *exception) {
	label := map[string]string{"RoleGroup": "Name", "ServicePrincipal": "AppId"}[kind]
	if verb == "New" {
		if s.index(kind, str(args[label])) >= 0 {
			return nil, exists(kind, str(args[label]))
		}
		o := Object{"Members": []string{}, "Roles": []string{}}
		if kind == "ServicePrincipal" {
			o = Object{"Identity": args["ObjectId"], "Name": args["DisplayName"]}
		}
		assign(o, args)
		s.add(kind, o)
		return &outcome{rows: cloneAll([]Object{o})}, nil
	}
	i := s.index(kind, str(args["Identity"]))
	if i < 0 {
		return nil, notFound(kind, str(args["Identity"]))
	}
	s.nouns[kind] = slices.Delete(s.nouns[kind], i, i+1)
	return &outcome{}, nil
}

func (s *Server) member(add bool, args map[string]any) (*outcome, *exception) {
	i := s.index("RoleGroup", str(args["Identity"]))
	if i < 0 {
		return nil, notFound("RoleGroup", str(args["Identity"]))
	}
	who := str(args["Member"])
	if s.index("ServicePrincipal", who) < 0 && s.index("Recipient", who) < 0 && !strings.Contains(who, "@") {
		return nil, notFound("SecurityPrincipal", who)
	}
	group := s.nouns["RoleGroup"][i]
	have, _ := group["Members"].([]string)
	at := slices.Index(have, who)
	switch {
	case add && at >= 0:
		return nil, throw(tasks+"MemberAlreadyExistsException", "The recipient %q is already a member of the group.", who)
	case add:
		group["Members"] = append(have, who)
	case at < 0:
		return nil, throw(tasks+"MemberNotFoundException", "The recipient %q isn't a member of the group.", who)
	default:
		group["Members"] = slices.Delete(have, at, at+1)
	}
	return &outcome{}, nil
}
