package relay

import (
	"net/netip"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// Policy says what becomes of the messages for a domain. The zero value delivers clean mail, tags spam,
// holds malicious mail and defers what nobody could judge.
type Policy struct {
	Spam      Action // None means Tag
	Malicious Action // None means Hold
	Unknown   Action // None means Defer
	// Block makes a message from one of these senders malicious for this domain. It is looked at first.
	Block []Sender
	// Allow makes spam from one of these senders clean. It never lowers Malicious or Unknown.
	Allow []Sender
}

// Sender matches messages by who sent them. Exactly one of its fields is set; the zero value matches nothing.
type Sender struct {
	// Net matches the address of the original client.
	Net netip.Prefix
	// Address matches an address ("a@example.org") or a domain with its subdomains ("example.org").
	// In Block it is compared with the reverse-path and with every address in any From, well formed or not.
	// In Allow it is compared with the one author, and counts only if DMARC passed for the author's domain:
	// nobody is let in by a name that anybody can write.
	Address string
}

// Action returns what the policy does with a class. A class that does not exist is treated as Unknown.
func (p Policy) Action(c verdict.Class) Action {
	switch c {
	case verdict.Clean:
		return Deliver
	case verdict.Spam:
		return orAction(p.Spam, Tag)
	case verdict.Malicious:
		return orAction(p.Malicious, Hold)
	default:
		return orAction(p.Unknown, Defer)
	}
}

func orAction(a, def Action) Action {
	if a == None {
		return def
	}
	return a
}

// classify applies the lists to the class that was found. why names the entry that changed it.
func (p Policy) classify(m *verdict.Message, c verdict.Class) (class verdict.Class, why string) {
	if len(p.Block) > 0 {
		from := senders(m)
		for _, s := range p.Block {
			if s.sent(m, from) {
				return verdict.Malicious, "blocked sender " + s.String()
			}
		}
	}
	if c != verdict.Spam || len(p.Allow) == 0 {
		return c, ""
	}
	from := proven(m)
	for _, s := range p.Allow {
		if s.fromNet(m) || s.matches(from) {
			return verdict.Clean, "allowed sender " + s.String()
		}
	}
	return c, ""
}

// sent says whether the sender is named anywhere, proven or not.
func (s Sender) sent(m *verdict.Message, from named) bool {
	_, is := from[strings.ToLower(s.Address)]
	return is || s.fromNet(m)
}

// proven returns the author if it is proven that the message comes from the author's domain, else "".
func proven(m *verdict.Message) string {
	d := m.Auth.DMARC
	if a := author(m); d.Result == verdict.Pass && d.Domain != "" && strings.EqualFold(verdict.Domain(a), d.Domain) {
		return a
	}
	return ""
}

func (s Sender) fromNet(m *verdict.Message) bool {
	return s.Net.IsValid() && s.Net.Contains(m.Origin.Addr.Addr().Unmap())
}

func (s Sender) matches(address string) bool {
	if s.Address == "" || address == "" {
		return false
	}
	if strings.Contains(s.Address, "@") {
		return strings.EqualFold(s.Address, address)
	}
	d, want := verdict.Domain(address), strings.ToLower(s.Address)
	return d == want || strings.HasSuffix(d, "."+want)
}

// String returns the entry as it was written.
func (s Sender) String() string {
	if s.Net.IsValid() {
		return s.Net.String()
	}
	return s.Address
}
