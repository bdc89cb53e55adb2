package app

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// remedyFlags say which delivered messages are meant.
type remedyFlags struct {
	MessageID   string   `name:"message-id" placeholder:"ID" help:"The Message-ID, with its angle brackets or without."`
	To          []string `placeholder:"ADDRESS" help:"Who got it: mailboxes, or groups, which stand for their members."`
	OurID       string   `name:"our-id" placeholder:"ID" help:"What the gateway wrote into its id header. Message-IDs are chosen by senders: what has not this id is left alone."`
	Targets     string   `placeholder:"FILE" help:"Many messages: an object of JSON a line, with message_id, recipient and our_id. - is standard input."`
	Unconfirmed bool     `help:"Also take messages whose id of ours is not known, by Message-ID and recipient alone."`
	IDHeader    string   `name:"id-header" placeholder:"NAME" help:"The header field of our id. By default what the profile says, else X-Postreeve-Id."`
	Yes         bool     `short:"y" help:"Do not ask."`
	DryRun      bool     `help:"Show what would be done, and do nothing."`
}

// target is one message that one recipient got.
type target struct {
	MessageID string `json:"message_id"`
	Recipient string `json:"recipient"`
	OurID     string `json:"our_id"`
}

const maxTargets = 100_000

// all returns the messages that the flags name.
func (f *remedyFlags) all(e *env) ([]target, error) {
	var out []target
	switch {
	case f.Targets != "" && (f.MessageID != "" || len(f.To) > 0 || f.OurID != ""):
		return nil, usage(e, "--targets names all messages: leave --message-id, --to and --our-id out")
	case f.Targets == "" && (f.MessageID == "" || len(f.To) == 0):
		return nil, usage(e, "say which message with --message-id and --to, or name a file of many with --targets")
	case f.Targets == "":
		for _, to := range f.To {
			out = append(out, target{f.MessageID, to, f.OurID})
		}
	default:
		var err error
		if out, err = f.read(e.in); err != nil {
			return nil, err
		}
	}
	for i := range out {
		if id := out[i].MessageID; id != "" && !strings.HasPrefix(id, "<") {
			out[i].MessageID = "<" + id + ">"
		}
		if out[i].OurID == "" && !f.Unconfirmed {
			return nil, usage(e, "the message %s for %s has no id of ours (--our-id): it could be another one of that Message-ID; --unconfirmed takes it all the same", out[i].MessageID, out[i].Recipient)
		}
	}
	return out, nil
}

func (f *remedyFlags) read(in io.Reader) ([]target, error) {
	if f.Targets != "-" {
		file, err := os.Open(f.Targets)
		if err != nil {
			return nil, fmt.Errorf("--targets: %w", err)
		}
		defer file.Close()
		in = file
	}
	var out []target
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<10)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		var t target
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&t); err != nil {
			return nil, fmt.Errorf("%s:%d: want an object with message_id, recipient and our_id: %w", f.Targets, n, err)
		}
		if out = append(out, t); len(out) > maxTargets {
			return nil, fmt.Errorf("%s: more than %d messages: do it in parts", f.Targets, maxTargets)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--targets: %w", err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: there is no message in it", f.Targets)
	}
	return out, nil
}

// show lists what would be done.
func (f *remedyFlags) show(e *env, cure string, all []target, asJSON bool) {
	if asJSON {
		for _, t := range all {
			e.out.line(struct {
				Target target `json:"target"`
				State  string `json:"state"`
				Cure   string `json:"cure"`
			}{t, "planned", cure})
		}
		return
	}
	t := (&table{}).row("WOULD", "MESSAGE", "RECIPIENT", "ID OF OURS")
	for _, x := range all {
		t.row(cure, x.MessageID, x.Recipient, x.OurID)
	}
	t.print(e.out, "")
}

// remedied is what became of one message in one mailbox, in the JSON form that the packages share.
type remedied struct {
	Target  target `json:"target"`
	Mailbox string `json:"mailbox"`
	State   string `json:"state"`
	Found   int    `json:"found"`
	Cured   int    `json:"cured"`
	Reason  string `json:"reason"`
}

func (r remedied) print(s *screen) {
	style := map[string]string{"cured": green, "failed": red}[r.State]
	reason := ""
	if r.Reason != "" {
		reason = ": " + r.Reason
	}
	s.printf("%s  %s  %s%s\n", s.style(style, fmt.Sprintf("%-9s", show(r.State))), show(r.Mailbox), show(r.Target.MessageID), show(reason))
}

// tellRemedy tells of one outcome of one of the packages as soon as it is known.
func (f resultFlags) tellRemedy(e *env, outcome any) {
	if f.JSON {
		e.out.line(outcome)
		return
	}
	viewOf[remedied](outcome).print(e.out)
}

// endRemedy keeps and mails the outcomes, a list of one of the packages, also where err kept it from being whole.
func (f resultFlags) endRemedy(e *env, cure string, outcomes any, err error) error {
	if f.Out != "" {
		err = cmp.Or(err, writeJSON(f.Out, outcomes))
	}
	if err != nil {
		return err
	}
	all := viewOf[[]remedied](outcomes)
	print := func(s *screen) {
		for _, r := range all {
			r.print(s)
		}
	}
	if err := f.report(e, "Mail was taken back: "+cure, print); err != nil {
		return err
	}
	return countRemedy(e, all, f.JSON)
}

// countRemedy counts the outcomes and is the error to end with.
func countRemedy(e *env, all []remedied, asJSON bool) error {
	count := map[string]int{}
	for _, r := range all {
		count[r.State]++
	}
	if !asJSON {
		skipped := ""
		if n := count["skipped"]; n > 0 { // there is no mailbox to look into
			skipped = fmt.Sprintf(", %d skipped", n)
		}
		e.out.printf("%d cured, %d not found, %d failed%s\n", count["cured"], count["not found"], count["failed"], skipped)
	}
	if err := e.out.failed(); err != nil {
		return err
	}
	switch {
	case count["failed"] > 0:
		return exit(exitFailed)
	case count["not found"] > 0:
		return exit(exitPlanned)
	}
	return nil
}
