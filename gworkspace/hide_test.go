package gworkspace_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

// TestHide: what was read is shown without the secrets, wherever an administrator wrote them.
func TestHide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // reads of policies are a second apart
		const stamped = "STAMPEDSTAMPEDSTAMPED"
		server := gworkspacetest.New(gworkspacetest.Config{})
		server.GrantAll()
		server.AddRules(top, append(ours(func(r map[string]any) { r["description"] = "Postreeve Redirect Rule " + content + " postreeve" }),
			gworkspacetest.RedirectRule("foreign", "Archive "+loop, "x"),
			gworkspacetest.RedirectRule("renamed", "Old "+stamped, "X-Postreeve-Token: OLDOLDOLDOLDOLDOLD")))
		server.AddPolicy(gworkspacetest.Policy{Unit: top, SortOrder: 201, Setting: "gmail.spam_override_lists",
			Value: map[string]any{"spamOverride": []any{map[string]any{"ruleId": "x", "description": "for TENANTTENANTTENANT", "bypassSelectedSenders": true}}}})
		at := time.Now().Add(-time.Hour)
		server.AddChange(gworkspace.Change{At: at.Add(-time.Hour), Event: "CHANGE_GMAIL_SETTING", Setting: "INBOUND_GATEWAY", Name: "n " + loop, Text: "Content: not contains '" + content + "', adds TENANTTENANTTENANT"},
			gworkspace.Change{At: at, Event: "CHANGE_GMAIL_SETTING", Text: strings.Repeat("x", 490) + loop}, // is cut in the middle of the secret
			gworkspace.Change{At: at, Event: "CHANGE_GMAIL_SETTING", Setting: "EMAIL_ROUTE", Name: "Postreeve Scanner", Unit: "/" + loop})
		tenant := tenantOf(t, server, reroute())
		g := ourGateway()
		g.Secrets.Loop = []string{stamped}
		tenant.Gateway = []gworkspace.Gateway{g}
		r, err := tenant.Verify(t.Context())
		if err != nil || len(r.Changes) != 3 || len(r.Findings) < 3 || len(r.Drift) == 0 {
			t.Fatalf("%v: %+v", err, r)
		}
		plan, err := tenant.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		back, err := tenant.Offboard(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]any{"report": r, "plan": plan, "the way out": back} {
			raw, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []string{loop, loop[:8], "TENANTTENANTTENANT", stamped} {
				if i := strings.Index(string(raw), s); i >= 0 {
					t.Errorf("%s shows %s: %s", name, s, raw[max(0, i-60):i])
				}
			}
		}
		if got := r.Changes[0].Text; got != "Content: not contains 'X-Postreeve-Token: (a secret)', adds (a secret)" {
			t.Errorf("the rest has to stay: %q", got)
		}
	})
}
