package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/postreeve/postreeve/gworkspace"
)

type gworkspaceSecretsCmd struct {
	File   string `arg:"" placeholder:"FILE" help:"Where they stand, for their owner alone."`
	Rotate bool   `help:"Put new ones in front and keep the ones before: both are good."`
	Settle bool   `help:"Forget the ones before, when the rule was changed 48 hours ago."`
}

func (gworkspaceSecretsCmd) Help() string {
	return `Makes the secret that the gateway stamps on what it scanned and the one that Google adds to what it sends. Beside FILE it writes FILE.loop, FILE.tenant and, while one is replaced, FILE.tenant.old, for the configuration of the gateway:

  token: file:FILE.loop
  upstream: {tenant-token: ["file:FILE.tenant", "file:FILE.tenant.old"]}

The secrets themselves are never printed: --secrets FILE of plan --reveal and runbook puts them where they are pasted.

Example:
  postreeve gworkspace secrets google.json
  postreeve gworkspace secrets google.json --rotate

Exit codes: 0 written, 1 error, 64 wrong usage.`
}

// Run makes or replaces them.
func (c *gworkspaceSecretsCmd) Run(e *env) error {
	old, err := readSecrets(c.File)
	missing := errors.Is(err, fs.ErrNotExist)
	var now *gworkspace.Secrets
	switch {
	case c.Rotate && c.Settle:
		return usage(e, "--rotate and --settle: one after the other, 48 hours apart")
	case err != nil && !missing:
		return err
	case missing && (c.Rotate || c.Settle):
		return usage(e, "%s is not there: make it first, without --rotate and --settle", c.File)
	case missing:
		now = gworkspace.NewSecrets()
	case c.Rotate:
		now = old.Rotate()
	case c.Settle:
		now = old.Settle()
	default:
		return usage(e, "%s is there already: --rotate replaces what is in it", c.File)
	}
	var all bytes.Buffer
	if err := now.Write(&all); err != nil {
		return err
	}
	files := map[string]string{c.File: all.String(), c.File + ".loop": now.Loop[0] + "\n", c.File + ".tenant": now.Tenant[0] + "\n"}
	if len(now.Tenant) > 1 {
		files[c.File+".tenant.old"] = now.Tenant[1] + "\n"
	} else if err := os.Remove(c.File + ".tenant.old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for name, text := range files {
		if err := writeOut(name, []byte(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	e.out.printf("written to %s, and for the gateway to %[1]s.loop and %[1]s.tenant\n", show(c.File))
	return e.out.failed()
}
