package app

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay/store"
)

type domainCmd struct {
	Add      domainAddCmd      `cmd:"" help:"Put a domain under watch and print the record that proves it."`
	List     domainListCmd     `cmd:"" help:"List the domains and where they stand."`
	Show     domainShowCmd     `cmd:"" help:"Show all that is known about a domain."`
	Verify   domainVerifyCmd   `cmd:"" help:"Ask all name servers for the record now."`
	Discover domainDiscoverCmd `cmd:"" help:"Find out where the mail of a domain goes, and look at that server."`
	Cutover  domainCutoverCmd  `cmd:"" help:"Plan the way of a domain's mail to the gateway or back, and check its steps."`
	Remove   domainRemoveCmd   `cmd:"" help:"Give a domain up."`
}

func (domainCmd) Help() string {
	return `The order: add, have the record made, verify, cutover. Proofs are kept in the database; running gateways see changes within a second. With state: run the commands as the user that the gateway runs as.

Example:
  postreeve domain add -c postreeve.yaml ex.net
  postreeve domain verify -c postreeve.yaml --wait ex.net
  postreeve domain cutover -c postreeve.yaml ex.net`
}

// Exit codes of the domain commands, beside exitOK, exitFailed and exitUsage.
const (
	exitOpen     = 2 // not proven yet, gone, or something is still to be done
	exitWrong    = 3 // waiting does not help: wrong value, servers that differ, a conflict, a host that can be no next hop
	exitNoAnswer = 4 // DNS or the server gave no answer: nothing is known, and nothing has changed
)

// domainFlags are what all domain commands take.
type domainFlags struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"The configuration."`
	Tenant string `placeholder:"NAME" help:"Whose the domain is; by default what the configuration says."`
	JSON   bool   `help:"Print an object a line."`
	asFlag
}

// desk is what a domain command works with.
type desk struct {
	*ownership
	key  dnsverify.Key
	conf *config.Domain // nil if the domain is not in the configuration
}

// open reads the configuration and finds the domain in it, which may be empty. What is done from then on is done by the
// user, or by whom --as names.
func (f domainFlags) open(e *env, domain string) (*desk, error) {
	cfg, err := config.Load(f.Config)
	if err != nil {
		return nil, err
	}
	if len(f.Tenant) > 100 {
		return nil, usage(e, "--tenant wants at most 100 bytes")
	}
	d := &desk{}
	if domain != "" {
		if domain, err = cfg.Names().Normalize(domain); err != nil {
			e.err.printf("postreeve: %s\n", plain(err))
			return nil, exit(exitUsage)
		}
		d.conf = configured(cfg, domain)
	}
	tenant := cfg.Verification.Tenant
	if d.conf != nil {
		tenant = d.conf.Tenant
	}
	d.key = dnsverify.Key{Domain: domain, Tenant: cmp.Or(f.Tenant, tenant), Region: cfg.Verification.Region}
	if !cfg.Keeps() {
		return nil, usage(e, "%v", errNoState)
	}
	e.ctx = store.As(e.ctx, operator(f.As))
	st, err := openForState(e.ctx, cfg)
	if err != nil {
		return nil, err
	}
	if d.ownership, err = newOwnership(e.ctx, cfg, st, nil); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return d, nil
}

// openClaim is open for what is about a domain that was added: it returns its entry too. The caller closes the desk.
func (f domainFlags) openClaim(e *env, domain string) (*desk, dnsverify.Entry, error) {
	d, err := f.open(e, domain)
	if err != nil {
		return nil, dnsverify.Entry{}, err
	}
	entry, err := d.claim(e)
	if err != nil {
		d.close()
		return nil, entry, err
	}
	return d, entry, nil
}

// close closes the store. What a command has written is in it already.
func (d *desk) close() { _ = d.records.Close() }

// configured returns the domain of a configuration whose mail needs the proof of domain, nil if none does.
func configured(c *config.Config, domain string) *config.Domain {
	for _, name := range []string{domain, "." + domain} {
		if i := slices.IndexFunc(c.Domains, func(d *config.Domain) bool { return d.Name == name }); i >= 0 {
			return c.Domains[i]
		}
	}
	return nil
}

// claim returns the entry of the domain.
func (d *desk) claim(e *env) (dnsverify.Entry, error) {
	all, err := d.store.Domain(e.ctx, d.key.Domain)
	if err != nil {
		return dnsverify.Entry{}, err
	}
	entry, ok := find(all, d.key)
	if !ok {
		e.err.printf("postreeve: %s was never added for tenant %s: postreeve domain add -c %s %s\n", d.key.Domain, show(d.key.Tenant), show(d.cfg.File), d.key.Domain)
		return dnsverify.Entry{}, exit(exitFailed)
	}
	return entry, nil
}

// plain is an error of dnsverify without the name of the package.
func plain(err error) string {
	if p, ok := errors.AsType[*dnsverify.Problem](err); ok {
		s := p.Code.Info().Sentence
		if p.Detail != "" {
			s += " " + p.Detail
		}
		if p.Name != "" {
			s = p.Name + ": " + s
		}
		return show(s)
	}
	return show(strings.TrimPrefix(err.Error(), "dnsverify: "))
}

// refused reports that a command cannot go on because of what DNS says, with a code that tells the two cases apart.
func refused(e *env, err error) error {
	p, ok := errors.AsType[*dnsverify.Problem](err)
	if !ok {
		return err
	}
	e.err.printf("postreeve: %s\n", plain(p))
	switch p.Code {
	case dnsverify.LameServers, dnsverify.UnreachableServers, dnsverify.Intercepted, dnsverify.DNSSECBogus, dnsverify.Temporary, dnsverify.VantageDisagree:
		return exit(exitNoAnswer)
	}
	return exit(exitWrong)
}

// stateCode is the exit code for where a claim stands.
func stateCode(e dnsverify.Entry) int {
	switch {
	case e.Status == dnsverify.Failed:
		return exitNoAnswer
	case e.State == dnsverify.StateVerified:
		return exitOK
	case e.State == dnsverify.StateConflict, e.Status == dnsverify.Wrong, e.Status == dnsverify.Partial:
		return exitWrong
	}
	return exitOpen
}

// finish returns the error that makes a command exit with a code.
func finish(e *env, code int) error {
	if err := e.out.failed(); err != nil {
		return err
	}
	if code != exitOK {
		return exit(code)
	}
	return nil
}

// moment writes a time for people.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// brief writes a duration for people.
func brief(d time.Duration) string {
	switch {
	case d >= time.Second:
		d = d.Round(time.Second)
	case d >= time.Millisecond:
		d = d.Round(time.Millisecond)
	default:
		d = d.Round(10 * time.Microsecond)
	}
	return config.Days(d)
}
