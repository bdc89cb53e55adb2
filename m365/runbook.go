package m365

import (
	"fmt"
	"slices"
	"strings"
)

// A Guide is the settings of a profile as instructions for a person, who does them in the admin centers. Verify
// checks them afterwards: the comments to paste are how it knows the objects.
type Guide struct {
	Title  string   `json:"title"`
	Before []string `json:"before"` // what to have at hand
	Steps  []Step   `json:"steps"`  // in order, each with its Console
	Back   []Step   `json:"back"`   // the way out, in order
}

const (
	domainsLink = "https://admin.microsoft.com/#/Domains"
	appsLink    = "https://entra.microsoft.com/#view/Microsoft_AAD_IAM/StartboardApplicationsMenuBlade/~/AppAppsPreview"
)

// Runbook writes the settings of a profile as instructions.
func Runbook(p *Profile) (*Guide, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	g := &Guide{
		Title: "Put " + strings.Join(p.Domains, ", ") + " behind " + p.product(),
		Before: []string{"The directory roles Exchange Administrator and Security Administrator.",
			"Write down every value before changing it: the way back needs it.",
			"The names and comments have to be pasted exactly as they stand here.",
			"Stop and ask if there is a rule that sends mail through another connector, a connector of a hybrid deployment (\"Inbound from …\", \"Outbound to …\"), " +
				"or a connector that refuses mail from other addresses: mail could go round in circles or be refused."},
	}
	if p.Mode == EOPFirst {
		g.Before = append(g.Before, "The secret of the loop, from whoever runs the gateway. It stands in no document.")
	}
	settings := p.settings(facts{moved: MXYes, tokens: []string{shownSecret}})
	for _, s := range settings {
		if s.id == idLockOn {
			mx := p.mxStep()
			mx.Console.Link = domainsLink
			g.Steps = append(g.Steps, mx)
		}
		g.Steps = append(g.Steps, p.guideStep(s))
	}
	g.Back = p.guideBack(settings)
	return g, nil
}

func (p *Profile) guideStep(s *setting) Step {
	verb := VerbUpdate
	switch {
	case s.of != "":
		verb = VerbEnable
	case s.kind.owned(), s.kind == kindPrincipal, s.kind == kindConsent:
		verb = VerbCreate
	}
	var diffs []Diff
	for _, f := range slices.Concat(s.fields, s.made) {
		if !f.empty() {
			diffs = append(diffs, Diff{Name: f.name, After: f.show(f.normal(), nil)})
		}
	}
	st := s.step(verb, diffs)
	c := s.console
	c.Values = slices.Clone(c.Values)
	if s.kind.owned() && s.of == "" {
		field := "Comments"
		if s.kind != kindRule {
			field = "Description"
		}
		c.Values = append(c.Values, Value{field, p.markText(s.id)})
	}
	switch off := slices.ContainsFunc(s.made, func(f field) bool { return f.name == "Enabled" }); {
	case off:
		c.Values = append(c.Values, Value{"Leave it turned off", "a later step turns it on"})
	case s.kind == kindRule && s.of == "": // the admin center makes rules that are off
		c.Values = append(c.Values, Value{"When it is made: open it in the list, Enable or disable rule", "Enabled"})
		c.Expect = "The rule " + s.name + " is in the list, and enabled."
	}
	st.Console = &c
	return st
}

// guideBack is the way out: what sends mail to the gateway first, what it needs to come back last.
func (p *Profile) guideBack(settings []*setting) []Step {
	var out []Step
	add := func(id, title, why, wait string, verb Verb, s *setting, c Console) {
		c.Link = first(c.Link, s.console.Link)
		out = append(out, Step{ID: id, Title: title, Object: s.objectName(), Verb: verb, Why: why, Wait: wait, Console: &c})
	}
	if s := byID(settings, idLock); s != nil {
		add(idLock+".off", "Turn off "+s.objectName(), "Mail that comes in directly again must not be refused.", "", VerbDisable, s,
			Console{Path: "Exchange admin center > Mail flow > Connectors > " + s.name + " > turn off", Expect: "It is shown as off."})
		mx := p.mxBackStep()
		mx.Console.Link, mx.Needs = domainsLink, nil
		out = append(out, mx)
	}
	if s := byID(settings, idRedirect); s != nil {
		add(idRedirect+".off", "Turn off "+s.objectName(), "No more mail goes to the gateway; what is there comes back while everything it needs still stands.",
			"30 minutes at least, until no more mail goes to the gateway and its queue is empty", VerbDisable, s,
			Console{Path: "Exchange admin center > Mail flow > Rules > " + s.name + " > disable", Expect: "It is shown as disabled."})
	}
	for _, id := range undoOrder {
		s := byID(settings, id)
		switch {
		case s == nil:
		case s.kind.owned(), s.kind == kindPrincipal:
			add(id+".remove", "Remove "+s.objectName(), "It was made for the gateway.", "", VerbRemove, s,
				Console{Path: strings.Split(s.console.Path, " > Add")[0] + " > " + s.name + " > delete", Expect: "It is no longer in the list."})
		case s.kind == kindConsent:
			add(id+".revoke", "Revoke the consent", "Stopping to use the application leaves its rights in the tenant.", "", VerbRemove, s,
				Console{Path: "Microsoft Entra admin center > Enterprise applications > the application > Properties > Delete", Link: appsLink,
					Values: s.console.Values, Expect: "It is no longer listed."})
		default:
			add(id+".restore", "Restore "+s.objectName(), s.undo, "", VerbRestore, s,
				Console{Path: s.console.Path, Values: formerly(s.console.Values), Expect: "What was written down before stands there again; entries of others are untouched."})
		}
	}
	return out
}

// formerly says of each value that was set what it goes back to.
func formerly(values []Value) []Value {
	var out []Value
	for _, v := range values {
		out = append(out, Value{v.Name, "as written down before; not: " + v.Value})
	}
	return out
}

// Markdown writes the guide as a document.
func (g *Guide) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", g.Title)
	for _, s := range g.Before {
		fmt.Fprintf(&b, "- %s\n", s)
	}
	guideSteps(&b, g.Steps)
	b.WriteString("\n## The way out\n")
	guideSteps(&b, g.Back)
	return b.String()
}

func guideSteps(b *strings.Builder, steps []Step) {
	for i, s := range steps {
		fmt.Fprintf(b, "\n### %d. %s\n\n%s\n", i+1, s.Title, s.Why)
		if s.Risk != "" {
			fmt.Fprintf(b, "\n**Risk:** %s\n", s.Risk)
		}
		if c := s.Console; c != nil {
			fmt.Fprintf(b, "\n%s", c.Path)
			if c.Link != "" {
				fmt.Fprintf(b, " (<%s>)", c.Link)
			}
			b.WriteString("\n")
			if len(c.Values) > 0 {
				b.WriteString("\n| Field | Value |\n|---|---|\n")
			}
			for _, v := range c.Values {
				fmt.Fprintf(b, "| %s | %s |\n", cell(v.Name), code(v.Value))
			}
			fmt.Fprintf(b, "\n**Done when:** %s\n", c.Expect)
		}
		if s.Wait != "" {
			fmt.Fprintf(b, "\n**Wait:** %s.\n", strings.TrimSuffix(s.Wait, "."))
		}
	}
}

// cell makes text fit for a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", "<br>").Replace(s)
}

// code shows lines to paste, each on its own.
func code(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = "`" + strings.ReplaceAll(strings.ReplaceAll(l, "`", "'"), "|", "\\|") + "`"
	}
	return strings.Join(lines, "<br>")
}
