package gworkspace

import (
	"encoding/json"
	"testing"
	"time"
)

// hostilePolicies are replies of which none may do harm.
var hostilePolicies = []string{
	``, `{`, `null`, `[]`, `{}`, `{"policies": null}`, `{"policies": {}}`, `{"policies": [null]}`, `{"policies": [{}]}`,
	`{"policies": [{"name": 5, "policyQuery": [], "setting": "x"}], "nextPageToken": 7}`,
	`{"policies": [{"setting": {"type": "settings/gmail.rule_states", "value": {"ruleStates": [{"ruleId": "a", "enabled": "yes"}, 3, {"enabled": true}]}}}]}`,
	`{"policies": [{"policyQuery": {"sortOrder": "1e999", "orgUnit": 4}, "setting": {"type": "settings/gmail.content_compliance", "value": {"contentComplianceRules": [{"condition": 1, "consequence": [], "description": "Postreeve Redirect Rule x postreeve", "ruleId": "a"}, null]}}},
	  {"setting": {"type": "settings/gmail.rule_states", "value": {"rule_states": [{"rule_id": "a", "enabled": true}]}}}]}`,
	`{"policies": [{"setting": {"type": "settings/gmail.content_compliance", "value": {"content_compliance_rules": [{"rule_id": "a", "description": "Postreeve Redirect Rule postreeve",
	  "match_expressions": [{"match_content": "X-Postreeve-Token: LOOPLOOPLOOPLOOP26", "nested": [[[{"a": "CONTAINS"}]]]}]}]}}}]}`,
	`{"policies": [{"policyQuery": {"orgUnit": "orgUnits/gone", "group": "groups/g"}, "setting": {"type": "settings/gmail.rule_states", "value": {"ruleStates": [{"ruleId": "a", "enabled": false}]}}}]}`,
	`{"policies": [{"setting": {"type": "settings/gmail.email_spam_filter_ip_allowlist", "value": {"allowedIpAddresses": ["192.0.2.0/33", 7, "::/0", "\u2028"]}}}]}`,
	`{"policies": [{"setting": {"type": "settings/gmail.comprehensive_mail_storage", "value": {"ruleId": {"a": 1}}}}]}`,
}

// digest reads a reply and judges it, as Verify does.
func digest(raw []byte) (*findings, error) {
	policies, _, err := readPolicies(raw)
	if err != nil {
		return nil, err
	}
	t := &Tenant{Secrets: &Secrets{Loop: []string{"LOOPLOOPLOOPLOOP26"}, Tenant: []string{"TENANTTENANTTENANT"}}, Profile: &Profile{Domains: []string{"ex.net"}, Mode: Reroute,
		Regions: map[string]Region{"eu": {SmartHost: "in.gw.example", Egress: []string{"192.0.2.10"}}}}}
	units := []Unit{{ID: "top", Path: "/"}, {ID: "sales", Path: "/Sales"}, {ID: "deep", Path: "/Sales/Europe"}}
	o := &observation{tree: newTree(policies, units), domainErr: errNoClient, auditErr: errNoClient}
	return t.judge(o, nil), nil
}

func TestHostilePolicies(t *testing.T) {
	t.Parallel()
	for _, text := range hostilePolicies {
		f, err := digest([]byte(text))
		if err != nil {
			continue
		}
		if f.state(idRule) == Right {
			t.Errorf("the rule is right in %s", text)
		}
		if _, err := json.Marshal(f.checks); err != nil {
			t.Error(err)
		}
	}
}

func FuzzPolicies(f *testing.F) {
	for _, text := range hostilePolicies {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := digest(raw)
		if err != nil {
			return
		}
		for _, c := range got.checks {
			if c.State == "" || c.Step == "" || c.State == Right && c.How == "" {
				t.Errorf("a check that says nothing: %+v", c)
			}
		}
		for _, d := range got.drift {
			if d.State == Right || d.Field == "" {
				t.Errorf("a drift that is none: %+v", d)
			}
		}
	})
}

// TestReduction: which of several policies counts.
func TestReduction(t *testing.T) {
	t.Parallel()
	state := func(unit string, system bool, order float64, on string) Policy {
		return Policy{Unit: unit, System: system, SortOrder: order, Setting: "gmail.rule_states", Value: json.RawMessage(`{"ruleStates":[{"ruleId":"r","enabled":` + on + `}]}`)}
	}
	units := []Unit{{"top", "/"}, {"a", "/A"}, {"ab", "/A/B"}, {"x", "/AX"}}
	for _, c := range []struct {
		name     string
		policies []Policy
		unit     string
		want     bool
	}{
		{"own", []Policy{state("a", false, 1, "true")}, "/A", true},
		{"from above", []Policy{state("top", false, 1, "true")}, "/A/B", true},
		{"own beats above", []Policy{state("a", false, 1, "false"), state("top", false, 900, "true")}, "/A", false},
		{"the nearest counts", []Policy{state("ab", false, 1, "true"), state("a", false, 2, "false"), state("top", false, 3, "false")}, "/A/B", true},
		{"a name that begins alike is no parent", []Policy{state("top", false, 1, "true"), state("a", false, 2, "false")}, "/AX", true},
		{"administrator beats default", []Policy{state("top", true, 900, "false"), state("top", false, 1, "true")}, "/", true},
		{"higher order beats lower", []Policy{state("top", false, 201.5, "true"), state("top", false, 201.4, "false")}, "/", true},
		{"without a unit it is for all", []Policy{state("", false, 1, "true")}, "/A", true},
		{"of an unknown unit it is for nobody", []Policy{state("gone", false, 1, "true")}, "/A", false},
	} {
		if got := newTree(c.policies, units).toggles(c.unit)["r"].on; got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if newTree([]Policy{state("a", false, 1, "true")}, nil).toggles("/")["r"].on {
		t.Error("without the units a policy of one is for nobody")
	}
	tr := newTree([]Policy{{Setting: "s", SortOrder: 202, Value: json.RawMessage(`{"a": true}`)}, {Setting: "s", SortOrder: 201, Value: json.RawMessage(`{"a": false, "b": true}`)}}, units)
	if v := tr.value("s", "/A"); !v.on("a") || !v.on("b") {
		t.Errorf("fields are joined, each from the strongest: %v", v)
	}
}

// TestLimiter: no minute, whenever it begins, sees more units than are allowed.
func TestLimiter(t *testing.T) {
	t.Parallel()
	l := newLimiter(perMinute(1000), perMinute(600))
	start := time.Now()
	var at []time.Duration // when each of 10 units is spent
	for range 300 {
		at = append(at, l.take("a", 10)+time.Since(start))
	}
	for i, from := range at {
		sum := 0
		for _, x := range at[i:] {
			if x-from < time.Minute {
				sum += 10
			}
		}
		if sum > 600 {
			t.Fatalf("%d units in the minute from %s", sum, from)
		}
	}
	if last := at[len(at)-1]; last < 4*time.Minute || last > 6*time.Minute {
		t.Errorf("3 000 units at 600 a minute end after %s", last)
	}
	if wait := l.take("b", 10); wait == 0 {
		t.Error("the units of all are owed, and another user gets some at once")
	}
}
