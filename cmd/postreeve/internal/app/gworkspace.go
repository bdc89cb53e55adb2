package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/gworkspace"
)

type gworkspaceCmd struct {
	Plan      gworkspacePlanCmd      `cmd:"" help:"Show the steps that are left, with what to click and to paste."`
	Verify    gworkspaceVerifyCmd    `cmd:"" help:"Say what is right, wrong, missing, overridden or off, and how that is known."`
	Runbook   gworkspaceRunbookCmd   `cmd:"" help:"Write all steps, and the way out, as a document."`
	Offboard  gworkspaceOffboardCmd  `cmd:"" help:"Show the steps that are left of the way out."`
	Remediate gworkspaceRemediateCmd `cmd:"" help:"Take back delivered mail, or give it back."`
	Secrets   gworkspaceSecretsCmd   `cmd:"" help:"Make, replace and settle the secrets of the loop and of the tenant."`
}

func (gworkspaceCmd) Help() string {
	return `Puts a Google Workspace tenant behind the gateway and takes it out again. Google has no API that writes these settings: a person makes them, and this reads back whatever can be read. Each result says read, inferred or told.

Example:
  postreeve gworkspace secrets google.json
  postreeve gworkspace runbook --profile ex.yaml --secrets google.json
  postreeve gworkspace verify --profile ex.yaml --key-file key.json \
    -c postreeve.yaml --secrets google.json --probe pilot@ex.net

` + codesOfTenants
}

// gworkspaceFlags are what all commands take that read a tenant.
type gworkspaceFlags struct {
	Profile string `placeholder:"FILE" help:"What is wanted, in YAML or JSON."`
	gworkspaceAuth
	Config  string   `short:"c" placeholder:"FILE" help:"The configuration of the gateway: compared with the profile, and where its ledger and queue are."`
	Secrets string   `placeholder:"FILE" help:"The secrets of the loop and the tenant, as postreeve gworkspace secrets makes them: compared with what the rule looks for."`
	Done    []string `placeholder:"STEP" help:"A person says that this step is done; counts for what cannot be read, and beyond this call only with --told."`
	NotDone []string `placeholder:"STEP" help:"A person says that it is not, or not any more: takes back what was said with --done."`
	Told    string   `placeholder:"FILE" help:"Keep what was said with --done and --not-done here, and when, and read it: for later calls, and for the waits that count from it."`
	By      string   `placeholder:"NAME" help:"Who said it; by default the user."`
	MXMoved string   `name:"mx-moved" enum:"profile,yes,no" default:"profile" help:"Whether the MX records name the gateway and their old TTL is over: yes or no, instead of what the profile says."`
	NoWait  bool     `help:"Send no probes and connect to no host; says what was left out."`
	dnsFlags
	resultFlags
}

// readProfile reads the profile and takes over what the flags say.
func (f *gworkspaceFlags) readProfile(e *env) (*gworkspace.Profile, error) {
	if f.Profile == "" {
		return nil, usage(e, "--profile is missing: it says what is wanted of the tenant")
	}
	p, err := loadProfile(e, f.Profile, (*gworkspace.Profile).Check)
	if err != nil {
		return nil, err
	}
	if f.MXMoved != "profile" {
		p.MXMoved = f.MXMoved == "yes"
	}
	return p, nil
}

// open makes what a command works with, but for the gateway.
func (f *gworkspaceFlags) open(e *env) (*gworkspace.Tenant, error) {
	if err := f.mailFlags.valid(e); err != nil {
		return nil, err
	}
	p, err := f.readProfile(e)
	if err != nil {
		return nil, err
	}
	t := &gworkspace.Tenant{Profile: p, Progress: func(text string, until time.Time) {
		e.err.printf("%s, until %s at most\n", show(text), until.Local().Format("15:04:05"))
	}}
	if t.Secrets, err = readSecrets("--secrets ", f.Secrets); err != nil {
		return nil, err
	}
	if t.Told, err = f.told(e, p); err != nil {
		return nil, err
	}
	if t.LookupMX, err = f.lookup(e); err != nil {
		return nil, err
	}
	admin := f.Admin
	if admin == "" && p.Access != nil {
		admin = p.Access.Admin
	}
	t.Client, err = f.client(e, admin)
	return t, err
}

// openWith is open together with the gateway, which the caller closes.
func (f *gworkspaceFlags) openWith(e *env, probe *probeFlags) (*gworkspace.Tenant, *ourSide, error) {
	if probe != nil {
		if err := probe.valid(e, f.NoWait); err != nil {
			return nil, nil, err
		}
	}
	t, err := f.open(e)
	if err != nil {
		return nil, nil, err
	}
	side, err := f.side(e)
	if err != nil {
		return nil, nil, err
	}
	t.Gateway, t.Backlog = side.facts(f.Config, t.Profile), side.backlog(t.Profile)
	if !f.NoWait {
		t.CheckHost = f.hostCheck(e).Check
		if probe != nil {
			t.Probes, err = probe.probes(e, t.Profile, side)
		}
	}
	if err != nil {
		side.close()
	}
	return t, side, err
}

// hostCheck finds hosts as the flags say.
func (f *gworkspaceFlags) hostCheck(e *env) gworkspace.HostCheck {
	servers, err := f.servers(e)
	if err != nil || len(servers) == 0 { // lookup has refused what is wrong
		return gworkspace.HostCheck{}
	}
	d := &net.Dialer{Resolver: newResolver(servers)}
	return gworkspace.HostCheck{Dial: d.DialContext}
}

// readSecrets reads secrets. Errors begin with who named the file.
func readSecrets(who, path string) (*gworkspace.Secrets, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", who, path, withoutPath(err))
	}
	defer f.Close()
	s, err := gworkspace.ReadSecrets(f)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %s", who, path, strings.TrimPrefix(err.Error(), "gworkspace: secrets: "))
	}
	return s, nil
}

// told are the answers from before with those of the flags, which keepTold keeps.
func (f *gworkspaceFlags) told(e *env, p *gworkspace.Profile) ([]gworkspace.Answer, error) {
	all, err := readTold(f.Told)
	if err != nil {
		return nil, err
	}
	said, err := f.said(e, p)
	return append(all, said...), err
}

// keepTold keeps what the flags say, after all that may refuse the command: one that is refused changes nothing.
func (f *gworkspaceFlags) keepTold(e *env, t *gworkspace.Tenant) error {
	switch {
	case len(f.Done)+len(f.NotDone) == 0:
		return nil
	case f.Told == "":
		e.err.printf("what was said counts for this call alone, and so do waits that count from it: keep it with --told FILE\n")
		return nil
	}
	return writeJSON(f.Told, t.Told)
}

// readTold returns nothing for a file that is not there yet.
func readTold(path string) ([]gworkspace.Answer, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []gworkspace.Answer
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("--told %s: %w", path, withoutPath(err))
	}
	return all, nil
}

// said are the answers of the flags.
func (f *gworkspaceFlags) said(e *env, p *gworkspace.Profile) ([]gworkspace.Answer, error) {
	if len(f.Done)+len(f.NotDone) == 0 {
		return nil, nil
	}
	guide, err := gworkspace.Runbook(p, nil)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range slices.Concat(guide.Steps, guide.Back) {
		if !slices.Contains(ids, s.ID) {
			ids = append(ids, s.ID)
		}
	}
	by := f.By
	if u, err := user.Current(); err == nil && by == "" {
		by = u.Username
	}
	var out []gworkspace.Answer
	at := time.Now().UTC().Truncate(time.Second)
	for _, x := range []struct {
		flag string
		ids  []string
		done bool
	}{{"--done", f.Done, true}, {"--not-done", f.NotDone, false}} {
		for _, id := range x.ids {
			switch {
			case !slices.Contains(ids, id):
				return nil, usage(e, "%s %s: there is no such step: %s", x.flag, id, config.Suggest(id, ids))
			case foundOut[id] != "":
				return nil, usage(e, "%s %s: %s", x.flag, id, foundOut[id])
			case x.done && slices.Contains(f.NotDone, id):
				return nil, usage(e, "--done %s and --not-done %[1]s: one of them", id)
			}
			out = append(out, gworkspace.Answer{Step: id, Done: x.done, By: by, At: at})
		}
	}
	return out, nil
}

// foundOut says how a step is found out about which no answer of a person counts.
var foundOut = map[string]string{
	"access":      "nobody has to say it: that a token is given for each of the scopes shows it, and nothing else does. Give --key-file, or leave access out of the profile if nobody reads",
	"remediation": "nobody has to say it: that a token is given for each of the scopes shows it, and nothing else does. Give --key-file, and --mail-key-file for an account of its own",
	"mx":          "nobody has to say it: the MX records are looked up",
}
