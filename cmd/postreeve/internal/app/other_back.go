package app

import (
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/m365"
)

// back is the way back: the server is opened first, then mail moves, and what mail on its way needs goes last.
func (d *otherDesk) back() []m365.Step {
	old := "the MX records from before the gateway"
	if len(d.was) > 0 {
		var lines []string
		for _, h := range d.was {
			lines = append(lines, fmt.Sprintf("%s. MX 10 %s.", d.domain, h))
		}
		old = strings.Join(lines, "\n")
	}
	lock, allow, spam := d.lockStep(), d.allowStep(), d.spamStep()
	open := []m365.Value{{Name: "Allow TCP port 25 from", Value: "anywhere"}}
	if lock.Undo != openPort {
		open = append(open, m365.Value{Name: "If it was closed there", Value: lock.Undo})
	}
	return []m365.Step{
		{ID: otherLock + ".off", Title: "Open the mail server", Object: d.hopName(), Verb: m365.VerbDisable, Why: "Mail will come directly again: it must not be refused.",
			Wait: "none", Check: d.run("other verify") + " --recipient ADDRESS " + d.domain + ", from a machine that the server does not know: mail from strangers is taken", Undo: "Close it again.",
			Console: &m365.Console{Path: lock.Console.Path, Values: open, Expect: "Port 25 answers from anywhere."}},
		{ID: otherMX + ".back", Title: "Move the MX records back", Object: d.domain, Verb: m365.VerbManual, Why: "The old records come in before those of the gateway go out, so that there is a way at any time.",
			Wait:  "the TTL of the records of the gateway, and 72 hours in which the gateway goes on",
			Check: d.run("other offboard") + " " + d.domain + ": this step is among those in order when no MX record names the gateway", Undo: "The records of the gateway in before the old ones go out.",
			Console: &m365.Console{Path: "Where the zone of " + d.domain + " is edited", Values: []m365.Value{{Name: "Put in first", Value: old},
				{Name: "Then take out", Value: strings.Join(d.mx, "\n")}, {Name: "The order that loses no mail", Value: d.run("domain cutover") + " " + d.domain + " --back"}},
				Expect: "An MX look-up does not name the gateway."}},
		{ID: otherSpam + ".remove", Title: "Remove the rule for junk", Object: spam.Object, Verb: m365.VerbRemove, Why: "Nothing writes the header any more.",
			Wait: "before it: until the 72 hours are over and " + d.run("queue list") + " --domain " + d.domain + " shows nothing", Check: "The list of rules.", Undo: "Make it again from the runbook.",
			Console: &m365.Console{Path: spam.Console.Path, Values: []m365.Value{{Name: "Undo", Value: spam.Undo}}, Expect: "It is no longer listed."}},
		{ID: otherAllow + ".remove", Title: "Take the addresses off", Object: allow.Object, Verb: m365.VerbRemove, Why: "Last, since mail on its way needs it: the queue of the gateway has to be empty, and what is wanted of its quarantine released.",
			Wait: "before it: until " + d.run("queue list") + " and " + d.run("quarantine list") + " --domain " + d.domain + " show nothing that is wanted", Check: "The lists.", Undo: "Make them again from the runbook.",
			Console: &m365.Console{Path: allow.Console.Path, Values: []m365.Value{{Name: "Take off", Value: d.list(itself)}, {Name: "Undo", Value: allow.Undo}}, Expect: "They are no longer listed."}},
		{ID: otherProof + ".remove", Title: "Give the domain up", Object: d.domain, Verb: m365.VerbRemove, Why: "The record in DNS may go when all is done.",
			Wait: "none", Check: d.run("domain list"), Undo: d.run("domain add") + " " + d.domain,
			Console: &m365.Console{Path: "On the machine of the gateway", Values: []m365.Value{{Name: "Run", Value: d.run("domain remove") + " " + d.domain}}, Expect: "The domain is no longer listed."}},
	}
}
