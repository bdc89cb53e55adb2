package m365_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// The script does what Apply does: each call that Apply makes has its cmdlet in the script, with the same values, in
// the same order; and it asks for the secret instead of holding one.
func TestScriptMatchesApply(t *testing.T) {
	t.Parallel()
	for name, mk := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, m365test.Config{})
			addForeign(s)
			b := newBench(t, s, mk())
			b.apply(t)
			apply, offboard, err := m365.Script(mk())
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			body := string(apply)[strings.Index(string(apply), "\n$state = Read-State"):]
			for _, c := range s.Calls() {
				name, _ := c.Params["Name"].(string)
				if c.Write == 0 || !strings.HasPrefix(c.Cmdlet, "New-") || name == "" || strings.HasSuffix(name, " Probe") {
					continue
				}
				i := strings.Index(body[at:], "-Name '"+name+"'")
				if i < 0 {
					t.Fatalf("%q is not made by the script, or not in this order", name)
				}
				at += i
				end := strings.Index(body[at+1:], "\nSet-Owned")
				for k, v := range c.Params {
					text, ok := v.(string)
					switch {
					case !ok || k == "Name" || k == "Comments" || k == "Comment":
					case k == "SetHeaderValue":
						text = "$secret"
						fallthrough
					default:
						part := body[at:]
						if end > 0 {
							part = part[:end+1]
						}
						if text != "$secret" {
							text = "'" + text + "'"
						}
						if !strings.Contains(part, k+" = "+text) {
							t.Errorf("%s: the script has no %s = %s", name, k, text)
						}
					}
				}
			}
			if token := tokens.FindString(string(s.Snapshot())); token != "" && (strings.Contains(string(apply), token) || strings.Contains(string(offboard), token)) {
				t.Error("a script holds the secret")
			}
			if strings.Contains(string(apply), "(the secret") {
				t.Error("a placeholder for the secret is in the script")
			}
			first := regexp.MustCompile(`(Disable-TransportRule|Set-InboundConnector|Remove-Owned|Remove-Allowed) [^{]`).FindString(string(offboard)[strings.Index(string(offboard), "\n$state = Read-State"):])
			if strings.HasPrefix(first, "Remove") {
				t.Errorf("the way out begins with %q", first)
			}
		})
	}
}

// A runbook has every setting with where to click and what to paste, numbered; Verify knows what is made by it.
func TestRunbook(t *testing.T) {
	t.Parallel()
	for name, mk := range variants {
		p := mk()
		p.RemediationApp = appID
		g, err := m365.Runbook(p)
		if err != nil {
			t.Fatal(err)
		}
		doc := g.Markdown()
		for i, st := range append(g.Steps, g.Back...) {
			if st.Console == nil || st.Console.Path == "" || st.Console.Expect == "" || st.Why == "" && i < len(g.Steps) {
				t.Errorf("%s: step %s does not say how: %+v", name, st.ID, st)
			}
		}
		for _, want := range []string{"### 1. ", inbound, "192.0.2.11", "postreeve id=inbound-connector v=1", "https://admin.exchange.microsoft.com/#/connectors", "## The way out"} {
			if !strings.Contains(doc, want) {
				t.Errorf("%s: the runbook does not say %q", name, want)
			}
		}
		if p.Mode == m365.EOPFirst != strings.Contains(doc, "postreeve id=redirect-rule v=1") {
			t.Errorf("%s: redirect rule in the runbook: %v", name, p.Mode != m365.EOPFirst)
		}
	}
}
