package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
)

// pendingTime is how long the record may take to appear.
const pendingTime = 72 * time.Hour

type domainVerifyCmd struct {
	domainFlags
	Wait    bool          `help:"Look again and again until the domain is verified."`
	Timeout time.Duration `default:"15m" help:"With --wait: begin no look after so long."`
	Every   time.Duration `default:"10s" help:"With --wait: between the first looks; later ones are up to a minute apart."`
	Domain  string        `arg:"" help:"The domain."`
}

func (domainVerifyCmd) Help() string {
	return `Asks every authoritative name server of the zone as its parent delegates it, then the resolvers, and prints what each said, the nearest mistake, and what to do. A domain is verified when the record was there twice, 30 s apart. When DNS fails nothing changes.

Example:
  postreeve domain verify -c postreeve.yaml --wait ex.net && echo proven

Exit codes: 0 verified, 2 pending or gone, 3 wrong value, servers that differ or conflict, 4 DNS error; 1 never added, 64 wrong usage or configuration.`
}

// verified is one look, as JSON.
type verified struct {
	Claim  claimView         `json:"claim"`
	Result *dnsverify.Result `json:"result,omitempty"` // null if nobody was asked
	Note   string            `json:"note,omitempty"`
	Again  time.Time         `json:"again,omitzero"` // when --wait looks again
}

// Run verifies.
func (c *domainVerifyCmd) Run(e *env) error {
	if c.Timeout <= 0 || c.Every <= 0 {
		return usage(e, "--timeout and --every want a time as in 30s")
	}
	d, entry, err := c.openClaim(e, c.Domain)
	if err != nil {
		return err
	}
	defer d.close()
	if c.Wait {
		return c.wait(e, d)
	}
	entry, r, err := d.monitor(nil).Check(e.ctx, entry.Key())
	note := ""
	if p, ok := errors.AsType[*dnsverify.Problem](err); ok && r == nil { // too soon, or the claim has ended: what is known stands
		note, err = p.Detail, nil
		if p.Wait > 0 {
			note += fmt.Sprintf(" Ask again in %s.", brief(p.Wait))
		}
	}
	if err != nil {
		return err
	}
	c.print(e, d, entry, r, note, 0)
	return finish(e, stateCode(entry))
}

// paced is a store for a loop that keeps a pace of its own: the limit for people who ask again and again does
// not apply to it.
type paced struct {
	dnsverify.Store
	key dnsverify.Key
}

// Domain implements dnsverify.Store.
func (p paced) Domain(ctx context.Context, domain string) ([]dnsverify.Entry, error) {
	all, err := p.Store.Domain(ctx, domain)
	for i := range all {
		if all[i].Key() == p.key {
			all[i].Last = time.Time{}
		}
	}
	return all, err
}

// wait looks until the state is one that waiting does not change.
func (c *domainVerifyCmd) wait(e *env, d *desk) error {
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	defer cancel()
	monitor := d.monitor(nil)
	monitor.Store = paced{d.store, d.key}
	pace := dnsverify.Backoff{First: c.Every, Max: max(c.Every, time.Minute)}
	for misses := 0; ; {
		entry, r, err := monitor.Check(e.ctx, d.key) // a look that has begun is finished: cut short it would tell nothing
		if p, ok := errors.AsType[*dnsverify.Problem](err); ok && r == nil {
			c.print(e, d, entry, nil, p.Detail, 0)
			return finish(e, stateCode(entry))
		}
		switch {
		case e.ctx.Err() != nil:
			return errors.New("interrupted: a running gateway goes on looking")
		case errors.Is(err, dnsverify.ErrStale): // the token was renewed meanwhile
			continue
		case err != nil:
			return err
		}
		next := cmp.Or(d.cfg.Verification.Confirm, 30*time.Second)
		if r.Status != dnsverify.Verified {
			next = pace.Next(misses)
			misses++
		}
		if entry.State != dnsverify.StatePending && entry.State != dnsverify.StateAtRisk {
			next = 0
		}
		c.print(e, d, entry, r, "", next)
		if next == 0 {
			return finish(e, stateCode(entry))
		}
		if c.pause(ctx, e, entry, next); ctx.Err() != nil {
			return c.ended(e, d)
		}
	}
}

// ended says where the claim stands when the time is over.
func (c *domainVerifyCmd) ended(e *env, d *desk) error {
	if e.ctx.Err() != nil {
		return errors.New("interrupted: a running gateway goes on looking")
	}
	entry, err := d.claim(e)
	if err != nil {
		return err
	}
	c.print(e, d, entry, nil, "The time is over after "+brief(c.Timeout)+". A running gateway goes on looking.", 0)
	return finish(e, stateCode(entry))
}

// pause waits, and counts down where somebody watches.
func (c *domainVerifyCmd) pause(ctx context.Context, e *env, entry dnsverify.Entry, d time.Duration) {
	end := time.NewTimer(d)
	defer end.Stop()
	if !e.out.tty || c.JSON {
		select {
		case <-ctx.Done():
		case <-end.C:
		}
		return
	}
	until := time.Now().Add(d)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer e.out.printf("\r\x1b[K")
	for {
		e.out.printf("\r\x1b[K%s: %s, looking again in %s", entry.Domain, entry.State, brief(time.Until(until).Round(time.Second)))
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

func (c *domainVerifyCmd) print(e *env, d *desk, entry dnsverify.Entry, r *dnsverify.Result, note string, next time.Duration) {
	if c.JSON {
		v := verified{Claim: d.full(entry), Result: r, Note: note}
		if next > 0 {
			v.Again = time.Now().UTC().Add(next).Truncate(time.Second)
		}
		e.out.line(v)
		return
	}
	if r != nil {
		printResult(e.out, r)
	}
	if note != "" {
		e.out.printf("%s\n", show(note))
	}
	e.out.printf("%s: %s. %s\n", show(entry.Domain), e.out.style(viewStyle(string(entry.State)), string(entry.State)), d.advice(entry))
	if r != nil && r.Status != dnsverify.Verified {
		if rec, err := d.verifier.Challenge.Record(entry.Claim); err == nil {
			e.out.printf("wanted: %s\n", rec.ZoneLine())
		}
	}
	if next > 0 {
		e.out.printf("looking again at %s\n\n", moment(time.Now().Add(next)))
	}
}

// said says in words what a server answered.
var said = map[dnsverify.Outcome]string{
	dnsverify.Match: "has the record", dnsverify.Differs: "has another value", dnsverify.Split: "differs behind an alias",
	dnsverify.Nothing: "has no TXT record there", dnsverify.NoName: "does not have the name", dnsverify.Lame: "answers without authority",
	dnsverify.Dead: "does not answer", dnsverify.Refused: "may not be asked at this address", dnsverify.BogusSig: "finds the signatures invalid",
	dnsverify.Untold: "has an alias that leads nowhere",
}

// printResult prints what each server said and what is wrong. All texts of a result are safe already; tables
// make sure once more.
func printResult(s *screen, r *dnsverify.Result) {
	style := map[dnsverify.Status]string{dnsverify.Verified: green, dnsverify.Failed: magenta, dnsverify.Wrong: red}[r.Status]
	s.printf("%s: %s in %s\n", show(r.Name), s.style(cmp.Or(style, yellow), string(r.Status)), brief(r.Took))
	t := &table{}
	for _, group := range []struct {
		kind string
		all  []dnsverify.Answer
	}{{"server", r.Servers}, {"resolver", r.Resolvers}, {"vantage", r.Vantages}} {
		for _, a := range group.all {
			t.row(group.kind, strings.TrimSpace(a.Server+" "+a.Addr), cmp.Or(said[a.Outcome], string(a.Outcome)), details(a), brief(a.Took))
		}
	}
	t.print(s, "  ")
	if p := r.Problem; p != nil {
		s.printf("  -> %s %s\n", p.Code, show(strings.TrimSpace(p.Code.Info().Sentence+" "+p.Detail)))
		for _, f := range p.Found {
			s.printf("     found: %s\n", show(f))
		}
		for _, f := range p.Servers {
			s.printf("     at: %s\n", show(f))
		}
		who := string(p.Code.Info().Actor)
		if p.Code.Info().Actor == dnsverify.Nobody {
			who = "nobody; wait"
		}
		s.printf("     who acts: %s\n", who)
	}
	if r.Negative > 0 && r.Status == dnsverify.Absent {
		s.printf("     resolvers may go on saying that there is none for %s after it was made\n", brief(r.Negative))
	}
	for _, n := range r.Notes {
		s.printf("  note: %s\n", show(n))
	}
	if r.Secure {
		s.printf("  note: validated with DNSSEC\n")
	}
}

// details are the remarks on one answer.
func details(a dnsverify.Answer) string {
	var out []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(a.Old, "the token before")
	add(a.Outcome == dnsverify.Differs && len(a.Values) > 0, "%s", strings.Join(a.Values, ", "))
	add(a.Alias != "", "alias of %s", a.Alias)
	add(a.TTL > 0, "TTL %s", brief(a.TTL))
	add(a.Rcode != "" && a.Rcode != "NOERROR" && a.Rcode != "NXDOMAIN", "%s", a.Rcode)
	add(a.AD, "validated")
	add(a.TCP, "over TCP")
	add(a.Error != "", "%s", a.Error)
	add(len(a.Extended) > 0, "%s", strings.Join(a.Extended, ", "))
	return strings.Join(out, ", ")
}
