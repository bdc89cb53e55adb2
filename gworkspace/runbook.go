package gworkspace

import (
	"fmt"
	"strings"
)

// A Guide is the settings of a profile as instructions for a person. Verify checks them afterwards: the names
// to paste are how it knows the objects.
type Guide struct {
	Title  string   `json:"title"`
	Before []string `json:"before"` // what to have at hand
	Steps  []Step   `json:"steps"`  // in order, each with its Console
	Back   []Step   `json:"back"`   // the way out, in order
	Probes []ByHand `json:"probes"` // how to see that it works, where no program does
}

// Runbook writes the settings of a profile as instructions. With secrets every value can be pasted, and the
// guide has to be kept like them; nil leaves placeholders.
func Runbook(p *Profile, s *Secrets) (*Guide, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if s != nil {
		if err := s.Check(); err != nil {
			return nil, err
		}
	}
	g := &Guide{
		Title: "Put " + strings.Join(p.Domains, ", ") + " behind " + p.product(),
		Before: []string{"An administrator with the privilege Gmail Settings. Super Admin for the steps about API controls.",
			"Write down every value before changing it: the way back needs it.",
			"The names have to be pasted exactly as they stand here, without blanks around them: they are how the settings are found again.",
			"Take the steps in order, and wait where it says so: a change takes up to 24 hours."},
		Steps: p.settings(s), Back: p.back(), Probes: p.byHand(),
	}
	if p.Mode == Reroute {
		g.Before = append(g.Before, "The settings in front of the rule can be made in one sitting. It is before the rule that their time has to be over.")
	}
	if s == nil && p.Mode == Reroute {
		g.Before = append(g.Before, "The loop secret and the tenant secret, from whoever runs the gateway. They stand in no document.")
	}
	if s != nil && p.Mode == Reroute {
		g.Before = append(g.Before, "This document holds secrets: whoever knows them can send mail past the gateway. Delete it when all is done.")
	}
	return g, nil
}

// Markdown writes the guide as a document.
func (g *Guide) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", g.Title)
	for _, s := range g.Before {
		fmt.Fprintf(&b, "- %s\n", s)
	}
	guideSteps(&b, g.Steps)
	if len(g.Probes) > 0 {
		b.WriteString("\n## How to see that it works\n")
	}
	for _, x := range g.Probes {
		x.markdown(&b)
	}
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
		if len(s.Roles) > 0 {
			fmt.Fprintf(b, "\n**Needs:** %s.\n", strings.Join(s.Roles, ", "))
		}
		guideConsole(b, s.Console)
		for _, l := range s.Limits {
			fmt.Fprintf(b, "\n- %s", l)
		}
		if len(s.Limits) > 0 {
			b.WriteString("\n")
		}
		for _, line := range []struct{ name, text string }{{"Checked by", s.Check}, {"Wait", s.Wait}, {"Undo", s.Undo}} {
			switch {
			case strings.Contains(line.text, "\n"): // commands
				fmt.Fprintf(b, "\n**%s:**\n\n```\n%s\n```\n", line.name, strings.ReplaceAll(line.text, "`", "'"))
			case line.text != "":
				fmt.Fprintf(b, "\n**%s:** %s.\n", line.name, strings.TrimSuffix(line.text, "."))
			}
		}
	}
}

func guideConsole(b *strings.Builder, c *Console) {
	if c == nil {
		return
	}
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

// cell makes text fit for a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", "<br>").Replace(s)
}

// code shows lines to paste, each on its own. A bar inside of a table is escaped, which what shows the
// document takes away again.
func code(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = "`" + strings.ReplaceAll(strings.ReplaceAll(l, "`", "'"), "|", "\\|") + "`"
	}
	return strings.Join(lines, "<br>")
}
