package dnsverify

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code names a problem. Codes are stable: they stand in JSON, logs and metrics and are never renamed.
type Code string

// The codes. Their sentences, who acts on them and when to look again stand in one table, see [Code.Info].
const (
	NoSuchDomain       Code = "no_such_domain"
	NotDelegated       Code = "not_delegated"
	LameServers        Code = "lame_servers"
	UnreachableServers Code = "unreachable_servers"
	Intercepted        Code = "intercepted"
	RecordAbsent       Code = "record_absent"
	RecordDoubledName  Code = "record_doubled_name"
	RecordAtApex       Code = "record_at_apex"
	RecordWrongValue   Code = "record_wrong_value"
	RecordOldToken     Code = "record_old_token"
	RecordOtherTenant  Code = "record_other_tenant"
	PartialPropagation Code = "partial_propagation"
	CNAMELoop          Code = "cname_loop"
	CNAMETooDeep       Code = "cname_too_deep"
	CNAMEBlocksTXT     Code = "cname_blocks_txt"
	DNSSECBogus        Code = "dnssec_bogus"
	VantageDisagree    Code = "vantage_disagree"
	PublicSuffix       Code = "public_suffix"
	InvalidName        Code = "invalid_name"
	NullMX             Code = "null_mx"
	NoMXImplicit       Code = "no_mx_implicit"
	MXIsCNAME          Code = "mx_is_cname"
	MXIsIP             Code = "mx_is_ip"
	MXMixed            Code = "mx_mixed"
	MXPointsToSelf     Code = "mx_points_to_self_as_next_hop"
	NextHopRefused     Code = "next_hop_refused"
	MTASTSBlocksSwitch Code = "mtasts_blocks_switch"
	MTASTSMultiple     Code = "mtasts_multiple"
	DANEFailed         Code = "dane_required_failed"
	Temporary          Code = "temporary"
)

// Actor is who can do something about a problem.
type Actor string

const (
	Customer Actor = "customer" // whoever edits the zone of the domain
	Operator Actor = "operator" // whoever runs the gateway
	Nobody   Actor = "nobody"   // waiting is all there is to do
)

// Info is what is known about a code, whatever the case.
type Info struct {
	Sentence  string        // for people: one sentence with a full stop
	Retryable bool          // looking again may give another answer without the claim being changed
	Actor     Actor         // who acts
	Again     time.Duration // when to look again; 0 if not before somebody has acted
}

var infos = map[Code]Info{
	NoSuchDomain:       {"The domain does not exist.", true, Customer, time.Hour},
	NotDelegated:       {"The parent zone names no name servers for the domain.", true, Customer, time.Hour},
	LameServers:        {"The name servers of the domain do not know its zone.", true, Customer, 15 * time.Minute},
	UnreachableServers: {"No name server of the domain answers.", true, Nobody, 5 * time.Minute},
	Intercepted:        {"Something on the way answers in place of the name servers of the domain.", true, Operator, 15 * time.Minute},
	RecordAbsent:       {"The record is not there.", true, Customer, time.Minute},
	RecordDoubledName:  {"The record was made with the domain twice in its name: enter the name without the domain.", true, Customer, time.Minute},
	RecordAtApex:       {"The record was made at the domain itself: it belongs at the name shown.", true, Customer, time.Minute},
	RecordWrongValue:   {"There is a record at the right name, with another value.", true, Customer, time.Minute},
	RecordOldToken:     {"The record holds an older token, which does not count any more.", true, Customer, time.Minute},
	RecordOtherTenant:  {"The record holds a token that was issued to another account.", true, Customer, time.Minute},
	PartialPropagation: {"Some name servers of the domain have the record and others do not have it yet.", true, Nobody, time.Minute},
	CNAMELoop:          {"The aliases at this name go round in a circle.", true, Customer, 15 * time.Minute},
	CNAMETooDeep:       {"There are too many aliases behind this name.", true, Customer, 15 * time.Minute},
	CNAMEBlocksTXT:     {"There is an alias at this name, and beside an alias no TXT record can exist.", true, Customer, time.Minute},
	DNSSECBogus:        {"The DNSSEC signatures of the domain are not valid.", true, Customer, 15 * time.Minute},
	VantageDisagree:    {"The domain looks different from other places on the Internet.", true, Nobody, 5 * time.Minute},
	PublicSuffix:       {"This is not one domain but a suffix under which many register theirs.", false, Customer, 0},
	InvalidName:        {"This is not a domain name.", false, Customer, 0},
	NullMX:             {"The domain says that it accepts no mail.", true, Customer, 0},
	NoMXImplicit:       {"The domain has no MX record: mail goes to the address of the domain itself.", true, Customer, 0},
	MXIsCNAME:          {"An MX record names an alias, which is not allowed.", true, Customer, 0},
	MXIsIP:             {"An MX record holds an address where a name belongs.", true, Customer, 0},
	MXMixed:            {"Some MX records name the gateway and others do not: mail goes past it.", true, Customer, 0},
	MXPointsToSelf:     {"The gateway cannot be its own next hop.", false, Operator, 0},
	NextHopRefused:     {"This host can never be a next hop.", false, Operator, 0},
	MTASTSBlocksSwitch: {"The domain's MTA-STS policy does not list the gateway: senders would refuse it.", true, Customer, time.Hour},
	MTASTSMultiple:     {"There are several MTA-STS records, which counts as none.", true, Customer, 0},
	DANEFailed:         {"The certificate does not match the TLSA records of the host.", true, Operator, 15 * time.Minute},
	Temporary:          {"The answer could not be had now.", true, Nobody, 5 * time.Minute},
}

// Codes returns all codes, with what is known about each. The map is a copy.
func Codes() map[Code]Info {
	out := make(map[Code]Info, len(infos))
	for c, i := range infos {
		out[c] = i
	}
	return out
}

// Info returns what is known about c. An unknown code is treated as Temporary.
func (c Code) Info() Info {
	if i, ok := infos[c]; ok {
		return i
	}
	return infos[Temporary]
}

// Problem is what is wrong, in one case. A *Problem is an error; find it with errors.As.
// All texts in it are printable ASCII without angle brackets, quotes and ampersands, whatever a server sent.
type Problem struct {
	Code Code `json:"code"`
	// Name is the domain name it is about.
	Name string `json:"name,omitempty"`
	// Detail says more than the sentence of the code.
	Detail string `json:"detail,omitempty"`
	// Found are values that were found instead, at most 5, each cut to 80 characters.
	Found []string `json:"found,omitempty"`
	// Servers are the name servers it is about: "ns1.example.net 192.0.2.1".
	Servers []string `json:"servers,omitempty"`
	// Wait is how long at least until looking again can help; 0 if nothing is known.
	Wait time.Duration `json:"wait,omitempty"`
	// Err is the cause, for logs; nil if there is none.
	Err error `json:"-"`
}

// Error returns code, name, sentence and detail on one line.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dnsverify: %s: ", p.Code)
	if p.Name != "" {
		b.WriteString(p.Name)
		b.WriteString(": ")
	}
	b.WriteString(p.Code.Info().Sentence)
	if p.Detail != "" {
		b.WriteString(" ")
		b.WriteString(p.Detail)
	}
	return b.String()
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Retryable says whether looking again may help.
func (p *Problem) Retryable() bool { return p.Code.Info().Retryable }

// Again returns how long to wait before looking again, 0 if that is no use before somebody has acted.
func (p *Problem) Again() time.Duration { return max(p.Wait, p.Code.Info().Again) }

// asProblem makes a Problem of any error: what is not one is Temporary.
func asProblem(name string, err error) *Problem {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return &Problem{Code: Temporary, Name: show(name, 120), Detail: show(err.Error(), 200), Err: err}
}

// failure says whether a problem means that nothing could be learnt, rather than that something is missing.
func (c Code) failure() bool {
	switch c {
	case LameServers, UnreachableServers, Intercepted, DNSSECBogus, VantageDisagree, Temporary:
		return true
	}
	return false
}
