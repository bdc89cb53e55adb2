package m365_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// A plan goes through JSON and is applied from there.
func TestPlanJSON(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Calls()) == 0 || s.Writes() != 0 {
		t.Errorf("planning made %d writes", s.Writes())
	}
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := m365.ReadPlan(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{{"MoveToJmf", "Delete"}, {`"192.0.2.11"`, `"0.0.0.0/0"`}, {"in.eu.gw.example", "evil.example"}} {
		if !strings.Contains(string(raw), edit[0]) {
			t.Fatalf("the plan does not show %s", edit[0])
		}
		if _, err := m365.ReadPlan(strings.NewReader(strings.ReplaceAll(string(raw), edit[0], edit[1]))); err == nil {
			t.Errorf("a plan in which %s became %s is read", edit[0], edit[1])
		}
	}
	edited := *stored
	edited.Steps = slices.Clone(edited.Steps)
	edited.Steps[0].Title = "nothing to see here"
	if _, err := b.Apply(t.Context(), &edited); err == nil {
		t.Error("an edited plan is applied")
	}
	if _, err := b.Apply(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Apply(t.Context(), stored); err == nil {
		t.Error("a plan is applied twice")
	}
}

// The order of the steps is the one in which nothing is used before it stands.
func TestPlanOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode    m365.Mode
		posture m365.Posture
		want    []string
	}{
		{m365.EOPFirst, m365.Classic, []string{"inbound-connector.probe", "connection-filter", "spoof-pairs", "inbound-connector", "outbound-connector", "junk-rule.high", "junk-rule.low",
			"spam-rule", "quarantine-rule", "return-rule", "redirect-rule", "redirect-rule.on", "anti-spam-policy", "remediation-consent"}},
		{m365.EOPFirst, m365.Hardened, []string{"inbound-connector.probe", "connection-filter", "arc-sealer", "inbound-connector", "outbound-connector", "junk-rule.high", "junk-rule.low",
			"spam-rule", "quarantine-rule", "return-rule", "redirect-rule", "redirect-rule.on", "remediation-consent"}},
		{m365.MXFirst, m365.Hardened, []string{"inbound-connector.probe", "connection-filter", "arc-sealer", "inbound-connector", "spam-rule", "quarantine-rule", "inbound-lock", "mx", "remediation-consent"}},
		{m365.MXFirst, m365.Classic, []string{"inbound-connector.probe", "connection-filter", "inbound-connector", "spam-rule", "quarantine-rule", "inbound-lock", "mx", "remediation-consent"}},
	} {
		s := m365test.New(t, m365test.Config{})
		b := newBench(t, s, profile(c.mode, c.posture, func(p *m365.Profile) { p.RemediationApp = appID }))
		p, err := b.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		seen := map[string]bool{}
		for _, st := range p.Steps {
			got = append(got, st.ID)
			for _, n := range st.Needs {
				if !seen[n] {
					t.Errorf("%s needs %s, which does not come before it", st.ID, n)
				}
			}
			seen[st.ID] = true
			if st.Why == "" || st.Title == "" || st.Object == "" || st.Check == "" {
				t.Errorf("%s does not say what and why: %+v", st.ID, st)
			}
			if st.Verb == m365.VerbManual && st.Console == nil {
				t.Errorf("%s does not say how", st.ID)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.mode, c.posture, d)
		}
	}
}

// What a plan looks like before anything may be believed of it.
var plans = []string{"", "{}", "null", "[]", `{"version":1}`, `{"version":1,"id":"x","direction":"onboard","steps":[]}`,
	`{"version":2,"id":"","direction":"offboard"}`, `{"version":1,"steps":[{"fields":[{"before":{"a":[1]},"after":1e999}]}]}`, strings.Repeat(`{"steps":[`, 2000)}

func FuzzReadPlan(f *testing.F) {
	s := m365test.Start(m365test.Config{})
	defer s.Close()
	c, err := m365.NewClient(m365.ClientConfig{Tenant: s.TenantID(), Tokens: s.Tokens(), BaseURL: s.ExchangeURL()})
	if err != nil {
		f.Fatal(err)
	}
	p, err := (&m365.Tenant{Profile: profile(m365.EOPFirst, m365.Classic), Exchange: c}).Plan(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	raw, _ := json.Marshal(p)
	f.Add(raw)
	for _, x := range plans {
		f.Add([]byte(x))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := m365.ReadPlan(bytes.NewReader(in))
		if err != nil {
			return
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := m365.ReadPlan(bytes.NewReader(out)); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
		p.Changes()
		p.Manual()
		_ = p.Blocked()
	})
}

func TestReadPlanRefuses(t *testing.T) {
	t.Parallel()
	for _, x := range plans {
		if p, err := m365.ReadPlan(strings.NewReader(x)); err == nil {
			t.Errorf("ReadPlan(%.60q): %+v", x, p)
		}
	}
}
