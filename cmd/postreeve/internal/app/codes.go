package app

import (
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/verdict"
)

type codesCmd struct {
	Prefix   string `arg:"" optional:"" help:"Only codes that begin like this: auth, attachment.archive."`
	Config   string `short:"c" placeholder:"FILE" help:"With the weights of this configuration."`
	JSON     bool   `help:"Print an object a line: code meaning reason class score."`
	Markdown bool   `help:"Print the page of the documentation."`
}

func (codesCmd) Help() string {
	return `A code says what was found; it is never renamed. Its class is what the finding makes a message alone: unknown stands for evidence only. Its score is what it weighs where evidence adds up: a message is spam from 5 on (scan.spam-score), and of one scanner each code counts once. weights in the configuration changes both.

Example:
  postreeve codes auth

Exit codes: 0; 1 no code begins like this.`
}

// coded is the line of one code.
type coded struct {
	Code    string        `json:"code"`
	Meaning string        `json:"meaning"`
	Reason  string        `json:"reason"`
	Class   verdict.Class `json:"class"`
	Score   float64       `json:"score"`
}

// Run lists.
func (c *codesCmd) Run(e *env) error {
	list, err := c.list()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("no code begins with %s", c.Prefix)
	}
	switch {
	case c.JSON:
		for _, l := range list {
			e.out.line(l)
		}
	case c.Markdown:
		e.out.printf("%s", codesPage(list))
	default:
		t := (&table{}).row("CODE", "CLASS", "SCORE", "WHAT, AND WHY IT WEIGHS THAT")
		for _, l := range list {
			class, style := l.Class.String(), classStyle(l.Class)
			if l.Class == verdict.Unknown {
				class, style = "-", ""
			}
			t.row(l.Code, class, fmt.Sprintf("%g", l.Score), l.Meaning+" ("+l.Reason+")")
			t.paint(1, style)
		}
		t.print(e.out, "")
	}
	return e.out.failed()
}

func (c *codesCmd) list() ([]coded, error) {
	var weights map[string]config.Weight
	if c.Config != "" {
		cfg, err := config.Load(c.Config)
		if err != nil {
			return nil, err
		}
		weights = cfg.Weights
	}
	var out []coded
	for _, k := range verdict.Codes() {
		if !strings.HasPrefix(k.Code, c.Prefix) {
			continue
		}
		l := coded{k.Code, k.Meaning, k.Reason, k.Class, k.Score}
		if w := weights[k.Code]; w.Class != nil {
			l.Class = *w.Class
		}
		if w := weights[k.Code]; w.Score != nil {
			l.Score = *w.Score
		}
		out = append(out, l)
	}
	return out, nil
}

// codesPage is CODES.md.
func codesPage(list []coded) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What scanners find

Written by %[1]spostreeve codes --markdown%[1]s. A code is never renamed. *Class* is what a finding makes a message alone;
where there is none it is evidence only. *Score* is what it weighs where evidence adds up: a message is spam from
%[2]g on (%[1]sscan.spam-score%[1]s), of one scanner each code counts once, and no score alone makes a message malicious unless
%[1]sscan.malicious-score%[1]s says so. %[1]sweights%[1]s in the configuration changes class and score of a code.
`, "`", float64(verdict.DefaultSpamScore))
	noun := ""
	for _, l := range list {
		if n, _, _ := strings.Cut(l.Code, "."); n != noun {
			noun = n
			fmt.Fprintf(&b, "\n## %s\n\n| code | class | score | what | why |\n|---|---|---|---|---|\n", noun)
		}
		class := l.Class.String()
		if l.Class == verdict.Unknown {
			class = ""
		}
		fmt.Fprintf(&b, "| `%s` | %s | %g | %s | %s |\n", l.Code, class, l.Score, cell(l.Meaning), cell(l.Reason))
	}
	return b.String()
}

// cell makes text fit for a cell of a table in Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "*", `\*`).Replace(s)
}
