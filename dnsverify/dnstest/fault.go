package dnstest

import "fmt"

// Fault is something that is wrong with a server. The value is its name.
type Fault string

const (
	Lame             Fault = "lame"              // REFUSED, as from a server that does not have the zone
	NotAuthoritative Fault = "not-authoritative" // the right answer without AA
	Intercepted      Fault = "intercepted"       // a resolver answers in its place, without AA and with RA
	Silent           Fault = "silent"            // no answer, over UDP and TCP
	Truncating       Fault = "truncating"        // over UDP only TC
	WrongID          Fault = "wrong-id"          // answers with another id
	WrongQuestion    Fault = "wrong-question"    // answers another question
	Late             Fault = "late"              // over UDP answers after 5 s
	Split            Fault = "split"             // keeps the data that it has now: a secondary that lags behind
	ServFail         Fault = "servfail"          // SERVFAIL
	Bogus            Fault = "bogus"             // the resolver finds the signatures of the server's zones broken
	CNAMELoop        Fault = "cname-loop"        // every name but the zone's own is an alias in a circle
	Garbage          Fault = "garbage"           // octets that are no message behind the right id
	LowerCase        Fault = "lower-case"        // answers with the question in lower case
	NoEDNS           Fault = "no-edns"           // FORMERR for every question with EDNS
	NoNS             Fault = "no-ns"             // SERVFAIL for questions of type NS below the zone's own name
	Minimal          Fault = "minimal"           // no addresses beside the NS records of its own zones
)

// Faults lists all faults.
func Faults() []Fault {
	return []Fault{Lame, NotAuthoritative, Intercepted, Silent, Truncating, WrongID, WrongQuestion, Late, Split,
		ServFail, Bogus, CNAMELoop, Garbage, LowerCase, NoEDNS, NoNS, Minimal}
}

// Fault replaces the faults of the server. None heals it.
func (s *Server) Fault(faults ...Fault) {
	s.net.tb.Helper()
	known := map[Fault]bool{}
	for _, f := range Faults() {
		known[f] = true
	}
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	s.faults, s.frozen = map[Fault]bool{}, nil
	for _, f := range faults {
		if !known[f] {
			s.net.tb.Fatalf("dnstest: there is no fault %q", string(f))
		}
		s.faults[f] = true
	}
	if s.faults[Split] {
		if s.recursive {
			s.net.tb.Fatalf("dnstest: the resolver has a cache and not the fault %q", string(Split))
		}
		s.frozen = map[string]data{}
		for name, d := range s.zones {
			s.frozen[name] = d.clone()
		}
	}
}

// String returns the address, for messages of tests.
func (s *Server) String() string { return fmt.Sprint(s.addr) }
