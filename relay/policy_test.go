package relay

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
)

func TestPolicyAction(t *testing.T) {
	t.Parallel()
	var zero Policy
	for class, want := range map[verdict.Class]Action{
		verdict.Clean: Deliver, verdict.Spam: Tag, verdict.Malicious: Hold, verdict.Unknown: Defer, verdict.Class(9): Defer,
	} {
		if got := zero.Action(class); got != want {
			t.Errorf("zero policy, %v: %v, want %v", class, got, want)
		}
	}
	p := Policy{Spam: Reject, Malicious: Reject, Unknown: Deliver}
	for class, want := range map[verdict.Class]Action{
		verdict.Clean: Deliver, verdict.Spam: Reject, verdict.Malicious: Reject, verdict.Unknown: Deliver, verdict.Class(9): Deliver,
	} {
		if got := p.Action(class); got != want {
			t.Errorf("%v: %v, want %v", class, got, want)
		}
	}
}

func TestPolicyLists(t *testing.T) {
	t.Parallel()
	net := netip.MustParsePrefix("192.0.2.0/24")
	const from = "From: Friend <a@friend.example>\r\n\r\n"
	pass := verdict.AuthResults{DMARC: verdict.DMARCResult{Result: verdict.Pass, Domain: "friend.example"}}
	signed := func(dmarc verdict.AuthResult, domain string, dkim verdict.AuthResult) verdict.AuthResults {
		return verdict.AuthResults{DMARC: verdict.DMARCResult{Result: dmarc}, DKIM: []verdict.DKIMResult{{Result: dkim, Domain: domain}}}
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		header string
		auth   verdict.AuthResults
		class  verdict.Class
		want   verdict.Class
	}{
		{"no lists", Policy{}, from, pass, verdict.Spam, verdict.Spam},
		{"allowed address that anybody can write", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, verdict.AuthResults{}, verdict.Spam, verdict.Spam},
		{"allowed and proven", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, pass, verdict.Spam, verdict.Clean},
		{"allowed address and proven", Policy{Allow: []Sender{{Address: "A@friend.example"}}}, from, pass, verdict.Spam, verdict.Clean},
		{"another domain is proven", Policy{Allow: []Sender{{Address: "friend.example"}}}, from,
			verdict.AuthResults{DMARC: verdict.DMARCResult{Result: verdict.Pass, Domain: "other.example"}}, verdict.Spam, verdict.Spam},
		{"two authors, one proven", Policy{Allow: []Sender{{Address: "friend.example"}}}, "From: a@friend.example\r\nFrom: b@evil.example\r\n\r\n", pass, verdict.Spam, verdict.Spam},
		{"two addresses in From", Policy{Allow: []Sender{{Address: "friend.example"}}}, "From: a@friend.example, b@evil.example\r\n\r\n", pass, verdict.Spam, verdict.Spam},
		{"allowed network", Policy{Allow: []Sender{{Net: net}}}, from, verdict.AuthResults{}, verdict.Spam, verdict.Clean},
		{"allow never lowers malicious", Policy{Allow: []Sender{{Net: net}}}, from, pass, verdict.Malicious, verdict.Malicious},
		{"no policy, the very domain signed", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, signed("none", "friend.example", "pass"), verdict.Spam, verdict.Clean},
		{"no policy, a domain above signed", Policy{Allow: []Sender{{Address: "friend.example"}}}, "From: a@news.friend.example\r\n\r\n", signed("none", "friend.example", "pass"), verdict.Spam, verdict.Clean},
		{"no policy, a domain below signed", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, signed("none", "customer.friend.example", "pass"), verdict.Spam, verdict.Spam},
		{"no policy, the top-level domain signed", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, signed("none", "example", "pass"), verdict.Spam, verdict.Spam},
		{"no policy, a bad signature", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, signed("none", "friend.example", "fail"), verdict.Spam, verdict.Spam},
		{"no policy, a signature nobody could check", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, signed("none", "friend.example", "temperror"), verdict.Spam, verdict.Spam},
		{"DMARC failed, whatever signed", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, signed("fail", "friend.example", "pass"), verdict.Spam, verdict.Spam},
		{"DMARC nobody could check", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, signed("temperror", "friend.example", "pass"), verdict.Spam, verdict.Spam},
		{"nobody checked DMARC", Policy{Allow: []Sender{{Address: "friend.example"}}}, from, signed("", "friend.example", "pass"), verdict.Spam, verdict.Spam},
		{"no policy, SPF of the very domain", Policy{Allow: []Sender{{Address: "friend.example"}}}, from,
			verdict.AuthResults{DMARC: verdict.DMARCResult{Result: "none"}, SPF: verdict.SPFResult{Result: "pass", Domain: "friend.example", Identity: "mailfrom"}}, verdict.Spam, verdict.Clean},
		{"no policy, SPF of what the client calls itself", Policy{Allow: []Sender{{Address: "friend.example"}}}, from,
			verdict.AuthResults{DMARC: verdict.DMARCResult{Result: "none"}, SPF: verdict.SPFResult{Result: "pass", Domain: "friend.example", Identity: "helo"}}, verdict.Spam, verdict.Spam},
		{"no policy, SPF of another domain", Policy{Allow: []Sender{{Address: "friend.example"}}}, from,
			verdict.AuthResults{DMARC: verdict.DMARCResult{Result: "none"}, SPF: verdict.SPFResult{Result: "pass", Domain: "bounce.example", Identity: "mailfrom"}}, verdict.Spam, verdict.Spam},
		{"ARC is no proof of the author", Policy{Allow: []Sender{{Address: "friend.example"}}}, from,
			verdict.AuthResults{DMARC: verdict.DMARCResult{Result: "fail", Domain: "friend.example", Policy: "reject", Applied: "none"}, ARC: verdict.ARCResult{Result: "pass", Vouches: true}}, verdict.Spam, verdict.Spam},
		{"malicious is allowed where the policy says so", Policy{Allow: []Sender{{Address: "friend.example"}}, AllowMalicious: true}, from, pass, verdict.Malicious, verdict.Clean},
		{"malicious of nobody proven is not", Policy{Allow: []Sender{{Address: "friend.example"}}, AllowMalicious: true}, from, verdict.AuthResults{}, verdict.Malicious, verdict.Malicious},
		{"unknown is not, whatever the policy says", Policy{Allow: []Sender{{Net: net}}, AllowMalicious: true}, from, pass, verdict.Unknown, verdict.Unknown},
		{"allow never lowers unknown", Policy{Allow: []Sender{{Net: net}}}, from, pass, verdict.Unknown, verdict.Unknown},
		{"blocked author", Policy{Block: []Sender{{Address: "friend.example"}}}, from, verdict.AuthResults{}, verdict.Clean, verdict.Malicious},
		{"blocked subdomain", Policy{Block: []Sender{{Address: "example"}}}, from, verdict.AuthResults{}, verdict.Clean, verdict.Malicious},
		{"blocked reverse-path", Policy{Block: []Sender{{Address: "b@bounce.example"}}}, "", verdict.AuthResults{}, verdict.Clean, verdict.Malicious},
		{"blocked is over allowed", Policy{Block: []Sender{{Net: net}}, Allow: []Sender{{Net: net}}}, from, pass, verdict.Spam, verdict.Malicious},
		{"blocked author, one of two fields", Policy{Block: []Sender{{Address: "friend.example"}}}, "From: b@other.example\r\n" + from, verdict.AuthResults{}, verdict.Clean, verdict.Malicious},
		{"blocked author, one of two addresses", Policy{Block: []Sender{{Address: "a@friend.example"}}}, "From: b@other.example, Friend <a@friend.example>\r\n\r\n", verdict.AuthResults{}, verdict.Clean, verdict.Malicious},
		{"blocked author, in a group", Policy{Block: []Sender{{Address: "friend.example"}}}, "From: us: a@friend.example;\r\n\r\n", verdict.AuthResults{}, verdict.Clean, verdict.Malicious},
		{"blocked author, dot at the end", Policy{Block: []Sender{{Address: "friend.example"}}}, "From: a@friend.example.\r\n\r\n", verdict.AuthResults{}, verdict.Clean, verdict.Malicious},
		{"blocked author, in no form at all", Policy{Block: []Sender{{Address: "friend.example"}}}, "From: ((\"a\"@x <<A@Friend.Example>,;\r\n\r\n", verdict.AuthResults{}, verdict.Clean, verdict.Malicious},
		{"blocked author, blank before the colon", Policy{Block: []Sender{{Address: "friend.example"}}}, "From : a@friend.example\r\n\r\n", verdict.AuthResults{}, verdict.Clean, verdict.Malicious},
		{"a suffix is no subdomain", Policy{Block: []Sender{{Address: "end.example"}}}, from, verdict.AuthResults{}, verdict.Clean, verdict.Clean},
		{"the zero sender matches nobody", Policy{Block: []Sender{{}}, Allow: []Sender{{}}}, from, pass, verdict.Spam, verdict.Spam},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := verdict.NewMessage(verdict.Bytes(tt.header))
			m.Envelope.From = "b@bounce.example"
			m.Origin.Addr = netip.MustParseAddrPort("192.0.2.7:25")
			m.Auth = tt.auth
			if got, why := tt.policy.classify(m, tt.class); got != tt.want || (why != "") != (got != tt.class) {
				t.Errorf("%v %q, want %v", got, why, tt.want)
			}
		})
	}
}

func TestHonourDMARC(t *testing.T) {
	t.Parallel()
	net := netip.MustParsePrefix("192.0.2.0/24")
	for _, tt := range []struct {
		name     string
		policy   Policy
		result   verdict.AuthResult
		applied  string
		class    verdict.Class
		want     verdict.Class
		action   Action
		disowned bool
	}{
		{"not honoured", Policy{}, "fail", "reject", verdict.Clean, verdict.Clean, Deliver, false},
		{"reject", Policy{HonourDMARC: true}, "fail", "reject", verdict.Clean, verdict.Spam, Reject, true},
		{"reject of spam", Policy{HonourDMARC: true}, "fail", "reject", verdict.Spam, verdict.Spam, Reject, true},
		{"reject of what is held stays held", Policy{HonourDMARC: true}, "fail", "reject", verdict.Malicious, verdict.Malicious, Hold, false},
		{"reject of what nobody could judge", Policy{HonourDMARC: true}, "fail", "reject", verdict.Unknown, verdict.Unknown, Reject, true},
		{"quarantine", Policy{HonourDMARC: true}, "fail", "quarantine", verdict.Clean, verdict.Spam, Tag, false},
		{"quarantine, where spam is refused", Policy{HonourDMARC: true, Spam: Reject}, "fail", "quarantine", verdict.Clean, verdict.Spam, Reject, false},
		{"quarantine of malicious", Policy{HonourDMARC: true}, "fail", "quarantine", verdict.Malicious, verdict.Malicious, Hold, false},
		{"quarantine of unknown", Policy{HonourDMARC: true}, "fail", "quarantine", verdict.Unknown, verdict.Unknown, Defer, false},
		{"none", Policy{HonourDMARC: true}, "fail", "none", verdict.Clean, verdict.Clean, Deliver, false},
		{"nobody can tell", Policy{HonourDMARC: true}, "temperror", "", verdict.Clean, verdict.Clean, Deliver, false},
		{"nobody can tell, whatever is said to apply", Policy{HonourDMARC: true}, "temperror", "reject", verdict.Clean, verdict.Clean, Deliver, false},
		{"pass", Policy{HonourDMARC: true}, "pass", "", verdict.Clean, verdict.Clean, Deliver, false},
		{"an allowed forwarder", Policy{HonourDMARC: true, Allow: []Sender{{Net: net}}}, "fail", "reject", verdict.Clean, verdict.Clean, Deliver, false},
		{"an allowed address is not proven", Policy{HonourDMARC: true, Allow: []Sender{{Address: "friend.example"}}}, "fail", "reject", verdict.Clean, verdict.Spam, Reject, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := verdict.NewMessage(verdict.Bytes("From: a@friend.example\r\n\r\n"))
			m.Origin.Addr = netip.MustParseAddrPort("192.0.2.7:25")
			m.Auth.DMARC = verdict.DMARCResult{Result: tt.result, Domain: "friend.example", Policy: "reject", Applied: tt.applied}
			d := tt.policy.decide(m, tt.class)
			if d.class != tt.want || d.action != tt.action || d.disowned != tt.disowned {
				t.Errorf("%v %v %v, want %v %v", d.class, d.action, d.disowned, tt.want, tt.action)
			}
			if (len(d.findings) > 0) != (tt.action != Deliver && tt.class != tt.want || tt.disowned) {
				t.Errorf("findings %v", d.findings)
			}
		})
	}
}

func TestStaticDirectory(t *testing.T) {
	t.Parallel()
	a, b := &Domain{Name: "example.net"}, &Domain{Name: "sub"}
	s := Static{"example.net": a, ".example.net": b}
	for name, want := range map[string]*Domain{"example.net": a, "x.example.net": b, "y.x.example.net": b, "net": nil, "notexample.net": nil, "": nil} {
		got, err := s.Lookup(t.Context(), name)
		if got != want || (err == nil) != (want != nil) {
			t.Errorf("%q: %v %v", name, got, err)
		}
	}
}

// A long list and a long From together take no longer than each of them.
func BenchmarkPolicyLists(b *testing.B) {
	var p Policy
	for range 10_000 {
		p.Block = append(p.Block, Sender{Address: "blocked.example"})
	}
	m := verdict.NewMessage(verdict.Bytes("From: a@ex.org" + strings.Repeat(", a@ex.org", 5_000) + "\r\n\r\n"))
	for b.Loop() {
		if class, _ := p.classify(m, verdict.Clean); class != verdict.Clean {
			b.Fatal(class)
		}
	}
}
