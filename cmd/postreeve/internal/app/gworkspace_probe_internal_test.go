package app

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/gworkspace"
)

// TestProbeFromTheGateway: what a machine sends that Google trusts proves nothing, so it is not sent.
func TestProbeFromTheGateway(t *testing.T) {
	t.Parallel()
	egress := egressOf(&gworkspace.Profile{Regions: map[string]gworkspace.Region{"eu": {Egress: []string{"192.0.2.10", "2001:db8:1::/64"}}}})
	for name, c := range map[string]struct {
		addr, via string
		direct    bool
		want      bool // it is not sent
	}{
		"its address":           {"192.0.2.10/24", "", false, true},
		"its network":           {"2001:db8:1::25/64", "", false, true},
		"another":               {"192.0.2.11/24", "", false, false},
		"by a server outside":   {"192.0.2.10/24", "127.0.0.1:1", false, false},
		"past it, from here":    {"192.0.2.10/24", "127.0.0.1:1", true, true},
		"past it, from another": {"198.51.100.1/24", "127.0.0.1:1", true, false},
	} {
		p := netip.MustParsePrefix(c.addr)
		s := &probeSender{flags: &probeFlags{ProbeVia: c.via, ProbeGoogle: "127.0.0.1:1"}, egress: egress, addrs: func() ([]net.Addr, error) {
			return []net.Addr{&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}, nil
		}}
		if name == "another" { // would look for MX records
			if s.trusted().IsValid() {
				t.Errorf("%s: taken for the gateway", name)
			}
			continue
		}
		if err := s.Send(t.Context(), gworkspace.ProbeMail{To: "a@ex.net", MessageID: "<1@ex.net>", Direct: c.direct}); errors.Is(err, gworkspace.ErrNotSent) != c.want || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	for id, want := range map[string][]config.Secret{
		"":                                 nil,
		"file:/a":                          {{File: "/a"}},
		"file:/a b env:X file:/c:d env:Y ": {{File: "/a b"}, {Env: "X"}, {File: "/c:d"}, {Env: "Y "}},
		"nothing of the kind":              nil,
	} {
		if diff := cmp.Diff(want, references(id)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", id, diff)
		}
	}
}
