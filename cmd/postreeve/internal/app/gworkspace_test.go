package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/dnsverify/dnstest"
	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
	"github.com/postreeve/postreeve/relay/relaytest"
)

const gworkspaceProfile = `domains: ex.net
mode: reroute
regions:
  eu: {smart-host: in.gw.example, egress: [192.0.2.10]}
access: {client-id: ` + gworkspacetest.ClientID + `, admin: ` + gworkspacetest.Admin + `}
`

// googleDesk is a tenant of Google with the files that the commands take.
type googleDesk struct {
	*gworkspacetest.Server
	dir  string
	args []string
}

func newGoogleDesk(t *testing.T) *googleDesk {
	t.Helper()
	d := &googleDesk{Server: gworkspacetest.New(gworkspacetest.Config{}).Start(), dir: t.TempDir()}
	t.Cleanup(func() {
		d.Close()
		if m := d.Misuse(); len(m) > 0 {
			t.Errorf("misuse of the service: %q", m)
		}
	})
	n := dnstest.New(t)
	n.Zone("ex.net", dnstest.Records{"@": {"MX 1 smtp.google.com."}})
	for name, text := range map[string]string{"p.yaml": gworkspaceProfile, "key.json": string(d.Key())} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.args = []string{"--profile", d.file("p.yaml"), "--key-file", d.file("key.json"), "--api-url", d.URL(), "--token-url", d.URL() + "/token", "--no-wait",
		"--dns", fmt.Sprintf("%s:%d", n.Resolver().Addr(), n.Port())}
	return d
}

func (d *googleDesk) file(name string) string { return filepath.Join(d.dir, name) }

func (d *googleDesk) run(t *testing.T, want int, verb string, more ...string) result {
	t.Helper()
	return exits(t, want, slices.Concat([]string{"gworkspace", verb}, d.args, more)...)
}

// secrets makes the secrets and returns them.
func (d *googleDesk) secrets(t *testing.T, args ...string) *gworkspace.Secrets {
	t.Helper()
	got := run(t, "", append([]string{"gworkspace", "secrets", d.file("s.json")}, args...)...)
	f, err := os.Open(d.file("s.json"))
	if err != nil || got.code != 0 {
		t.Fatalf("secrets: %+v, %v", got, err)
	}
	defer f.Close()
	s, err := gworkspace.ReadSecrets(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range append(append([]string{}, s.Loop...), s.Tenant...) {
		if strings.Contains(got.out+got.err, v) {
			t.Error("a secret was printed")
		}
	}
	return s
}

func TestGWorkspaceLife(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	s := d.secrets(t)
	got := d.run(t, 2, "plan")
	if !strings.Contains(got.out+got.err, gworkspace.ScopePolicies) {
		t.Errorf("nothing is granted, and the scope is not named:\n%s%s", got.out, got.err)
	}
	d.GrantAll()
	got = d.run(t, 2, "plan", "--secrets", d.file("s.json"))
	for _, want := range []string{"Postreeve Redirect Rule", "https://admin.google.com/", "192.0.2.10", "done when:", "checked by:"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the plan does not say %q:\n%s", want, got.out)
		}
	}
	if strings.Contains(got.out, s.Loop[0]) || strings.Contains(got.out, s.Tenant[0]) {
		t.Error("the plan tells the secrets")
	}
	if got := d.run(t, 2, "plan", "--secrets", d.file("s.json"), "--reveal"); !strings.Contains(got.out, s.Loop[0]) || !strings.Contains(got.out, s.Tenant[0]) {
		t.Error("--reveal does not show what is to be pasted")
	}
	if got := d.run(t, 64, "plan", "--done", "hots"); !strings.Contains(got.err, "did you mean host?") {
		t.Errorf("--done: %s", got.err)
	}

	rule := gworkspacetest.RedirectRule("r1", "Postreeve Redirect Rule (do not edit) postreeve", "X-Postreeve-Token: "+s.Loop[0])
	d.AddRules(gworkspacetest.TopUnit, []map[string]any{rule})
	told := []string{"--secrets", d.file("s.json"), "--told", d.file("told.json"), "--done", "host", "--done", "inbound-gateway"}
	got = d.run(t, 0, "verify", told...)
	for _, want := range []string{"read", "told", "no drift"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("verify does not say %q:\n%s", want, got.out)
		}
	}
	d.run(t, 0, "plan", told[:4]...)

	d.ClearPolicies()
	d.AddRules(gworkspacetest.TopUnit, []map[string]any{rule}, "r1")
	report := lines[gworkspace.Report](t, d.run(t, 2, "verify", append(told[:4:4], "--json")...).out)
	if len(report) != 1 || len(report[0].Drift) == 0 || report[0].Drift[0].Step != "redirect-rule" {
		t.Errorf("the rule is off: %+v", report)
	}
	d.run(t, 1, "offboard", told[:4]...) // somebody has to say that the gateway is empty
	d.ClearPolicies()
	if got := d.run(t, 2, "offboard"); !strings.Contains(got.out, "delegation") {
		t.Errorf("the way out:\n%s", got.out)
	}
}

// TestGWorkspaceDeadKey: a key that nobody takes is no tenant in order, for whoever reads the mail alone too.
func TestGWorkspaceDeadKey(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error": "invalid_grant", "error_description": "Invalid grant: account not found"}`)
	}))
	defer tokens.Close()
	sink := &relaytest.Sink{}
	got := d.run(t, 1, "verify", "--token-url", tokens.URL, "--report-to", "soc@ex.org", "--report-via", sink.Start(t))
	if !strings.Contains(got.out, "0 settings in order, no drift, 5 unknown, ") || !strings.Contains(got.out, " could not be read\n") || !strings.Contains(got.err, "not everything could be read") {
		t.Errorf("verify: %+v", got)
	}
	all := sink.Messages()
	if len(all) != 1 || !strings.Contains(string(all[0].Data), "Subject: ex.net: no drift, 5 unknown, ") || strings.Contains(string(all[0].Data), "in order\r\n") {
		t.Errorf("mailed: %+v", all)
	}
	if got := d.run(t, 0, "verify", "--auth", "none"); !strings.Contains(got.out, "no drift, 5 unknown\n") {
		t.Errorf("nobody reads, which is meant: %s", got.out)
	}
}

// TestGWorkspaceFlags: a flag that would have no effect is refused, and not passed over.
func TestGWorkspaceFlags(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	d.secrets(t)
	key := d.file("key.json")
	base := []string{"--profile", d.file("p.yaml"), "--dns", "127.0.0.1:1"}
	for _, c := range []struct {
		verb string
		args []string
		want string
	}{
		{"plan", []string{"--service-account", "a@b.example"}, "--auth keyless needs --caller-token-file"},
		{"plan", []string{"--caller-token-file", key}, "--auth keyless needs --service-account"},
		{"plan", []string{"--mail-key-file", key}, "--mail-key-file is for mailboxes alone"},
		{"plan", []string{"--key-file", key, "--token-file", key}, "--token-file goes with --auth token, and this is --auth key"},
		{"verify", []string{"--no-wait", "--probe", "pilot@ex.net"}, "--no-wait sends none"},
		{"offboard", []string{"--no-wait", "--probe", "pilot@ex.net"}, "--no-wait sends none"},
		{"verify", []string{"--probe-by-hand"}, "--probe-by-hand goes with --probe"},
		{"verify", []string{"--probe-via", "mail.elsewhere.example"}, "--probe-via goes with --probe"},
		{"plan", []string{"--reveal"}, "--reveal needs --secrets"},
		{"plan", []string{"--reveal", "--secrets", d.file("s.json"), "--report-to", "soc@ex.org", "--report-via", closed}, "--report-to would mail them"},
	} {
		if got := exits(t, 64, slices.Concat([]string{"gworkspace", c.verb}, base, c.args)...); !strings.Contains(got.err, c.want) {
			t.Errorf("%s %q: %s", c.verb, c.args, got.err)
		}
	}
}

// TestGWorkspaceFiles: an error names the file, and the flag where there is one.
func TestGWorkspaceFiles(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	bad, none := d.file("bad.json"), filepath.Join(d.dir, "none", "x.json")
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--told", bad}, "--told " + bad + ": unexpected end of JSON"},
		{[]string{"--told", none, "--done", "host"}, none + " cannot be written: no such file"},
		{[]string{"--secrets", bad}, "--secrets " + bad + ": not a JSON object"},
		{[]string{"--secrets", none}, "--secrets " + none + ": no such file"},
		{[]string{"--out", none}, none + " cannot be written: no such file"},
	} {
		if got := d.run(t, 1, "plan", c.args...); !strings.Contains(got.err, c.want) || strings.Contains(got.err, ".postreeve-") {
			t.Errorf("%q: %s", c.args, got.err)
		}
	}
	for file, want := range map[string]string{none: none + " cannot be written: no such file", bad: bad + ": not a JSON object"} {
		if got := exits(t, 1, "gworkspace", "secrets", file); !strings.Contains(got.err, "postreeve: "+want) {
			t.Errorf("secrets: %s", got.err)
		}
	}
}

func TestGWorkspaceSecrets(t *testing.T) {
	t.Parallel()
	d := &googleDesk{dir: t.TempDir()}
	first := d.secrets(t)
	if got := run(t, "", "gworkspace", "secrets", d.file("s.json")); got.code != 64 || !strings.Contains(got.err, "--rotate") {
		t.Errorf("again: %+v", got)
	}
	if err := os.Remove(d.file("s.json.tenant")); err != nil { // a call that was cut short
		t.Fatal(err)
	}
	if again := d.secrets(t); again.Tenant[0] != first.Tenant[0] {
		t.Error("what was cut short was not made good but replaced")
	}
	both := d.secrets(t, "--rotate")
	if len(both.Tenant) != 2 || both.Tenant[1] != first.Tenant[0] {
		t.Error("the secret before is not good while one is replaced")
	}
	for name, want := range map[string]string{"s.json.tenant": both.Tenant[0], "s.json.tenant.old": first.Tenant[0], "s.json.loop": first.Loop[0]} {
		if raw, err := os.ReadFile(d.file(name)); err != nil || strings.TrimSpace(string(raw)) != want {
			t.Errorf("%s: %v", name, err)
		}
		if fi, err := os.Stat(d.file(name)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
	if both.Loop[1] != first.Loop[0] {
		t.Error("the secret of the loop before is not kept")
	}
	for arg, want := range map[string]string{"--rotate": "two of each already", "--settle": "48 hours ago"} {
		if got := run(t, "", "gworkspace", "secrets", d.file("s.json"), arg); got.code != 64 || !strings.Contains(got.err, want) {
			t.Errorf("%s too early: %+v", arg, got)
		}
	}
	if err := os.Chtimes(d.file("s.json"), time.Time{}, time.Now().Add(-49*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if last := d.secrets(t, "--settle"); len(last.Tenant) != 1 || last.Tenant[0] != both.Tenant[0] {
		t.Error("settled to another one")
	}
	if raw, err := os.ReadFile(d.file("s.json.loop")); err != nil || strings.TrimSpace(string(raw)) != both.Loop[0] {
		t.Errorf("the new secret of the loop is not stamped: %v", err)
	}
	if _, err := os.Stat(d.file("s.json.tenant.old")); err == nil {
		t.Error("the secret before is still there")
	}
}

func TestGWorkspaceRemediate(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	d.GrantAll()
	d.AddUser(gworkspacetest.User{Email: "anna@ex.net", Unit: "/"})
	d.AddMessage("anna@ex.net", gworkspacetest.Message{MessageID: "<1@evil.example>", Header: map[string]string{"X-Postreeve-Id": "7q2k"}})
	args := []string{"--message-id", "<1@evil.example>", "--our-id", "7q2k", "--to", "anna@ex.net", "--yes"}
	out := lines[gworkspace.Remediation](t, d.run(t, 0, "remediate", append(args, "--json")...).out)
	if len(out) != 1 || out[0].State != gworkspace.MailCured || !strings.Contains(strings.Join(d.Mailbox("anna@ex.net")[0].Labels, " "), "TRASH") {
		t.Errorf("trash: %+v, %+v", out, d.Mailbox("anna@ex.net"))
	}
	args[3] = "another"
	d.run(t, 2, "remediate", args...)
	if got := d.run(t, 2, "remediate", append(args[:5:5], "nobody@ex.net", "--yes")...); !strings.Contains(got.out, "0 cured, 0 not found, 1 skipped, 0 failed") {
		t.Errorf("nobody has this address:\n%s", got.out)
	}
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{64, []string{"--message-id", "<1@evil.example>", "--our-id", "q", "--to", "not an address"}, `"not an address" is no address`},
		{64, []string{"--message-id", "<1@evil.example>", "--our-id", "q", "--to", "anna@ex_net"}, `"anna@ex_net" is no address`},
		{1, []string{"--message-id", "<1@evil.example>", "--our-id", "q", "--to", "anna@ex.net", "--profile", d.file("nope.yaml")}, "nope.yaml: no such file"},
		{0, []string{"--message-id", "<1@evil.example>", "--our-id", "q", "--to", "anna@ex.net"}, ""},
	} {
		if got := d.run(t, c.code, "remediate", append(c.args, "--dry-run")...); !strings.Contains(got.err, c.want) {
			t.Errorf("dry run of %q: %s", c.args, got.err)
		}
	}
	if err := os.WriteFile(d.file("bad.json"), []byte(`{"type": "authorized_user", "client_secret": "hush"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--key-file", "--mail-key-file"} {
		got := d.run(t, 1, "remediate", append(args, flag, d.file("bad.json"))...)
		if !strings.Contains(got.err, flag+" "+d.file("bad.json")) || strings.Contains(got.err, "hush") || strings.Contains(got.err, "gworkspace:") {
			t.Errorf("%s: %s", flag, got.err)
		}
	}
}

func TestGWorkspaceRunbook(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	got := run(t, "", "gworkspace", "runbook", "--profile", d.file("p.yaml"))
	if got.code != 0 || !strings.Contains(got.out, "## The way out") || !strings.Contains(got.out, "from whoever runs the gateway") {
		t.Errorf("runbook: %+v", got)
	}
	if !strings.Contains(got.out, "### 1. Set the gateway up\n") {
		t.Errorf("the gateway is no step:\n%s", got.out)
	}
	if err := os.WriteFile(d.file("p.yaml"), []byte(gworkspaceProfile+"mods: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "", "gworkspace", "runbook", "--profile", d.file("p.yaml")); got.code != 1 || !strings.Contains(got.err, "p.yaml:6:1: mods: unknown key: did you mean mode?") {
		t.Errorf("a bad profile: %+v", got)
	}
	for _, verb := range []string{"plan", "verify", "runbook", "offboard", "remediate", "secrets"} {
		got := run(t, "", "gworkspace", verb, "--help")
		if got.code != 0 || !strings.Contains(got.out, "Example") {
			t.Errorf("%s: %+v", verb, got)
		}
		for line := range strings.Lines(got.out) {
			if len(line) > 81 {
				t.Errorf("%s: longer than 80 columns: %q", verb, line)
			}
		}
	}
}
