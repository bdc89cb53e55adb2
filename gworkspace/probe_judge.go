package gworkspace

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// outcome is what a probe looks like at a moment.
type outcome struct {
	state State
	text  string
	do    string // instead of what the probe says
	open  bool   // time may change it
}

func right(text string) outcome   { return outcome{state: Right, text: text} }
func wrong(text string) outcome   { return outcome{state: Wrong, text: text} }
func awaited(text string) outcome { return outcome{state: Wrong, text: text, open: true} }
func unknown(text string) outcome { return outcome{state: Unknown, text: text} }

// trouble judges what kept a probe from being looked at.
func trouble(f *flight) (outcome, bool) {
	switch {
	case errors.Is(f.sent, ErrRefused):
		return wrong("the message was refused: " + oneLine(f.sent.Error(), 300)), true
	case f.sent != nil:
		return unknown("not checked: the message was not sent: " + oneLine(f.sent.Error(), 300)), true
	case f.err != nil:
		return outcome{state: Unknown, text: "not checked: the gateway cannot be asked: " + oneLine(f.err.Error(), 300), open: true}, true
	}
	return outcome{}, false
}

// blind says what a person has to look at where nobody else can. expect is what has to be found.
func (f *flight) blind(expect string) outcome {
	id := f.mail.MessageID
	if len(f.passes) > 0 {
		id = first(f.passes[0].MessageID, id)
	}
	open := !errors.Is(f.unseen, errNoLook) && !errors.Is(f.unseen, ErrScope) && !errors.Is(f.unseen, ErrSubject)
	return outcome{state: Unknown, open: open, text: "not checked: where it ended: " + oneLine(f.unseen.Error(), 300) + "; " + f.passes[0].String(),
		do: "open the mailbox " + f.mailbox + ", also its Spam, and search for rfc822msgid:" + strings.Trim(id, "<>") + ": " + expect}
}

// judgeArrival is P2.
func (t *Tenant) judgeArrival(f *flight) outcome {
	if o, bad := trouble(f); bad {
		return o
	}
	switch {
	case len(f.passes) == 0 && len(f.copies) > 0:
		return awaited("it was delivered past the gateway")
	case len(f.passes) == 0:
		return awaited("it did not come to the gateway")
	}
	p := f.passes[0]
	switch {
	case t.Profile.Mode != Reroute:
	case p.Scanned:
		return wrong("it came with the loop header already: " + p.String())
	case p.Tenant == nil:
		return unknown("not checked: whose mail it is: the gateway looks for no tenant's secret; " + p.String())
	case !*p.Tenant:
		return wrong("it came without the tenant's header: look at the custom header of the rule; " + p.String())
	case p.OriginalTo != nil && !*p.OriginalTo:
		return wrong("it came without X-Gm-Original-To: tick it in the rule")
	}
	return right(p.String())
}

// notBack says that nothing can have come back; ok is false if something may have.
func notBack(f *flight) (o outcome, ok bool) {
	if o, bad := trouble(f); bad {
		return o, true
	}
	if len(f.passes) == 0 { // a message in the inbox would then prove nothing
		return outcome{state: Unknown, text: "not checked: it did not come by the gateway, so none came back: see P2", open: true}, true
	}
	return outcome{}, false
}

// judgeReturn is P4.
func (t *Tenant) judgeReturn(f *flight) outcome {
	if o, none := notBack(f); none {
		return o
	}
	p := f.passes[0]
	switch {
	case len(f.passes) > 1:
		return wrong(fmt.Sprintf("it passed the gateway %d times: the rule does not see the loop secret", len(f.passes)))
	case p.Action != "" && p.Action != "deliver":
		return wrong("the gateway did not let it through unmarked: " + p.String())
	case f.unseen != nil:
		return f.blind("there has to be one message, in the inbox, and Show original has to show " + t.Profile.Headers.id() + " once")
	case len(f.copies) == 0:
		return awaited("it was not delivered; " + p.String())
	case len(f.copies) > 1:
		return wrong(fmt.Sprintf("%d copies were delivered", len(f.copies)))
	case slices.Contains(f.copies[0].Labels, "SPAM"):
		return wrong("clean mail went to Spam: the addresses of the gateway are not trusted, or not yet")
	case !slices.Contains(f.copies[0].Labels, "INBOX"):
		return wrong("it is not in the inbox but in " + strings.Join(f.copies[0].Labels, " "))
	}
	h := f.copies[0].Header
	return right("in the inbox; " + strings.Join(slices.Concat(h.Values("Authentication-Results"), h.Values("Arc-Authentication-Results")), " | "))
}

// judgeDirect is P3: Google has to take it as long as MX records lead there, and to refuse it when they moved.
func (t *Tenant) judgeDirect(f *flight, s mxState) outcome {
	lock, known := t.wantsLock(s)
	said := "Google takes mail past the gateway"
	if f.sent != nil {
		said = "Google refuses mail from the internet: " + oneLine(f.sent.Error(), 300)
	}
	switch {
	case f.sent != nil && !errors.Is(f.sent, ErrRefused):
		return unknown("not checked: the message was not sent: " + oneLine(f.sent.Error(), 300))
	case !known && f.sent != nil:
		return outcome{state: Unknown, text: said + "; DNS could not be asked, so whether that is right is not known",
			do: "look up the MX records: if one of them leads to Google, turn \"" + labelReject + "\" off at once"}
	case !known:
		return unknown(said + "; DNS could not be asked, so whether that is right is not known")
	case lock == (f.sent != nil):
		return right(said + ", as it has to be")
	}
	return wrong(said)
}

func (t *Tenant) doP3(s mxState) string {
	if lock, _ := t.wantsLock(s); lock {
		return "turn on \"" + labelReject + "\" under Inbound gateway; if it was sent from an address of the gateway, send it from elsewhere"
	}
	return "turn off \"" + labelReject + "\" under Inbound gateway at once, if it is on"
}

// judgeSpam is P5. A message that the gateway did not tag proves nothing.
func (t *Tenant) judgeSpam(f *flight) outcome {
	if o, none := notBack(f); none {
		return o
	}
	p := f.passes[0]
	switch {
	case p.Action != "" && p.Action != "tag":
		return outcome{state: Unknown, text: "not checked: the gateway did not tag the message: " + p.String(),
			do: "for this probe its policy for spam has to be tag, and its scanner teststring on"}
	case f.unseen != nil:
		return f.blind("it has to be in Spam")
	case len(f.copies) == 0:
		return awaited("it was not delivered; " + p.String())
	case !slices.Contains(f.copies[0].Labels, "SPAM"):
		return wrong("it is not in Spam but in " + strings.Join(f.copies[0].Labels, " "))
	}
	return right("in Spam; " + p.String())
}

// judgeForged is P6.
func (t *Tenant) judgeForged(f *flight, forged string) outcome {
	if o, bad := trouble(f); bad {
		return o
	}
	names := t.Profile.Headers
	switch {
	case len(f.passes) == 0:
		return awaited("it did not come to the gateway: the rule takes a forged header for a good one, or does not act at all")
	case f.passes[0].Scanned:
		return wrong("the gateway took the forged loop header for its own")
	case f.unseen != nil:
		return f.blind("Show original must not show " + forged + ", nor " + names.spam())
	case len(f.copies) == 0:
		return awaited("it was not delivered; " + f.passes[0].String())
	case slices.Contains(f.copies[0].Labels, "SPAM"):
		return wrong("the forged spam header had effect")
	}
	h := f.copies[0].Header
	for _, name := range []string{names.token(), names.tenant(), names.id()} {
		if slices.Contains(h.Values(name), forged) {
			return wrong("the forged " + name + " is still there")
		}
	}
	if len(h.Values(names.spam())) > 0 && f.passes[0].Action == "deliver" {
		return wrong("the forged " + names.spam() + " is still there")
	}
	return right("scanned, and none of the four is left; " + f.passes[0].String())
}

// judgeKind is P7.
func judgeKind(f *flight, want bool) outcome {
	if errors.Is(f.sent, ErrRefused) && !want {
		return right(f.mail.To + " was refused")
	}
	if o, bad := trouble(f); bad {
		return o
	}
	switch {
	case want && len(f.passes) == 0:
		return awaited("mail to " + f.mail.To + " did not come to the gateway")
	case !want && len(f.passes) > 0:
		return wrong("mail to " + f.mail.To + " came to the gateway, which was not wanted")
	case want:
		return right(f.mail.To + " came by")
	}
	return right(f.mail.To + " did not come by")
}
