package gworkspace

import "fmt"

// A Step is one thing that a person does to the tenant, or that is waited for. It is data: reading it changes
// nothing. Its form is that of package m365, so that one printer serves both.
type Step struct {
	ID     string `json:"id"` // stable, noun.detail: "redirect-rule"
	Title  string `json:"title"`
	Object string `json:"object"`           // what is changed, as an admin knows it
	Verb   Verb   `json:"verb"`             //
	Fields []Diff `json:"fields,omitempty"` // what changes, as far as it can be read
	Why    string `json:"why"`
	Risk   string `json:"risk,omitempty"`
	// Needs are the ids of steps that have to stand first.
	Needs []string `json:"needs,omitempty"`
	// Roles are the rights whoever does it needs.
	Roles []string `json:"roles,omitempty"`
	// Wait says what is waited for, or how long the step takes until it has effect.
	Wait string `json:"wait,omitempty"`
	// Check, Undo: how to see that it is done, and how to take it back.
	Check string `json:"check,omitempty"`
	Undo  string `json:"undo,omitempty"`
	// Console is how a person does it. Set on every step: there is no other way.
	Console *Console `json:"console,omitempty"`
	// Limits are what the console refuses, or takes and then does not do.
	Limits []string `json:"limits,omitempty"`
}

// A Verb is what a step does.
type Verb string

// The verbs. What the tenant allows nobody but a person to do has the verb of what the person does; its
// Console says how.
const (
	VerbCreate  Verb = "create"
	VerbUpdate  Verb = "update"
	VerbEnable  Verb = "enable"
	VerbDisable Verb = "disable"
	VerbRemove  Verb = "remove"
	VerbManual  Verb = "manual" // outside of the tenant: DNS, keys
)

// A Diff is one field before and after a step. A value is a string, a bool, a number, a list of strings, or
// null for absent or unknown.
type Diff struct {
	Name   string `json:"name"`
	Before any    `json:"before"`
	After  any    `json:"after"`
	Note   string `json:"note,omitempty"`
}

// A Console is how a person does a step in the Admin console.
type Console struct {
	Path   string  `json:"path"`             // what to click: "Apps > Google Workspace > Gmail > Hosts"
	Link   string  `json:"link"`             // where that is; empty: not on the web
	Values []Value `json:"values,omitempty"` // what to paste
	Expect string  `json:"expect"`           // what is seen when it is right
}

// A Value is one thing to fill in.
type Value struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Problem is something about the tenant that is in the way of a plan, or that its owner should know.
type Problem struct {
	Code   string `json:"code"`             // stable, see the README
	Object string `json:"object,omitempty"` // what it is about
	Text   string `json:"text"`             // what was found
	Do     string `json:"do"`               // what to do about it
	Blocks bool   `json:"blocks"`           // nothing should be done while it stands
}

// Error makes a problem usable as an error.
func (p Problem) Error() string {
	at := ""
	if p.Object != "" {
		at = fmt.Sprintf(" %q", p.Object)
	}
	return fmt.Sprintf("%s%s: %s: %s", p.Code, at, p.Text, p.Do)
}

// The codes of problems.
const (
	problemStorage      = "storage.on"
	problemForeignRoute = "rule.route"
	problemDuplicate    = "rule.duplicate"
	problemSpoofing     = "spoofing.action"
	problemService      = "service.off"
	problemDomain       = "domain.unknown"
	problemOtherDomain  = "domain.other"
	problemUnit         = "unit.unknown"
	problemGroup        = "group.unknown"
	problemSubunit      = "unit.override"
	problemAllowList    = "allowlist.egress"
	problemWideAllow    = "allowlist.wide"
	problemSpamBypass   = "spam.bypass"
	problemDrain        = "drain.wait"
	problemQueue        = "drain.queue"
	problemMX           = "mx.elsewhere"
	problemMXUnread     = "mx.unread"
	problemLockedOut    = "mx.reject"
	problemOutside      = "protect.outside"
	problemInbound      = "gateway.foreign"
	problemLog          = "log.changed"
	problemUnread       = "check.unread"
	problemAdmin        = "admin.role"
	problemGateway      = "gateway.config"
)

// shownLoop and shownTenant stand for the secrets wherever they are not shown.
const (
	shownLoop   = "(the loop secret, from whoever runs the gateway)"
	shownTenant = "(the tenant secret, from whoever runs the gateway)"
)
