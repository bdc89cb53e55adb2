package m365test

import (
	"slices"
	"strings"
	"unicode/utf8"
)

func inboundDefaults() Object {
	return Object{"Enabled": true, "ConnectorType": "Partner", "ConnectorSource": "Default", "Comment": "", "SenderDomains": []string{"smtp:*;1"},
		"SenderIPAddresses": []string{}, "TrustedOrganizations": []string{}, "ClientHostNames": []string{}, "AssociatedAcceptedDomains": []string{},
		"RequireTls": true, "RestrictDomainsToIPAddresses": false, "RestrictDomainsToCertificate": false, "CloudServicesMailEnabled": false,
		"TreatMessagesAsInternal": false, "TlsSenderCertificateName": nil, "EFTestMode": false, "ScanAndDropRecipients": []string{},
		"EFSkipLastIP": false, "EFSkipIPs": []string{}, "EFSkipMailGateway": []string{}, "EFUsers": []string{}, "AdminDisplayName": "", "IsValid": true}
}

// outboundDefaults has none of the fields of an inbound connector: they are absent, not false.
func outboundDefaults() Object {
	return Object{"Enabled": true, "UseMXRecord": true, "Comment": "", "ConnectorType": "Partner", "ConnectorSource": "Default",
		"RecipientDomains": []string{}, "SmartHosts": []string{}, "TlsDomain": nil, "TlsSettings": nil, "IsTransportRuleScoped": false,
		"RouteAllMessagesViaOnPremises": false, "CloudServicesMailEnabled": false, "AllAcceptedDomains": false, "SenderRewritingEnabled": false,
		"TestMode": false, "ValidationRecipients": []string{}, "IsValidated": false, "LastValidationTimestamp": nil,
		"MtaStsMode": "Opportunistic", "SmtpDaneMode": "Opportunistic", "IsValid": true}
}

func (s *Server) writeConnector(verb, kind string, args map[string]any) (*outcome, *exception) {
	id := str(args["Identity"])
	if verb == "New" {
		return s.newConnector(kind, args)
	}
	i := s.index(kind, id)
	if i < 0 {
		return nil, notFound(kind, id)
	}
	if verb == "Remove" {
		if rule := s.ruleTo(s.nouns[kind][i]); kind == "OutboundConnector" && rule != "" {
			return nil, throw("Microsoft.Exchange.Management.SystemConfigurationTasks.ConnectorInUseException",
				"The connector '%s' can't be removed because it is being used by the transport rule '%s'.", id, rule)
		}
		s.nouns[kind] = slices.Delete(s.nouns[kind], i, i+1)
		return &outcome{}, nil
	}
	next := cloneAll(s.nouns[kind][i : i+1])[0]
	changed := assign(next, storedConnector(args))
	if name := str(next["Name"]); name != str(s.nouns[kind][i]["Name"]) {
		if j := s.index(kind, name); j >= 0 && j != i {
			return nil, exists(kind, name)
		}
		next["Identity"] = name
	}
	if ex := s.checkConnector(kind, next); ex != nil {
		return nil, ex
	}
	if !changed {
		return &outcome{warnings: unchanged(id)}, nil
	}
	next["WhenChangedUTC"] = s.now()
	s.nouns[kind][i] = next
	return &outcome{}, nil
}

func (s *Server) newConnector(kind string, args map[string]any) (*outcome, *exception) {
	if s.index(kind, str(args["Name"])) >= 0 {
		return nil, exists(kind, str(args["Name"]))
	}
	if kind == "InboundConnector" && s.cfg.Developer {
		return nil, throw("Microsoft.Exchange.Management.SystemConfigurationTasks.InboundConnectorNotAllowedException",
			"Inbound connectors aren't allowed in this organization. For more information, contact support.")
	}
	o := Object{}
	assign(o, storedConnector(args))
	if kind == "InboundConnector" {
		o = withDefaults(o, inboundDefaults())
	} else {
		o = withDefaults(o, outboundDefaults())
	}
	if ex := s.checkConnector(kind, o); ex != nil {
		return nil, ex
	}
	out := &outcome{}
	if kind == "InboundConnector" && s.cfg.Trial && o["ConnectorType"] == "OnPremises" && o["Enabled"] == true {
		o["Enabled"] = false
		out.warnings = []string{"The connector was created in a disabled state. To enable it, contact support."}
	}
	s.add(kind, o)
	out.rows = cloneAll([]Object{o})
	return out, nil
}

// storedConnector has sender domains as the service keeps them.
func storedConnector(args map[string]any) map[string]any {
	list, ok := args["SenderDomains"].([]string)
	if !ok {
		return args
	}
	out := map[string]any{}
	for k, v := range args {
		out[k] = v
	}
	var domains []string
	for _, d := range list {
		if !strings.Contains(d, ":") {
			d = "smtp:" + d + ";1"
		}
		domains = append(domains, d)
	}
	out["SenderDomains"] = domains
	return out
}

func (s *Server) checkConnector(kind string, o Object) *exception {
	name := str(o["Name"])
	if name == "" || utf8.RuneCountInString(name) > 64 || strings.Contains(name, "/") {
		return invalid("The name '%s' isn't valid. The maximum length is 64 characters.", name)
	}
	if utf8.RuneCountInString(str(o["Comment"])) > 1024 {
		return invalid("The property Comment is too long. The maximum length is 1024.")
	}
	if kind == "InboundConnector" {
		return checkInbound(o)
	}
	hosts, _ := o["SmartHosts"].([]string)
	domains, _ := o["RecipientDomains"].([]string)
	switch {
	case o["UseMXRecord"] == false && len(hosts) == 0:
		return invalid("SmartHosts must be set when UseMXRecord is false.")
	case o["UseMXRecord"] == true && len(hosts) > 0:
		return invalid("SmartHosts can't be set when UseMXRecord is true.")
	case o["IsTransportRuleScoped"] == true && slices.Contains(domains, "*"):
		return invalid("A connector that is scoped to transport rules can't have the recipient domain *.")
	case o["TlsSettings"] == "DomainValidation" && o["TlsDomain"] == nil:
		return invalid("TlsDomain must be set when TlsSettings is DomainValidation.")
	case o["TlsSettings"] != "DomainValidation" && o["TlsDomain"] != nil:
		return invalid("TlsDomain can only be set when TlsSettings is DomainValidation.")
	case o["IsTransportRuleScoped"] == false && s.ruleTo(o) != "":
		return invalid("The connector is being used by the transport rule '%s'.", s.ruleTo(o))
	}
	return nil
}

func checkInbound(o Object) *exception {
	addresses, _ := o["SenderIPAddresses"].([]string)
	domains, _ := o["SenderDomains"].([]string)
	partner := o["ConnectorType"] == "Partner"
	for _, a := range addresses {
		if ex := checkAddress(a, false); ex != nil {
			return ex
		}
	}
	switch {
	case len(domains) == 0:
		return invalid("SenderDomains can't be empty.")
	case o["RestrictDomainsToIPAddresses"] == true && len(addresses) == 0:
		return invalid("SenderIPAddresses must be set when RestrictDomainsToIPAddresses is true.")
	case o["RestrictDomainsToCertificate"] == true && o["TlsSenderCertificateName"] == nil:
		return invalid("TlsSenderCertificateName must be set when RestrictDomainsToCertificate is true.")
	case partner && len(addresses) > 0 && o["TlsSenderCertificateName"] != nil:
		return invalid("A Partner connector can't use both addresses and a certificate.")
	case partner && (o["TreatMessagesAsInternal"] == true || o["CloudServicesMailEnabled"] == true):
		return invalid("TreatMessagesAsInternal and CloudServicesMailEnabled are for OnPremises connectors only.")
	case o["TreatMessagesAsInternal"] == true && o["CloudServicesMailEnabled"] == true:
		return invalid("TreatMessagesAsInternal and CloudServicesMailEnabled can't both be true.")
	}
	return nil
}

// ruleTo names a rule that routes to the connector.
func (s *Server) ruleTo(o Object) string {
	for _, r := range s.nouns["TransportRule"] {
		if to := str(r["RouteMessageOutboundConnector"]); to != "" && s.sameConnector(to, o) {
			return str(r["Name"])
		}
	}
	return ""
}

func (s *Server) sameConnector(to string, o Object) bool {
	return strings.EqualFold(to, str(o["Name"])) || strings.EqualFold(to, str(o["Guid"])) || strings.EqualFold(to, dn(o))
}

func dn(o Object) string {
	return "CN=" + str(o["Name"]) + ",CN=Transport Settings,CN=Configuration,CN=contoso.onmicrosoft.com,CN=ConfigurationUnits,DC=EURPR01A001,DC=prod,DC=outlook,DC=com"
}

func (s *Server) validateOutbound(args map[string]any) (*outcome, *exception) {
	i := s.index("OutboundConnector", str(args["Identity"]))
	if i < 0 {
		return nil, notFound("OutboundConnector", str(args["Identity"]))
	}
	out, sent := &outcome{}, true
	detail := map[bool]string{true: "Success", false: "450 4.4.316 Connection refused"}
	hosts, _ := s.nouns["OutboundConnector"][i]["SmartHosts"].([]string)
	for _, h := range hosts {
		reached := !slices.Contains(s.cfg.Unreached, h)
		sent = sent && reached
		out.rows = append(out.rows, Object{"TaskName": "Check connectivity to '" + h + "'", "IsTaskSuccessful": reached, "TaskDetail": detail[reached]})
	}
	out.rows = append(out.rows, Object{"TaskName": "Send test email", "IsTaskSuccessful": sent, "TaskDetail": detail[sent]})
	return out, nil
}
