package relay

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// Policy says what becomes of the messages for a domain. The zero value delivers clean mail, tags spam,
// holds malicious mail and defers what nobody could judge.
type Policy struct {
	Spam      Action // None means Tag
	Malicious Action // None means Hold
	Unknown   Action // None means Defer
	// HonourDMARC does what the owner of the author domain asks for when DMARC fails (RFC 9989 section 4.7): a
	// message is refused for p=reject, unless it would be held, and is spam at least for p=quarantine. False
	// leaves it to the judge: the scanner of package mailauth calls the first spam and weighs the second.
	HonourDMARC bool
	// Block makes a message from one of these senders malicious for this domain. It is looked at first.
	Block []Sender
	// Allow makes spam from one of these senders clean, and spares networks what HonourDMARC does. It never
	// lowers Unknown.
	Allow []Sender
	// AllowMalicious lets Allow lower Malicious too: for tests of awareness, or those who collect samples.
	AllowMalicious bool
}

// Sender matches messages by who sent them. Exactly one of its fields is set; the zero value matches nothing.
type Sender struct {
	// Net matches the address of the original client.
	Net netip.Prefix
	// Address matches an address ("a@example.org") or a domain with its subdomains ("example.org").
	// In Block it is compared with the reverse-path and with every address in any From, well formed or not.
	// In Allow it is compared with the one author, and counts only if it is proven that the author's domain
	// sent the message: nobody is let in by a name that anybody can write. DMARC proves it; for a domain
	// without a DMARC policy DKIM or SPF does, for that very domain or one above it.
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

// decision is what a policy makes of a message.
type decision struct {
	class    verdict.Class
	action   Action
	disowned bool              // refused because the owner of the author domain asks for it
	findings []verdict.Finding // of the policy
}

// decide turns the class that was found into an action.
func (p Policy) decide(m *verdict.Message, c verdict.Class) decision {
	class, why := p.classify(m, c)
	d := decision{class: class, action: p.Action(class)}
	if why != "" {
		d.findings = append(d.findings, verdict.Finding{Scanner: "policy", Code: verdict.CodeListed, Class: class, Detail: why})
	}
	if !p.HonourDMARC {
		return d
	}
	switch asked := m.Auth.DMARC; {
	case asked.Result != "fail" || p.allowsNet(m):
	case asked.Applied == "reject" && d.action != Hold:
		d.action, d.disowned, d.class = Reject, true, worse(d.class, verdict.Spam)
		d.findings = append(d.findings, p.honoured(d.class, asked))
	case asked.Applied == "quarantine" && d.class == verdict.Clean:
		d.class, d.action = verdict.Spam, p.Action(verdict.Spam)
		d.findings = append(d.findings, p.honoured(d.class, asked))
	}
	return d
}

func (p Policy) honoured(c verdict.Class, r verdict.DMARCResult) verdict.Finding {
	return verdict.Finding{Scanner: "policy", Code: verdict.CodeHonoured, Class: c, Detail: r.Domain + " asks for " + r.Applied}
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
	if len(p.Allow) == 0 || c != verdict.Spam && !(c == verdict.Malicious && p.AllowMalicious) {
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

// allowsNet says whether the client is one that Allow names.
func (p Policy) allowsNet(m *verdict.Message) bool {
	return slices.ContainsFunc(p.Allow, func(s Sender) bool { return s.fromNet(m) })
}

// sent says whether the sender is named anywhere, proven or not.
func (s Sender) sent(m *verdict.Message, from named) bool {
	_, is := from[strings.ToLower(s.Address)]
	return is || s.fromNet(m)
}

// proven returns the author if it is proven that the message comes from the author's domain, else "".
func proven(m *verdict.Message) string {
	a := author(m)
	domain := strings.ToLower(verdict.Domain(a))
	if domain == "" {
		return ""
	}
	d := m.Auth.DMARC
	switch {
	case d.Result == verdict.Pass:
		if strings.EqualFold(domain, d.Domain) {
			return a
		}
	case d.Result == "none" && (d.Domain == "" || strings.EqualFold(domain, d.Domain)):
		if speaksFor(m.Auth, domain) {
			return a
		}
	}
	return ""
}

// speaksFor says whether DKIM or SPF passed for a domain or one above it, whose owner has given it away. One
// below proves nothing here: without a policy nobody has said who belongs together.
func speaksFor(r verdict.AuthResults, domain string) bool {
	above := func(d string) bool {
		d = strings.ToLower(d)
		return d == domain || strings.Contains(d, ".") && strings.HasSuffix(domain, "."+d)
	}
	if r.SPF.Result == verdict.Pass && r.SPF.Identity == "mailfrom" && above(r.SPF.Domain) {
		return true
	}
	return slices.ContainsFunc(r.DKIM, func(d verdict.DKIMResult) bool { return d.Result == verdict.Pass && above(d.Domain) })
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
