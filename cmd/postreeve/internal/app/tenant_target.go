package app

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
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

// What a file of targets may have.
const (
	maxTargets    = 100_000
	maxTargetLine = 64 << 10
)

// all returns the messages that the flags name.
func (f *remedyFlags) all(e *env) ([]target, error) {
	var out []target
	switch {
	case f.Targets != "" && (f.MessageID != "" || len(f.To) > 0 || f.OurID != ""):
		return nil, usage(e, "--targets names all messages: leave --message-id, --to and --our-id out")
	case f.Targets == "" && (f.MessageID == "" || len(f.To) == 0):
		return nil, usage(e, "say which message with --message-id and --to, or name a file of many with --targets")
	case f.Targets != "":
		return f.read(e.in)
	}
	for _, to := range f.To {
		t := target{f.MessageID, to, f.OurID}
		if err := f.fit(&t); err != nil {
			return nil, usage(e, "%v", err)
		}
		out = append(out, t)
	}
	return out, nil
}

// fit completes a target, or says why nobody could look for it.
func (f *remedyFlags) fit(t *target) error {
	switch {
	case t.MessageID == "" || len(t.MessageID) > 996 || strings.ContainsFunc(t.MessageID, unicode.IsControl):
		return fmt.Errorf("%q is no Message-ID, as in <1@evil.example>", cut(t.MessageID, 100))
	case !deliverable(t.Recipient):
		return fmt.Errorf("%q is no address of a recipient, as in anna@ex.net", cut(t.Recipient, 100))
	}
	if !strings.HasPrefix(t.MessageID, "<") {
		t.MessageID = "<" + t.MessageID + ">"
	}
	if t.OurID == "" && !f.Unconfirmed {
		return fmt.Errorf("the message %s for %s has no id of ours (--our-id): it could be another one of that Message-ID; --unconfirmed takes it all the same", t.MessageID, t.Recipient)
	}
	return nil
}

// deliverable says whether something can be an address.
func deliverable(a string) bool {
	local, domain, _ := strings.Cut(a, "@")
	return local != "" && domain != "" && len(a) <= 254 && !strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("<>,;", r) })
}

func (f *remedyFlags) read(in io.Reader) ([]target, error) {
	name := "standard input"
	if f.Targets != "-" {
		file, err := os.Open(f.Targets)
		if err != nil {
			return nil, fmt.Errorf("--targets: %w", err)
		}
		defer file.Close()
		in, name = file, f.Targets
	}
	var out []target
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxTargetLine)
	n := 1
	for ; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		var t target
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&t); err != nil {
			return nil, fmt.Errorf("%s:%d: want an object with message_id, recipient and our_id: %w", name, n, err)
		}
		if err := f.fit(&t); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if out = append(out, t); len(out) > maxTargets {
			return nil, fmt.Errorf("%s: more than %d messages: do it in parts", name, maxTargets)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%s:%d: longer than %d bytes", name, n, maxTargetLine)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, withoutPath(err))
	case len(out) == 0:
		return nil, fmt.Errorf("%s: there is no message in it", name)
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
	all := viewOf[[]remedied](outcomes)
	if err != nil && len(all) == 0 { // nothing was begun
		return err
	}
	if f.Out != "" {
		err = errors.Join(err, writeJSON(f.Out, outcomes))
	}
	sum := sumRemedy(all)
	subject := "Mail was taken back (" + cure + "): " + sum
	if err != nil {
		subject += ", and it ended early"
	}
	print := func(s *screen) {
		for _, r := range all {
			r.print(s)
		}
		s.printf("%s\n", sum)
	}
	if !f.JSON { // each was told as soon as it was known
		e.out.printf("%s\n", sum)
	}
	if err := errors.Join(err, f.report(e, subject, print), e.out.failed()); err != nil {
		return err
	}
	return endOf(all)
}

// sumRemedy counts the outcomes in words. Skipped is where there is no mailbox to look into.
func sumRemedy(all []remedied) string {
	in := func(state string) int { return count(all, func(r remedied) bool { return r.State == state }) }
	return fmt.Sprintf("%d cured, %d not found, %d skipped, %d failed", in("cured"), in("not found"), in("skipped"), in("failed"))
}

// endOf is the error to end with: nil only if somebody was cured, and everybody.
func endOf(all []remedied) error {
	switch {
	case slices.ContainsFunc(all, func(r remedied) bool { return r.State == "failed" }):
		return exit(exitFailed)
	case len(all) == 0 || slices.ContainsFunc(all, func(r remedied) bool { return r.State != "cured" }):
		return exit(exitPlanned)
	}
	return nil
}
