package app

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

type versionCmd struct {
	JSON bool `help:"Print an object instead."`
}

func (versionCmd) Help() string {
	return `Example:
  postreeve version --json`
}

// build is what this program was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the sources differed from the commit
	Time     string `json:"time,omitempty"`     // of the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() build {
	b := build{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "(devel)" {
		b.Version = cmp.Or(v, b.Version)
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "vcs.time":
			b.Time = s.Value
		}
	}
	return b
}

// Run prints the version.
func (c *versionCmd) Run(e *env) error {
	b := readBuild()
	if c.JSON {
		e.out.line(b)
	} else {
		e.out.printf("%s", b)
	}
	return e.out.failed()
}

// String is what a person reads, in lines.
func (b build) String() string {
	commit := cmp.Or(b.Commit, "unknown")
	if b.Modified {
		commit += " (modified)"
	}
	return fmt.Sprintf("postreeve %s\ncommit %s\n%s %s\n", b.Version, commit, b.Go, b.Platform)
}

// versionFlag is --version, which people try before they read.
type versionFlag bool

// BeforeReset prints the version instead of running a command.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	_, err := fmt.Fprint(app.Stdout, readBuild())
	app.Exit(exitOK)
	return err
}
