package gworkspace

import (
	"fmt"
	"regexp"
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
		b.WriteString("\n## How to see that it works\n\nWhat stands in capitals is to be replaced: YOU@OUTSIDE by a mailbox of yours elsewhere, PILOT by one that the gateway protects.\n")
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
				fmt.Fprintf(b, "\n**%s:**\n\n", line.name)
				codeBlock(b, "", line.text)
			case isCommand(line.text):
				fmt.Fprintf(b, "\n**%s:** %s\n", line.name, inlineCode(line.text))
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
	b.WriteString("\n")
	guideValues(b, c.Values)
	fmt.Fprintf(b, "\n**Done when:** %s\n", c.Expect)
}

// guideValues lists what to paste. No table: in one, a bar would have to be escaped, and whoever copies from the
// text instead of from what it is shown as would paste another pattern or command.
func guideValues(b *strings.Builder, values []Value) {
	for _, v := range values {
		if !strings.Contains(v.Value, "\n") {
			fmt.Fprintf(b, "- **%s:** %s\n", v.Name, inlineCode(v.Value))
			continue
		}
		fmt.Fprintf(b, "- **%s:**\n\n", v.Name)
		codeBlock(b, "  ", v.Value)
		b.WriteString("\n")
	}
}

// inlineCode shows text as it is: its fence is longer than any in it (CommonMark section 6.1).
func inlineCode(s string) string {
	fence := fenceFor(s, 1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

// codeBlock shows lines as they are (CommonMark section 4.5).
func codeBlock(b *strings.Builder, indent, s string) {
	fence := fenceFor(s, 3)
	b.WriteString(indent + fence + "\n")
	for line := range strings.SplitSeq(s, "\n") {
		b.WriteString(strings.TrimRight(indent+line, " ") + "\n")
	}
	b.WriteString(indent + fence + "\n")
}

func fenceFor(s string, least int) string {
	run, longest := 0, 0
	for _, r := range s {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	if longest < least {
		return strings.Repeat("`", least)
	}
	return strings.Repeat("`", longest+1)
}

// cmdlet begins a command of PowerShell.
var cmdlet = regexp.MustCompile(`^[A-Z][a-z]+-[A-Z][A-Za-z]+ `)

// isCommand says whether a line is to be run as it stands, so that nothing may be put behind it.
func isCommand(s string) bool {
	if cmdlet.MatchString(s) {
		return true
	}
	return (strings.HasPrefix(s, "postreeve ") || strings.HasPrefix(s, "postconf ")) && !strings.Contains(s, ": ") && !strings.Contains(s, ", ")
}
