package app

import (
	"net/netip"
	"strings"
	"testing"
)

// TestOtherStranger: that a server takes mail shows that it is open only to a machine that it cannot know as the gateway.
func TestOtherStranger(t *testing.T) {
	t.Parallel()
	const at4, at6 = "8.8.8.8:25", "[2001:4860:4860::8888]:25"
	for name, c := range map[string]struct {
		own, egress []string
		seen, to    string
		want        string // what stands in the note; empty: a stranger
	}{
		"public":                       {[]string{"127.0.0.1", "10.0.0.2", "8.8.4.4"}, []string{"192.0.2.1"}, "", at4, ""},
		"public by IPv6":               {[]string{"10.0.0.2", "2001:4860:4860::8844"}, []string{"192.0.2.1"}, "", at6, ""},
		"no address is the gateway's":  {[]string{"8.8.4.4"}, nil, "", at4, "only with --egress"},
		"the gateway":                  {[]string{"8.8.4.4"}, []string{"8.8.4.0/24"}, "", at4, "by its address 8.8.4.4"},
		"private alone":                {[]string{"127.0.0.1", "10.0.0.2", "100.64.0.2", "fd00::2"}, []string{"192.0.2.1"}, "", at4, "behind a NAT"},
		"public by the other protocol": {[]string{"10.0.0.2", "2001:4860:4860::8844"}, []string{"192.0.2.1"}, "", at4, "behind a NAT"},
		"a server inside":              {[]string{"8.8.4.4"}, []string{"192.0.2.1"}, "", "10.0.0.25:25", "behind a NAT"},
		"nothing known of this one":    {nil, []string{"192.0.2.1"}, "", at4, "behind a NAT"},
		"NAT, said":                    {[]string{"10.0.0.2"}, []string{"192.0.2.1"}, "8.8.4.4", at4, ""},
		"NAT of the gateway, said":     {[]string{"10.0.0.2"}, []string{"8.8.4.4"}, "8.8.4.4", at4, "by its address 8.8.4.4"},
		"NAT of the other protocol":    {[]string{"10.0.0.2"}, []string{"192.0.2.1"}, "2001:4860:4860::8844", at4, "behind a NAT"},
	} {
		var own []netip.Addr
		for _, s := range c.own {
			own = append(own, netip.MustParseAddr(s))
		}
		got := (&otherOffboardCmd{SeenAs: c.seen}).known(&otherDesk{egress: c.egress}, c.to, own)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
