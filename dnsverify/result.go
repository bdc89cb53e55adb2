package dnsverify

import (
	"time"
)

// Status is the answer to the question whether a domain is proven.
type Status string

const (
	Verified Status = "verified" // every server that can be asked has the record, and at least half of them can
	Partial  Status = "partial"  // some have it, others do not yet
	Wrong    Status = "wrong"    // there is a record with another value
	Absent   Status = "absent"   // there is no record: the servers with authority say so
	Failed   Status = "error"    // nothing is known, and in particular not that the record is absent
)

// Outcome is what one server said.
type Outcome string

const (
	Match    Outcome = "match"   // it has the record
	Differs  Outcome = "differs" // it has other values at the name
	Split    Outcome = "split"   // behind an alias: some servers there have it, others do not
	Nothing  Outcome = "nothing" // the name is there, without a TXT record
	NoName   Outcome = "no-name" // the name is not there
	Lame     Outcome = "lame"    // it answers without authority, or refuses to
	Dead     Outcome = "dead"    // it does not answer
	Refused  Outcome = "refused" // its address may not be asked, or it has none
	BogusSig Outcome = "bogus"   // a resolver: the signatures are not valid
	Untold   Outcome = "untold"  // what stands behind its alias could not be found out
)

// Answer is what one server answered. All texts in it are safe to show.
type Answer struct {
	Server   string        `json:"server"`         // name of the server, or its address
	Addr     string        `json:"addr,omitempty"` // address, and port if it is not 53
	Asked    string        `json:"asked"`          // the name that was asked for
	Outcome  Outcome       `json:"outcome"`
	Old      bool          `json:"old,omitempty"`    // matched the token before the current one
	Values   []string      `json:"values,omitempty"` // at most 5, each cut to 80 characters
	Alias    string        `json:"alias,omitempty"`  // target of the CNAME record at the name
	Rcode    string        `json:"rcode,omitempty"`  // "NOERROR", empty without an answer
	AA       bool          `json:"aa,omitempty"`     // authoritative
	AD       bool          `json:"ad,omitempty"`     // validated, as sent; whether it counts says Result.Secure
	RA       bool          `json:"ra,omitempty"`     // recursion available
	TCP      bool          `json:"tcp,omitempty"`
	TTL      time.Duration `json:"ttl,omitempty"`      // of the record
	Negative time.Duration `json:"negative,omitempty"` // how long caches keep that there is none
	Extended []string      `json:"extended,omitempty"` // RFC 8914
	Error    string        `json:"error,omitempty"`
	Took     time.Duration `json:"took,omitempty"`
}

// Result is what came out of one check, as data. It is safe to log and to show.
type Result struct {
	Domain  string `json:"domain"`
	Tenant  string `json:"tenant"`
	Name    string `json:"name"`     // of the record
	TokenID string `json:"token_id"` // see Challenge.TokenID
	Status  Status `json:"status"`
	// Problem is why the status is not Verified; nil if it is.
	Problem *Problem `json:"problem,omitempty"`
	// Notes are remarks that change nothing: a resolver that still has the old answer, a wildcard.
	Notes []string `json:"notes,omitempty"`
	// OldToken says that a server has only the token before the current one. It counts.
	OldToken bool `json:"old_token,omitempty"`
	// Zone is where the name is, as the parent zone delegates it, and NameServers are its servers.
	Zone        string   `json:"zone,omitempty"`
	NameServers []string `json:"name_servers,omitempty"`
	// Servers has one answer for each address of a name server, Resolvers one for each resolver,
	// Vantages one for each other place.
	Servers   []Answer `json:"servers,omitempty"`
	Resolvers []Answer `json:"resolvers,omitempty"`
	Vantages  []Answer `json:"vantages,omitempty"`
	// Negative is how long resolvers may go on saying that there is no record after it has been made.
	Negative time.Duration `json:"negative,omitempty"`
	// Secure says that a trusted resolver validated the record with DNSSEC.
	Secure bool `json:"secure,omitempty"`
	// Downgraded says that nothing but our own look at the authoritative servers stands behind the status:
	// no validation and no other vantage point.
	Downgraded bool          `json:"downgraded,omitempty"`
	At         time.Time     `json:"at"`
	Took       time.Duration `json:"took"`
}

func (r *Result) note(s string) { r.Notes = append(r.Notes, s) }

// tally counts the answers of the servers, each name server once: it matches if one of its addresses does
// and none denies.
type tally struct {
	hosts, match, miss, other, told int
	matching, missing, lame, dead   []string
	intercepted                     int
}

func count(answers []Answer) tally {
	type host struct{ match, miss bool }
	hosts := map[string]*host{}
	var t tally
	for _, a := range answers {
		h := hosts[a.Server]
		if h == nil {
			h = &host{}
			hosts[a.Server] = h
		}
		label := a.label()
		switch a.Outcome {
		case Match:
			h.match = true
			t.match++
			t.matching = append(t.matching, label)
		case Differs, Nothing, NoName, Split:
			h.miss = true
			t.miss++
			t.missing = append(t.missing, label)
			if a.Outcome == Differs {
				t.other++
			}
			if a.Outcome == Split {
				t.match++
			}
		case Lame:
			t.lame = append(t.lame, label)
			if a.RA && !a.AA && (a.Rcode == "NOERROR" || a.Rcode == "NXDOMAIN") {
				t.intercepted++
			}
		default:
			t.dead = append(t.dead, label)
		}
	}
	t.hosts = len(hosts)
	for _, h := range hosts {
		if h.match || h.miss {
			t.told++
		}
	}
	return t
}

func (a Answer) label() string {
	if a.Addr == "" || a.Addr == a.Server {
		return a.Server
	}
	return a.Server + " " + a.Addr
}

// Evidence is the record of one check for an audit: enough to tell later why a domain was taken for proven.
// It holds no values of records, and of the token only its id.
type Evidence struct {
	At          time.Time     `json:"at"`
	Domain      string        `json:"domain"`
	Tenant      string        `json:"tenant"`
	Name        string        `json:"name"`
	TokenID     string        `json:"token_id"`
	Decision    Status        `json:"decision"`
	Code        Code          `json:"code,omitempty"`
	Zone        string        `json:"zone,omitempty"`
	NameServers []string      `json:"name_servers,omitempty"`
	Answers     []Answer      `json:"answers,omitempty"` // servers, resolvers and vantages, without values
	Secure      bool          `json:"secure"`
	Downgraded  bool          `json:"downgraded"`
	Took        time.Duration `json:"took"`
	Rules       string        `json:"rules"` // version of the rules that led to the decision
}

// rules changes whenever the rules of the decision change.
const rules = "dnsverify 1"

// Evidence returns the record of the check.
func (r *Result) Evidence() Evidence {
	e := Evidence{At: r.At, Domain: r.Domain, Tenant: r.Tenant, Name: r.Name, TokenID: r.TokenID, Decision: r.Status,
		Zone: r.Zone, NameServers: r.NameServers, Secure: r.Secure, Downgraded: r.Downgraded, Took: r.Took, Rules: rules}
	if r.Problem != nil {
		e.Code = r.Problem.Code
	}
	for _, list := range [][]Answer{r.Servers, r.Resolvers, r.Vantages} {
		for _, a := range list {
			a.Values, a.Alias = nil, ""
			e.Answers = append(e.Answers, a)
		}
	}
	return e
}
