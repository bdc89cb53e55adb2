package app

import (
	"path/filepath"
	"strings"

	"github.com/postreeve/postreeve/m365"
)

type m365ScriptCmd struct {
	Profile  string `required:"" placeholder:"FILE" help:"What is wanted, in YAML or JSON."`
	Offboard bool   `help:"Print the script that takes it out again."`
	outFlags
}

func (m365ScriptCmd) Help() string {
	return `Writes PowerShell that does what apply does, for admins who grant no access. It can be run any number of times, keeps a state file, and asks for the secret of the loop or reads it from a file: the secret is not in it. With --out the script that takes everything out again is written beside it, with -offboard in its name.

Example:
  postreeve m365 script --profile ex.yaml --out ex.ps1

Exit codes: 0 written, 1 error.`
}

// Run writes.
func (c *m365ScriptCmd) Run(e *env) error {
	p, err := loadProfile(e, c.Profile, (*m365.Profile).Check)
	if err != nil {
		return err
	}
	apply, offboard, err := m365.Script(p)
	if err != nil {
		return err
	}
	both := map[string]string{"apply": string(apply), "offboard": string(offboard)}
	if c.Offboard {
		return c.giveText(e, string(offboard), both)
	}
	if c.Out != "" {
		ext := filepath.Ext(c.Out)
		back := strings.TrimSuffix(c.Out, ext) + "-offboard" + ext
		if err := writeOut(back, offboard); err != nil {
			return err
		}
		e.err.printf("the way back is written to %s\n", show(back))
	}
	return c.giveText(e, string(apply), both)
}

type m365RunbookCmd struct {
	Profile string `required:"" placeholder:"FILE" help:"What is wanted, in YAML or JSON."`
	outFlags
}

func (m365RunbookCmd) Help() string {
	return `Writes numbered steps in Markdown, with links to the admin pages, what to paste, what to see, and the way out, for those who do it by hand. postreeve m365 verify checks it afterwards.

Example:
  postreeve m365 runbook --profile ex.yaml --out ex.md

Exit codes: 0 written, 1 error.`
}

// Run writes.
func (c *m365RunbookCmd) Run(e *env) error {
	p, err := loadProfile(e, c.Profile, (*m365.Profile).Check)
	if err != nil {
		return err
	}
	g, err := m365.Runbook(p)
	if err != nil {
		return err
	}
	return c.giveText(e, g.Markdown(), g)
}
