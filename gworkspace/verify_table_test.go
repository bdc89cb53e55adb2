package gworkspace_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

// sideCases are the settings that stand elsewhere than in policies.
var sideCases = []struct {
	name    string
	profile func() *gworkspace.Profile
	change  func(t *gworkspace.Tenant)
	step    string
	state   gworkspace.State
	how     gworkspace.How
	field   string
}{
	{"gateway right", reroute, func(t *gworkspace.Tenant) { t.Gateway = []gworkspace.Gateway{ourGateway()} }, "gateway", gworkspace.Right, gworkspace.Read, ""},
	{"gateway wrong: another secret", reroute, func(t *gworkspace.Tenant) {
		g := ourGateway()
		g.Secrets.Tenant = []string{"ANOTHERANOTHERANOTHER"}
		t.Gateway = []gworkspace.Gateway{g}
	}, "gateway", gworkspace.Wrong, gworkspace.Read, "tenant-token"},
	{"gateway wrong: the secret from before is forgotten", reroute, func(t *gworkspace.Tenant) {
		t.Gateway = []gworkspace.Gateway{ourGateway()}
		t.Secrets.Tenant = append(t.Secrets.Tenant, "OLDOLDOLDOLDOLDOLD")
	}, "gateway", gworkspace.Wrong, gworkspace.Read, "tenant-token"},
	{"gateway missing", reroute, func(t *gworkspace.Tenant) { t.Gateway = []gworkspace.Gateway{{Domain: "ex.net"}} }, "gateway", gworkspace.Missing, gworkspace.Read, "domains"},
	{"MX right", mxFirst, func(t *gworkspace.Tenant) { t.LookupMX = ourMX }, "mx", gworkspace.Right, gworkspace.Read, ""},
	{"MX wrong", mxFirst, func(*gworkspace.Tenant) {}, "mx", gworkspace.Wrong, gworkspace.Read, "MX"},
	{"MX wrong: one of before is left", mxFirst, func(t *gworkspace.Tenant) {
		t.LookupMX = func(context.Context, string) ([]string, error) {
			return []string{"mx1.gw.example", "smtp.google.com"}, nil
		}
	}, "mx", gworkspace.Wrong, gworkspace.Read, "MX"},
	{"MTA-STS told", mxFirst, told("mta-sts", true), "mta-sts", gworkspace.Right, gworkspace.Told, ""},
	{"MTA-STS missing", mxFirst, told("mta-sts", false), "mta-sts", gworkspace.Missing, gworkspace.Told, "done"},
	{"reject told", movedMX, told("inbound-gateway.reject", true), "inbound-gateway.reject", gworkspace.Right, gworkspace.Told, ""},
	{"reject missing", movedMX, told("inbound-gateway.reject", false), "inbound-gateway.reject", gworkspace.Missing, gworkspace.Told, "done"},
}

func ourMX(context.Context, string) ([]string, error) { return []string{"mx1.gw.example"}, nil }

func movedMX() *gworkspace.Profile {
	p := mxFirst()
	p.MXMoved = true
	return p
}

func told(step string, done bool) func(t *gworkspace.Tenant) {
	return func(t *gworkspace.Tenant) {
		t.LookupMX = ourMX
		t.Told = []gworkspace.Answer{{Step: step, Done: done, By: "ann", At: time.Now()}}
	}
}

// ourGateway is set as the profile wants it.
func ourGateway() gworkspace.Gateway {
	return gworkspace.Gateway{Domain: "ex.net", From: "postreeve.yaml", Served: true, Gmail: true, TenantHeader: "X-Postreeve-Tenant", NextHop: []string{"smtp.google.com"}, Secrets: secrets()}
}

func TestVerifySides(t *testing.T) {
	t.Parallel()
	for _, c := range sideCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := gworkspacetest.New(gworkspacetest.Config{})
			onboarded(server)
			tenant := tenantOf(t, server, c.profile())
			c.change(tenant)
			r, err := tenant.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := checkOf(r, c.step); got.State != c.state || got.How != c.how {
				t.Errorf("got %+v, want %s %q", got, c.state, c.how)
			}
			i := slices.IndexFunc(r.Drift, func(d gworkspace.Drift) bool { return d.Step == c.step })
			if c.field == "" && i >= 0 || c.field != "" && (i < 0 || r.Drift[i].Field != c.field) {
				t.Errorf("drift %v, want one in %q", r.Drift, c.field)
			}
			raw, _ := json.Marshal(r)
			for _, s := range []string{loop, "TENANTTENANT", "ANOTHERANOTHER", "OLDOLD"} {
				if strings.Contains(string(raw), s) || strings.Contains(fmt.Sprintf("%v %+v %#v", tenant.Gateway, tenant.Gateway, tenant.Gateway), s) {
					t.Errorf("a secret is shown")
				}
			}
		})
	}
}

// noCell says why a setting cannot be in a state as far as anybody can see.
var noCell = map[string]string{
	"access disabled": "an entry is there or not", "access overridden": "it is one for the organization",
	"remediation disabled": "an entry is there or not", "remediation overridden": "it is one for the organization",
	"storage missing": "not set is right", "storage disabled": "off is right",
	"host overridden": "one for the organization", "host disabled": "there is no switch",
	"inbound-gateway overridden": "top organizational unit only", "inbound-gateway disabled": "not shown: missing",
	"gateway overridden": "one file", "gateway disabled": "not served: missing",
	"mx overridden": "DNS", "mx disabled": "DNS", "mx missing": "none found is wrong",
	"mta-sts wrong": "package dnsverify reads it", "mta-sts overridden": "DNS", "mta-sts disabled": "DNS",
	"inbound-gateway.reject overridden": "top organizational unit only", "inbound-gateway.reject disabled": "not shown: missing",
}

// byProbe are the cells that TestProbes holds.
var byProbe = []string{"host right", "inbound-gateway right", "inbound-gateway.reject right", "host wrong", "inbound-gateway wrong", "inbound-gateway.reject wrong"}

// TestVerifyTable holds that each setting is looked at in each state that it can be in, and prints what Verify
// says with -v. The tests of the cases hold that it does say so.
func TestVerifyTable(t *testing.T) {
	t.Parallel()
	cells := map[string]string{}
	add := func(step string, state gworkspace.State, how gworkspace.How) {
		key := step + " " + string(state)
		if !strings.Contains(cells[key], string(how)) {
			cells[key] = strings.Trim(cells[key]+", "+string(how), ", ")
		}
	}
	for _, c := range verifyCases {
		add(c.step, c.state, c.how)
	}
	for _, c := range sideCases {
		add(c.step, c.state, c.how)
	}
	for _, key := range byProbe {
		step, state, _ := strings.Cut(key, " ")
		add(step, gworkspace.State(state), gworkspace.Inferred)
	}
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	order := []gworkspace.State{gworkspace.Right, gworkspace.Wrong, gworkspace.Missing, gworkspace.Overridden, gworkspace.Disabled}
	t.Logf("%-24s %-16s %-16s %-16s %-16s %s", "SETTING", "right", "wrong", "missing", "overridden", "disabled")
	for _, step := range []string{"access", "storage", "host", "inbound-gateway", "redirect-rule", "remediation", "gateway", "mx", "mta-sts", "inbound-gateway.reject"} {
		var row []any
		for _, s := range order {
			key := step + " " + string(s)
			why, impossible := noCell[key]
			switch {
			case impossible && cells[key] != "":
				t.Errorf("%s: there is a case, and it cannot be (%s)", key, why)
			case impossible:
				row = append(row, "-")
			case cells[key] == "":
				t.Errorf("no case has %s", key)
				row = append(row, "?")
			default:
				row = append(row, cells[key])
			}
		}
		t.Logf("%-24s %-16s %-16s %-16s %-16s %s", append([]any{step}, row...)...)
		if line := fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", append([]any{step}, row...)...); !strings.Contains(string(raw), line) {
			t.Errorf("the README does not say %s", line)
		}
	}
	for _, c := range verifyCases {
		t.Logf("%-45s %-16s %-10s %-8s %-16s %s", c.name, c.step, c.state, c.how, c.unit, c.field)
	}
	for _, c := range sideCases {
		t.Logf("%-45s %-16s %-10s %-8s %-16s %s", c.name, c.step, c.state, c.how, "", c.field)
	}
}

// TestWrongScope: the exact text that is missing is named, also where a wider one is granted.
func TestWrongScope(t *testing.T) {
	t.Parallel()
	for _, missing := range readScopes {
		server := gworkspacetest.New(gworkspacetest.Config{})
		onboarded(server)
		server.Grant(append(slices.DeleteFunc(slices.Clone(readScopes), func(s string) bool { return s == missing }), strings.TrimSuffix(missing, ".readonly"))...)
		r, err := tenantOf(t, server, reroute()).Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Drift, func(d gworkspace.Drift) bool { return d.Step == "access" })
		if i < 0 || r.Drift[i].Wanted != missing {
			t.Errorf("%s is missing: %v", missing, r.Drift)
		}
	}
}

// TestOffboardTable: the table of the README is the order of the plan, for a profile that has everything.
func TestOffboardTable(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(raw), "## Off-boarding: a published guide against ours")
	table, _, _ = strings.Cut(table, "\nMode mx-first")
	ours := map[int]string{}
	published := map[int]bool{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		if m := regexp.MustCompile(`^ (\d) `).FindStringSubmatch(cells[1]); m != nil {
			published[int(m[1][0]-'0')] = true
		}
		numbers := regexp.MustCompile(`\d+`).FindAllString(strings.Split(cells[2], "`")[0], -1)
		ids := regexp.MustCompile("`([a-z.-]+)`").FindAllStringSubmatch(cells[2], -1)
		for i := range min(len(numbers), len(ids)) {
			var n int
			if _, err := fmt.Sscan(numbers[i], &n); err != nil {
				t.Fatal(err)
			}
			ours[n] = ids[i][1]
		}
	}
	full := reroute()
	full.Remediation = &gworkspace.Remediator{ClientID: "99887766554433221100"}
	guide, err := gworkspace.Runbook(full, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{}
	for i, id := range stepIDs(guide.Back) {
		want[i+1] = id
	}
	if diff := cmp.Diff(want, ours); diff != "" {
		t.Errorf("the table of the README (-plan +README):\n%s", diff)
	}
	if len(published) != 5 {
		t.Errorf("%d steps of the published guide, want 5", len(published))
	}
}

// TestOffboardBacklog: what the gateway still has is waited for, whatever people say.
func TestOffboardBacklog(t *testing.T) {
	t.Parallel()
	hour := func(n int) time.Time { return time.Now().Add(-time.Duration(n) * time.Hour) }
	for name, c := range map[string]struct {
		mx      bool
		told    map[string]int // hours ago
		backlog gworkspace.Backlog
		blocked []string // codes
		next    string
	}{
		"quiet and empty":            {false, map[string]int{"redirect-rule.off": 25}, gworkspace.Backlog{Last: hour(30)}, nil, "redirect-rule.remove"},
		"mail an hour ago":           {false, map[string]int{"redirect-rule.off": 25}, gworkspace.Backlog{Last: hour(1)}, []string{"drain.wait"}, "redirect-rule.drain"},
		"queued":                     {false, map[string]int{"redirect-rule.off": 25}, gworkspace.Backlog{Queued: 3}, []string{"drain.queue"}, "redirect-rule.drain"},
		"queued, and told to be not": {false, map[string]int{"redirect-rule.off": 50, "redirect-rule.drain": 1}, gworkspace.Backlog{Queued: 3}, []string{"drain.queue"}, "redirect-rule.remove"},
		"held":                       {false, map[string]int{"redirect-rule.off": 25}, gworkspace.Backlog{Held: 2}, nil, "redirect-rule.remove"},
		"off for an hour":            {false, map[string]int{"redirect-rule.off": 1}, gworkspace.Backlog{}, []string{"drain.wait"}, "redirect-rule.drain"},
		"MX back for a day":          {true, map[string]int{"inbound-gateway.reject-off": 60, "mta-sts.back": 50, "mx.back": 24}, gworkspace.Backlog{}, []string{"drain.wait"}, "gateway.keep"},
		"MX back for four days":      {true, map[string]int{"inbound-gateway.reject-off": 120, "mta-sts.back": 110, "mx.back": 96}, gworkspace.Backlog{Last: hour(90)}, nil, "inbound-gateway.remove"},
		"MX back, mail a day ago":    {true, map[string]int{"inbound-gateway.reject-off": 120, "mta-sts.back": 110, "mx.back": 96}, gworkspace.Backlog{Last: hour(20)}, []string{"drain.wait"}, "gateway.keep"},
		"MX back, nobody says when":  {true, map[string]int{"inbound-gateway.reject-off": 120, "mta-sts.back": 110}, gworkspace.Backlog{}, []string{"drain.wait"}, "gateway.keep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gworkspacetest.New(gworkspacetest.Config{})
			server.GrantAll()
			server.AddRules(top, ours(nil), ruleID)
			tenant := tenantOf(t, server, reroute())
			if c.mx {
				tenant.Profile = mxFirst()
			}
			for step, h := range c.told {
				tenant.Told = append(tenant.Told, gworkspace.Answer{Step: step, Done: true, At: hour(h)})
			}
			tenant.Backlog = func(context.Context) (gworkspace.Backlog, error) { return c.backlog, nil }
			plan, err := tenant.Offboard(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var blocked []string
			for _, p := range plan.Problems {
				if p.Blocks {
					blocked = append(blocked, p.Code)
				}
			}
			if diff := cmp.Diff(c.blocked, blocked); diff != "" || plan.Steps[0].ID != c.next {
				t.Errorf("next %s, want %s; blocked (-want +got):\n%s", plan.Steps[0].ID, c.next, diff)
			}
			if c.backlog.Held > 0 && !slices.Contains(codes(plan.Problems), "drain.queue") {
				t.Error("nobody is told of what is held")
			}
		})
	}
}

// TestOffboardProbe: a message from outside shows whether the rule still acts.
func TestOffboardProbe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *world)
		want   []string
		blocks bool
	}{
		"past the gateway": {func(w *world) { w.noRule = true }, []string{}, false},
		"by the gateway":   {func(*world) {}, []string{"drain.wait"}, true},
		"not seen":         {func(w *world) { w.delay = time.Hour }, []string{"drain.wait"}, false},
		"not sent":         {func(w *world) { w.down = true }, []string{"drain.wait"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := gworkspacetest.New(gworkspacetest.Config{})
				server.GrantAll()
				server.AddRules(top, ours(nil), ruleID)
				w := &world{sent: map[string]gworkspace.ProbeMail{}, began: time.Now()}
				c.change(w)
				tenant := tenantOf(t, server, reroute())
				tenant.Told = []gworkspace.Answer{{Step: "redirect-rule.off", Done: true, At: time.Now().Add(-25 * time.Hour)}}
				tenant.Backlog = func(context.Context) (gworkspace.Backlog, error) { return gworkspace.Backlog{}, nil }
				tenant.Probes = &gworkspace.Probes{Mailbox: "pilot@ex.net", Send: w, Gateway: w, Look: w, Group: "group@ex.net"}
				plan, err := tenant.Offboard(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := codes(plan.Problems); !slices.Equal(got, c.want) || (plan.Blocked() != nil) != c.blocks || len(w.sent) > 1 {
					t.Errorf("%d sent, problems %q (%v), want %q", len(w.sent), got, plan.Blocked(), c.want)
				}
			})
		})
	}
}

// TestOffboardProbeless: probes that cannot be sent are an error.
func TestOffboardProbeless(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	server.AddRules(top, ours(nil), ruleID)
	w := &world{}
	for name, x := range map[string]*gworkspace.Probes{"nothing to send with": {Mailbox: "pilot@ex.net", Gateway: w}, "no mailbox": {Send: w, Gateway: w}} {
		tenant := tenantOf(t, server, reroute())
		tenant.Probes = x
		if _, err := tenant.Offboard(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestProbesBlind: what nobody can see is not checked, and a person is told what to look at.
func TestProbesBlind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{sent: map[string]gworkspace.ProbeMail{}, began: time.Now()}
		tenant := &gworkspace.Tenant{Profile: reroute(), LookupMX: googleMX, Probes: &gworkspace.Probes{Mailbox: "pilot@ex.net", Send: w, Unwatched: "no ledger"}}
		r, err := tenant.Verify(t.Context())
		if err != nil || len(w.sent) != 1 || r.OK() != true || r.Sure() {
			t.Fatalf("%v: %d sent, %+v", err, len(w.sent), r)
		}
		for _, p := range r.Probes {
			if p.ID != "P3" && (p.State != gworkspace.Unknown || p.Detail != "not checked: no ledger") {
				t.Errorf("%+v", p)
			}
		}
		tenant.Probes.Gateway = w
		start := time.Now()
		if r, err = tenant.Verify(t.Context()); err != nil || time.Since(start) > time.Minute {
			t.Fatal(err, time.Since(start))
		}
		for _, p := range r.Probes {
			switch p.ID {
			case "P4", "P5", "P6":
				if p.State != gworkspace.Unknown || !strings.Contains(p.Detail, "not checked: where it ended") || !strings.Contains(p.Do, "open the mailbox pilot@ex.net") || !strings.Contains(p.Do, "rfc822msgid:probe-") {
					t.Errorf("%+v", p)
				}
			case "P2", "P3":
				if p.State != gworkspace.Right {
					t.Errorf("%+v", p)
				}
			}
		}
	})
}
