package gworkspace_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/gworkspace"
)

func TestProfileCheck(t *testing.T) {
	t.Parallel()
	region := func(r gworkspace.Region) func(p *gworkspace.Profile) {
		return func(p *gworkspace.Profile) { p.Regions["eu"] = r }
	}
	egress := func(s string) func(p *gworkspace.Profile) {
		return region(gworkspace.Region{SmartHost: "in.gw.example", Egress: []string{s}})
	}
	for _, c := range []struct {
		name   string
		change func(p *gworkspace.Profile)
		want   string // part of the error; empty: good
	}{
		{"good", func(*gworkspace.Profile) {}, ""},
		{"no domain", func(p *gworkspace.Profile) { p.Domains = nil }, "name at least one domain"},
		{"domain in Unicode", func(p *gworkspace.Profile) { p.Domains = []string{"münchen.example"} }, "xn--"},
		{"domain with a dot at its end", func(p *gworkspace.Profile) { p.Domains = []string{"ex.net."} }, "without the dot"},
		{"host with a dot at its end", func(p *gworkspace.Profile) {
			p.Regions = map[string]gworkspace.Region{"eu": {SmartHost: "in.gw.example.", Egress: []string{"192.0.2.10"}}}
		}, "without the dot"},
		{"domain twice", func(p *gworkspace.Profile) { p.Domains = []string{"ex.net", "EX.net"} }, "twice"},
		{"domain with a line", func(p *gworkspace.Profile) { p.Domains = []string{"ex.net\r\nX: y"} }, "no domain name"},
		{"no mode", func(p *gworkspace.Profile) { p.Mode = "" }, "use reroute or mx-first"},
		{"mode of Microsoft", func(p *gworkspace.Profile) { p.Mode = "eop-first" }, "use reroute or mx-first"},
		{"MX moved", func(p *gworkspace.Profile) { p.MXMoved = true }, "would refuse all of it"},
		{"no region", func(p *gworkspace.Profile) { p.Regions = nil }, "describe at least one"},
		{"unknown region", func(p *gworkspace.Profile) { p.Region = "mars" }, "choose one of eu"},
		{"same region twice", func(p *gworkspace.Profile) { p.Region, p.SecondRegion = "eu", "eu" }, "is the region already"},
		{"host is an address", region(gworkspace.Region{SmartHost: "192.0.2.1", Egress: []string{"192.0.2.1"}}), "use a host name"},
		{"port 465", region(gworkspace.Region{SmartHost: "a.example", Port: 465, Egress: []string{"192.0.2.1"}}), "465"},
		{"port 26", region(gworkspace.Region{SmartHost: "a.example", Port: 26, Egress: []string{"192.0.2.1"}}), "1024 to 65535"},
		{"port 2525", region(gworkspace.Region{SmartHost: "a.example", Port: 2525, Egress: []string{"192.0.2.1"}}), ""},
		{"no egress", region(gworkspace.Region{SmartHost: "a.example"}), "list the addresses"},
		{"private egress", egress("10.1.2.3"), "no public address"},
		{"carrier egress", egress("100.64.1.1"), "no public address"},
		{"loopback egress", egress("127.0.0.1"), "no public address"},
		{"private IPv6 egress", egress("fd00::1"), "no public address"},
		{"IPv6 egress", egress("2001:db8::1"), ""},
		{"egress with host bits", egress("192.0.2.1/24"), "write 192.0.2.0/24"},
		{"everything is egress", egress("0.0.0.0/0"), "no public address"},
		{"very much egress", egress("11.0.0.0/7"), "bits after the mask"},
		{"very much egress, masked", egress("8.0.0.0/7"), "cannot be meant"},
		{"no egress address", egress("gw.example"), "neither an address nor a network"},
		{"groups and users", func(p *gworkspace.Profile) {
			p.Protect.Groups, p.Protect.Users = []string{"g@ex.net"}, []string{"u@ex.net"}
		}, "not both"},
		{"two groups", func(p *gworkspace.Profile) { p.Protect.Groups = []string{"g@ex.net", "h@ex.net"} }, "one group"},
		{"too many users", func(p *gworkspace.Profile) {
			for i := range 700 {
				p.Protect.Users = append(p.Protect.Users, fmt.Sprintf("user%d@ex.net", i))
			}
		}, "use a group"},
		{"user of another domain", func(p *gworkspace.Profile) { p.Protect.Users = []string{"u@ex.net", "u@other.example"} }, "other.example is not among domains"},
		{"user of the domain in capitals", func(p *gworkspace.Profile) { p.Protect.Users = []string{"U@EX.net"} }, ""},
		{"one region, and it again", func(p *gworkspace.Profile) { p.SecondRegion = "eu" }, "is the region already"},
		{"product that makes no mark", func(p *gworkspace.Profile) { p.Product = "Büro Schutz" }, "set mark"},
		{"product that makes no mark, with one", func(p *gworkspace.Profile) { p.Product, p.Mark = "Büro Schutz", "buero" }, ""},
		{"mark with a blank", func(p *gworkspace.Profile) { p.Mark = "a b" }, `mark "a b": use up to 40`},
		{"unit without a slash", func(p *gworkspace.Profile) { p.Protect.Units = []string{"Sales"} }, "/Sales/Europe"},
		{"pilot without units", func(p *gworkspace.Profile) { p.Stage = gworkspace.StagePilot }, "organizational units that begin"},
		{"narrow in MX first", func(p *gworkspace.Profile) { *p = *mxFirst(); p.Protect.Units = []string{"/Sales"} }, "whole domains"},
		{"no MX in MX first", func(p *gworkspace.Profile) { p.Mode = gworkspace.MXFirst }, "name the hosts"},
		{"no admin", func(p *gworkspace.Profile) { p.Access.Admin = "" }, "super administrator"},
		{"admin is a service account", func(p *gworkspace.Profile) { p.Access.Admin = "a@p.iam.gserviceaccount.com" }, "name a person"},
		{"client id is an address", func(p *gworkspace.Profile) { p.Access.ClientID = "a@p.iam.gserviceaccount.com" }, "about 21 digits"},
		{"header with a colon", func(p *gworkspace.Profile) { p.Headers.Spam = "X-Spam: FAIL" }, "letters, digits and dashes"},
		{"header with a line", func(p *gworkspace.Profile) { p.Headers.Prefix = "X\r\nBcc: a" }, "letters, digits and dashes"},
		{"two headers of one name", func(p *gworkspace.Profile) { p.Headers.Token = "x-postreeve-tenant" }, "two of the headers"},
		{"name with quotes", func(p *gworkspace.Profile) { p.Product = `Gate"way` }, "no control characters"},
		{"long name", func(p *gworkspace.Profile) { p.Product = strings.Repeat("x", 90); p.Mark = "x" }, "shorter product"},
		{"accepts nonsense", func(p *gworkspace.Profile) { p.Accept = []string{"everything"} }, "no problem that can be accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := reroute()
			c.change(p)
			err := p.Check()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := gworkspace.Runbook(p, nil); (err == nil) != (c.want == "") {
				t.Errorf("runbook: %v", err)
			}
		})
	}
}

func TestReadProfile(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(reroute())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gworkspace.ReadProfile(bytes.NewReader(raw)); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{"unknown key": `{"domain": "ex.net"}`, "two values": string(raw) + "{}", "nothing": "", "too long": `{"product": "` + strings.Repeat("x", 1<<20) + `"}`} {
		if _, err := gworkspace.ReadProfile(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s := gworkspace.NewSecrets()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	next := s.Rotate()
	if next.Stamped() != s.Loop[0] || next.Settle().Stamped() != next.Loop[0] || s.Stamped() != s.Loop[0] {
		t.Error("while the secret of the loop is replaced, the one that the rule knows is stamped")
	}
	if err := next.Check(); err != nil || len(next.Loop) != 2 || next.Loop[1] != s.Loop[0] || len(next.Rotate().Tenant) != 2 || len(next.Settle().Loop) != 1 {
		t.Errorf("%v: rotation", err)
	}
	var b bytes.Buffer
	if err := next.Write(&b); err != nil {
		t.Fatal(err)
	}
	back, err := gworkspace.ReadSecrets(&b)
	if err != nil || back.Loop[1] != s.Loop[0] {
		t.Error(err)
	}
	raw, _ := json.Marshal(struct{ S *gworkspace.Secrets }{s})
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v", s, s), string(raw)} {
		if strings.Contains(shown, s.Loop[0]) {
			t.Errorf("%q shows the secret", shown)
		}
	}
	good := "ABCDEFGHIJKLMNOPQR"
	for name, bad := range map[string]*gworkspace.Secrets{
		"none": {}, "blank inside": {Loop: []string{"ABCDEFGH IJKLMNOP"}, Tenant: []string{good}}, "blank after": {Loop: []string{good + " "}, Tenant: []string{good + "X"}},
		"short": {Loop: []string{"ABC"}, Tenant: []string{good}}, "regexp": {Loop: []string{"ABCDEFGHIJKLMNOP.*"}, Tenant: []string{good}}, "line": {Loop: []string{good + "\n"}, Tenant: []string{good}},
		"three": {Loop: []string{good, good + "A", good + "B"}, Tenant: []string{good + "C"}}, "shared": {Loop: []string{good}, Tenant: []string{good}}, "twice": {Loop: []string{good, good}, Tenant: []string{good + "A"}},
	} {
		err := bad.Check()
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if len(bad.Loop) > 0 && strings.Contains(err.Error(), bad.Loop[0]) {
			t.Errorf("%s: the error shows the value", name)
		}
		p := reroute()
		if _, err := gworkspace.Runbook(p, bad); err == nil {
			t.Errorf("%s: a runbook was written", name)
		}
	}
}
