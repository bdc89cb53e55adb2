package m365test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// seed fills a new tenant.
func (s *Server) seed() {
	c := s.cfg
	s.add("OrganizationConfig", Object{"Name": "contoso.onmicrosoft.com", "DisplayName": "Contoso", "IsDehydrated": c.Dehydrated,
		"RejectDirectSend": false, "DefaultAuthenticationPolicy": nil})
	for i, d := range append(slices.Clone(c.Domains), "contoso.onmicrosoft.com") {
		s.add("AcceptedDomain", Object{"Name": d, "DomainName": d, "DomainType": "Authoritative", "Default": i == 0,
			"InitialDomain": strings.HasSuffix(d, ".onmicrosoft.com"), "MatchSubDomains": false})
	}
	s.add("HostedConnectionFilterPolicy", Object{"Name": "Default", "Identity": "Default", "IsDefault": true, "AdminDisplayName": "",
		"EnableSafeList": false, "IPAllowList": []string{}, "IPBlockList": []string{}})
	s.add("HostedContentFilterPolicy", contentPolicy("Default", ""))
	s.add("AntiPhishPolicy", Object{"Name": "Office365 AntiPhish Default", "Identity": "Office365 AntiPhish Default", "IsDefault": true,
		"Enabled": true, "EnableSpoofIntelligence": true, "AuthenticationFailAction": "MoveToJmf", "HonorDmarcPolicy": true,
		"DmarcQuarantineAction": "Quarantine", "DmarcRejectAction": "Reject"})
	s.add("ArcConfig", Object{"Identity": "Default", "ArcTrustedSealers": ""})
	for _, name := range []string{"Organization Management", "Security Reader"} {
		s.add("RoleGroup", Object{"Name": name, "DisplayName": name, "Description": "built in", "Roles": []string{"View-Only Configuration"}, "Members": []string{}})
	}
	s.add("Recipient", Object{"Name": "admin", "DisplayName": "Admin", "PrimarySmtpAddress": c.Admin,
		"EmailAddresses": []string{"SMTP:" + c.Admin}, "RecipientTypeDetails": "UserMailbox"})
	if c.Preset {
		s.add("HostedContentFilterPolicy", contentPolicy("Standard Preset Security Policy1711000000000", "Standard"))
		rule := Object{"Name": "Standard Preset Security Policy", "State": "Enabled", "Priority": 0, "SentTo": nil, "SentToMemberOf": nil,
			"RecipientDomainIs": nil, "HostedContentFilterPolicy": "Standard Preset Security Policy1711000000000"}
		s.add("EOPProtectionPolicyRule", rule)
		s.add("ATPProtectionPolicyRule", rule)
	}
	if c.Hybrid {
		s.add("InboundConnector", Object{"Name": "Inbound from 3f1c", "Identity": "Inbound from 3f1c", "Enabled": true, "ConnectorType": "OnPremises",
			"ConnectorSource": "HybridWizard", "Comment": "", "SenderDomains": []string{"smtp:*;1"}, "SenderIPAddresses": []string{},
			"RequireTls": true, "RestrictDomainsToIPAddresses": false, "RestrictDomainsToCertificate": false,
			"CloudServicesMailEnabled": true, "TreatMessagesAsInternal": false, "TlsSenderCertificateName": "mail." + c.Domains[0],
			"EFSkipLastIP": false, "EFSkipIPs": []string{}, "EFUsers": []string{}, "IsValid": true})
		s.add("OutboundConnector", Object{"Name": "Outbound to 3f1c", "Identity": "Outbound to 3f1c", "Enabled": true, "ConnectorType": "OnPremises",
			"ConnectorSource": "HybridWizard", "Comment": "", "UseMXRecord": false, "SmartHosts": []string{"mail." + c.Domains[0]},
			"RecipientDomains": []string{c.Domains[0]}, "IsTransportRuleScoped": false, "TlsSettings": "DomainValidation",
			"TlsDomain": "mail." + c.Domains[0], "CloudServicesMailEnabled": true, "RouteAllMessagesViaOnPremises": true,
			"AllAcceptedDomains": false, "TestMode": false, "IsValidated": true, "IsValid": true})
	}
	s.seedGraph()
}

func contentPolicy(name, preset string) Object {
	return Object{"Name": name, "Identity": name, "IsDefault": preset == "", "RecommendedPolicyType": map[string]string{"": "Custom"}[preset] + preset,
		"AdminDisplayName": "", "SpamAction": "MoveToJmf", "HighConfidenceSpamAction": "Quarantine", "PhishSpamAction": "Quarantine",
		"HighConfidencePhishAction": "Quarantine", "BulkSpamAction": "MoveToJmf", "BulkThreshold": 7, "SpamZapEnabled": true,
		"PhishZapEnabled": true, "QuarantineRetentionPeriod": 30, "AllowedSenders": []string{}, "AllowedSenderDomains": []string{}}
}

// Add puts an object into the tenant as somebody else would have, without a call: kind is the noun of the
// cmdlets, "TransportRule" for one. What a field is not given for has the default of the service. It returns
// the GUID.
func (s *Server) Add(kind string, o Object) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	o = maps.Clone(o)
	switch kind {
	case "TransportRule":
		full := newRule(o, len(s.nouns[kind]))
		s.shiftIn(full)
		return s.stamp(full)
	case "InboundConnector":
		o = withDefaults(o, inboundDefaults())
	case "OutboundConnector":
		o = withDefaults(o, outboundDefaults())
	}
	return s.add(kind, o)
}

// Change sets fields of an object by its name or GUID, as an admin would in the portal. It reports whether
// there is such an object.
func (s *Server) Change(kind, id string, fields Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(kind, id)
	if i < 0 {
		return false
	}
	maps.Copy(s.nouns[kind][i], fields)
	if kind == "TransportRule" {
		describe(s.nouns[kind][i])
	}
	return true
}

// Delete removes an object by its name or GUID, as an admin would in the portal.
func (s *Server) Delete(kind, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(kind, id)
	if i < 0 {
		return false
	}
	s.nouns[kind] = slices.Delete(s.nouns[kind], i, i+1)
	s.renumber()
	return true
}

// Objects returns copies of all objects of a kind.
func (s *Server) Objects(kind string) []Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cloneAll(s.nouns[kind])
}

func (s *Server) add(kind string, o Object) string {
	id := s.stamp(o)
	s.nouns[kind] = append(s.nouns[kind], o)
	return id
}

// stamp gives an object what every object has.
func (s *Server) stamp(o Object) string {
	if _, ok := o["Guid"]; !ok {
		o["Guid"] = s.guid()
	}
	if _, ok := o["Identity"]; !ok {
		o["Identity"] = o["Name"]
	}
	for _, k := range []string{"WhenChangedUTC", "WhenCreatedUTC", "WhenChanged"} {
		o[k] = s.now()
	}
	return o["Guid"].(string)
}

// index finds an object by exact name, identity or GUID, without regard to case.
func (s *Server) index(kind, id string) int {
	return slices.IndexFunc(s.nouns[kind], func(o Object) bool {
		for _, k := range []string{"Name", "Identity", "Guid", "AppId", "ObjectId"} {
			if v, _ := o[k].(string); v != "" && strings.EqualFold(v, id) {
				return true
			}
		}
		return false
	})
}

func withDefaults(o, d Object) Object {
	for k, v := range d {
		if _, ok := o[k]; !ok {
			o[k] = v
		}
	}
	return o
}

func cloneAll(in []Object) []Object {
	out := make([]Object, len(in))
	for i, o := range in {
		c := maps.Clone(o)
		for k, v := range c {
			if l, ok := v.([]string); ok {
				c[k] = slices.Clone(l)
			}
		}
		out[i] = c
	}
	return out
}

// volatile fields change with every write or read and say nothing about the state of the tenant.
var volatile = map[string]bool{"WhenChanged": true, "WhenChangedUTC": true, "WhenCreatedUTC": true, "LastModifiedBy": true, "MessageTraceV2": true}

// Snapshot returns the whole tenant in a canonical form: kinds and fields in order, lists sorted, rules by
// priority, nothing that only tells when something happened. Equal tenants give equal bytes.
func (s *Server) Snapshot() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]Object{}
	for kind, rows := range s.nouns {
		if strings.HasPrefix(kind, "MessageTrace") || len(rows) == 0 {
			continue
		}
		rows = cloneAll(rows)
		for _, o := range rows {
			for k, v := range o {
				if l, ok := v.([]string); ok {
					slices.Sort(l)
				}
				if volatile[k] {
					delete(o, k)
				}
			}
		}
		slices.SortFunc(rows, func(a, b Object) int {
			pa, _ := a["Priority"].(int)
			pb, _ := b["Priority"].(int)
			if pa != pb {
				return pa - pb
			}
			return strings.Compare(str(a["Guid"]), str(b["Guid"]))
		})
		out[kind] = rows
	}
	b, _ := json.MarshalIndent(map[string]any{"exchange": out, "graph": s.graph.snapshot()}, "", " ")
	return append(b, '\n')
}

func str(v any) string { s, _ := v.(string); return s }
