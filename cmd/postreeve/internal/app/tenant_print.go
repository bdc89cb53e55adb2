package app

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// The views of plans and reports, in the JSON form that the packages for tenants share.
type (
	planView struct {
		Direction string        `json:"direction"`
		Tenant    string        `json:"tenant"`
		Steps     []stepView    `json:"steps"`
		InOrder   []string      `json:"in-order"`
		Problems  []problemView `json:"problems"`
		Notes     []string      `json:"notes"`
		Roles     []string      `json:"roles"`
	}
	stepView struct {
		ID      string       `json:"id"`
		Title   string       `json:"title"`
		Object  string       `json:"object"`
		Verb    string       `json:"verb"`
		Fields  []fieldView  `json:"fields"`
		Why     string       `json:"why"`
		Risk    string       `json:"risk"`
		Wait    string       `json:"wait"`
		Check   string       `json:"check"`
		Undo    string       `json:"undo"`
		Console *consoleView `json:"console"`
		Limits  []string     `json:"limits"`
	}
	fieldView struct {
		Name   string `json:"name"`
		Before any    `json:"before"`
		After  any    `json:"after"`
		Note   string `json:"note"`
	}
	consoleView struct {
		Path, Link, Expect string
		Values             []struct{ Name, Value string }
	}
	problemView struct {
		Code   string `json:"code"`
		Object string `json:"object"`
		Text   string `json:"text"`
		Do     string `json:"do"`
		Blocks bool   `json:"blocks"`
	}
	reportView struct {
		Tenant   string        `json:"tenant"`
		Mode     string        `json:"mode"`
		Scanning bool          `json:"scanning"`
		Drift    []driftView   `json:"drift"`
		Findings []problemView `json:"findings"`
		InOrder  []string      `json:"in-order"`
		Checks   []checkView   `json:"checks"`
		Probes   []checkView   `json:"probes"`
		Consent  string        `json:"consent"`
		Skipped  []string      `json:"skipped"`
		Unread   []string      `json:"unread"`
	}
	driftView struct {
		Object string `json:"object"`
		Name   string `json:"name"`
		Unit   string `json:"unit"`
		Field  string `json:"field"`
		Wanted any    `json:"wanted"`
		Found  any    `json:"found"`
		How    string `json:"how"`
		Note   string `json:"note"`
	}
	checkView struct {
		Object string `json:"object"`
		Unit   string `json:"unit"`
		State  string `json:"state"`
		How    string `json:"how"`
		From   string `json:"from"`
		Note   string `json:"note"`
	}
)

// viewOf reads a plan, a guide or a report of any of the packages.
func viewOf[T any](v any) T {
	var out T
	if data, err := json.Marshal(v); err == nil {
		_ = json.Unmarshal(data, &out) // the tests of the commands hold that the forms fit
	}
	return out
}

// stays says whether a step leaves a field as it is, because somebody changed it later.
func (f fieldView) stays() bool { return reflect.DeepEqual(f.Before, f.After) }

// keeps says whether a plan leaves something that is not as it was before us.
func (p planView) keeps() bool {
	return slices.ContainsFunc(p.Steps, func(s stepView) bool {
		return s.Verb == "keep" || s.Verb == "restore" && slices.ContainsFunc(s.Fields, fieldView.stays)
	})
}

func (c checkView) unknown() bool { return c.State == "unknown" }

// unknown is the number of settings of which nobody can tell.
func (r reportView) unknown() int { return count(r.Checks, checkView.unknown) }

// probesWrong is the number of probes that went wrong.
func (r reportView) probesWrong() int {
	return count(r.Probes, func(c checkView) bool { return c.State == "wrong" })
}

func count[T any](all []T, is func(T) bool) int {
	n := 0
	for _, x := range all {
		if is(x) {
			n++
		}
	}
	return n
}

// inWords sums up a report: no drift is not yet in order.
func inWords(drift int, r reportView) string {
	out := "no drift"
	if drift > 0 {
		out = plural(drift, "drift")
	}
	if n := r.probesWrong(); n > 0 {
		out += ", " + plural(n, "probe") + " wrong"
	}
	if n := r.unknown(); n > 0 {
		out += fmt.Sprintf(", %d unknown", n)
	}
	if n := len(r.Unread); n > 0 {
		out += fmt.Sprintf(", %d could not be read", n)
	}
	return out
}

// printPlan prints the steps with what changes, and what is in the way.
func printPlan(s *screen, p planView) {
	for i, st := range p.Steps {
		s.printf("%2d. %s  %s  %s\n", i+1, s.style(verbStyle(st.Verb), fmt.Sprintf("%-7s", show(st.Verb))), s.style(bold, show(st.Title)), s.style(dim, "("+show(st.ID)+")"))
		printStep(s, st)
	}
	if n := len(p.InOrder); n > 0 {
		s.printf("%s\n", s.style(dim, "in order: "+show(strings.Join(p.InOrder, "; "))))
	}
	printFindings(s, p.Problems)
	for _, n := range p.Notes {
		s.printf("note: %s\n", show(n))
	}
	if len(p.Roles) > 0 && len(p.Steps) > 0 {
		s.printf("roles: %s\n", show(strings.Join(p.Roles, ", ")))
	}
}

func verbStyle(verb string) string {
	switch verb {
	case "remove", "disable", "replace":
		return red
	case "manual", "keep", "probe":
		return magenta
	}
	return yellow
}

func printStep(s *screen, st stepView) {
	for _, f := range st.Fields {
		note := ""
		if f.Note != "" {
			note = " (" + f.Note + ")"
		}
		if f.stays() {
			s.printf("      %s: stays %s%s\n", show(f.Name), plainValue(f.After), show(note))
			continue
		}
		s.printf("      %s: %s -> %s%s\n", show(f.Name), plainValue(f.Before), plainValue(f.After), show(note))
	}
	for _, l := range []struct{ name, text string }{{"why", st.Why}, {"risk", st.Risk}, {"wait", st.Wait}} {
		if l.text != "" {
			s.printf("      %s: %s\n", l.name, show(l.text))
		}
	}
	printConsole(s, st)
	printUndo(s, st.Undo)
}

// printUndo says how to go back: in words, or by commands that stand alone in their lines.
func printUndo(s *screen, undo string) {
	if !strings.Contains(undo, "\n") {
		if undo != "" {
			s.printf("      undo: %s\n", show(undo))
		}
		return
	}
	s.printf("      undo:\n")
	for line := range strings.Lines(undo) {
		s.printf("          %s\n", show(strings.TrimSuffix(line, "\n")))
	}
}

// printConsole says how a person does a step. What is to be pasted stands alone in its line.
func printConsole(s *screen, st stepView) {
	c := st.Console
	if c == nil {
		return
	}
	s.printf("      by hand: %s\n", show(c.Path))
	if c.Link != "" {
		s.printf("               %s\n", show(c.Link))
	}
	for _, v := range c.Values {
		s.printf("        %s:\n", show(v.Name))
		for line := range strings.Lines(v.Value) {
			s.printf("          %s\n", show(strings.TrimSuffix(line, "\n")))
		}
	}
	for _, l := range st.Limits {
		s.printf("      limit: %s\n", show(l))
	}
	for _, l := range []struct{ name, text string }{{"done when", c.Expect}, {"checked by", st.Check}} {
		if l.text != "" {
			s.printf("      %s: %s\n", l.name, show(l.text))
		}
	}
}

// plainValue is a value of a field for people.
func plainValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case []any:
		if len(v) == 0 {
			return "nothing"
		}
		out := make([]string, len(v))
		for i, x := range v {
			out[i] = show(fmt.Sprint(x))
		}
		return strings.Join(out, ", ")
	case float64: // of JSON: a number of ours is whole
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		if v == "" {
			return "nothing"
		}
		return show(v)
	}
	return show(fmt.Sprint(v))
}

// printFindings prints problems, those in the way first.
func printFindings(s *screen, all []problemView) {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b problemView) int {
		if a.Blocks == b.Blocks {
			return 0
		}
		if a.Blocks {
			return -1
		}
		return 1
	})
	for _, p := range all {
		word := s.style(yellow, "warning")
		if p.Blocks {
			word = s.style(red, "in the way")
		}
		object := ""
		if p.Object != "" {
			object = " " + p.Object
		}
		s.printf("%s: %s%s: %s\n  -> %s\n", word, p.Code, show(object), show(p.Text), show(p.Do))
	}
}

// printReport prints what is not as wanted: object, field, wanted and found.
func printReport(s *screen, r reportView) {
	for _, d := range r.Drift {
		at, how := "", ""
		if d.Unit != "" {
			at = " in " + d.Unit
		}
		if d.How != "" {
			how = ", " + d.How
		}
		if d.Note != "" {
			how += " (" + d.Note + ")"
		}
		s.printf("%s  %s%s: %s: wanted %s, found %s%s\n", s.style(red, "drift"), show(d.Object), show(at), show(d.Field), plainValue(d.Wanted), plainValue(d.Found), show(how))
	}
	if len(r.Checks) > 0 {
		t := (&table{}).row("SETTING", "STATE", "KNOWN", "FROM, NOTE")
		for _, c := range r.Checks {
			t.row(strings.TrimSpace(c.Object+" "+c.Unit), c.State, c.How, strings.TrimSpace(c.From+" "+c.Note))
			t.paint(1, map[string]string{"right": green, "unknown": magenta}[c.State])
		}
		t.print(s, "")
	}
	printFindings(s, r.Findings)
	if r.Consent != "" {
		s.printf("consent of the remediation application: %s\n", show(r.Consent))
	}
	for _, k := range r.Skipped {
		s.printf("left out: %s\n", show(k))
	}
	style := yellow
	if r.Scanning {
		style = green
	}
	s.printf("%s\n", s.style(style, show(r.Mode)))
	s.printf("%s in order, %s\n", plural(len(r.InOrder), "setting"), inWords(len(r.Drift), r))
}
