package app

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/postreeve/postreeve/m365"
)

type m365Cmd struct {
	Plan      m365PlanCmd      `cmd:"" help:"Show what has to change in a tenant, field by field."`
	Apply     m365ApplyCmd     `cmd:"" help:"Do it, journal first; goes on where it stopped."`
	Verify    m365VerifyCmd    `cmd:"" help:"Say what is not as wanted."`
	Script    m365ScriptCmd    `cmd:"" help:"Write the same as PowerShell, with its way back."`
	Runbook   m365RunbookCmd   `cmd:"" help:"Write the same as instructions for a person."`
	Offboard  m365OffboardCmd  `cmd:"" help:"Take a tenant out again, or what another product left."`
	Remediate m365RemediateCmd `cmd:"" help:"Take back delivered mail, or give it back."`
}

func (m365Cmd) Help() string {
	return `Puts a Microsoft 365 tenant behind the gateway and takes it out again. A profile says what is wanted; the journal directory has what was done, the state before it, and the secret of the mail loop, which stands there and nowhere else.

Example:
  postreeve m365 plan --profile ex.yaml --journal ex --out plan.json
  postreeve m365 apply --plan plan.json --journal ex
  postreeve m365 verify --profile ex.yaml --journal ex

` + codesOfTenants
}

// m365Flags are what all commands take that talk to a tenant.
type m365Flags struct {
	Profile string `placeholder:"FILE" help:"What is wanted, in YAML or JSON."`
	Tenant  string `placeholder:"ID" help:"The tenant: its id or one of its domains. By default the first domain of the profile."`
	m365Auth
	Journal string `placeholder:"DIR" help:"Where the journal, the snapshot and the secret of the loop stand."`
	MXMoved string `name:"mx-moved" enum:"unknown,yes,no,ask-dns" default:"unknown" help:"Whether the MX records name the gateway: yes, no or ask-dns. For mode mx-first."`
	NoWait  bool   `help:"Neither wait for effects nor send probes; says what was left out."`
	Force   bool   `help:"Also overwrite and remove what somebody changed after us."`
	dnsFlags
	resultFlags
}

// readProfile reads the profile, which some commands can do without.
func (f *m365Flags) readProfile(e *env, required bool) (*m365.Profile, error) {
	if f.Profile == "" {
		if required {
			return nil, usage(e, "--profile is missing: it says what is wanted of the tenant")
		}
		return nil, nil
	}
	return loadProfile(e, f.Profile, (*m365.Profile).Check)
}

// openProfile reads the profile and makes what a command works with that cannot do without one.
func (f *m365Flags) openProfile(e *env) (*m365.Tenant, error) {
	p, err := f.readProfile(e, true)
	if err != nil {
		return nil, err
	}
	return f.open(e, p)
}

// open makes what a command works with. p may be nil.
func (f *m365Flags) open(e *env, p *m365.Profile) (*m365.Tenant, error) {
	if err := f.mailFlags.valid(e); err != nil {
		return nil, err
	}
	tenant := f.Tenant
	if tenant == "" && p != nil {
		tenant = p.Domains[0]
	}
	if tenant == "" {
		return nil, usage(e, "--tenant is missing: give the id of the tenant or one of its domains")
	}
	tokens, graph, err := f.sources(e, tenant)
	if err != nil {
		return nil, err
	}
	cloud, err := m365.CloudByName(f.Cloud)
	if err != nil {
		return nil, err
	}
	t := &m365.Tenant{Profile: p, Journal: f.Journal, NoWait: f.NoWait, Force: f.Force, Progress: (&m365Progress{out: e.err}).tell}
	if t.LookupMX, err = f.lookup(e); err != nil {
		return nil, err
	}
	if f.MXMoved != "unknown" {
		t.MX = m365.MXState(f.MXMoved)
	}
	t.Exchange, err = m365.NewClient(m365.ClientConfig{Tenant: tenant, Tokens: tokens, Cloud: cloud, BaseURL: f.ExchangeURL, Admin: f.Admin})
	if err != nil {
		return nil, err
	}
	if graph == nil {
		return t, nil
	}
	t.Graph, err = m365.NewGraph(m365.GraphConfig{Tokens: graph, Cloud: cloud, BaseURL: f.GraphURL})
	return t, err
}

// m365Progress prints what happens during a run.
type m365Progress struct {
	out  *screen
	last string
}

func (p *m365Progress) tell(ev m365.Event) {
	what := cmp.Or(ev.Title, ev.Step)
	switch ev.What {
	case m365.EventStart, m365.EventWrite:
		return
	case m365.EventWait:
		if ev.Text == "" {
			ev.Text = "its effect"
		}
		what += ": waiting for " + strings.TrimPrefix(ev.Text, "waiting for ")
		if !ev.Until.IsZero() {
			what += ", until " + ev.Until.Local().Format("2006-01-02 15:04 MST") + " at most"
		}
	default:
		if ev.Text != "" {
			what += ": " + ev.Text
		}
	}
	line := string(ev.What) + what
	if line == p.last { // a wait is told again and again
		return
	}
	p.last = line
	style := map[m365.EventKind]string{m365.EventDone: green, m365.EventFailed: red, m365.EventWait: yellow, m365.EventSkipped: magenta, m365.EventManual: magenta}[ev.What]
	p.out.printf("%s  %s  %s\n", ev.At.Local().Format(time.TimeOnly), p.out.style(style, string(ev.What)+strings.Repeat(" ", max(0, 7-len(ev.What)))), show(what))
}

// m365Error is the end of a command that failed: a tenant that changed has a code of its own.
func m365Error(e *env, err error) error {
	if errors.Is(err, m365.ErrStale) {
		e.err.printf("postreeve: %s\n", show(err.Error()))
		return exit(exitStale)
	}
	return err
}
