package relay

import (
	"fmt"
)

// Action is what is done with a message. The actions are ordered by strictness.
//
// The zero value means that nobody decided. A policy reads it as the default for the class; at the very
// end of a decision it answers 451 and delivers nothing.
type Action uint8

const (
	None    Action = iota // nobody decided
	Deliver               // hand on, with the verdict in a header
	Tag                   // hand on, with the header that says spam
	Defer                 // 451: the sender keeps it and tries again
	Hold                  // keep it in quarantine and answer 250; without a Holder: reject
	Reject                // 550
)

var actionNames = [...]string{None: "", Deliver: "deliver", Tag: "tag", Defer: "defer", Hold: "hold", Reject: "reject"}

// String returns the name of the action as configuration spells it.
func (a Action) String() string {
	switch {
	case a == None:
		return "none"
	case int(a) < len(actionNames):
		return actionNames[a]
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// MarshalText returns the name of the action; None is empty.
func (a Action) MarshalText() ([]byte, error) {
	if int(a) >= len(actionNames) {
		return nil, fmt.Errorf("relay: %d is not an action", uint8(a))
	}
	return []byte(actionNames[a]), nil
}

// UnmarshalText accepts the five names in lower case, and nothing for None.
func (a *Action) UnmarshalText(text []byte) error {
	for i, n := range actionNames {
		if n == string(text) {
			*a = Action(i)
			return nil
		}
	}
	return fmt.Errorf("relay: %q is not an action (deliver, tag, defer, hold, reject)", text)
}

// Releases says whether a message with this action goes on to the next hop.
func (a Action) Releases() bool { return a == Deliver || a == Tag }
