package gworkspacetest

// RedirectRule is a content compliance rule that sends inbound mail to a gateway, as the Policy API shows one
// that was made right: users, groups and unrecognized accounts, an expression for each content. Change what it
// returns to make one that is wrong.
func RedirectRule(id, name string, contents ...string) map[string]any {
	var expressions []any
	for _, c := range contents {
		expressions = append(expressions, map[string]any{"matchExpressionType": "ADVANCED_CONTENT", "location": "FULL_HEADERS", "matchType": "NOT_CONTAINS_TEXT", "matchContent": c})
	}
	return map[string]any{
		"ruleId": id, "description": name,
		"condition": map[string]any{"affectInboundMessages": true, "affectOutboundMessages": false, "affectInternalSendingMessages": false,
			"affectInternalReceivingMessages": false, "addressListOption": "NO_EFFECT", "accountTypeUser": true, "accountTypeGroup": true, "accountTypeUnrecognized": true},
		"matchExpressions": expressions, "matchAnyExpression": false,
		"consequence": map[string]any{"ruleConsequenceType": "MODIFY_MESSAGE", "deliverToAdditionalRecipients": false,
			"primaryDelivery": map[string]any{"addXGmOriginalToHeader": true, "addXGmSpamHeader": true, "addCustomHeaders": true, "prependCustomSubject": false,
				"customSubject": "", "changeDefaultRoute": true, "rerouteSpam": true, "normalRouting": false, "changeEnvelopeRecipient": false,
				"replaceEnvelopeRecipientType": "REPLACE_ADDRESS", "recipientAddress": "", "bypassSpamFilter": false, "removeAttachments": false,
				"suppressBouncesFromRecipient": false, "requireTls": true, "encryptOutgoingMessages": false, "bounceUnencryptedMessages": false}},
	}
}

// AddRules sets the content compliance rules of a unit, by its id. All of them are on but those that off names.
func (s *Server) AddRules(unit string, rules []map[string]any, off ...string) {
	var states []any
	isOff := map[string]bool{}
	for _, id := range off {
		isOff[id] = true
	}
	for _, r := range rules {
		id, _ := r["ruleId"].(string)
		states = append(states, map[string]any{"ruleId": id, "enabled": !isOff[id]})
	}
	s.AddPolicy(Policy{Unit: unit, SortOrder: 201, Setting: "gmail.content_compliance", Value: map[string]any{"contentComplianceRules": rules}})
	s.SetStates(unit, states...)
}

// SetStates adds states of rules for a unit: objects with ruleId and enabled.
func (s *Server) SetStates(unit string, states ...any) {
	s.AddPolicy(Policy{Unit: unit, SortOrder: 201, Setting: "gmail.rule_states", Value: map[string]any{"ruleStates": states}})
}

// State is one for SetStates.
func State(rule string, on bool) any { return map[string]any{"ruleId": rule, "enabled": on} }
