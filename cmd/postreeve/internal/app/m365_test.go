package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
	"github.com/postreeve/postreeve/relay/relaytest"
)

const m365Profile = `domains: [contoso.example]
mode: eop-first
posture: hardened
arc-sealer: gw.example
region: eu
regions:
  eu:
    smart-host: in.eu.gw.example
    egress: [192.0.2.11, 192.0.2.12, 198.51.100.0/28]
    mx: mx.eu.gw.example
`

// tenantDesk is a tenant with the files that the commands take.
type tenantDesk struct {
	*m365test.Server
	dir     string
	profile string
}

func newTenantDesk(t *testing.T, profile string) *tenantDesk {
	t.Helper()
	d := &tenantDesk{Server: m365test.New(t, m365test.Config{}), dir: t.TempDir()}
	d.AddUser("u1@contoso.example")
	d.Add("TransportRule", m365test.Object{"Name": "Disclaimer", "PrependSubject": "[ext]", "FromScope": "NotInOrganization", "Comments": "by the postmaster"})
	d.Change("HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": []string{"203.0.113.200"}})
	d.profile = d.write(t, "profile.yaml", profile)
	d.write(t, "exchange", d.Token("exchange"))
	d.write(t, "graph", d.Token("graph"))
	return d
}

func (d *tenantDesk) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (d *tenantDesk) args(verb string, more ...string) []string {
	return append([]string{"m365", verb, "--profile", d.profile, "--tenant", d.TenantID(), "--auth", "token", "--token-file", filepath.Join(d.dir, "exchange"),
		"--graph-token-file", filepath.Join(d.dir, "graph"), "--exchange-url", d.ExchangeURL(), "--graph-url", d.GraphURL(), "--journal", filepath.Join(d.dir, "journal"), "--no-wait"}, more...)
}

func (d *tenantDesk) run(t *testing.T, want int, verb string, more ...string) result {
	t.Helper()
	got := exits(t, want, d.args(verb, more...)...)
	d.hidden(t, got.out+got.err)
	return got
}

// hidden checks that the secret of the loop and the tokens are printed nowhere.
func (d *tenantDesk) hidden(t *testing.T, text string) {
	t.Helper()
	secrets := []string{}
	for _, f := range []string{"exchange", "graph"} {
		raw, err := os.ReadFile(filepath.Join(d.dir, f))
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, string(raw))
	}
	if raw, err := os.ReadFile(filepath.Join(d.dir, "journal", "secrets.json")); err == nil {
		var s struct{ Tokens []string }
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, s.Tokens...)
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			t.Errorf("a secret was printed:\n%s", text)
		}
	}
}

func TestM365Life(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, m365Profile)
	before := d.Snapshot()
	plan := filepath.Join(d.dir, "plan.json")

	got := d.run(t, 2, "plan", "--out", plan)
	for _, want := range []string{"Postreeve Redirect Rule", "why:", "Enabled"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the plan does not say %q:\n%s", want, got.out)
		}
	}
	if d.run(t, 2, "apply", "--dry-run", "--json"); d.Writes() != 0 {
		t.Fatalf("%d writes by plans", d.Writes())
	}
	if got := d.run(t, 64, "apply"); !strings.Contains(got.err, "--yes") || d.Writes() != 0 {
		t.Errorf("nobody agreed: %d writes, %s", d.Writes(), got.err)
	}
	got = d.run(t, 0, "apply", "--plan", plan, "--yes")
	if !strings.Contains(got.err, "done     Turn on Postreeve Redirect Rule") || !strings.Contains(got.out, "11 steps done") {
		t.Errorf("the run does not say what it does:\n%s%s", got.out, got.err)
	}
	writes := d.Writes()
	d.run(t, 0, "apply", "--yes")
	if d.Writes() != writes {
		t.Errorf("the second run wrote %d times", d.Writes()-writes)
	}
	d.run(t, 0, "plan")
	d.run(t, 0, "verify")

	d.Change("TransportRule", "Postreeve Redirect Rule", m365test.Object{"State": "Disabled"})
	got = d.run(t, 2, "verify")
	if !strings.Contains(got.out, `mail flow rule "Postreeve Redirect Rule": Enabled: wanted true, found false`) {
		t.Errorf("the drift does not name object, field, wanted and found:\n%s", got.out)
	}
	report := lines[m365.Report](t, d.run(t, 2, "verify", "--json").out)
	if len(report) != 1 || len(report[0].Drift) != 1 || report[0].Drift[0].Field != "Enabled" {
		t.Errorf("verify --json: %+v", report)
	}
	d.run(t, 0, "apply", "--yes", "--json")
	d.run(t, 2, "offboard", "--dry-run")
	d.run(t, 0, "offboard", "--yes")
	if diff := cmp.Diff(string(before), string(d.Snapshot())); diff != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", diff)
	}
	d.run(t, 0, "offboard", "--yes")
}

func TestM365Stale(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, m365Profile)
	plan := filepath.Join(d.dir, "plan.json")
	d.run(t, 2, "plan", "--out", plan)
	d.Change("HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": []string{"203.0.113.201"}})
	got := d.run(t, 3, "apply", "--plan", plan, "--yes")
	if !strings.Contains(got.err, "plan again") || d.Writes() != 0 {
		t.Errorf("%d writes, %s", d.Writes(), got.err)
	}
	raw, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "plan.json", strings.Replace(string(raw), "192.0.2.11", "192.0.2.66", 1))
	if got := d.run(t, 1, "apply", "--plan", plan, "--yes"); !strings.Contains(got.err, "not as it was made") {
		t.Errorf("an edited plan: %s", got.err)
	}
	if got := d.run(t, 64, "offboard", "--plan", filepath.Join(d.dir, "plan2.json"), "--vendor", "nobody"); !strings.Contains(got.err, "nobody") {
		t.Errorf("an unknown vendor: %s", got.err)
	}
}

// TestM365Killed ends a run at some of its writes, before and after they took effect; the same call finishes it.
func TestM365Killed(t *testing.T) {
	t.Parallel()
	whole := newTenantDesk(t, m365Profile)
	whole.run(t, 0, "apply", "--yes")
	for _, n := range []int{1, 4, whole.Writes()} {
		for _, kind := range []m365test.FaultKind{m365test.DropBefore, m365test.DropAfter} {
			d := newTenantDesk(t, m365Profile)
			ctx, kill := context.WithCancel(t.Context())
			d.Inject(m365test.Fault{Kind: kind, Write: n, Then: kill})
			var out, errw bytes.Buffer
			code := app.Run(ctx, d.args("apply", "--yes"), strings.NewReader(""), &out, &errw)
			kill()
			if code != 1 || !strings.Contains(errw.String(), "the same call goes on") {
				t.Errorf("killed at write %d: exit %d\n%s", n, code, errw.String())
			}
			d.run(t, 0, "apply", "--yes")
			d.run(t, 0, "verify")
			var names []string
			for _, r := range d.Objects("TransportRule") {
				names = append(names, r["Name"].(string))
			}
			if slices.Sort(names); len(slices.Compact(names)) != len(whole.Objects("TransportRule")) {
				t.Errorf("killed at write %d: rules %q", n, names)
			}
		}
	}
}

func TestM365Documents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	profile := filepath.Join(dir, "p.yaml")
	if err := os.WriteFile(profile, []byte(m365Profile), 0o600); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "ex.ps1")
	if got := run(t, "", "m365", "script", "--profile", profile, "--out", script); got.code != 0 || !strings.Contains(got.err, "ex-offboard.ps1") {
		t.Fatalf("script: %+v", got)
	}
	for file, want := range map[string]string{"ex.ps1": "Set-Owned", "ex-offboard.ps1": "Remove-Owned"} {
		raw, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(raw), want) {
			t.Errorf("%s: %v, want %s in it", file, err, want)
		}
	}
	raw, err := os.ReadFile(script)
	if got := run(t, "", "m365", "script", "--profile", profile); err != nil || got.out != string(raw) {
		t.Errorf("what is printed is not what is written: %v", err)
	}
	if got := run(t, "", "m365", "runbook", "--profile", profile); got.code != 0 || !strings.Contains(got.out, "# Put contoso.example behind Postreeve") ||
		!strings.Contains(got.out, "https://") || !strings.Contains(got.out, "## The way out") {
		t.Errorf("runbook: %+v", got)
	}
}

func TestM365Remediate(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, m365Profile)
	d.AddMessage("u1@contoso.example", m365test.Message{MessageID: "<1@evil.example>", Headers: map[string]string{"X-Postreeve-Id": "7q2k"}})
	args := []string{"--message-id", "1@evil.example", "--our-id", "7q2k", "--to", "u1@contoso.example", "--cure", "soft"}
	if got := d.run(t, 0, "remediate", append(args, "--dry-run")...); !strings.Contains(got.out, "soft") || d.Mailbox("u1@contoso.example")[0].Folder != "inbox" {
		t.Errorf("a dry run moved mail: %s", got.out)
	}
	got := d.run(t, 0, "remediate", append(args, "--yes", "--json")...)
	out := lines[m365.Remediation](t, got.out)
	if len(out) != 1 || out[0].State != "cured" || d.Mailbox("u1@contoso.example")[0].Folder != "recoverableitemsdeletions" {
		t.Errorf("soft: %+v, %+v", out, d.Mailbox("u1@contoso.example"))
	}
	d.write(t, "targets", `{"message_id": "<1@evil.example>", "recipient": "u1@contoso.example", "our_id": "7q2k"}`+"\n")
	d.run(t, 0, "remediate", "--targets", filepath.Join(d.dir, "targets"), "--cure", "restore", "--yes")
	if f := d.Mailbox("u1@contoso.example")[0].Folder; f != "inbox" {
		t.Errorf("restored to %s", f)
	}
	args[3] = "other"
	d.run(t, 2, "remediate", append(args, "--yes")...)
	if got := d.run(t, 64, "remediate", "--message-id", "<1@evil.example>", "--to", "u1@contoso.example"); !strings.Contains(got.err, "--unconfirmed") {
		t.Errorf("without an id of ours: %s", got.err)
	}
}

func TestM365Auth(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{Secret: "hunter2hunter2", ClientID: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"})
	dir := t.TempDir()
	for name, text := range map[string]string{"profile.yaml": m365Profile, "secret": "hunter2hunter2\n", "wrong": "hunter3hunter3\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := func(secret string) []string {
		return []string{"m365", "plan", "--profile", filepath.Join(dir, "profile.yaml"), "--client-id", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
			"--client-secret-file", filepath.Join(dir, secret), "--exchange-url", s.ExchangeURL(), "--graph-url", s.GraphURL(), "--login-url", s.LoginURL(), "--tenant", s.TenantID()}
	}
	if got := run(t, "", args("secret")...); got.code != 2 {
		t.Errorf("by secret: %+v", got)
	}
	if got := run(t, "", args("wrong")...); got.code != 1 || strings.Contains(got.out+got.err, "hunter") {
		t.Errorf("by a wrong secret: %+v", got)
	}
}

func TestM365Report(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, m365Profile)
	sink := &relaytest.Sink{}
	addr := sink.Start(t)
	got := d.run(t, 2, "verify", "--report-to", "soc@ex.org", "--report-via", addr, "--report-from", "gw@gw.example")
	if !strings.Contains(got.err, "mailed to soc@ex.org") {
		t.Errorf("not mailed: %s", got.err)
	}
	all := sink.Messages()
	if len(all) != 1 || !strings.Contains(string(all[0].Data), "Subject: The tenant") {
		t.Errorf("mailed: %+v", all)
	}
}

func TestM365Bad(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		profile string
		args    []string
		code    int
		want    string // on standard error
	}{
		"unknown key":      {"domains: [ex.net]\nmod: eop-first\n", nil, 1, "p.yaml:2:1: mod: unknown key: did you mean mode?"},
		"unknown key deep": {strings.Replace(m365Profile, "smart-host", "smarthost", 1), nil, 1, "p.yaml:8:5: regions.eu.smarthost: unknown key: did you mean smart-host?"},
		"twice":            {m365Profile + "mode: mx-first\n", nil, 1, "p.yaml:11:1: mode: the same key again: it stands in line 2 already"},
		"wrong type":       {"domains: {a: b}\n", nil, 1, "p.yaml:1:10: domains: wants text, got keys with values"},
		"unknown region":   {strings.Replace(m365Profile, "region: eu", "region: us", 1), nil, 1, `p.yaml:5:1: region: unknown region "us": choose one of eu`},
		"too wide":         {strings.Replace(m365Profile, "198.51.100.0/28", "198.51.0.0/16", 1), nil, 1, "/24 to /32"},
		"IPv6":             {strings.Replace(m365Profile, "192.0.2.12", "\"2001:db8::1\"", 1), nil, 1, "IPv4 only"},
		"anchors":          {"domains: &a [ex.net]\n", nil, 1, "an anchor or alias, which this file cannot have"},
		"hostile":          {"domains: [\"\\x1b[31m\"]\n", nil, 1, `p.yaml:1:11: domains[0]: wants text of printable characters`},
		"not YAML":         {"{", nil, 1, "p.yaml"},
		"empty":            {"", nil, 1, "is empty"},
		"two documents":    {m365Profile + "---\n" + m365Profile, nil, 1, "a second document"},
		"no profile":       {"", []string{"m365", "plan", "--tenant", "ex.net"}, 64, "--profile is missing"},
		"no secret":        {m365Profile, []string{"--auth", "secret"}, 64, "--auth secret needs --client-secret-file"},
		"unknown auth":     {m365Profile, []string{"--auth", "password"}, 64, "--auth"},
		"plain http":       {m365Profile, []string{"--token-file", "x", "--exchange-url", "http://ex.net/"}, 1, "loopback only"},
		"no token file":    {m365Profile, []string{"--token-file", "/nonexistent/token"}, 1, "token file"},
		"report to nobody": {m365Profile, []string{"--report-to", "a@ex.net"}, 64, "--report-via"},
		"hostile report":   {m365Profile, []string{"--report-to", "a@ex.net\r\nBcc: x", "--report-via", "x"}, 64, "no address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "p.yaml")
			if err := os.WriteFile(file, []byte(tt.profile), 0o600); err != nil {
				t.Fatal(err)
			}
			args := tt.args
			if len(args) == 0 || args[0] != "m365" {
				args = append([]string{"m365", "plan", "--profile", file}, args...)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var out, errw bytes.Buffer
			code := app.Run(ctx, args, strings.NewReader(""), &out, &errw)
			if code != tt.code || !strings.Contains(errw.String(), tt.want) || strings.Contains(errw.String(), "\x1b") {
				t.Errorf("got %d %q, want %d and %q", code, errw.String(), tt.code, tt.want)
			}
		})
	}
}

func TestM365Help(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"plan", "apply", "verify", "script", "runbook", "offboard", "remediate"} {
		got := run(t, "", "m365", verb, "--help")
		if got.code != 0 || !strings.Contains(got.out, "Example") || !strings.Contains(got.out, "Exit codes") {
			t.Errorf("%s: %+v", verb, got)
		}
		for line := range strings.Lines(got.out) {
			if len(line) > 81 {
				t.Errorf("%s: longer than 80 columns: %q", verb, line)
			}
		}
	}
}
