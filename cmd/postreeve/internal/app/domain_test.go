package app_test

import (
	"encoding/json"
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
	"github.com/postreeve/postreeve/relay/relaytest"
)

// lab is an Internet with ex.net in it, and a configuration that uses it.
type lab struct {
	net  *dnstest.Net
	zone *dnstest.Zone
	dir  string
	file string
}

// section is the part of a configuration that leads into the lab.
func section(n *dnstest.Net, state string) string {
	return fmt.Sprintf("state: %s\ndns: {servers: [\"%s:%d\"], roots: [%s], port: %d, allow-private: true}\nverification: {confirm: 1ms}",
		state, n.Resolver().Addr(), n.Port(), n.Root().Addr(), n.Port())
}

func newLab(t testing.TB, records dnstest.Records, domains string) *lab {
	t.Helper()
	l := &lab{net: dnstest.New(t), dir: t.TempDir()}
	l.zone = l.net.Zone("ex.net", records)
	l.file = filepath.Join(l.dir, "postreeve.yaml")
	text := "hostname: mx.gw.example\nlisten: [\"127.0.0.1:2525\"]\n" + section(l.net, filepath.Join(l.dir, "state")) + "\ndomains:\n" + domains
	if err := os.WriteFile(l.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

// do runs a command of domain and checks its exit code.
func (l *lab) do(t testing.TB, code int, args ...string) result {
	t.Helper()
	got := run(t, "", append([]string{"domain", args[0], "-c", l.file}, args[1:]...)...)
	if got.code != code {
		t.Errorf("domain %q ended with %d, want %d\n%s%s", args, got.code, code, got.out, got.err)
	}
	if strings.ContainsAny(got.out+got.err, "\x1b\x07\u202e") {
		t.Errorf("domain %q speaks to the terminal: %q", args, got.out+got.err)
	}
	if _, err := os.Stat(filepath.Join(l.dir, "state", "postreeve.db")); err == nil {
		if k := strings.Trim(recordOf(t, filepath.Join(l.dir, "state"), "secret", "tokens"), `"`); k != "" && strings.Contains(got.out+got.err, k) {
			t.Errorf("domain %q tells the key", args)
		}
	}
	return got
}

// add adds ex.net and returns the value of its record.
func (l *lab) add(t testing.TB, args ...string) string {
	t.Helper()
	got := lines[struct {
		Record struct{ Value string }
	}](t, l.do(t, 0, append([]string{"add", "--json", "ex.net"}, args...)...).out)
	if len(got) != 1 || !strings.HasPrefix(got[0].Record.Value, "token=") {
		t.Fatalf("add: %+v", got)
	}
	return got[0].Record.Value
}

const challenge = "_postreeve-challenge"

func txt(value string) string { return `TXT "` + value + `"` }

const exNet = "  ex.net: {next-hop: \"127.0.0.1:2599\"}\n"

func TestDomainAdd(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, exNet)
	got := l.do(t, 0, "add", " Ex.NET. ")
	value := l.add(t)
	for _, want := range []string{
		"name   _postreeve-challenge.ex.net\n", "_postreeve-challenge.ex.net. 300 IN TXT \"" + value + "\"", "Cloudflare", "GoDaddy",
		"Route 53", "Squarespace", "IONOS", "Namecheap", "Name: _postreeve-challenge ", `"` + value + `" with the quotes`, "postreeve domain verify -c ",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s", want, got.out)
		}
	}
	state := filepath.Join(l.dir, "state")
	if fi, err := os.Stat(filepath.Join(state, "postreeve.db")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the database: %v, %v", fi, err)
	}
	if key := recordOf(t, state, "secret", "tokens"); len(key) != 66 {
		t.Errorf("the key has %d characters", len(key))
	}
	sub := lines[struct{ Host, Domain, State string }](t, l.do(t, 0, "add", "--json", "bücher.sub.ex.net").out)
	if sub[0].Host != "_postreeve-challenge.xn--bcher-kva.sub" || sub[0].State != "pending" {
		t.Errorf("below the zone: %+v", sub)
	}
	other := l.add(t, "--tenant", "somebody else")
	if other == value {
		t.Error("two tenants have the same token")
	}
	for _, name := range []string{"com", "192.0.2.1", "a@ex.net", "_dmarc.ex.net", "\x1b[31mx.net", strings.Repeat("a.", 130) + "net", "net\u202e.ex"} {
		if got := l.do(t, 64, "add", name); got.err == "" {
			t.Errorf("%q is refused without a word", name)
		}
	}
	change(t, state, "secret", "tokens", "")
	if got := l.do(t, 1, "add", "ex.org"); !strings.Contains(got.err, "restore it from a backup") {
		t.Errorf("a lost key: %s", got.err)
	}
}

// TestDomainVerify shows the answer and the exit code for what name servers say.
func TestDomainVerify(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func(l *lab, value string)
		code int
		want []string
	}{
		"verified once": {func(l *lab, v string) { l.zone.Set(challenge, txt(v)) }, 2, []string{"ex.net: verified in ", "has the record", "It counts when it is seen again"}},
		"absent":        {func(*lab, string) {}, 2, []string{"record_absent", "who acts: customer", "wanted: _postreeve-challenge.ex.net. 300 IN TXT"}},
		"hostile value": {func(l *lab, _ string) { l.zone.Set(challenge, `TXT "\027[31m<b>\226\128\174"`) }, 3, []string{"record_wrong_value", "has another value"}},
		"wrong value":   {func(l *lab, _ string) { l.zone.Set(challenge, `TXT "token=nonsense"`) }, 3, []string{"record_wrong_value", "found: token=nonsense"}},
		"quoted":        {func(l *lab, v string) { l.zone.Set(challenge, `TXT "\"`+v+`\""`) }, 3, []string{"record_wrong_value", "quot"}},
		"partial":       {func(l *lab, v string) { l.zone.SetOn(0, challenge, txt(v)) }, 3, []string{"partial_propagation", "at: ns2.ex.net", "does not have the name"}},
		"doubled":       {func(l *lab, v string) { l.zone.Set(challenge+".ex.net", txt(v)) }, 2, []string{"record_doubled_name"}},
		"at the apex":   {func(l *lab, v string) { l.zone.Set("@", txt(v)) }, 2, []string{"record_at_apex"}},
		"lame":          {func(l *lab, v string) { l.zone.Fault(dnstest.Lame) }, 4, []string{"lame_servers", "answers without authority"}},
		"failing":       {func(l *lab, v string) { l.zone.Fault(dnstest.ServFail) }, 4, []string{"error"}},
		"bogus":         {func(l *lab, v string) { l.zone.Set(challenge, txt(v)); l.zone.Fault(dnstest.Bogus) }, 4, []string{"dnssec_bogus"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil, exNet)
			c.make(l, l.add(t))
			got := l.do(t, c.code, "verify", "ex.net")
			for _, want := range c.want {
				if !strings.Contains(got.out, want) {
					t.Errorf("no %q in\n%s", want, got.out)
				}
			}
			l.do(t, c.code, "show", "ex.net")
			again := l.do(t, c.code, "verify", "ex.net", "--json")
			if one := lines[struct{ Note string }](t, again.out); len(one) != 1 || !strings.Contains(one[0].Note, "checked a moment ago") {
				t.Errorf("at once again: %s", again.out)
			}
		})
	}
	l := newLab(t, nil, exNet)
	if got := l.do(t, 1, "verify", "ex.net"); !strings.Contains(got.err, "never added") || !strings.Contains(got.err, "postreeve domain add -c") {
		t.Errorf("never added: %s", got.err)
	}
	l.do(t, 64, "verify", "ex.net", "--wait", "--timeout", "-1s")
	l.do(t, 64, "verify", "net")
	l.do(t, 64, "list", "--tenant", strings.Repeat("x", 101))
}

// view is a claim as the commands print it.
type view struct {
	Domain, Tenant, State, Mail, Status, Code string
	Record                                    struct{ Value string }
	Proof                                     *struct {
		NameServers []string `json:"name_servers"`
		Secure      bool
	}
}

func TestDomainWait(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, exNet+"  waived.net: {next-hop: 127.0.0.1, verification: waived}\n  new.net: {next-hop: 127.0.0.1}\n")
	value := l.add(t)
	if got := l.do(t, 2, "verify", "--wait", "--timeout", "300ms", "--every", "50ms", "ex.net"); !strings.Contains(got.out, "looking again at") || !strings.Contains(got.out, "The time is over") {
		t.Errorf("without a record: %s", got.out)
	}
	out, code := newBuffer(), make(chan int, 1)
	go func() {
		code <- app.Run(t.Context(), []string{"domain", "verify", "-c", l.file, "--wait", "--every", "50ms", "--json", "ex.net"}, strings.NewReader(""), out, out)
	}()
	out.wait(t, `"absent"`, 1)
	l.zone.Set(challenge, txt(value))
	if got := <-code; got != 0 {
		t.Errorf("exit %d", got)
	}
	got := result{out: out.String()}
	for _, row := range lines[checkRow](t, run(t, "", "check", "-c", l.file, "--json", "--timeout", "30s").out) {
		if want := map[string]string{"new.net": "warn", "1 domain": "ok", "waived.net": "none"}[row.Subject]; row.Check == "domain" && string(row.State) != want {
			t.Errorf("check: %+v, want %q", row, want)
		}
	}
	all := lines[struct {
		Claim  view
		Result struct{ Status string }
	}](t, got.out)
	if n := len(all); n < 3 || all[0].Result.Status != "absent" || all[n-2].Claim.State != "pending" || all[n-1].Claim.State != "verified" || all[n-1].Claim.Mail != "taken" {
		t.Errorf("while waiting:\n%s", got.out)
	}
	show := lines[view](t, l.do(t, 0, "show", "--json", "ex.net").out)[0]
	if show.Proof == nil || len(show.Proof.NameServers) != 2 || show.Record.Value != value {
		t.Errorf("show --json: %+v", show)
	}
	for _, want := range []string{"state         verified since ", "mail          taken", "proven ", "ns1.ex.net", "Leave the record where it is"} {
		if text := l.do(t, 0, "show", "ex.net").out; !strings.Contains(text, want) {
			t.Errorf("show lacks %q:\n%s", want, text)
		}
	}
	states := map[string]string{}
	for _, v := range lines[view](t, l.do(t, 0, "list", "--json").out) {
		states[v.Domain] = v.State + " " + v.Mail
	}
	if states["ex.net"] != "verified taken" || states["waived.net"] != "waived taken" || states["new.net"] != "none deferred" || len(states) != 3 {
		t.Errorf("list: %v", states)
	}
	if text := l.do(t, 0, "list").out; !strings.HasPrefix(text, "DOMAIN") || strings.Count(text, "\n") != 4 {
		t.Errorf("list:\n%s", text)
	}

	// A second tenant proves it too: a conflict, and the first keeps the mail.
	l.zone.Set(challenge, txt(value), txt(l.add(t, "--tenant", "other")))
	l.do(t, 3, "verify", "--wait", "--every", "50ms", "--tenant", "other", "ex.net")
	if v := lines[view](t, l.do(t, 3, "show", "--json", "--tenant", "other", "ex.net").out)[0]; v.State != "conflict" || v.Mail != "not configured" {
		t.Errorf("the second tenant: %+v", v)
	}
	if v := lines[view](t, l.do(t, 0, "show", "--json", "ex.net").out)[0]; v.Mail != "taken" {
		t.Errorf("the first tenant: %+v", v)
	}
}

func TestDomainRemove(t *testing.T) {
	t.Parallel()
	l := newLab(t, dnstest.Records{"@": {"MX 0 mx.gw.example.", "MX 10 mail"}, "mail": {"A 127.0.0.1"}}, exNet)
	value := l.add(t)
	l.zone.Set(challenge, txt(value))
	l.do(t, 0, "verify", "--wait", "ex.net")
	if got := l.do(t, 3, "remove", "ex.net"); !strings.Contains(got.err, "MX 0 mx.gw.example") {
		t.Errorf("while mail comes here: %s", got.err)
	}
	l.zone.Fault(dnstest.ServFail)
	l.do(t, 4, "remove", "ex.net")
	l.zone.Fault()
	l.zone.Set("@", "MX 10 mail")
	l.do(t, 0, "remove", "ex.net")
	l.do(t, 2, "verify", "ex.net")
	if again := l.add(t); again == value {
		t.Error("a spent token was issued again")
	}
	l.verifyLater(t, 3) // the old record is still there and proves nothing
	l.zone.Set("@", "MX 0 mx.gw.example.")
	if v := lines[view](t, l.do(t, 0, "remove", "--force", "--json", "ex.net").out)[0]; v.State != "revoked" || v.Record.Value != "" {
		t.Errorf("--force: %+v", v)
	}
	l.do(t, 1, "remove", "--force", "ex.org")
}

func TestDomainDiscover(t *testing.T) {
	t.Parallel()
	hop := (&relaytest.Sink{}).Start(t)
	l := newLab(t, dnstest.Records{"@": {"300 MX 10 ex-net.mail.protection.outlook.com."}}, "  ex.net: {next-hop: \""+hop+"\"}\n")
	l.net.Zone("outlook.com", dnstest.Records{"*": {"A 127.0.0.1"}})
	got := l.do(t, 0, "discover", "ex.net", "--recipient", "a@ex.net")
	for _, want := range []string{"Microsoft 365, not connected", "MX 10  ex-net.mail.protection.outlook.com", "TTL 5m", "next hop: ex-net.mail.protection.outlook.com",
		"configured: " + hop, "STARTTLS is not offered", "strangers   it takes their mail (250"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s", want, got.out)
		}
	}
	js := lines[map[string]any](t, l.do(t, 0, "discover", "ex.net", "--json", "--no-probe").out)[0]
	if js["next_hop"] != "ex-net.mail.protection.outlook.com" || js["configured"] != hop {
		t.Errorf("--json: %v", js)
	}
	for _, bad := range []string{"smtp.office365.com", "mx.gw.example", "smtp.gmail.com"} {
		if got := l.do(t, 3, "discover", "ex.net", "--hop", bad); !strings.Contains(got.err, bad) {
			t.Errorf("%s: %s", bad, got.err)
		}
	}
	l.do(t, 4, "discover", "ex.net", "--hop", closed)
	l.zone.Set("@", `MX 10 e\027\091vil\060b\062.ex.org.`)
	if got := l.do(t, 0, "discover", "ex.net", "--no-probe"); !strings.Contains(got.out, "MX 10") || strings.Contains(got.out, "<b>") {
		t.Errorf("a hostile name: %s", got.out)
	}
	l.zone.Set("@", "MX 0 .")
	l.do(t, 0, "discover", "ex.net", "--no-probe")
	l.zone.Fault(dnstest.ServFail)
	l.do(t, 4, "discover", "ex.net")
}

func TestDomainCutover(t *testing.T) {
	t.Parallel()
	hop := (&relaytest.Sink{}).Start(t)
	l := newLab(t, dnstest.Records{"@": {"3600 MX 10 mail"}, "mail": {"A 127.0.0.1"}}, "  ex.net: {next-hop: \""+hop+"\"}\n")
	l.do(t, 1, "cutover", "ex.net")
	value := l.add(t)
	plan := l.do(t, 0, "cutover", "ex.net").out
	for _, want := range []string{"[ttl]", "[proof]", "+ _postreeve-challenge.ex.net. 300 IN TXT", "+ ex.net. 300 IN MX 0 mx.gw.example.", "[lock]"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
	type step struct{ Step, Progress, Detail string }
	check := func(code int, args ...string) map[string]string {
		t.Helper()
		out := map[string]string{}
		for _, s := range lines[step](t, l.do(t, code, append([]string{"cutover", "ex.net", "--check", "--json"}, args...)...).out) {
			out[s.Step] = s.Progress
		}
		return out
	}
	if got := check(2); got["ttl"] != "not_yet" || got["proof"] != "not_yet" || got["hop"] != "done" || got["allow"] != "not_yet" || got["mx"] != "not_yet" {
		t.Errorf("at the beginning: %v", got)
	}
	l.zone.Set(challenge, txt(value))
	l.zone.Set("@", "0 MX 10 mail")
	l.do(t, 0, "verify", "--wait", "ex.net")
	if got := check(2, "--confirm", "allow", "--by", "Eve\x1b[31m"); got["proof"] != "done" || got["allow"] != "done" || got["ttl"] != "not_yet" {
		t.Errorf("proven: %v", got)
	}
	// The old TTL has to run out; the test turns the clock of the plan back instead.
	l.rewind(t, "ttl")
	l.zone.Set("@", "0 MX 0 mx.gw.example.", "0 MX 0 mail")
	if got := check(3); got["ttl"] != "done" || got["mx"] != "wrong" {
		t.Errorf("an old record that is not behind: %v", got)
	}
	l.zone.Set("@", "0 MX 0 mx.gw.example.", "0 MX 10 mail")
	if got := check(2); got["mx"] != "done" || got["watch"] != "not_yet" || got["old"] != "not_yet" {
		t.Errorf("in front: %v", got)
	}
	l.zone.Fault(dnstest.ServFail)
	if got := check(4); got["mx"] != "unknown" || got["allow"] != "done" {
		t.Errorf("DNS fails: %v", got)
	}
	l.zone.Fault()
	l.rewind(t, "watch")
	l.zone.Set("@", "0 MX 0 mx.gw.example.")
	check(2)
	l.rewind(t, "drain")
	if got := check(2); got["old"] != "done" || got["drain"] != "done" || got["exposure"] != "done" || got["lock"] != "not_yet" {
		t.Errorf("gone: %v", got)
	}
	check(0, "--confirm", "lock")
	if got := l.do(t, 0, "cutover", "ex.net", "--check"); !strings.Contains(got.out, "All steps are done.") {
		t.Errorf("the end: %s", got.out)
	}
	l.do(t, 64, "cutover", "ex.net", "--confirm", "mx")
	l.do(t, 1, "cutover", "ex.net", "--again") // all MX records are ours: the old set must not be lost

	back := l.do(t, 0, "cutover", "ex.net", "--back").out
	if !strings.Contains(back, "+ ex.net. 300 IN MX 10 mail.ex.net.") || strings.Index(back, "[mx]") > strings.Index(back, "[ours]") {
		t.Errorf("the way back:\n%s", back)
	}
	if got := check(2, "--back", "--confirm", "keep", "--confirm", "unlock"); got["keep"] != "done" || got["unlock"] != "done" || got["mx"] != "not_yet" {
		t.Errorf("back: %v", got)
	}
	l.zone.Set("@", "0 MX 10 mail", "0 MX 20 mx.gw.example.")
	check(2, "--back")
	l.rewind(t, "watch")
	l.zone.Set("@", "0 MX 10 mail")
	check(2, "--back")
	l.rewind(t, "drain")
	if got := check(2, "--back"); got["ours"] != "done" || got["drain"] != "done" || got["cleanup"] != "done" || got["record"] != "not_yet" {
		t.Errorf("back, at the end: %v", got)
	}
	l.do(t, 0, "remove", "ex.net")
	l.zone.Set(challenge)
	check(0, "--back", "--confirm", "record")
}

// rewind lets a step of the plan that is kept have been seen in place four days ago.
func (l *lab) rewind(t testing.TB, id string) {
	t.Helper()
	run(t, "", "domain", "cutover", "-c", l.file, "ex.net", "--check") // so that it is seen
	state := filepath.Join(l.dir, "state")
	var p map[string]map[string]any
	if err := json.Unmarshal([]byte(recordOf(t, state, "cutover", "ex.net")), &p); err != nil {
		t.Fatal(err)
	}
	for _, plan := range p {
		for _, s := range plan["steps"].([]any) {
			if s := s.(map[string]any); s["id"] == id && s["seen"] != nil {
				s["seen"] = time.Now().UTC().Add(-96 * time.Hour).Format(time.RFC3339)
			}
		}
	}
	data, _ := json.Marshal(p)
	change(t, state, "cutover", "ex.net", string(data))
}

// TestServeOwnership: mail for a domain is deferred until it is proven, by whatever process, and goes on when
// DNS fails or the record is gone.
func TestServeOwnership(t *testing.T) {
	t.Parallel()
	hop := (&relaytest.Sink{}).Start(t)
	n := dnstest.New(t)
	zone := n.Zone("ex.net", nil)
	state := filepath.Join(t.TempDir(), "state")
	yaml := "hostname: mx.gw.example\nlisten: [\"127.0.0.1:0\"]\nmetrics: \"127.0.0.1:0\"\n" + section(n, state) + "\ndomains:\n" +
		"  ex.net: {next-hop: \"" + hop + "\"}\n  .ex.net: {next-hop: \"" + hop + "\"}\n"
	s := serve(t, yaml)
	l := &lab{net: n, zone: zone, dir: filepath.Dir(state), file: s.file}
	send := func(to string) string {
		err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{to}, []byte(message("x", "hello")))
		if err == nil {
			return "250"
		}
		return strings.ReplaceAll(err.Error(), `"`, "")
	}
	within := func(what, want string) {
		t.Helper()
		start := time.Now()
		var got string
		for time.Since(start) < 25*time.Second { // the aim is two seconds, on a machine with nothing else to do
			if got = send("a@ex.net"); strings.HasPrefix(got, want) {
				t.Logf("%s: %s after %v", what, want, time.Since(start).Round(time.Millisecond))
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("%s: not %s but %s\n%s", what, want, got, s.log)
	}
	if log := s.log.String(); !strings.Contains(log, `domains=2 first=".ex.net ex.net"`) {
		t.Errorf("nothing is said about domains without a proof: %s", log)
	}
	if got := send("a@ex.net"); !strings.HasPrefix(got, "451 4.7.1") {
		t.Errorf("before it is proven: %s", got)
	}
	zone.Set(challenge, txt(l.add(t)))
	l.do(t, 0, "verify", "--wait", "ex.net")
	within("proven", "250")
	if got := send("a@sub.ex.net"); got != "250" {
		t.Errorf("below the proven domain: %s", got)
	}
	s.log.wait(t, "state=verified", 1)

	// A reload keeps it, and the record that is gone or a DNS that fails take no mail away.
	yaml = strings.Replace(yaml, "confirm: 1ms", "confirm: 2ms", 1) // which begins a new monitor
	s.write(t, yaml+"  ex.org: {next-hop: \""+hop+"\", verification: waived}\n")
	s.log.wait(t, "configuration reloaded", 1)
	zone.Fault(dnstest.ServFail)
	l.verifyLater(t, 4)
	within("DNS fails", "250")
	zone.Fault()
	zone.Set(challenge)
	l.verifyLater(t, 2)
	s.log.wait(t, "state=at_risk", 1)
	if got := send("a@ex.net"); got != "250" {
		t.Errorf("at risk: %s", got)
	}
	_, url, _ := strings.Cut(strings.TrimSpace(s.out.String()), "metrics on ")
	if text := fetch(t, url); !strings.Contains(text, `postreeve_domains{state="at_risk"} 1`) || !strings.Contains(text, `postreeve_domains{state="verified"} 0`) {
		t.Errorf("the metrics lack the states: %s", text)
	}

	// A state that cannot be read takes no mail away either.
	good := recordOf(t, state, "domain", "ex.net")
	change(t, state, "domain", "ex.net", "damaged")
	s.log.wait(t, "the state of a domain cannot be read", 1)
	if got := send("a@ex.net"); got != "250" {
		t.Errorf("with a damaged state: %s", got)
	}
	change(t, state, "domain", "ex.net", good)
	l.do(t, 0, "remove", "--force", "ex.net")
	within("removed", "451 4.7.1")
	s.end(t)
}

// TestServeLooks: a running gateway finds the record by itself.
func TestServeLooks(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, exNet)
	l.zone.Set(challenge, txt(l.add(t)))
	once := strings.Replace(section(l.net, filepath.Join(l.dir, "state")), "confirm: 1ms", "confirm: 1h", 1) // or the second look may come first
	s := serve(t, "hostname: mx.gw.example\nlisten: [\"127.0.0.1:0\"]\n"+once+"\ndomains:\n"+exNet)
	log := s.log.wait(t, "status=verified", 1)
	if !strings.Contains(log, `msg="domain checked" domain=ex.net tenant=default`) {
		t.Errorf("log: %s", log)
	}
	if v := lines[view](t, l.do(t, 2, "show", "--json", "ex.net").out)[0]; v.Status != "verified" || v.State != "pending" {
		t.Errorf("after one look: %+v", v)
	}
	s.end(t)
}

// TestServeUnread: a state that could never be read is not told as one that does not exist.
func TestServeUnread(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, exNet)
	l.add(t)
	change(t, filepath.Join(l.dir, "state"), "domain", "ex.net", "damaged")
	s := serve(t, "hostname: mx.gw.example\nlisten: [\"127.0.0.1:0\"]\n"+section(l.net, filepath.Join(l.dir, "state"))+"\ndomains:\n"+exNet)
	err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", "hello")))
	if err == nil || !strings.HasPrefix(err.Error(), `451 "4.7.1`) {
		t.Errorf("mail: %v", err)
	}
	if log := s.log.wait(t, "whether it is proven cannot be read", 1); strings.Contains(log, "was never proven") {
		t.Errorf("log: %s", log)
	}
	s.end(t)
}

// TestDomainWithout: a configuration that cannot be used, or has no place for proofs.
func TestDomainWithout(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	for text, want := range map[string]string{
		configFor("192.0.2.1:25", ""):             "set state:",
		configFor("192.0.2.1:25", "x: y"):         "unknown key",
		configFor("192.0.2.1:25", "state: "+file): "not a directory",
	} {
		replace(t, file, text)
		for _, args := range [][]string{{"add", "ex.net"}, {"list"}, {"show", "ex.net"}, {"verify", "ex.net"}, {"discover", "ex.net"}, {"cutover", "ex.net"}, {"remove", "ex.net"}} {
			got := run(t, "", append([]string{"domain", args[0], "-c", file}, args[1:]...)...)
			if got.code != 64 && want != "not a directory" || got.code == 0 || !strings.Contains(got.err, want) {
				t.Errorf("%q: %+v, want %q", args, got, want)
			}
		}
	}
}

// replace writes a file aside and puts it in its place.
func replace(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// verifyLater checks as if the last check was long ago.
func (l *lab) verifyLater(t testing.TB, code int) {
	t.Helper()
	l.do(t, code, "verify", "--wait", "--timeout", "50ms", "ex.net")
}
