package gworkspace_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

const (
	top      = gworkspacetest.TopUnit
	salesID  = "03ph8a2zsales01"
	storage1 = "008f2-storage"
)

// delivery is the part of a rule that says what is done.
func delivery(r map[string]any) map[string]any {
	return r["consequence"].(map[string]any)["primaryDelivery"].(map[string]any)
}

func ours(change func(r map[string]any)) []map[string]any {
	r := gworkspacetest.RedirectRule(ruleID, ruleName, content)
	if change != nil {
		change(r)
	}
	return []map[string]any{r}
}

func storageOn(s *gworkspacetest.Server, unit, rule string, on bool) {
	s.AddPolicy(gworkspacetest.Policy{Unit: unit, SortOrder: 201, Setting: "gmail.comprehensive_mail_storage", Value: map[string]string{"ruleId": rule}})
	s.SetStates(unit, gworkspacetest.State(rule, on))
}

// verifyCases are the settings, each right, wrong, missing, overridden and off, with what Verify has to say.
var verifyCases = []struct {
	name    string
	profile func(p *gworkspace.Profile)
	setup   func(s *gworkspacetest.Server)
	told    []gworkspace.Answer
	step    string
	state   gworkspace.State
	how     gworkspace.How
	unit    string
	field   string // of a drift; empty: there is none for the step
}{
	{"access right", nil, onboarded, nil, "access", gworkspace.Right, gworkspace.Read, "", ""},
	{"access missing", nil, func(s *gworkspacetest.Server) {}, nil, "access", gworkspace.Missing, gworkspace.Read, "", "OAuth scopes"},
	{"access wrong: the wider scope instead", nil, func(s *gworkspacetest.Server) {
		s.Grant(append(slices.Clone(readScopes[1:]), "https://www.googleapis.com/auth/cloud-identity.policies")...)
	}, nil, "access", gworkspace.Wrong, gworkspace.Read, "", "OAuth scopes"},

	{"rule right", nil, onboarded, nil, "redirect-rule", gworkspace.Right, gworkspace.Read, "/", ""},
	{"rule missing", nil, func(s *gworkspacetest.Server) { s.GrantAll() }, nil, "redirect-rule", gworkspace.Missing, gworkspace.Read, "/", "Name"},
	{"rule disabled", nil, func(s *gworkspacetest.Server) { s.GrantAll(); s.AddRules(top, ours(nil), ruleID) }, nil, "redirect-rule", gworkspace.Disabled, gworkspace.Read, "/", "Enabled"},
	{"rule overridden", nil, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddUnit(salesID, "/Sales")
		s.SetStates(salesID, gworkspacetest.State(ruleID, false))
	}, nil, "redirect-rule", gworkspace.Overridden, gworkspace.Read, "/Sales", "Enabled"},
	{"rule overridden for a group", nil, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddPolicy(gworkspacetest.Policy{Unit: top, Group: "02xcytpi", SortOrder: 399, Setting: "gmail.rule_states", Value: map[string]any{"ruleStates": []any{gworkspacetest.State(ruleID, false)}}})
	}, nil, "redirect-rule", gworkspace.Overridden, gworkspace.Read, "group 02xcytpi", "Enabled"},
	{"rule overridden, which is accepted", func(p *gworkspace.Profile) { p.Accept = []string{"unit.override"} }, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddUnit(salesID, "/Sales")
		s.SetStates(salesID, gworkspacetest.State(ruleID, false))
	}, nil, "redirect-rule", gworkspace.Right, gworkspace.Read, "/", ""},
	{"rule replaced further down", nil, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddUnit(salesID, "/Sales")
		s.AddRules(salesID, ours(func(r map[string]any) { delivery(r)["changeDefaultRoute"] = false }))
	}, nil, "redirect-rule", gworkspace.Overridden, gworkspace.Read, "/Sales", "Change route"},
	{"rule without a state", nil, func(s *gworkspacetest.Server) {
		s.GrantAll()
		s.AddPolicy(gworkspacetest.Policy{Unit: top, Setting: "gmail.content_compliance", Value: map[string]any{"contentComplianceRules": ours(nil)}})
	}, nil, "redirect-rule", gworkspace.Wrong, gworkspace.Read, "/", "Enabled"},
	{"rule in another unit", func(p *gworkspace.Profile) { p.Protect.Units = []string{"/Sales"} }, func(s *gworkspacetest.Server) {
		s.GrantAll()
		s.AddUnit(salesID, "/Sales")
		s.AddUnit("03other", "/Other")
		s.AddRules("03other", ours(nil))
	}, nil, "redirect-rule", gworkspace.Missing, gworkspace.Read, "/Sales", "Name"},
	{"rule inherited from above", func(p *gworkspace.Profile) { p.Protect.Units = []string{"/Sales"} }, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddUnit(salesID, "/Sales")
	}, nil, "redirect-rule", gworkspace.Right, gworkspace.Read, "/Sales", ""},

	{"storage right: never set", nil, onboarded, nil, "storage", gworkspace.Right, gworkspace.Read, "/", ""},
	{"storage right: off", nil, func(s *gworkspacetest.Server) { onboarded(s); storageOn(s, top, storage1, false) }, nil, "storage", gworkspace.Right, gworkspace.Read, "/", ""},
	{"storage wrong", nil, func(s *gworkspacetest.Server) { onboarded(s); storageOn(s, top, storage1, true) }, nil, "storage", gworkspace.Wrong, gworkspace.Read, "/", "Comprehensive mail storage"},
	{"storage overridden", nil, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddUnit(salesID, "/Sales")
		storageOn(s, salesID, storage1, true)
	}, nil, "storage", gworkspace.Overridden, gworkspace.Read, "/Sales", "Comprehensive mail storage"},
	{"storage without a state counts as on", nil, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddPolicy(gworkspacetest.Policy{Unit: top, Setting: "gmail.comprehensive_mail_storage", Value: map[string]string{"ruleId": storage1}})
	}, nil, "storage", gworkspace.Wrong, gworkspace.Read, "/", "Comprehensive mail storage"},
	{"storage accepted", func(p *gworkspace.Profile) { p.Accept = []string{"storage.on"} }, func(s *gworkspacetest.Server) { onboarded(s); storageOn(s, top, storage1, true) },
		nil, "storage", gworkspace.Right, gworkspace.Read, "/", ""},

	{"host unknown", nil, onboarded, nil, "host", gworkspace.Unknown, "", "", ""},
	{"host seen in the log", nil, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddChange(gworkspace.Change{At: time.Now().Add(-time.Hour), Who: "admin@ex.net", Event: "CREATE_GMAIL_SETTING", Setting: "EMAIL_ROUTE", Name: "Postreeve Scanner"})
	}, nil, "host", gworkspace.Right, gworkspace.Inferred, "", ""},
	{"host deleted by the log", nil, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddChange(gworkspace.Change{At: time.Now().Add(-time.Hour), Event: "CREATE_GMAIL_SETTING", Setting: "EMAIL_ROUTE", Name: "Postreeve Scanner"},
			gworkspace.Change{At: time.Now().Add(-time.Minute), Event: "DELETE_GMAIL_SETTING", Setting: "EMAIL_ROUTE", Name: "Postreeve Scanner"})
	}, nil, "host", gworkspace.Missing, gworkspace.Inferred, "", "Name"},
	{"gateway told", nil, onboarded, []gworkspace.Answer{{Step: "inbound-gateway", Done: true, By: "ann", At: time.Now()}}, "inbound-gateway", gworkspace.Right, gworkspace.Told, "", ""},
	{"gateway told not done", nil, onboarded, []gworkspace.Answer{{Step: "inbound-gateway", By: "ann", At: time.Now()}}, "inbound-gateway", gworkspace.Missing, gworkspace.Told, "", "done"},
	{"gateway changed after it was told", nil, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddChange(gworkspace.Change{At: time.Now().Add(-time.Minute), Who: "eve@ex.net", Event: "CHANGE_GMAIL_SETTING", Setting: "INBOUND_GATEWAY"})
	}, []gworkspace.Answer{{Step: "inbound-gateway", Done: true, At: time.Now().Add(-time.Hour)}}, "inbound-gateway", gworkspace.Unknown, "", "", ""},
	{"gateway seen in the log only", nil, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.AddChange(gworkspace.Change{At: time.Now().Add(-time.Minute), Event: "CREATE_GMAIL_SETTING", Setting: "INBOUND_GATEWAY"})
	}, nil, "inbound-gateway", gworkspace.Unknown, "", "", ""},

	{"remediation right", func(p *gworkspace.Profile) { p.Remediation = &gworkspace.Remediator{ClientID: gworkspacetest.ClientID} }, onboarded, nil,
		"remediation", gworkspace.Right, gworkspace.Read, "", ""},
	{"remediation by a client whose key is not there", func(p *gworkspace.Profile) { p.Remediation = &gworkspace.Remediator{ClientID: "99887766554433221100"} }, onboarded, nil,
		"remediation", gworkspace.Unknown, "", "", ""},
	{"access by another client", func(p *gworkspace.Profile) { p.Access.ClientID = "99887766554433221100" }, onboarded, nil,
		"access", gworkspace.Wrong, gworkspace.Read, "", "Client ID"},
	{"rule with a secret from before", nil, func(s *gworkspacetest.Server) {
		s.GrantAll()
		s.AddRules(top, []map[string]any{gworkspacetest.RedirectRule(ruleID, ruleName, content, "X-Postreeve-Token: OLDOLDOLDOLDOLDOLD")})
	}, nil, "redirect-rule", gworkspace.Wrong, gworkspace.Read, "/", "Content"},
	{"remediation missing", func(p *gworkspace.Profile) { p.Remediation = &gworkspace.Remediator{ClientID: gworkspacetest.ClientID} }, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.Grant(readScopes...)
	}, nil, "remediation", gworkspace.Missing, gworkspace.Read, "", "OAuth scopes"},
	{"remediation without the scope of its own", func(p *gworkspace.Profile) {
		p.Remediation = &gworkspace.Remediator{ClientID: gworkspacetest.ClientID, Purge: true}
	}, func(s *gworkspacetest.Server) {
		onboarded(s)
		s.Grant(append(slices.Clone(readScopes), gworkspace.ScopeModify)...)
	}, nil,
		"remediation", gworkspace.Wrong, gworkspace.Read, "", "OAuth scopes"},
}

func TestVerifyStates(t *testing.T) {
	t.Parallel()
	for _, c := range verifyCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := gworkspacetest.New(gworkspacetest.Config{})
			c.setup(server)
			p := reroute()
			if c.profile != nil {
				c.profile(p)
			}
			tenant := tenantOf(t, server, p)
			tenant.Told = c.told
			r, err := tenant.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := checkOf(r, c.step)
			if got.State != c.state || got.How != c.how || got.Unit != c.unit {
				t.Errorf("got %s %q in %q (%s), want %s %q in %q", got.State, got.How, got.Unit, got.Note, c.state, c.how, c.unit)
			}
			var fields []string
			for _, d := range r.Drift {
				if d.Step == c.step {
					fields = append(fields, d.Field)
				}
			}
			if c.field == "" && len(fields) > 0 || c.field != "" && !slices.Contains(fields, c.field) {
				t.Errorf("drift in %q, want %q", fields, c.field)
			}
			if raw, _ := json.Marshal(r); strings.Contains(string(raw), loop) {
				t.Error("the report holds the loop secret")
			}
		})
	}
}

// TestVerifyRuleFields: every field of the rule that is shown is found when it is other than wanted.
func TestVerifyRuleFields(t *testing.T) {
	t.Parallel()
	cond := func(key string, v any) func(map[string]any) {
		return func(r map[string]any) { r["condition"].(map[string]any)[key] = v }
	}
	deliver := func(key string, v any) func(map[string]any) { return func(r map[string]any) { delivery(r)[key] = v } }
	express := func(all ...map[string]any) func(map[string]any) {
		return func(r map[string]any) {
			var list []any
			for _, e := range all {
				list = append(list, e)
			}
			r["matchExpressions"] = list
		}
	}
	for _, c := range []struct {
		field  string
		change func(map[string]any)
		note   string
	}{
		{"Email messages to affect: Inbound", cond("affectInboundMessages", false), ""},
		{"Email messages to affect: Outbound", cond("affectOutboundMessages", true), ""},
		{"Email messages to affect: Internal - Sending", cond("affectInternalSendingMessages", true), ""},
		{"Email messages to affect: Internal - Receiving", cond("affectInternalReceivingMessages", true), ""},
		{"Account types: Users", cond("accountTypeUser", false), ""},
		{"Account types: Groups", cond("accountTypeGroup", false), ""},
		{"Account types: Unrecognized / Catch-all", cond("accountTypeUnrecognized", false), ""},
		{"Expressions: ANY of them", func(r map[string]any) { r["matchAnyExpression"] = true }, ""},
		{"Action", func(r map[string]any) { r["consequence"].(map[string]any)["ruleConsequenceType"] = "REJECT_MESSAGE" }, ""},
		{"Change route", deliver("changeDefaultRoute", false), ""},
		{"Also reroute spam", deliver("rerouteSpam", false), ""},
		{"Add X-Gm-Original-To header", deliver("addXGmOriginalToHeader", false), ""},
		{"Add X-Gm-Spam and X-Gm-Phishy headers", deliver("addXGmSpamHeader", false), ""},
		{"Add custom headers", deliver("addCustomHeaders", false), ""},
		{"Require secure transport (TLS)", func(r map[string]any) { delete(delivery(r), "requireTls") }, ""},
		{"Remove attachments from message", deliver("removeAttachments", true), ""},
		{"Change envelope recipient", deliver("changeEnvelopeRecipient", true), ""},
		{"Bypass spam filter for this message", deliver("bypassSpamFilter", true), ""},
		{"Also deliver to", func(r map[string]any) { r["consequence"].(map[string]any)["deliverToAdditionalRecipients"] = true }, ""},
		{"Content", express(map[string]any{"matchType": "NOT_CONTAINS_TEXT", "matchContent": "X-Postreeve-Token: ANOTHERSECRET12345"}), "another secret"},
		{"Content", express(map[string]any{"matchType": "NOT_CONTAINS_TEXT", "matchContent": content + " "}), "blanks"},
		{"Content", express(map[string]any{"matchType": "NOT_CONTAINS_TEXT", "matchContent": "x-postreeve-token=" + loop}), "not written"},
		{"Content", express(map[string]any{"matchType": "NOT_CONTAINS_TEXT", "matchContent": "something"}), "nothing stops"},
		{"Expressions", express(map[string]any{"matchType": "NOT_CONTAINS_TEXT", "matchContent": content}, map[string]any{"matchContent": "x"}), "not ours"},
		{"Match type", express(map[string]any{"matchExpressionType": "SIMPLE_CONTENT", "matchContent": content}), "loop"},
		{"Match type", express(map[string]any{"matchType": "CONTAINS_TEXT", "matchContent": content}), "loop"},
	} {
		t.Run(c.field+" "+c.note, func(t *testing.T) {
			t.Parallel()
			server := gworkspacetest.New(gworkspacetest.Config{})
			server.GrantAll()
			server.AddRules(top, ours(c.change))
			r, err := tenantOf(t, server, reroute()).Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.Drift, func(d gworkspace.Drift) bool { return d.Field == c.field })
			if i < 0 || r.Drift[i].State != gworkspace.Wrong || !strings.Contains(r.Drift[i].Note, c.note) {
				t.Errorf("drift %v, want one in %q with %q", r.Drift, c.field, c.note)
			}
			if r.OK() || r.Scanning {
				t.Errorf("OK %v, scanning %v: want neither", r.OK(), r.Scanning)
			}
		})
	}
}

// TestVerifyVariants: what counts as right although it is written otherwise.
func TestVerifyVariants(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]gworkspacetest.Config{"plain": {}, "small pages": {PageSize: 1}, "empty pages": {EmptyPages: true}, "snake case": {SnakeCase: true}} {
		for form, text := range map[string]string{"text": content, "regexp": `X-Postreeve-Token:\s*(` + loop + `|OTHER)`} {
			t.Run(name+" "+form, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { // the pages are a second apart
					server := gworkspacetest.New(cfg)
					server.GrantAll()
					server.AddRules(top, []map[string]any{gworkspacetest.RedirectRule(ruleID, ruleName, text)})
					server.AddPolicy(gworkspacetest.Policy{System: true, SortOrder: 900, Unit: top, Setting: "gmail.rule_states", Value: map[string]any{"ruleStates": []any{gworkspacetest.State(ruleID, false)}}})
					r, err := tenantOf(t, server, reroute()).Verify(context.Background())
					if err != nil || checkOf(r, "redirect-rule").State != gworkspace.Right || len(r.Drift) > 0 {
						t.Errorf("%v: %v", err, r.Drift)
					}
					if !r.Scanning || !r.OK() || r.Sure() {
						t.Errorf("scanning %v, OK %v, sure %v: the host is unknown", r.Scanning, r.OK(), r.Sure())
					}
				})
			})
		}
	}
}

// TestVerifyFindings: what is not ours and should be known.
func TestVerifyFindings(t *testing.T) {
	t.Parallel()
	foreign := func(name string, change func(map[string]any)) map[string]any {
		r := gworkspacetest.RedirectRule("foreign", name, "X-Their-Header: seen")
		if change != nil {
			change(r)
		}
		return r
	}
	both := func(r map[string]any) func(s *gworkspacetest.Server) {
		return func(s *gworkspacetest.Server) { s.GrantAll(); s.AddRules(top, append(ours(nil), r)) }
	}
	with := func(setting string, value map[string]any) func(s *gworkspacetest.Server) {
		return func(s *gworkspacetest.Server) {
			onboarded(s)
			s.AddPolicy(gworkspacetest.Policy{Unit: top, SortOrder: 201, Setting: setting, Value: value})
		}
	}
	for _, c := range []struct {
		name   string
		setup  func(s *gworkspacetest.Server)
		want   []string
		text   string
		blocks bool
	}{
		{"nothing", onboarded, []string{}, "", false},
		{"another product's rule", both(foreign("Perception Point Redirect Rule", nil)), []string{"rule.route"}, "Perception Point", true},
		{"another product's header", both(gworkspacetest.RedirectRule("foreign", "DLP", "x-panw-inspected: true")), []string{"rule.route"}, "Palo Alto", true},
		{"somebody's rule", both(foreign("Archive", nil)), []string{"rule.route"}, "somebody else", true},
		{"somebody's copy", both(foreign("Archive", func(r map[string]any) {
			delivery(r)["changeDefaultRoute"] = false
			r["consequence"].(map[string]any)["deliverToAdditionalRecipients"] = true
		})), []string{"rule.route"}, "copies", true},
		{"somebody's rule that is off", func(s *gworkspacetest.Server) {
			s.GrantAll()
			s.AddRules(top, append(ours(nil), foreign("Archive", nil)), "foreign")
		}, []string{}, "", false},
		{"somebody's outbound rule", both(foreign("Footer", func(r map[string]any) { r["condition"].(map[string]any)["affectInboundMessages"] = false })), []string{}, "", false},
		{"our name, another mark", both(foreign("Postreeve Redirect Rule (do not edit) second", nil)), []string{"rule.route"}, "another mark", true},
		{"two of ours", both(foreign(ruleName, nil)), []string{"rule.duplicate"}, "2 rules", false},
		{"the gateway on the allow list", with("gmail.email_spam_filter_ip_allowlist", map[string]any{"allowedIpAddresses": []string{"192.0.2.0/24"}}), []string{"allowlist.egress"}, "", false},
		{"half the internet on the allow list", with("gmail.email_spam_filter_ip_allowlist", map[string]any{"allowedIpAddresses": []any{"8.0.0.0/8", 100}}), []string{"allowlist.wide"}, "", false},
		{"approved senders", with("gmail.spam_override_lists", map[string]any{"spamOverride": []any{map[string]any{"ruleId": "x", "description": "Scuba", "bypassSelectedSenders": true}}}),
			[]string{"spam.bypass"}, "", false},
		{"spoofing action", with("gmail.spoofing_and_authentication", map[string]any{"detectUnauthenticatedEmails": true, "unauthenticatedEmailConsequence": "QUARANTINE"}),
			[]string{"spoofing.action"}, "QUARANTINE", false},
		{"Gmail off", with("gmail.service_status", map[string]any{"serviceState": "DISABLED"}), []string{"service.off"}, "", true},
		{"another domain", func(s *gworkspacetest.Server) { onboarded(s); s.AddDomain("other.example", true) }, []string{"domain.other"}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // reads of policies are a second apart
				server := gworkspacetest.New(gworkspacetest.Config{})
				c.setup(server)
				tenant := tenantOf(t, server, reroute())
				r, err := tenant.Verify(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, codes(r.Findings)); diff != "" {
					t.Errorf("findings (-want +got):\n%s", diff)
				}
				if len(r.Findings) > 0 && (!strings.Contains(r.Findings[0].Text, c.text) || r.Findings[0].Do == "") {
					t.Errorf("%v: want %q and what to do", r.Findings[0], c.text)
				}
				plan, err := tenant.Plan(t.Context())
				if err != nil || (plan.Blocked() != nil) != c.blocks {
					t.Errorf("plan blocked: %v, %v, want %v", plan.Blocked(), err, c.blocks)
				}
			})
		})
	}
}

// TestCaptures: replies of a real tenant are read, and what is in them is said.
func TestCaptures(t *testing.T) {
	t.Parallel()
	dir := corpus(t)
	t.Run("sample report", func(t *testing.T) {
		t.Parallel()
		raw, err := os.ReadFile(filepath.Join(dir, "sample-report", "gmail-policies.json"))
		if err != nil {
			t.Fatal(err)
		}
		var byUnit map[string]map[string]json.RawMessage
		if err := json.Unmarshal(raw, &byUnit); err != nil {
			t.Fatal(err)
		}
		server := gworkspacetest.New(gworkspacetest.Config{})
		server.GrantAll()
		n := 0
		for name, settings := range byUnit {
			id := top
			switch name {
			case "Cool Example Org":
			case "2SV Exempt":
				id = "exempt"
				server.AddUnit(id, "/2SV Exempt")
			default:
				continue
			}
			for setting, value := range settings {
				n++
				server.AddPolicy(gworkspacetest.Policy{Unit: id, SortOrder: 201, Setting: strings.Replace(setting, "gmail_", "gmail.", 1), Value: value})
			}
		}
		r, err := tenantOf(t, server, reroute()).Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// The organization keeps copies, by a rule that is on; its own content rule is a simple one that reroutes
		// nothing.
		if c := checkOf(r, "storage"); c.State != gworkspace.Wrong || c.Unit != "/" {
			t.Errorf("storage: %+v", c)
		}
		if c := checkOf(r, "redirect-rule"); c.State != gworkspace.Missing {
			t.Errorf("rule: %+v", c)
		}
		want := []string{"spam.bypass", "spoofing.action"}
		if diff := cmp.Diff(want, codes(r.Findings)); diff != "" || n < 20 {
			t.Errorf("%d settings, findings (-want +got):\n%s", n, diff)
		}
	})
	files, err := filepath.Glob(filepath.Join(dir, "policyapi", "policyapi_get_policies*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var capture struct {
				OrgUnits  map[string]struct{ Path string }
				Response  json.RawMessage
				Responses []json.RawMessage
			}
			if err := json.Unmarshal(raw, &capture); err != nil {
				t.Fatal(err)
			}
			server := gworkspacetest.New(gworkspacetest.Config{})
			server.GrantAll()
			for id, u := range capture.OrgUnits {
				if u.Path != "/" {
					server.AddUnit(id, u.Path)
				}
			}
			total := 0
			for _, one := range append(capture.Responses, capture.Response) {
				if len(one) == 0 {
					continue
				}
				n, err := server.LoadPolicies(one)
				if err != nil {
					t.Fatal(err)
				}
				total += n
			}
			r, err := tenantOf(t, server, reroute()).Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := checkOf(r, "redirect-rule").State; got != gworkspace.Missing || total == 0 {
				t.Errorf("%d policies, rule %s", total, got)
			}
			t.Logf("%d policies: rule %s, storage %s, findings %q", total, checkOf(r, "redirect-rule").State, checkOf(r, "storage").State, codes(r.Findings))
		})
	}
}
