package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

type checkCmd struct {
	Config  string        `short:"c" required:"" placeholder:"FILE" help:"The configuration."`
	JSON    bool          `help:"Print an object a line: check subject state detail advice took_ms."`
	Timeout time.Duration `default:"10s" help:"For each step of a probe."`
}

func (checkCmd) Help() string {
	return `Prints a line for each thing that was looked at: ok, warn or FAIL, with what to do. It looks at the file, the ports (free, or held by a running gateway), the directory for state and the room in it, the database and the place for bodies (a row and a body are written and read; a database that is not there yet or of an older version is left as it is), what is queued for long or was set aside, who is told of held mail and what serves the links in that, whether it can sign in where delivered mail is taken back (a token, and no mailbox), the certificate, the keys that seal and their records in DNS, the scanners (which are sent EICAR, GTUBE and clean text), each next hop (addresses, connection, EHLO, STARTTLS, certificate; that it is not this gateway), the resolvers, and the name and address of the gateway in DNS. No mail is sent.

Example:
  postreeve check -c postreeve.yaml && systemctl reload postreeve

Exit codes: 0 all is well, there may be warnings; 1 something fails.`
}

// state is how a check went.
type state string

const (
	stateOK   state = "ok"
	stateWarn state = "warn"
	stateFail state = "FAIL"
)

// checked is the line of one check.
type checked struct {
	Check   string  `json:"check"`   // what kind of thing was looked at
	Subject string  `json:"subject"` // which one
	State   state   `json:"state"`
	Detail  string  `json:"detail"`
	Advice  string  `json:"advice,omitempty"` // what to do about it
	TookMS  float64 `json:"took_ms"`
}

// probe is one check that takes time. It gives at least one line.
type probe func(ctx context.Context) []checked

// Run checks.
func (c *checkCmd) Run(e *env) error {
	if c.Timeout <= 0 {
		return usage(e, "--timeout wants a time as in 10s")
	}
	lines := c.all(e.ctx)
	count := map[state]int{}
	for _, l := range lines {
		count[l.State]++
	}
	if c.JSON {
		for _, l := range lines {
			e.out.line(l)
		}
	} else {
		printChecks(e.out, lines)
		e.out.printf("\n%d ok, %s, %s\n", count[stateOK], plural(count[stateWarn], "warning"), plural(count[stateFail], "failure"))
	}
	if err := e.out.failed(); err != nil {
		return err
	}
	switch {
	case e.ctx.Err() != nil:
		return errors.New("interrupted")
	case count[stateFail] > 0:
		return exit(exitFailed)
	}
	return nil
}

func printChecks(s *screen, lines []checked) {
	styles := map[state]string{stateOK: green, stateWarn: yellow, stateFail: red}
	for _, l := range lines {
		s.printf("%s  %-9s %s: %s\n", s.style(styles[l.State], fmt.Sprintf("%-4s", l.State)), l.Check, show(l.Subject), show(l.Detail))
		if l.Advice != "" {
			s.printf("                -> %s\n", show(l.Advice))
		}
	}
}

// all runs the probes side by side, and returns their lines in a fixed order.
func (c *checkCmd) all(ctx context.Context) []checked {
	cfg, lines := checkConfig(c.Config)
	if cfg == nil {
		return lines
	}
	k := &checker{cfg: cfg, timeout: c.Timeout, resolver: newResolver(cfg.DNS.Servers)}
	probes := k.probes()
	found := make([][]checked, len(probes))
	limit := make(chan struct{}, 32) // not a connection to every hop of ten thousand domains at once
	var wg sync.WaitGroup
	for i, p := range probes {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			start := time.Now()
			found[i] = p(ctx)
			for j := range found[i] {
				found[i][j].TookMS = cmp.Or(found[i][j].TookMS, float64(time.Since(start).Microseconds())/1000)
			}
		})
	}
	wg.Wait()
	return append(lines, slices.Concat(found...)...)
}

// checkConfig reads the file. The configuration is nil if it cannot be used.
func checkConfig(file string) (*config.Config, []checked) {
	cfg, err := config.Load(file)
	var bad config.Errors
	if errors.As(err, &bad) {
		var out []checked
		for _, b := range bad {
			out = append(out, checked{Check: "config", Subject: where(b), State: stateFail, Detail: b.Text})
		}
		return nil, out
	}
	if err != nil {
		return nil, []checked{{Check: "config", Subject: file, State: stateFail, Detail: err.Error(), Advice: "name a file that can be read with -c"}}
	}
	out := []checked{{Check: "config", Subject: file, State: stateOK, Detail: "valid, " + plural(len(cfg.Domains), "domain")}}
	for _, w := range cfg.Warnings {
		out = append(out, checked{Check: "config", Subject: where(w), State: stateWarn, Detail: w.Text})
	}
	return cfg, out
}

func where(e *config.Error) string {
	s := e.File
	if e.Line > 0 {
		s = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	}
	if e.Key != "" {
		s += " " + e.Key
	}
	return s
}
