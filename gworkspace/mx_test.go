package gworkspace_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/gworkspace"
)

// TestMXUnread: a resolver that is down says nothing about where the MX records lead.
func TestMXUnread(t *testing.T) {
	t.Parallel()
	down := func(context.Context, string) ([]string, error) { return nil, errors.New("server misbehaving") }
	for _, p := range []*gworkspace.Profile{reroute(), mxFirst(), movedMX()} {
		p.Access = nil
		tenant := &gworkspace.Tenant{Profile: p, LookupMX: down}
		r, err := tenant.Verify(t.Context())
		if err != nil || len(r.Drift) > 0 || r.OK() || len(r.Unread) != 1 || !strings.Contains(r.Unread[0], "server misbehaving") {
			t.Errorf("%s: %v: drift %v, unread %q, OK %v", p.Mode, err, r.Drift, r.Unread, r.OK())
		}
		if c := checkOf(r, "mx"); p.Mode == gworkspace.MXFirst && (c.State != gworkspace.Unknown || r.Scanning || !strings.Contains(r.Mode, "DNS could not be asked")) {
			t.Errorf("%+v, mode %q", c, r.Mode)
		}
		if got := codes(r.Findings); !slices.Equal(got, []string{"mx.unread"}) || !strings.HasPrefix(r.Findings[0].Text, "DNS could not be asked: ex.net: server misb") {
			t.Errorf("%s: %v", p.Mode, r.Findings)
		}
	}
	// One domain is answered for, and that it is elsewhere is known.
	p := reroute()
	p.Access, p.Domains = nil, []string{"ex.net", "ex.org"}
	r, err := (&gworkspace.Tenant{Profile: p, LookupMX: func(_ context.Context, d string) ([]string, error) {
		if d == "ex.net" {
			return nil, errors.New("timeout")
		}
		return nil, &net.DNSError{IsNotFound: true}
	}}).Verify(t.Context())
	if err != nil || !slices.Equal(codes(r.Findings), []string{"mx.elsewhere", "mx.unread"}) || !strings.Contains(r.Findings[1].Text, "ex.org: none found") {
		t.Errorf("%v: %v", err, r.Findings)
	}
}

// TestOffboardMXUnread: what was said about the MX records stands while DNS does not answer.
func TestOffboardMXUnread(t *testing.T) {
	t.Parallel()
	p := mxFirst()
	p.Access = nil
	tenant := &gworkspace.Tenant{Profile: p, LookupMX: func(context.Context, string) ([]string, error) { return nil, errors.New("timeout") },
		Told: []gworkspace.Answer{ago("inbound-gateway.reject-off", 200, true), ago("mta-sts.back", 150, true), ago("mx.back", 100, true)}}
	plan, err := tenant.Offboard(t.Context())
	if err != nil || plan.Steps[0].ID != "gateway.keep" || !slices.ContainsFunc(plan.Notes, func(s string) bool { return strings.HasPrefix(s, "DNS could not be asked") }) {
		t.Errorf("%v: %q, notes %q", err, stepIDs(plan.Steps), plan.Notes)
	}
	tenant.Told = tenant.Told[:2]
	if plan, err = tenant.Offboard(t.Context()); err != nil || plan.Steps[0].ID != "mx.back" {
		t.Errorf("%v: nobody says that the records are back, and next is %q", err, stepIDs(plan.Steps))
	}
}

// TestLockedOut: with the MX records at Google, and "Reject" perhaps on, every message is refused.
func TestLockedOut(t *testing.T) {
	t.Parallel()
	both := func(context.Context, string) ([]string, error) {
		return []string{"mx1.gw.example", "smtp.google.com"}, nil
	}
	for name, c := range map[string]struct {
		profile *gworkspace.Profile
		mx      func(context.Context, string) ([]string, error)
		told    []gworkspace.Answer
		want    bool
	}{
		"nobody says anything":    {movedMX(), googleMX, nil, true},
		"one of two":              {movedMX(), both, nil, true},
		"it was turned on":        {movedMX(), googleMX, []gworkspace.Answer{ago("inbound-gateway.reject", 1, true)}, true},
		"off, and on again":       {movedMX(), googleMX, []gworkspace.Answer{ago("inbound-gateway.reject-off", 2, true), ago("inbound-gateway.reject", 1, true)}, true},
		"it was turned off":       {movedMX(), googleMX, []gworkspace.Answer{ago("inbound-gateway.reject", 2, true), ago("inbound-gateway.reject-off", 1, true)}, false},
		"it was never turned on":  {movedMX(), googleMX, []gworkspace.Answer{ago("inbound-gateway.reject", 1, false)}, false},
		"the records are ours":    {movedMX(), ourMX, nil, false},
		"the records never moved": {mxFirst(), googleMX, nil, false},
		"mode reroute":            {reroute(), googleMX, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.profile.Access = nil
			tenant := &gworkspace.Tenant{Profile: c.profile, LookupMX: c.mx, Told: c.told}
			r, err := tenant.Verify(t.Context())
			if err != nil || slices.Contains(codes(r.Findings), "mx.reject") != c.want || c.want && strings.Contains(r.Mode, "being set up") {
				t.Errorf("verify: %v: %q, mode %q", err, codes(r.Findings), r.Mode)
			}
			for way, ask := range map[string]func(context.Context) (*gworkspace.Plan, error){"plan": tenant.Plan, "offboard": tenant.Offboard} {
				plan, err := ask(t.Context())
				if err != nil || slices.Contains(codes(plan.Problems), "mx.reject") != c.want {
					t.Errorf("%s: %v: %q", way, err, codes(plan.Problems))
				}
				if blocked := plan.Blocked(); c.want && (blocked == nil || !strings.Contains(blocked.Error(), "off now")) {
					t.Errorf("%s: blocked by %v", way, blocked)
				}
			}
		})
	}
}

// TestOffboardMXBack: DNS shows that the records are back, not since when.
func TestOffboardMXBack(t *testing.T) {
	t.Parallel()
	p := mxFirst()
	p.Access = nil
	tenant := &gworkspace.Tenant{Profile: p, LookupMX: googleMX, Told: []gworkspace.Answer{ago("inbound-gateway.reject-off", 200, true), ago("mta-sts.back", 150, true)}}
	for name, c := range map[string]struct {
		told []gworkspace.Answer
		want string
	}{
		"nobody says when":           {nil, "nobody can tell since when"},
		"a day ago":                  {[]gworkspace.Answer{ago("mx.back", 24, true)}, "they were moved back at"},
		"the year before, and again": {[]gworkspace.Answer{ago("mx.back", 9000, true), ago("mx", 1000, true)}, "nobody can tell since when"},
		"four days ago":              {[]gworkspace.Answer{ago("mx.back", 96, true)}, ""},
		"and said again":             {[]gworkspace.Answer{ago("mx.back", 96, true), ago("mx.back", 1, true)}, ""},
		"the gateway may go":         {[]gworkspace.Answer{ago("gateway.keep", 1, true)}, ""},
	} {
		one := *tenant
		one.Told = slices.Concat(tenant.Told, c.told)
		one.Backlog = func(context.Context) (gworkspace.Backlog, error) {
			return gworkspace.Backlog{Last: time.Now().Add(-80 * time.Hour)}, nil
		}
		plan, err := one.Offboard(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if blocked := plan.Blocked(); (blocked != nil) != (c.want != "") || blocked != nil && !strings.Contains(blocked.Error(), c.want) {
			t.Errorf("%s: blocked by %v, want %q", name, blocked, c.want)
		}
	}
}

// TestMXReason: why DNS does not answer is said without what differs each time, and without naming a resolver.
func TestMXReason(t *testing.T) {
	t.Parallel()
	udp := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 53}
	for want, err := range map[string]func(port int) error{
		"ex.net: connection refused": func(port int) error {
			return &net.DNSError{Err: fmt.Sprintf("read udp 10.9.9.9:%d->10.0.0.1:53: read: connection refused", port), Name: "ex.net", Server: "10.0.0.1:53"}
		},
		"ex.net: i/o timeout": func(port int) error {
			return &net.OpError{Op: "read", Net: "udp", Source: &net.UDPAddr{IP: net.IPv4(10, 9, 9, 9), Port: port}, Addr: udp, Err: os.ErrDeadlineExceeded}
		},
		"ex.net: server misbehaving": func(int) error {
			return &net.DNSError{Err: "server misbehaving", Name: "ex.net", Server: "10.0.0.1:53"}
		},
		"ex.net: as it was: said": func(int) error { return errors.New("as it was: said") },
	} {
		port := 0
		p := reroute()
		p.Access = nil
		tenant := &gworkspace.Tenant{Profile: p, LookupMX: func(context.Context, string) ([]string, error) {
			port++
			return nil, err(40000 + port)
		}}
		r, errV := tenant.Verify(t.Context())
		one, errP := tenant.Plan(t.Context())
		two, errO := tenant.Plan(t.Context())
		if errV != nil || errP != nil || errO != nil {
			t.Fatal(errV, errP, errO)
		}
		if got := one.Problems[0].Text; got != "DNS could not be asked: "+want || !strings.HasSuffix(r.Unread[0], want) {
			t.Errorf("%q and %q, want %q", got, r.Unread, want)
		}
		if one.ID != two.ID {
			t.Errorf("%s: the same plan has two ids", want)
		}
	}
}
