package app_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
	"github.com/postreeve/postreeve/m365/m365test"
	"github.com/postreeve/postreeve/relay/store"
)

const (
	appID     = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	appSecret = "hunter2hunter2"
)

// remedyDesk is a tenant of each product, and a configuration that may take mail back in both.
type remedyDesk struct {
	ms     *m365test.Server
	google *gworkspacetest.Server
	dir    string
}

func newRemedyDesk(t *testing.T) *remedyDesk {
	t.Helper()
	d := &remedyDesk{ms: m365test.New(t, m365test.Config{ClientID: appID, Secret: appSecret}), google: gworkspacetest.New(gworkspacetest.Config{}).Start()}
	t.Cleanup(func() {
		d.google.Close()
		if m := d.google.Misuse(); len(m) > 0 {
			t.Errorf("misuse of the service: %q", m)
		}
	})
	d.google.Grant(gworkspace.ScopeUsers, gworkspace.ScopeGroups, gworkspace.ScopeModify)
	d.dir = write(t, map[string]string{"contoso.yaml": m365Profile, "ex.yaml": gworkspaceProfile, "secret": appSecret + "\n", "key.json": string(d.google.Key())})
	return d
}

// yaml is the section of the configuration.
func (d *remedyDesk) yaml() string {
	return fmt.Sprintf(`remediation:
  - profile: %[1]s/contoso.yaml
    m365: {client-id: %[2]s, client-secret: "file:%[1]s/secret", graph-url: %[3]q, login-url: %[4]q}
  - profile: %[1]s/ex.yaml
    gworkspace: {key: %[1]s/key.json, api-url: %[5]q, token-url: "%[5]s/token"}
`, d.dir, appID, d.ms.GraphURL(), d.ms.LoginURL(), d.google.URL())
}

func (d *remedyDesk) put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// parsed is a configuration with the section.
func parsed(t *testing.T, section string) *config.Config {
	t.Helper()
	c, err := config.Parse("x.yaml", []byte("hostname: gw.example\nlisten: \"127.0.0.1:0\"\nstate: s\n"+section+"domains: {ex.net: {next-hop: \"127.0.0.1:1\", verification: waived}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (d *remedyDesk) remediator(t *testing.T) store.Remediator {
	t.Helper()
	r, err := app.NewRemediator(parsed(t, d.yaml()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// order is an order about the message <ID@evil.example>.
func order(id, to string) store.Remedy {
	return store.Remedy{Message: id, MessageID: "<" + id + "@evil.example>", Recipient: to}
}

// take has orders done, and says what became of each: state, again, detail.
func take(t *testing.T, r store.Remediator, domain string, restore bool, orders ...store.Remedy) []string {
	t.Helper()
	got, err := r.Remediate(t.Context(), domain, restore, orders)
	if err != nil || len(got) != len(orders) {
		t.Fatalf("%d results for %d orders, %v", len(got), len(orders), err)
	}
	var out []string
	for _, x := range got {
		s := x.State
		if x.Again {
			s += " again"
		}
		out = append(out, strings.TrimSuffix(s+": "+x.Detail, ": "))
	}
	return out
}

// folders says where a message is in mailboxes: the folder in Microsoft 365, the first label at Google.
func (d *remedyDesk) folders(id string, mailboxes ...string) []string {
	var out []string
	for _, box := range mailboxes {
		for _, m := range d.ms.Mailbox(box) {
			if m.MessageID == "<"+id+"@evil.example>" {
				out = append(out, m.Folder)
			}
		}
		for _, m := range d.google.Mailbox(box) {
			if m.MessageID == "<"+id+"@evil.example>" {
				slices.Sort(m.Labels)
				out = append(out, strings.Join(m.Labels, "+"))
			}
		}
	}
	return out
}

func (d *remedyDesk) inM365(id string, mailboxes ...string) {
	for _, box := range mailboxes {
		d.ms.AddMessage(box, m365test.Message{MessageID: "<" + id + "@evil.example>", Headers: map[string]string{"X-Postreeve-Id": id}})
	}
}

func (d *remedyDesk) inGmail(id string, mailboxes ...string) {
	for _, box := range mailboxes {
		d.google.AddMessage(box, gworkspacetest.Message{MessageID: "<" + id + "@evil.example>", Header: map[string]string{"X-Postreeve-Id": id}})
	}
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestRemediatorM365(t *testing.T) {
	t.Parallel()
	d := newRemedyDesk(t)
	const u1, u2, u3, all = "u1@contoso.example", "u2@contoso.example", "u3@contoso.example", "all@contoso.example"
	d.ms.AddUser(u1, "one@contoso.example", "u1@sub.contoso.example")
	d.ms.AddUser(u2)
	d.ms.AddUser(u3)
	d.ms.AddGroup(all, "MailUniversalDistributionGroup", u1, u2, u3)
	d.inM365("m1", u1)
	d.inM365("m2", u1, u2)
	d.inM365("m3", u2)
	d.ms.AddMessage(u3, m365test.Message{MessageID: "<m3@evil.example>", Headers: map[string]string{"X-Postreeve-Id": "of another"}})
	r := d.remediator(t)

	bad := order("m9", u1)
	bad.MessageID = "<\x00>"
	equal(t, "condemned", take(t, r, "contoso.example", false, order("m1", u1), order("m2", all), order("m3", u3), order("m3", "nobody@contoso.example"), bad, order("m3", "ONE@Contoso.example")),
		"done", "done: in 2 of 3 mailboxes", "missing again: there is no such message in the mailbox", "missing: no mailbox and no group has this address",
		"failed: its Message-ID is none that can be looked for", "missing again: there is no such message in the mailbox")
	equal(t, "m1 and m2", append(d.folders("m1", u1), d.folders("m2", u1, u2)...), "recoverableitemsdeletions", "recoverableitemsdeletions", "recoverableitemsdeletions")
	equal(t, "m3", d.folders("m3", u2, u3), "inbox", "inbox")

	equal(t, "absolved", take(t, r, "contoso.example", true, order("m1", "one@contoso.example"), order("m2", all)), "done: in the mailbox "+u1, "done: in 2 of 3 mailboxes")
	equal(t, "m1 and m2", append(d.folders("m1", u1), d.folders("m2", u1, u2)...), "inbox", "inbox", "inbox")

	equal(t, "by a route of subdomains", take(t, r, ".contoso.example", false, order("m1", "u1@sub.contoso.example")), "done: in the mailbox "+u1)
	equal(t, "nowhere", take(t, r, "sub.contoso.example", false, order("m1", "u1@sub.contoso.example"), order("m1", "a@example")),
		"failed again: nothing is configured that can take back mail of sub.contoso.example", "failed again: nothing is configured that can take back mail of sub.contoso.example")

	const guest, some = "guest@contoso.example", "some@contoso.example"
	d.ms.AddUserWithoutMailbox("MailboxNotEnabledForRESTAPI", guest)
	d.ms.AddGroup(some, "MailUniversalDistributionGroup", u1, guest, u2)
	d.inM365("m4", u1, u2)
	equal(t, "one without a mailbox", take(t, r, "contoso.example", false, order("m4", some), order("m4", guest)), "done: in 2 of 3 mailboxes",
		"missing again: there is no mailbox in Exchange Online: a guest, a user without a licence, or a mailbox on-premises")
	equal(t, "m4", d.folders("m4", u1, u2), "recoverableitemsdeletions", "recoverableitemsdeletions")

	d.ms.Inject(m365test.Fault{Kind: m365test.Forbid, Cmdlet: "POST users"})
	got := take(t, r, "contoso.example", false, order("m2", all))
	if !strings.HasPrefix(got[0], "failed again: POST ") || !strings.Contains(got[0], "not allowed") {
		t.Errorf("one mailbox of a group refused: %q", got)
	}
	left := d.folders("m2", u1, u2)
	slices.Sort(left)
	equal(t, "m2 where it was refused, and where not", left, "inbox", "recoverableitemsdeletions")
}

func TestRemediatorGoogle(t *testing.T) {
	t.Parallel()
	d := newRemedyDesk(t)
	const anna, ben, all = "anna@ex.net", "ben@ex.net", "all@ex.net"
	d.google.AddUser(gworkspacetest.User{Email: anna, Unit: "/", Aliases: []string{"a@ex.net"}}, gworkspacetest.User{Email: ben, Unit: "/"}, gworkspacetest.User{Email: "gone@ex.net", Unit: "/", Suspended: true})
	d.google.AddGroup(all, anna, ben, "guest@elsewhere.example")
	d.inGmail("m1", anna)
	d.inGmail("m2", anna, ben)
	r := d.remediator(t)
	long, quoted := order("m1", strings.Repeat("a", 250)+"@ex.net"), order("m1", anna)
	quoted.MessageID = `<"m1"@evil.example>`
	equal(t, "condemned", take(t, r, "ex.net", false, order("m1", "a@ex.net"), order("m2", all), order("m2", ben), order("m1", ben), order("m1", "gone@ex.net"), order("m1", `"a b"@ex.net`), long, quoted),
		"done: in the mailbox "+anna, "done: in 2 of 3 mailboxes", "done: in 2 of 3 mailboxes", "missing again: there is no such message in the mailbox",
		"missing: the user is suspended: nobody can act as it", "failed: the address is none that a mailbox there can have", "failed: the address is none that a mailbox there can have",
		"failed: Gmail cannot search for a Message-ID with blanks, quotes or brackets in it")
	equal(t, "in the trash", append(d.folders("m1", anna), d.folders("m2", anna, ben)...), "TRASH", "TRASH", "TRASH")
	equal(t, "twice", take(t, r, "ex.net", false, order("m1", anna)), "done")
	equal(t, "beside what is no address", take(t, r, ".ex.net", false, order("m1", "x@b-.ex.net"), order("m1", anna)), "failed: the address is none that a mailbox there can have", "done")
	equal(t, "absolved", take(t, r, "ex.net", true, order("m1", anna), order("m2", all)), "done", "done: in 2 of 3 mailboxes")
	equal(t, "in the inbox", append(d.folders("m1", anna), d.folders("m2", anna, ben)...), "INBOX", "INBOX", "INBOX")

	d.google.Inject(gworkspacetest.Fault{Op: "gmail.trash", Status: 403, Reason: "forbidden"})
	if got := take(t, r, "ex.net", false, order("m2", all)); !strings.HasPrefix(got[0], "failed again: gmail.trash") {
		t.Errorf("one mailbox refused: %q", got)
	}
	d.google.Grant(gworkspace.ScopeUsers, gworkspace.ScopeGroups)
	d.google.Expire()
	if got := take(t, d.remediator(t), "ex.net", false, order("m1", anna), order("m2", ben)); !strings.HasPrefix(got[0], "failed again: ") || !strings.Contains(got[1], gworkspace.ScopeModify) {
		t.Errorf("without the scope: %q", got)
	}
}

// TestRemediatorSpam: what was taken to Spam comes back from there.
func TestRemediatorSpam(t *testing.T) {
	t.Parallel()
	d := newRemedyDesk(t)
	d.google.AddUser(gworkspacetest.User{Email: "anna@ex.net", Unit: "/"})
	d.inGmail("m1", "anna@ex.net")
	d.put(t, "caller", "ya29.caller\n")
	r, err := app.NewRemediator(parsed(t, fmt.Sprintf("remediation: {profile: %[1]s/ex.yaml, gworkspace: {service-account: %[3]s, caller-token: %[1]s/caller, cure: spam, admin: %[4]s, api-url: %[2]q, token-url: \"%[2]s/token\", iam-url: %[2]q}}\n",
		d.dir, d.google.URL(), gworkspacetest.ServiceAccount, gworkspacetest.Admin)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "condemned", take(t, r, "ex.net", false, order("m1", "anna@ex.net")), "done")
	equal(t, "in Spam", d.folders("m1", "anna@ex.net"), "SPAM")
	equal(t, "absolved", take(t, r, "ex.net", true, order("m1", "anna@ex.net")), "done")
	equal(t, "in the inbox", d.folders("m1", "anna@ex.net"), "INBOX")
}

// TestRemediatorRotates: a secret that is replaced is seen without a restart, and one that is wrong is not told.
func TestRemediatorRotates(t *testing.T) {
	t.Parallel()
	d := newRemedyDesk(t)
	d.ms.AddUser("u1@contoso.example")
	d.inM365("m1", "u1@contoso.example")
	d.put(t, "secret", "hunter3hunter3\n")
	r := d.remediator(t)
	got := take(t, r, "contoso.example", false, order("m1", "u1@contoso.example"))
	if !strings.HasPrefix(got[0], "failed again: ") || !strings.Contains(got[0], "AADSTS7000215") || strings.Contains(got[0], "hunter3") {
		t.Errorf("a wrong secret: %q", got)
	}
	if err := os.Remove(filepath.Join(d.dir, "secret")); err != nil {
		t.Fatal(err)
	}
	if got := take(t, r, "contoso.example", false, order("m1", "u1@contoso.example")); !strings.HasPrefix(got[0], "failed again: secret: open ") {
		t.Errorf("no secret: %q", got)
	}
	d.put(t, "secret", appSecret+"\n")
	equal(t, "the right one", take(t, r, "contoso.example", false, order("m1", "u1@contoso.example")), "done")
	logins := d.ms.Count("login oauth2/v2.0/token")
	equal(t, "again", take(t, r, "contoso.example", true, order("m1", "u1@contoso.example")), "done")
	if n := d.ms.Count("login oauth2/v2.0/token"); n != logins {
		t.Errorf("%d more sign-ins although nothing has changed", n-logins)
	}
}

// TestRemediatorEnds: it stops when it is told to.
func TestRemediatorEnds(t *testing.T) {
	t.Parallel()
	d := newRemedyDesk(t)
	d.ms.AddUser("u1@contoso.example")
	ctx, cancel := context.WithCancel(t.Context())
	d.ms.Inject(m365test.Fault{Kind: m365test.Hang, Cmdlet: "POST $batch", Then: cancel})
	if _, err := d.remediator(t).Remediate(ctx, "contoso.example", false, []store.Remedy{order("m1", "u1@contoso.example")}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}

// TestRemediatorConfig: what keeps a gateway from starting, which check says too.
func TestRemediatorConfig(t *testing.T) {
	t.Parallel()
	d := newRemedyDesk(t)
	_, cert, key := certificate(t, "app.example", time.Now().Add(time.Hour))
	for name, text := range map[string]string{
		"both.yaml": strings.Replace(m365Profile, "[contoso.example]", "[fabrikam.example, ex.net]", 1), "mods.yaml": m365Profile + "mods: 1\n", "none.yaml": strings.Replace(m365Profile, "[contoso.example]", "[]", 1),
		"noadmin.yaml": strings.Join(strings.SplitAfter(gworkspaceProfile, "\n")[:4], ""), "app.yaml": m365Profile + "remediation-app: " + appID + "\n",
		"bad.json": `{"type": "authorized_user", "client_secret": "hush"}`, "both.pem": pemOf(t, cert) + pemOf(t, key),
	} {
		d.put(t, name, text)
	}
	const secret = `client-secret: "file:%[1]s/secret"`
	for name, c := range map[string]struct{ section, want string }{
		"none at all":         {"", ""},
		"both":                {d.yaml(), ""},
		"app of the profile":  {"remediation: {profile: %[1]s/app.yaml, m365: {" + secret + "}}\n", ""},
		"twice":               {d.yaml() + "  - {profile: %[1]s/both.yaml, m365: {client-id: " + appID + ", " + secret + "}}\n", "remediation: ex.net stands in %[1]s/ex.yaml and in %[1]s/both.yaml"},
		"unknown key":         {"remediation: {profile: %[1]s/mods.yaml, m365: {client-id: " + appID + ", " + secret + "}}\n", "mods.yaml:11:1: mods: unknown key: did you mean mode?"},
		"no domains":          {"remediation: {profile: %[1]s/none.yaml, m365: {client-id: " + appID + ", " + secret + "}}\n", "name at least one accepted domain"},
		"no profile":          {"remediation: {profile: %[1]s/nowhere.yaml, m365: {client-id: " + appID + ", " + secret + "}}\n", "nowhere.yaml: no such file"},
		"other product":       {"remediation: {profile: %[1]s/ex.yaml, m365: {client-id: " + appID + ", " + secret + "}}\n", "access.admin: unknown key"},
		"no client":           {"remediation: {profile: %[1]s/contoso.yaml, m365: {" + secret + "}}\n", "set client-id, or remediation-app in the profile"},
		"no secret":           {"remediation: {profile: %[1]s/contoso.yaml, m365: {client-id: " + appID + ", client-secret: \"file:%[1]s/no\"}}\n", "secret: open %[1]s/no"},
		"no certificate":      {"remediation: {profile: %[1]s/contoso.yaml, m365: {client-id: " + appID + ", certificate: %[1]s/no.pem}}\n", "certificate: "},
		"no RSA":              {"remediation: {profile: %[1]s/contoso.yaml, m365: {client-id: " + appID + ", certificate: %[1]s/both.pem}}\n", "must be RSA"},
		"no key in it":        {"remediation: {profile: %[1]s/contoso.yaml, m365: {client-id: " + appID + ", certificate: " + cert + "}}\n", "certificate " + cert},
		"no admin":            {"remediation: {profile: %[1]s/noadmin.yaml, gworkspace: {key: %[1]s/key.json}}\n", "set admin, or access.admin in the profile"},
		"no account":          {"remediation: {profile: %[1]s/ex.yaml, gworkspace: {key: %[1]s/bad.json}}\n", "key %[1]s/bad.json: "},
		"no account for mail": {"remediation: {profile: %[1]s/ex.yaml, gworkspace: {key: %[1]s/key.json, mail-key: %[1]s/bad.json}}\n", "mail-key %[1]s/bad.json: "},
		"no caller":           {"remediation: {profile: %[1]s/ex.yaml, gworkspace: {service-account: gw@ex.net, caller-token: %[1]s/no}}\n", "caller-token: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			section, want := strings.ReplaceAll(c.section, "%[1]s", d.dir), strings.ReplaceAll(c.want, "%[1]s", d.dir)
			r, err := app.NewRemediator(parsed(t, section), slog.New(slog.DiscardHandler))
			switch {
			case want == "" && (err != nil || (r == nil) != (section == "")):
				t.Errorf("%v, %v", r, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush")):
				t.Errorf("%v, want %q", err, want)
			}
			if want == "" {
				return
			}
			file := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(file, []byte(configFor(closed, "state: "+t.TempDir()+"\n"+section)), 0o600); err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, l := range lines[checkRow](t, run(t, "", "check", "-c", file, "--json").out) {
				if l.Check == "remedy" && l.State == "FAIL" {
					told = append(told, strings.Replace(l.Subject, " ", ": ", 1)+": "+l.Detail)
				}
			}
			if text := strings.Join(told, "\n"); !strings.Contains(text, strings.TrimPrefix(want, "remediation: ")) {
				t.Errorf("check does not say %q: %q", want, text)
			}
		})
	}
}

func pemOf(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := pem.Decode(data); b == nil {
		t.Fatalf("%s is no PEM", file)
	}
	return string(data)
}

// TestCheckRemediation: a sign-in that does not work is said, and no mailbox is touched.
func TestCheckRemediation(t *testing.T) {
	t.Parallel()
	d := newRemedyDesk(t)
	check := func(more string) map[string]checkRow {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(configFor(closed, "state: "+t.TempDir()+"\n"+more+d.yaml())), 0o600); err != nil {
			t.Fatal(err)
		}
		out := map[string]checkRow{}
		for _, l := range lines[checkRow](t, run(t, "", "check", "-c", file, "--json").out) {
			key := filepath.Base(l.Subject)
			if l.State == "warn" {
				key += " warn"
			}
			if l.Check == "remedy" {
				out[key] = l
			}
		}
		return out
	}
	got := check("")
	if l := got["ex.yaml"]; l.State != "ok" || !strings.Contains(l.Detail, "Google Workspace, takes mail of ex.net back (cure: trash)") {
		t.Errorf("Google: %+v", l)
	}
	if l := got["contoso.yaml"]; l.State != "ok" || !strings.Contains(l.Detail, "Microsoft 365, takes mail of contoso.example back (cure: soft)") {
		t.Errorf("Microsoft: %+v", l)
	}
	if l := got["contoso.yaml warn"]; !strings.Contains(l.Detail, "none of its domains") {
		t.Errorf("a tenant whose mail goes elsewhere: %+v", got)
	}
	if n := len(d.ms.Calls()) - d.ms.Count("login oauth2/v2.0/token"); n != 0 || d.google.Calls()["gmail.list"] != 0 {
		t.Errorf("check asked for more than tokens: %v, %v", d.ms.Calls(), d.google.Calls())
	}

	d.put(t, "secret", "hunter3hunter3\n")
	d.put(t, "ex.yaml", gworkspaceProfile+"headers: {prefix: X-PP}\n")
	d.google.Grant(gworkspace.ScopeUsers)
	got = check("headers: {prefix: X-Gate}\n")
	if l := got["ex.yaml"]; l.State != "FAIL" || !strings.Contains(l.Detail, gworkspace.ScopeGroups+" and "+gworkspace.ScopeModify) {
		t.Errorf("without scopes: %+v", l)
	}
	if l := got["ex.yaml warn"]; !strings.Contains(l.Detail, "X-PP-Id") || !strings.Contains(l.Detail, "X-Gate-Id") {
		t.Errorf("with other names of header fields: %+v", got)
	}
	if l := got["contoso.yaml"]; l.State != "FAIL" || !strings.Contains(l.Detail, "AADSTS7000215") || strings.Contains(l.Detail, "hunter3") {
		t.Errorf("with a wrong secret: %+v", l)
	}
}
