package verdicttest

import (
	"fmt"
	"slices"
	"time"
)

// Kind is a way in which a server breaks.
type Kind uint8

// The kinds of faults. Those that speak of a reply count what the server says from the beginning of a
// connection.
const (
	Pass   Kind = iota // no fault
	Refuse             // connections are refused
	Close              // connections are accepted and closed at once
	Deaf               // connections are accepted, and nothing is read or written
	Hang               // the request is read and never answered
	Late               // the reply begins after Delay
	Drip               // the reply comes byte by byte, Delay apart
	Cut                // the connection is closed behind After bytes of the reply
	Reset              // the connection is reset behind After bytes of the reply
	Noise              // 64 KiB of noise follow After bytes of the reply, then the connection is closed
	Flood              // bytes without end follow After bytes of the reply
)

var kindNames = [...]string{"pass", "refuse", "close", "deaf", "hang", "late", "drip", "cut", "reset", "noise", "flood"}

// String returns the name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Fault is what a FaultServer does to connections. The zero value is none.
type Fault struct {
	Kind  Kind
	After int64         // bytes of the reply that pass before Cut, Reset, Noise and Flood
	Delay time.Duration // of Late and Drip
}

// Faults returns every kind of fault, given the length of a whole reply: those that strike within it
// do so at its beginning, after a quarter, half and three quarters. Late is an hour late, and Drip
// takes a second for each byte.
func Faults(reply int64) []Fault {
	out := []Fault{{Kind: Refuse}, {Kind: Close}, {Kind: Deaf}, {Kind: Hang}, {Kind: Late, Delay: time.Hour}, {Kind: Drip, Delay: time.Second}}
	for _, k := range []Kind{Cut, Reset, Noise, Flood} {
		var at []int64
		for quarter := range int64(4) {
			at = append(at, reply*quarter/4)
		}
		for _, after := range slices.Compact(at) {
			out = append(out, Fault{Kind: k, After: after})
		}
	}
	return out
}

// String describes the fault in one word or two: "hang", "cut at 12".
func (f Fault) String() string {
	if f.strikes() {
		return fmt.Sprintf("%v at %d", f.Kind, f.After)
	}
	return f.Kind.String()
}

// strikes says whether the fault comes at a place in the reply.
func (f Fault) strikes() bool { return f.Kind >= Cut && f.Kind <= Flood }
