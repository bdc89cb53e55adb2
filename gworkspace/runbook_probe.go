package gworkspace

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// A ByHand is one of P1 to P7 as a person does it, from outside of the tenant and of the gateway. What is in
// capitals is a mailbox of one's own.
type ByHand struct {
	ID     string  `json:"id"`
	Title  string  `json:"title"`
	From   string  `json:"from"`             // where it has to be done
	Values []Value `json:"values,omitempty"` // what to run or send
	Expect string  `json:"expect"`           // what is seen when it is right
}

// SpamText stands in a [Guide] for something that the gateway calls spam, such as its test string.
const SpamText = "SPAMTEXT"

const (
	fromOutside = "a machine or mailbox outside of the tenant, from which port 25 is open, and none of the gateway: Google trusts those"
	swaks       = "swaks --from YOU@OUTSIDE --to PILOT@"
)

// byHand are the probes of the mode.
func (p *Profile) byHand() []ByHand {
	d := p.Domains[0]
	id := p.Headers.id()
	var out []ByHand
	if p.Mode == Reroute {
		for _, r := range p.regions() {
			at := net.JoinHostPort(r.SmartHost, strconv.Itoa(r.port()))
			out = append(out, ByHand{ID: "P1", Title: titleP1, From: "any machine from which the port is open; verify does it too",
				Values: []Value{{"Run", "openssl s_client -starttls smtp -connect " + at + " -servername " + r.SmartHost + " -verify_hostname " + r.SmartHost + " -verify_return_error -brief </dev/null"}},
				Expect: "Verification: OK, and the name " + r.SmartHost + " as peername."})
		}
	}
	refused := "250: Google takes it. In this mode a 5xx means that \"" + labelReject + "\" is on: turn it off at once."
	if p.Mode == MXFirst {
		refused = "250 until \"" + labelReject + "\" is on, and a 5xx from then on."
	}
	forged := fmt.Sprintf(" --header '%s: FORGEDFORGEDFORGED' --header '%s: FORGEDFORGEDFORGED' --header '%s: FORGEDFORGEDFORGED' --header '%s: FAIL'",
		p.Headers.token(), p.Headers.tenant(), id, p.Headers.spam())
	return append(out,
		ByHand{ID: "P2", Title: titleP2, From: fromOutside, Values: []Value{{"Send", swaks + d + " --header 'Subject: P2'"}},
			Expect: "The ledger of the gateway has it (postreeve message list -c postreeve.yaml --to PILOT@" + d + "), with another origin than peer where the tenant's secret was right; Show original in Gmail shows " + id + " once."},
		ByHand{ID: "P3", Title: titleP3, From: fromOutside, Values: []Value{{"Send", swaks + d + " --server smtp.google.com --header 'Subject: P3'"}}, Expect: refused},
		ByHand{ID: "P4", Title: titleP4, From: "the mailbox of P2", Values: []Value{{"Search in Gmail", "in:anywhere subject:P2"}},
			Expect: "One message, in the inbox. Show original: keep its Authentication-Results and ARC fields; " + id + " stands there once."},
		ByHand{ID: "P5", Title: titleP5, From: fromOutside,
			Values: []Value{{"Send", swaks + d + " --header 'Subject: P5' --body '" + SpamText + "'"}},
			Expect: "The message is in Spam, and the ledger has it with the action tag (the policy for spam has to be tag)."},
		ByHand{ID: "P6", Title: titleP6, From: fromOutside, Values: []Value{{"Send", swaks + d + " --header 'Subject: P6'" + forged}},
			Expect: "The ledger has it, it is in the inbox, and Show original shows FORGED nowhere, and no " + p.Headers.spam() + "."},
		ByHand{ID: "P7", Title: titleP7, From: fromOutside,
			Values: []Value{{"Send to each", strings.Join([]string{"GROUP@" + d, "ALIAS@" + d, "UNRECOGNIZED@" + d, "SUSPENDED@" + d}, "\n")}},
			Expect: "The ledger has those for " + p.kinds() + ". Google reroutes nothing to a suspended user."})
}

// kinds names the accounts whose mail comes by the gateway.
func (p *Profile) kinds() string {
	out := []string{"the alias"}
	if p.Mode == MXFirst || !p.SkipGroups {
		out = append(out, "the group")
	}
	if p.Mode == MXFirst || !p.SkipUnrecognized {
		out = append(out, "the unrecognized address, if there is a catch-all")
	}
	return strings.Join(out, ", ")
}

func (x ByHand) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s. %s\n\nFrom %s.\n\n", x.ID, x.Title, x.From)
	guideValues(b, x.Values)
	fmt.Fprintf(b, "\n**Right when:** %s\n", x.Expect)
}
