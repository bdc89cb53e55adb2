package app

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/postreeve/postreeve/gworkspace"
)

type gworkspaceSecretsCmd struct {
	File   string `arg:"" placeholder:"FILE" help:"Where they stand, for their owner alone."`
	Rotate bool   `help:"Put new ones in front and keep the ones before: both are good."`
	Settle bool   `help:"Forget the ones before, when the rule was changed 48 hours ago."`
	Force  bool   `help:"With --settle: although 48 hours are not over. Mail bounces if the rule does not know the new one."`
}

func (gworkspaceSecretsCmd) Help() string {
	return `Makes the secret that the gateway stamps on what it scanned and the one that Google adds to what it sends. Beside FILE it writes FILE.loop, FILE.tenant and, while one is replaced, FILE.tenant.old, for the configuration of the gateway:

  token: file:FILE.loop
  upstream: {tenant-token: ["file:FILE.tenant", "file:FILE.tenant.old"]}

The secrets themselves are never printed: --secrets FILE of plan --reveal and runbook puts them where they are pasted.

Replacing them without losing mail: --rotate, then change the rule as plan --reveal says, wait 48 hours, --settle, reload the gateway, and take the old secret out of the rule. Until --settle FILE.loop stays what it was: a new one that the rule does not look for yet would be a loop. A call that was cut short is made good by the same call.

Example:
  postreeve gworkspace secrets google.json
  postreeve gworkspace secrets google.json --rotate

Exit codes: 0 written, 1 error, 64 wrong usage.`
}

// settleAfter is how long the rule may take until it has effect everywhere.
const settleAfter = 48 * time.Hour

// Run makes or replaces them.
func (c *gworkspaceSecretsCmd) Run(e *env) error {
	old, err := readSecrets("", c.File)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case c.Rotate && c.Settle:
		return usage(e, "--rotate and --settle: one after the other, 48 hours apart")
	case c.Force && !c.Settle:
		return usage(e, "--force goes with --settle")
	case err != nil && !missing:
		return err
	case missing && (c.Rotate || c.Settle):
		return usage(e, "%s is not there: make it first, without --rotate and --settle", c.File)
	case missing:
		return c.write(e, gworkspace.NewSecrets(), "Put the lines of --help into the configuration of the gateway.")
	}
	// An earlier call may have been cut short behind FILE.
	whole, err := c.beside(old)
	if err != nil {
		return err
	}
	switch {
	case c.Rotate && len(old.Tenant)+len(old.Loop) > 2:
		return usage(e, "%s holds two of each already: another one would forget what the rule may still use. Change the rule, wait 48 hours, then --settle", c.File)
	case c.Rotate:
		return c.write(e, old.Rotate(), "The gateway takes both secrets of the tenant within seconds, and goes on stamping the old one of the loop.\n"+
			"Next: change the rule as postreeve gworkspace plan --secrets "+show(c.File)+" --reveal says, wait 48 hours, then --settle.")
	case c.Settle:
		if err := c.early(e, old); err != nil {
			return err
		}
		return c.write(e, old.Settle(), "Next: reload the gateway, which then stamps the new secret of the loop, and take the old one out of the rule.")
	case !whole:
		return c.told(e, "an earlier call was cut short: it is made good.")
	}
	return usage(e, "%s is there already: --rotate replaces what is in it", c.File)
}

// early refuses to forget what the rule cannot have been without for long enough.
func (c *gworkspaceSecretsCmd) early(e *env, old *gworkspace.Secrets) error {
	if c.Force || len(old.Loop)+len(old.Tenant) < 3 {
		return nil
	}
	fi, err := os.Stat(c.File)
	if err != nil {
		return err
	}
	if left := settleAfter - time.Since(fi.ModTime()); left > 0 {
		return usage(e, "%s was written at %s: the rule cannot have been changed 48 hours ago. Come back in %s; --force does it now", c.File,
			fi.ModTime().UTC().Format(time.RFC3339), max(left.Round(time.Minute), time.Minute))
	}
	return nil
}

// write keeps the secrets. FILE is what counts, so it comes before what follows from it.
func (c *gworkspaceSecretsCmd) write(e *env, now *gworkspace.Secrets, next string) error {
	var all bytes.Buffer
	if err := now.Write(&all); err != nil {
		return err
	}
	if err := writeOut(c.File, all.Bytes()); err != nil {
		return err
	}
	if _, err := c.beside(now); err != nil {
		return err
	}
	return c.told(e, next)
}

// beside writes what the gateway reads, the secret from before first, so that at any moment it takes the one that
// Google adds. It leaves alone what is right already, and says whether all of it was.
func (c *gworkspaceSecretsCmd) beside(now *gworkspace.Secrets) (whole bool, err error) {
	whole = true
	put := func(name, secret string) {
		if have, rerr := os.ReadFile(name); err != nil || rerr == nil && string(have) == secret+"\n" {
			return
		}
		whole = false
		err = writeOut(name, []byte(secret+"\n"))
	}
	if len(now.Tenant) > 1 {
		put(c.File+".tenant.old", now.Tenant[1])
	}
	put(c.File+".tenant", now.Tenant[0])
	put(c.File+".loop", now.Stamped())
	if err != nil || len(now.Tenant) > 1 {
		return whole, err
	}
	if err := os.Remove(c.File + ".tenant.old"); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return whole, nil
}

func (c *gworkspaceSecretsCmd) told(e *env, next string) error {
	e.out.printf("written to %s, and for the gateway to %[1]s.loop and %[1]s.tenant\n%s\n", show(c.File), next)
	return e.out.failed()
}
