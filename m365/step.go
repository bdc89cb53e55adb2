package m365

import (
	"fmt"
	"slices"
)

// A Step is one thing that is done to the tenant, or that a person does. It is data: reading it changes
// nothing, and applying a plan derives it again instead of trusting it.
type Step struct {
	ID     string `json:"id"` // stable, noun.detail: "redirect-rule"
	Title  string `json:"title"`
	Object string `json:"object"`           // what is changed, as an admin knows it
	Verb   Verb   `json:"verb"`             //
	Fields []Diff `json:"fields,omitempty"` // what changes
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
	// Console is how a person does it by hand. Set on every step of a runbook, and on those of a plan that
	// only a person can do.
	Console *Console `json:"console,omitempty"`
}

// A Verb is what a step does.
type Verb string

// The verbs.
const (
	VerbCreate  Verb = "create"
	VerbUpdate  Verb = "update"
	VerbReplace Verb = "replace" // removed and made again: a condition cannot be cleared reliably
	VerbAdopt   Verb = "adopt"   // an object of the product before becomes ours
	VerbEnable  Verb = "enable"
	VerbDisable Verb = "disable"
	VerbRemove  Verb = "remove"
	VerbRestore Verb = "restore" // back to the value of the snapshot
	VerbProbe   Verb = "probe"   // changes nothing
	VerbManual  Verb = "manual"  // a person does it
	VerbKeep    Verb = "keep"    // left as it is although it is not as it was: somebody changed it later
)

// writes says whether the step changes the tenant.
func (v Verb) writes() bool { return v != VerbProbe && v != VerbManual && v != VerbKeep }

// A Diff is one field before and after a step. A value is a string, a bool, a number, a list of strings, or
// null for absent. Of lists that are shared with others, only our part is shown.
type Diff struct {
	Name   string `json:"name"`
	Before any    `json:"before"`
	After  any    `json:"after"`
	Note   string `json:"note,omitempty"`
}

// A Console is how a person does a step in the admin center.
type Console struct {
	Path   string  `json:"path"`             // what to click: "Exchange admin center > Mail flow > Rules"
	Link   string  `json:"link"`             // where that is
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
	Blocks bool   `json:"blocks"`           // nothing is applied while it stands
}

// Error makes a problem usable as an error.
func (p Problem) Error() string {
	at := ""
	if p.Object != "" {
		at = fmt.Sprintf(" %q", p.Object)
	}
	return fmt.Sprintf("%s%s: %s: %s", p.Code, at, p.Text, p.Do)
}

// shownSecret stands for the secret of the loop wherever something is shown or stored.
const (
	shownSecret  = "(the secret of the loop)"
	oldSecret    = "(the secret before it)"
	otherSecret  = "(another secret)"
	secretOfFile = "secrets.json"
)

// show turns a value into what a plan, log or report may hold. Secrets become placeholders.
func (f field) show(v any, secrets []string) any {
	if !f.secret {
		return v
	}
	one := func(s string) string {
		switch i := slices.Index(secrets, s); {
		case s == shownSecret || i == 0:
			return shownSecret
		case i > 0:
			return oldSecret
		}
		return otherSecret
	}
	switch v := v.(type) {
	case string:
		if v == "" {
			return v
		}
		return one(v)
	case []string:
		out := make([]string, len(v))
		for i, s := range v {
			out[i] = one(s)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return v
}
