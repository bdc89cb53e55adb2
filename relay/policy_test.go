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
