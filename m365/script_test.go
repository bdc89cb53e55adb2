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

// What could send an admin the wrong way is not in a runbook: a link that grants what is to be revoked, a step back
// that does not say to what, an MX record that moves while the lock is on.
func TestRunbookBack(t *testing.T) {
	t.Parallel()
	for name, mk := range variants {
		p := mk()
		p.RemediationApp = appID
		g, err := m365.Runbook(p)
		if err != nil {
			t.Fatal(err)
		}
		at := map[string]int{}
		for i, st := range g.Back {
			at[st.ID] = i + 1
			if strings.Contains(st.Console.Link, "adminconsent") {
				t.Errorf("%s: %s links to where consent is given", name, st.ID)
			}
			if st.Verb == m365.VerbRestore && len(st.Console.Values) == 0 || st.Verb == m365.VerbDisable && strings.Contains(st.Why, "Remove") {
				t.Errorf("%s: step %+v does not say to what, or why", name, st)
			}
		}
		for _, st := range g.Steps {
			if st.ID == "spam-rule" && !strings.Contains(st.Console.Expect, "enabled") {
				t.Errorf("%s: nobody is told to enable a rule, which the admin center makes disabled", name)
			}
		}
		if p.Mode == m365.MXFirst && (at["inbound-lock.off"] != 1 || at["mx.back"] != 2) {
			t.Errorf("%s: the way out is %v, want the lock off first, then the MX records", name, at)
		}
		if p.Mode == m365.EOPFirst && at["redirect-rule.off"] != 1 {
			t.Errorf("%s: the way out is %v, want the redirect rule off first", name, at)
		}
	}
}

// The scripts stop at the first error and before the first change where something is in the way, and wait however
// often they are run.
func TestScriptSafety(t *testing.T) {
	t.Parallel()
	for name, mk := range variants {
		p := mk()
		apply, offboard, err := m365.Script(p)
		if err != nil {
			t.Fatal(err)
		}
		order := func(script []byte, parts ...string) {
			_, body, _ := strings.Cut(string(script), "\n$state = Read-State")
			at := 0
			for _, part := range parts {
				i := strings.Index(body[at:], part)
				if i < 0 {
					t.Errorf("%s: %q is not there, or not in this order: %q", name, part, parts)
					return
				}
				at += i
			}
		}
		for _, s := range [][]byte{apply, offboard} {
			if !strings.Contains(string(s), "$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }") {
				t.Errorf("%s: cmdlets of the module do not stop a script by its preference alone", name)
			}
		}
		order(apply, "Assert-Clear", "Assert-Free", "Add-Allowed", "Set-Owned")
		order(offboard, "'inbound-lock'", "-Enabled $false", "if ($null -ne $rule) {", "Start-Sleep", "Remove-Owned 'TransportRule' 'redirect-rule'", "Remove-Owned 'InboundConnector'", "Remove-Allowed")
		if p.Mode == m365.MXFirst {
			order(offboard, "-Enabled $false", "if (-not $MxBack)", "Remove-Owned")
			order(apply, "ToUniversalTime", "-ge 5000", "-Enabled $true")
		}
	}
}
