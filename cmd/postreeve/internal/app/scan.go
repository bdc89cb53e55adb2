package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/verdict"
)

type scanCmd struct {
	Paths  []string `arg:"" name:"path" help:"Files, folders (with all that is in them), mailboxes, or - for standard input."`
	Config string   `short:"c" placeholder:"FILE" help:"Use the scanners of this configuration instead of all built-in ones."`
	JSON   bool     `help:"Print an object a line: path class findings[] took_ms."`
	NoDNS  bool     `name:"no-dns" help:"Ask nothing of DNS, for answers that are the same everywhere and at any time."`
}

func (scanCmd) Help() string {
	return `Prints a line for each message, in the order of the files, and a summary on standard error. Every regular file is read; symbolic links in folders are not followed. Line ends may be LF. A file that begins with a "From " line is taken for a mailbox, whose messages are called FILE#1, FILE#2 and so on. A file that is no message, such as a zip file, is judged as if it were the attachment of one ("wrapped": true).

DKIM, DMARC and ARC are checked against DNS as it is now, unless --no-dns is given. SPF is not: a file does not say for certain who sent it. Keys of old messages are often gone.

Examples:
  postreeve scan suspicious.eml
  postreeve scan --json ~/Maildir > verdicts.jsonl

Exit codes: 0 all clean; 2 malicious mail found; 3 nobody could tell what some message is, or it could not be read; 1 spam found. Of several that apply it is the first in this order: 2, 3, 1. 64 nothing was scanned: wrong usage or configuration.`
}

// Exit codes of scan.
const (
	exitSpam      = 1
	exitMalicious = 2
	exitUnknown   = 3
)

// scanned is the line of one message.
type scanned struct {
	Path     string            `json:"path"`
	Class    verdict.Class     `json:"class"`
	Score    float64           `json:"score,omitempty"`
	Findings []verdict.Finding `json:"findings"`
	TookMS   float64           `json:"took_ms"`
	Wrapped  bool              `json:"wrapped,omitempty"` // no message: judged as an attachment
	Error    string            `json:"error,omitempty"`   // it could not be read
}

// Run scans.
func (c *scanCmd) Run(e *env) error {
	var cfg *config.Config
	if c.Config != "" {
		var err error
		if cfg, err = config.Load(c.Config); err != nil {
			return c.unusable(e, err)
		}
		for _, w := range cfg.Warnings {
			if w.Key == "scanners" {
				e.err.printf("postreeve: %s\n", show(w.Text))
			}
		}
		cfg.State = "" // of the gateway, and not ours to write into
	}
	j, err := newJudging(cfg, c.NoDNS)
	if err != nil {
		return c.unusable(e, err)
	}
	tally := &tally{progress: e.err.tty && !e.out.tty, screen: e.err, start: time.Now()}
	for item := range pipeline(e.ctx, &finder{ctx: e.ctx, in: e.in}, c.Paths, j) {
		tally.add(item.result)
		c.print(e, item.result)
		if err := e.out.failed(); err != nil {
			e.report(err)
			return exit(exitUnknown)
		}
	}
	tally.summary(e.ctx)
	return tally.exit(e.ctx)
}

// unusable reports a configuration that cannot be used with a code that is none of the verdicts.
func (c *scanCmd) unusable(e *env, err error) error {
	if code := e.report(err); code != exitFailed {
		return exit(code)
	}
	return exit(exitUsage)
}

func (c *scanCmd) print(e *env, r scanned) {
	if c.JSON {
		e.out.line(r)
		return
	}
	line := e.out.style(classStyle(r.Class), fmt.Sprintf("%-9s", r.Class)) + "  " + show(r.Path)
	if why := reason(r); why != "" {
		line += "  " + why
	}
	e.out.printf("%s\n", line)
}

// pipeline finds messages and judges them side by side. It yields them in the order in which they were
// found; a few more than there are processors are under way at once, whatever the number of files.
func pipeline(ctx context.Context, f *finder, paths []string, j *judging) func(yield func(*item) bool) {
	return func(yield func(*item) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		workers := runtime.GOMAXPROCS(0)
		order := make(chan *item, 2*workers)
		work := make(chan *item)
		go func() {
			defer close(order)
			defer close(work)
			f.ctx = ctx
			f.find(paths, func(it *item) bool {
				it.done = make(chan struct{})
				select {
				case order <- it:
				case <-ctx.Done():
					it.drop()
					return false
				}
				select {
				case work <- it:
					return true
				case <-ctx.Done():
					it.drop()
					return false
				}
			})
		}()
		for range workers {
			go func() {
				for it := range work {
					j.judge(ctx, it)
					close(it.done)
				}
			}()
		}
		for it := range order {
			<-it.done
			if it.dropped {
				continue
			}
			if ctx.Err() != nil || !yield(it) {
				cancel()
				for rest := range order {
					<-rest.done
				}
				return
			}
		}
	}
}

// tally counts classes and shows how far the scan is.
type tally struct {
	screen   *screen
	progress bool
	start    time.Time
	shown    time.Time

	classes [verdict.Malicious + 1]int
	total   int
	errors  int
	slowest scanned
}

func (t *tally) add(r scanned) {
	t.total++
	t.classes[r.Class]++
	if r.Error != "" {
		t.errors++
	}
	if r.TookMS > t.slowest.TookMS {
		t.slowest = r
	}
	if now := time.Now(); t.progress && now.Sub(t.shown) > 100*time.Millisecond {
		t.shown = now
		t.screen.printf("\r\x1b[K%s, %s", plural(t.total, "message"), t.counts())
	}
}

func (t *tally) counts() string {
	s := ""
	for _, c := range []verdict.Class{verdict.Clean, verdict.Spam, verdict.Malicious, verdict.Unknown} {
		if s != "" {
			s += ", "
		}
		s += fmt.Sprintf("%d %v", t.classes[c], c)
	}
	if t.errors > 0 {
		s += fmt.Sprintf(" (%d not read)", t.errors)
	}
	return s
}

func (t *tally) summary(ctx context.Context) {
	clear := ""
	if t.progress {
		clear = "\r\x1b[K"
	}
	how := "in"
	if ctx.Err() != nil {
		how = "interrupted after"
	}
	t.screen.printf("%s%s: %s; %s %.1f s\n", clear, plural(t.total, "message"), t.counts(), how, time.Since(t.start).Seconds())
}

func (t *tally) exit(ctx context.Context) error {
	switch {
	case t.classes[verdict.Malicious] > 0:
		return exit(exitMalicious)
	case t.classes[verdict.Unknown] > 0, ctx.Err() != nil, t.total == 0:
		return exit(exitUnknown)
	case t.classes[verdict.Spam] > 0:
		return exit(exitSpam)
	}
	return nil
}

// notFound shortens the error of a path that is not there.
func notFound(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("there is no such file")
	}
	return err
}
