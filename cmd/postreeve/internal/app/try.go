package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

type tryCmd struct {
	Once bool `help:"End after the three samples; exit 0 only if all went as they should."`
	Port int  `default:"0" help:"Port of 127.0.0.1 to take mail on. 0: any that is free."`
	JSON bool `help:"Print an object a line for each message, and nothing else on standard output."`
}

func (tryCmd) Help() string {
	return `Needs no file, no network and no rights: a gateway with all built-in scanners, a next hop and a mailbox run in this process, on ports of 127.0.0.1. A clean, a spam and a malicious sample go through real SMTP; the table says what became of each and why. Then it waits for mail of your own until Ctrl-C. The samples are harmless: test strings that every scanner knows.

Example:
  postreeve try --once

Exit codes: 0 all samples went as they should, 1 they did not (it says what differs).`
}

// tried is what became of one message.
type tried struct {
	Sample   string            `json:"sample,omitempty"`
	ID       string            `json:"id"`
	From     string            `json:"from"`
	To       []string          `json:"to"`
	Subject  string            `json:"subject"`
	Size     int64             `json:"size"`
	Reply    string            `json:"reply"`
	Class    verdict.Class     `json:"class"`
	Action   string            `json:"action"`
	Place    string            `json:"place"` // mailbox, quarantine or nowhere
	Headers  []string          `json:"headers"`
	Findings []verdict.Finding `json:"findings"`
	TookMS   float64           `json:"took_ms"`
	Differs  string            `json:"differs,omitempty"` // from what a sample should do
}

// Run tries.
func (c *tryCmd) Run(e *env) error {
	if c.Port < 0 || c.Port > 65535 {
		return usage(e, "--port wants a number from 0 to 65535")
	}
	lab, err := newLab(e.ctx, c.Port)
	if err != nil {
		return err
	}
	defer lab.close()
	if !c.JSON {
		e.out.printf("%s\n\n", e.out.style(bold, "Three messages through a gateway"))
		e.out.printf("  this program -> gateway %s -> mailbox %s\n", lab.addr, lab.mailbox.addr)
		e.out.printf("%s\n\n", e.out.style(dim, "  scanners: "+strings.Join(lab.scanners(), ", ")))
	}
	results, err := c.samples(e, lab)
	if err != nil {
		return fmt.Errorf("sending the samples: %w", err)
	}
	differ := c.tell(e, results)
	if c.Once {
		if differ {
			return exit(exitFailed)
		}
		return e.out.failed()
	}
	return c.stay(e, lab, differ)
}

// samples sends the samples in one session.
func (c *tryCmd) samples(e *env, lab *lab) ([]tried, error) {
	var heard func(who, line string)
	if !c.JSON {
		heard = func(who, line string) {
			style := dim
			if who == "C" {
				style = ""
			}
			e.out.printf("  %s\n", e.out.style(style, who+": "+show(cut(line, 72))))
		}
	}
	ctx, cancel := context.WithTimeout(e.ctx, time.Minute)
	defer cancel()
	d, _, err := dial(ctx, lab.addr, 20*time.Second, heard)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { d.conn.Close() })()
	defer d.quit()
	if _, _, err := d.hello("sender.example"); err != nil {
		return nil, err
	}
	var out []tried
	for _, s := range samples() {
		if !c.JSON {
			e.out.printf("\n%s\n", e.out.style(bold, s.name+": "+s.what))
		}
		reply, err := d.send(s.from, lab.recipient(), s.message)
		if err != nil {
			return nil, err
		}
		t, err := lab.outcome(ctx, reply)
		if err != nil {
			return nil, err
		}
		t.Sample = s.name
		t.Differs = s.differs(t)
		out = append(out, t)
	}
	return out, nil
}

// tell prints what became of the samples, and reports whether any differs from what it should do.
func (c *tryCmd) tell(e *env, results []tried) (differ bool) {
	for _, r := range results {
		differ = differ || r.Differs != ""
		if c.JSON {
			e.out.line(r)
		}
	}
	if c.JSON {
		return differ
	}
	e.out.printf("\n%s\n\n", e.out.style(bold, "What became of them"))
	t := (&table{}).row("SENT", "REPLY", "VERDICT", "ACTION", "WHERE IT IS NOW")
	for _, r := range results {
		t.row(r.Sample, shortReply(r.Reply), r.Class.String(), r.Action, r.place())
		t.paint(2, classStyle(r.Class))
	}
	t.print(e.out, "  ")
	e.out.printf("\n%s\n\n", e.out.style(bold, "Why"))
	for _, r := range results {
		name := r.Sample
		for _, line := range append(r.why(), r.Headers...) {
			e.out.printf("  %-10s %s\n", name, show(cut(line, 67)))
			name = ""
		}
	}
	e.out.printf("\n")
	for _, r := range results {
		if r.Differs != "" {
			e.out.printf("%s\n", e.out.style(red, show(r.Sample+" did not go as it should: "+r.Differs)))
		}
	}
	if !differ {
		e.out.printf("%s\n", e.out.style(green, "All three went as they should."))
	}
	return differ
}

// stay shows what becomes of one's own mail until Ctrl-C.
func (c *tryCmd) stay(e *env, lab *lab, differ bool) error {
	host, port, _ := net.SplitHostPort(lab.addr)
	if !c.JSON {
		e.out.printf("\n%s\n\n", e.out.style(bold, "Now send your own"))
		e.out.printf("  swaks --server %s --port %s \\\n    --from me@example.org --to %s\n", host, port, lab.recipient())
		e.out.printf("  printf 'From: me@example.org\\r\\nTo: %s\\r\\nSubject: hello\\r\\n\\r\\nhello\\r\\n' |\n    curl -s smtp://%s -T - \\\n", lab.recipient(), lab.addr)
		e.out.printf("    --mail-from me@example.org --mail-rcpt %s\n", lab.recipient())
		e.out.printf("\n  With one of these lines in it, a message is spam, or malicious:\n\n")
		e.out.printf("  %s\n  %s\n", teststring.Spam, teststring.Malicious)
		e.out.printf("\n%s\n\n", e.out.style(dim, "  Waiting for mail; Ctrl-C ends."))
		e.out.printf("  %-8s  %-9s  %-7s  %-9s  %s\n", "TIME", "VERDICT", "ACTION", "REPLY", "FROM, SUBJECT, WHY")
	}
	for {
		select {
		case <-e.ctx.Done():
			if differ {
				return exit(exitFailed)
			}
			return nil
		case t := <-lab.results:
			if c.JSON {
				e.out.line(t)
				break
			}
			e.out.printf("  %s  %s  %-7s  %-9s  %s\n", time.Now().Format("15:04:05"),
				e.out.style(classStyle(t.Class), fmt.Sprintf("%-9s", t.Class)), t.Action, shortReply(t.Reply), t.summary())
		}
		if err := e.out.failed(); err != nil {
			return err
		}
	}
}

// why says in a few lines what made the class.
func (t tried) why() []string {
	f, ok := mainFinding(t.Class, t.Findings)
	if !ok {
		return []string{cmp.Or(why(t.Class, t.Findings), "no scanner found anything")}
	}
	line := f.Code + ", found by " + f.Scanner
	if f.Part != "" {
		line += " in part " + f.Part
	}
	return []string{line, f.Detail}
}

// shortReply is the code of a reply with its enhanced code.
func shortReply(reply string) string {
	words := strings.SplitN(reply, " ", 3)
	return strings.Join(words[:min(2, len(words))], " ")
}

func (t tried) summary() string {
	s := cut(t.From, 40) + `, "` + cut(t.Subject, 40) + `"`
	if f, ok := mainFinding(t.Class, t.Findings); ok {
		s += ", " + f.Code
	} else if reason := why(t.Class, t.Findings); reason != "" {
		s += ", " + reason
	}
	return show(s)
}

func (t tried) place() string {
	switch {
	case t.Place == "quarantine":
		return "quarantine, not in the mailbox"
	case t.Place == "mailbox" && t.Action == "tag":
		return "mailbox, marked as spam"
	}
	return t.Place
}

var errNoOutcome = errors.New("the gateway did not say what became of the message")
