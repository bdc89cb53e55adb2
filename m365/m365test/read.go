package m365test

import (
	"slices"
	"strings"
	"time"
)

// keep remembers a kind as it is, for the lists that lag behind.
func (s *Server) keep(noun string) {
	noun = strings.TrimSuffix(noun, "Member")
	if s.cfg.StaleReads > 0 {
		s.before[noun] = stale{rows: cloneAll(s.nouns[noun]), left: s.cfg.StaleReads}
	}
}

// get lists. An identity that matches nothing returns everything, as the pages of the cmdlets warn.
func (s *Server) get(noun string, args map[string]any) *outcome {
	rows := s.nouns[noun]
	if b := s.before[noun]; b.left > 0 {
		b.left--
		s.before[noun] = b
		rows = b.rows
	}
	rows = cloneAll(rows)
	if id := str(args["Identity"]); id != "" {
		hit := slices.DeleteFunc(slices.Clone(rows), func(o Object) bool {
			return !strings.EqualFold(str(o["Name"]), id) && !strings.EqualFold(str(o["Guid"]), id) && !strings.EqualFold(str(o["Identity"]), id)
		})
		if len(hit) > 0 {
			rows = hit
		}
	}
	hide := func(o Object) bool { return false }
	switch noun {
	case "OutboundConnector":
		hide = s.hideOutbound(args)
	case "OrganizationConfig":
		if s.hydrate > 0 {
			s.hydrate--
			rows[0]["IsDehydrated"] = true
		}
	case "Recipient":
		hide = hideRecipient(args)
	case "MessageTraceV2", "MessageTraceDetailV2":
		hide = hideTrace(args)
	case "TransportRule":
		slices.SortStableFunc(rows, func(a, b Object) int { return a["Priority"].(int) - b["Priority"].(int) })
	default:
		hide = func(o Object) bool {
			for _, k := range []string{"State", "Action", "SpoofType"} {
				if want := str(args[k]); want != "" && str(o[k]) != want {
					return true
				}
			}
			return false
		}
	}
	rows = slices.DeleteFunc(rows, hide)
	if n, ok := args["ResultSize"].(int); ok && n < len(rows) {
		rows = rows[:n]
	}
	return &outcome{rows: rows}
}

// hideOutbound: a plain listing leaves out what only rules use and what is in test mode.
func (s *Server) hideOutbound(args map[string]any) func(Object) bool {
	return func(o Object) bool {
		if o["TestMode"] == true && args["IncludeTestModeConnectors"] != true {
			return true
		}
		want, asked := args["IsTransportRuleScoped"]
		if !asked {
			return o["IsTransportRuleScoped"] == true && !s.cfg.ShowScoped
		}
		return o["IsTransportRuleScoped"] != want
	}
}

func hideRecipient(args map[string]any) func(Object) bool {
	types, _ := args["RecipientTypeDetails"].([]string)
	filter, filtered := strings.CutPrefix(str(args["Filter"]), "EmailAddresses -eq 'smtp:")
	want := strings.ReplaceAll(strings.TrimSuffix(filter, "'"), "''", "'")
	return func(o Object) bool {
		kind := str(o["RecipientTypeDetails"])
		if len(types) > 0 && !slices.Contains(types, kind) || len(types) == 0 && kind == "GroupMailbox" {
			return true
		}
		addresses, _ := o["EmailAddresses"].([]string)
		return filtered && !slices.ContainsFunc(addresses, func(a string) bool { return strings.EqualFold(a, "smtp:"+want) })
	}
}

func hideTrace(args map[string]any) func(Object) bool {
	start, _ := time.Parse(time.RFC3339, str(args["StartDate"]))
	end, _ := time.Parse(time.RFC3339, str(args["EndDate"]))
	return func(o Object) bool {
		for _, k := range []string{"MessageId", "MessageTraceId", "RecipientAddress", "SenderAddress", "Status", "FromIP", "ToIP"} {
			switch v := args[k].(type) {
			case string:
				if v != "" && v != str(o[k]) {
					return true
				}
			case []string:
				if !slices.Contains(v, str(o[k])) {
					return true
				}
			}
		}
		at, err := time.Parse(time.RFC3339, str(o["Received"]))
		return err == nil && (!start.IsZero() && at.Before(start) || !end.IsZero() && at.After(end))
	}
}

// checkTrace: a trace covers ten days at most.
func checkTrace(noun string, args map[string]any) *exception {
	start, err1 := time.Parse(time.RFC3339, str(args["StartDate"]))
	end, err2 := time.Parse(time.RFC3339, str(args["EndDate"]))
	if noun == "MessageTraceV2" && err1 == nil && err2 == nil && end.Sub(start) > 10*24*time.Hour {
		return invalid("The date range can't be longer than 10 days.")
	}
	return nil
}
