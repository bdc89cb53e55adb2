package m365test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const ruleClass = "Microsoft.Exchange.MessagingPolicies.Rules.Tasks."

// predicates, exceptions and actions are the classes behind the parameters we know to be used.
var (
	predicates = map[string]string{"RecipientDomainIs": "RecipientDomainIsPredicate", "SentTo": "SentToPredicate", "SentToMemberOf": "SentToMemberOfPredicate",
		"SentToScope": "SentToScopePredicate", "From": "FromPredicate", "FromScope": "FromScopePredicate", "SenderDomainIs": "SenderDomainIsPredicate",
		"SenderIpRanges": "SenderIpRangesPredicate", "HeaderContainsMessageHeader": "HeaderContainsPredicate",
		"HeaderMatchesMessageHeader": "HeaderMatchesPredicate", "MessageSizeOver": "MessageSizeOverPredicate"}
	actions = map[string]string{"RouteMessageOutboundConnector": "RouteMessageOutboundConnectorAction", "SetHeaderName": "SetHeaderAction",
		"RemoveHeader": "RemoveHeaderAction", "SetSCL": "SetSclAction", "Quarantine": "QuarantineAction", "DeleteMessage": "DeleteMessageAction",
		"RedirectMessageTo": "RedirectMessageAction", "GenerateIncidentReport": "GenerateIncidentReportAction", "StopRuleProcessing": "StopRuleProcessingAction",
		"SetAuditSeverity": "SetAuditSeverityAction", "PrependSubject": "PrependSubjectAction", "BlindCopyTo": "BlindCopyToAction",
		"RejectMessageReasonText": "RejectMessageAction", "RouteMessageOutboundRequireTls": "RouteMessageOutboundRequireTlsAction",
		"ModerateMessageByUser": "ModerateMessageByUserAction", "ApplyHtmlDisclaimerText": "ApplyHtmlDisclaimerAction"}
	pairs = map[string]string{"SetHeaderName": "SetHeaderValue", "HeaderContainsMessageHeader": "HeaderContainsWords",
		"HeaderMatchesMessageHeader": "HeaderMatchesPatterns", "ExceptIfHeaderContainsMessageHeader": "ExceptIfHeaderContainsWords",
		"ExceptIfHeaderMatchesMessageHeader": "ExceptIfHeaderMatchesPatterns"}
	switches = []string{"Quarantine", "DeleteMessage", "StopRuleProcessing", "RouteMessageOutboundRequireTls", "ApplyOME", "RemoveOMEv2"}
)

// newRule is a rule with every field that Get-TransportRule returns for it, null where nothing was said.
func newRule(args map[string]any, count int) Object {
	o := Object{"State": "Enabled", "Mode": "Enforce", "RuleErrorAction": "Ignore", "SenderAddressLocation": "Header", "Priority": count,
		"DlpPolicy": nil, "Comments": nil, "ManuallyModified": false, "IsValid": true, "CreatedBy": "Admin", "LastModifiedBy": "Admin",
		"RuleSubType": "None", "UseLegacyRegex": false, "RecipientAddressType": "Resolved"}
	for k, a := range signatures()["New-TransportRule"] {
		switch k {
		case "Enabled", "Confirm", "WhatIf", "Force":
			continue
		}
		if _, ok := o[k]; !ok {
			o[k] = nil
			if a.kind == "bool" && slices.Contains(switches, k) {
				o[k] = false
			}
		}
	}
	in := map[string]any{}
	for k, v := range args {
		if k == "Enabled" {
			if v == false {
				o["State"] = "Disabled"
			}
			continue
		}
		in[k] = v
	}
	assign(o, in)
	tidyRule(o)
	return o
}

// tidyRule brings a rule to the form it reads back in.
func tidyRule(o Object) {
	for k, v := range o {
		switch x := v.(type) {
		case []string:
			if len(x) == 0 && k != "Conditions" {
				o[k] = nil
			}
		case string:
			if strings.HasSuffix(k, "SizeOver") {
				o[k] = rendered(x)
			}
		}
	}
	describe(o)
}

// rendered is how a size reads back.
func rendered(s string) string {
	if strings.Contains(s, "(") {
		return s
	}
	unit, shift := strings.ToUpper(strings.TrimLeft(s, "0123456789")), 0
	switch unit {
	case "KB":
		shift = 10
	case "MB":
		shift = 20
	case "GB":
		shift = 30
	}
	n, err := strconv.ParseInt(s[:len(s)-len(unit)], 10, 64)
	if err != nil {
		return s
	}
	n <<= shift
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n < 1<<20 {
		return fmt.Sprintf("%.4g KB (%s bytes)", float64(n)/(1<<10), digits)
	}
	return fmt.Sprintf("%.4g MB (%s bytes)", float64(n)/(1<<20), digits)
}

// describe sets the fields that the service derives.
func describe(o Object) {
	var cond, exc, act []string
	for k, v := range o {
		if v == nil || v == false {
			continue
		}
		if l, ok := v.([]string); ok && len(l) == 0 {
			continue
		}
		if c, ok := predicates[k]; ok {
			cond = append(cond, ruleClass+c)
		} else if e, ok := strings.CutPrefix(k, "ExceptIf"); ok {
			if c, ok := predicates[e]; ok {
				exc = append(exc, ruleClass+c)
			}
		} else if c, ok := actions[k]; ok {
			act = append(act, ruleClass+c)
		}
	}
	for k, l := range map[string][]string{"Conditions": cond, "Exceptions": exc, "Actions": act} {
		o[k] = nil
		if len(l) > 0 {
			slices.Sort(l)
			o[k] = l
		}
	}
	o["Description"] = fmt.Sprintf("If the message:\r\n\t%d conditions\r\nTake the following actions:\r\n\t%d actions\r\n", len(cond), len(act))
}

func (s *Server) writeRule(verb string, args map[string]any) (*outcome, *exception) {
	const kind = "TransportRule"
	if verb == "New" {
		return s.newTransportRule(args)
	}
	id := str(args["Identity"])
	i := s.index(kind, id)
	if i < 0 {
		return nil, notFound(kind, id)
	}
	switch verb {
	case "Remove":
		s.nouns[kind] = slices.Delete(s.nouns[kind], i, i+1)
		s.renumber()
		return &outcome{}, nil
	case "Enable", "Disable":
		args = map[string]any{"State": verb + "d", "Mode": args["Mode"]}
		if args["Mode"] == nil {
			delete(args, "Mode")
		}
	}
	next := cloneAll(s.nouns[kind][i : i+1])[0]
	priority := next["Priority"]
	changed := assign(next, args)
	tidyRule(next)
	if ex := s.checkRule(next, i); ex != nil {
		return nil, ex
	}
	if p := next["Priority"].(int); p < 0 || p >= len(s.nouns[kind]) {
		return nil, priorityError(p, len(s.nouns[kind])-1)
	}
	if !changed {
		return &outcome{warnings: unchanged(id)}, nil
	}
	next["WhenChanged"], next["LastModifiedBy"], next["Identity"] = s.now(), "Admin", next["Name"]
	if next["Priority"] == priority {
		s.nouns[kind][i] = next
		return &outcome{}, nil
	}
	s.nouns[kind] = slices.Delete(s.nouns[kind], i, i+1)
	s.renumber()
	s.shiftIn(next)
	return &outcome{}, nil
}

func priorityError(p, most int) *exception {
	return throw("Microsoft.Exchange.MessagingPolicies.Rules.Tasks.InvalidPriorityException",
		"The priority %d is out of range. It must be between 0 and %d.", p, most)
}

func (s *Server) newTransportRule(args map[string]any) (*outcome, *exception) {
	const kind = "TransportRule"
	count := len(s.nouns[kind])
	if count >= 300 {
		return nil, throw("Microsoft.Exchange.MessagingPolicies.Rules.Tasks.RuleLimitExceededException", "The maximum number of 300 transport rules is reached.")
	}
	o := newRule(args, count)
	if p := o["Priority"].(int); p < 0 || p > count {
		return nil, priorityError(p, count)
	}
	if ex := s.checkRule(o, -1); ex != nil {
		return nil, ex
	}
	s.stamp(o)
	s.shiftIn(o)
	return &outcome{rows: cloneAll([]Object{o})}, nil
}

// shiftIn puts a rule at its priority and moves the rest.
func (s *Server) shiftIn(o Object) {
	rules := s.nouns["TransportRule"]
	slices.SortStableFunc(rules, func(a, b Object) int { return a["Priority"].(int) - b["Priority"].(int) })
	at := min(o["Priority"].(int), len(rules))
	s.nouns["TransportRule"] = slices.Insert(rules, at, o)
	for i, r := range s.nouns["TransportRule"] {
		r["Priority"] = i
	}
}

// renumber closes the gap that a removed rule leaves.
func (s *Server) renumber() {
	rules := s.nouns["TransportRule"]
	slices.SortStableFunc(rules, func(a, b Object) int { return a["Priority"].(int) - b["Priority"].(int) })
	for i, r := range rules {
		r["Priority"] = i
	}
}

// checkRule refuses what the service refuses. skip is the index of the rule itself.
func (s *Server) checkRule(o Object, skip int) *exception {
	name := str(o["Name"])
	if name == "" || utf8.RuneCountInString(name) > 64 {
		return invalid("The name '%s' isn't valid. The maximum length is 64 characters.", name)
	}
	if utf8.RuneCountInString(str(o["Comments"])) > 1024 {
		return invalid("The property Comments is too long. The maximum length is 1024.")
	}
	if j := s.index("TransportRule", name); j >= 0 && j != skip {
		return exists("transport rule", name)
	}
	size := 0
	for k, v := range o {
		if k != "Description" && v != nil {
			size += len(fmt.Sprint(v))
		}
		if with, ok := pairs[k]; ok && (v == nil) != (o[with] == nil) {
			return invalid("The parameters %s and %s must be used together.", k, with)
		}
	}
	if size > 8192 {
		return throw("Microsoft.Exchange.MessagingPolicies.Rules.Tasks.RuleLimitExceededException", "The rule exceeds the limit of 8 KB.")
	}
	if n, ok := o["SetSCL"].(int); ok && (n < -1 || n > 9) {
		return invalid("SetSCL must be between -1 and 9.")
	}
	if l, _ := o["Actions"].([]string); len(l) == 0 {
		return invalid("The rule must have at least one action.")
	}
	return s.checkRoute(o)
}

// checkRoute resolves the connector of a rule and brings it to the form it reads back in.
func (s *Server) checkRoute(o Object) *exception {
	to := str(o["RouteMessageOutboundConnector"])
	if to != "" {
		i := slices.IndexFunc(s.nouns["OutboundConnector"], func(c Object) bool { return s.sameConnector(to, c) })
		if i < 0 {
			return notFound("OutboundConnector", to)
		}
		c := s.nouns["OutboundConnector"][i]
		if c["IsTransportRuleScoped"] != true {
			return invalid("The connector '%s' isn't scoped to transport rules.", to)
		}
		o["RouteMessageOutboundConnector"] = map[string]string{"": str(c["Name"]), "name": str(c["Name"]), "guid": str(c["Guid"]), "dn": dn(c)}[s.cfg.RouteAs]
	}
	groups, _ := o["SentToMemberOf"].([]string)
	for _, g := range groups {
		i := slices.IndexFunc(s.nouns["Recipient"], func(r Object) bool { return strings.EqualFold(str(r["PrimarySmtpAddress"]), g) })
		if i >= 0 && s.cfg.NoUnified && s.nouns["Recipient"][i]["RecipientTypeDetails"] == "GroupMailbox" {
			return invalid("The recipient '%s' isn't the expected type.", g)
		}
		if i < 0 || !strings.Contains(str(s.nouns["Recipient"][i]["RecipientTypeDetails"]), "Group") {
			return notFound("group", g)
		}
	}
	return nil
}
