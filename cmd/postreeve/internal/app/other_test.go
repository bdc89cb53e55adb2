package app_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/dnsverify/dnstest"
	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/relay/relaytest"
)

func (l *lab) other(t testing.TB, code int, verb string, args ...string) result {
	t.Helper()
	return exits(t, code, append([]string{"other", verb, "-c", l.file, "ex.net"}, args...)...)
}

func TestOtherRunbook(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, exNet)
	for server, want := range map[string][]string{
		"exchange": {"New-TransportRule -Name 'Postreeve Spam Rule' -HeaderMatchesMessageHeader 'X-Postreeve-Spam' -HeaderMatchesPatterns 'FAIL' -SetSCL 6 -SenderIpRanges '192.0.2.1', '198.51.100.0/28'",
			"Add-IPAllowListEntry -IPRange '198.51.100.0/28'", "Add-IPAllowListEntry -IPAddress '192.0.2.1'"},
		"cpanel":  {"Trusted SMTP IP addresses", "Local Mail Exchanger"},
		"zoho":    {"Trusted List"},
		"postfix": {"192.0.2.1 OK", "198.51.100.0/28 permit", "/^X-Postreeve-Spam: FAIL$/ PREPEND X-Spam-Flag: YES", "Leave mynetworks alone"},
		"any":     {"if header :is \"X-Postreeve-Spam\" \"FAIL\" {", "ex.net. MX 0 mx.gw.example."},
	} {
		got := l.other(t, 0, "runbook", "--server", server, "--egress", "192.0.2.1", "--egress", "198.51.100.0/28")
		for _, w := range append(want, "ex.net. MX 0 mx.gw.example.", "## The way out", "Open the mail server", "postreeve domain cutover") {
			if !strings.Contains(got.out, w) {
				t.Errorf("%s: no %q in\n%s", server, w, got.out)
			}
		}
	}
	if got := l.other(t, 64, "runbook"); !strings.Contains(got.err, "--egress is missing") {
		t.Errorf("without addresses: %s", got.err)
	}
	for _, egress := range []string{"fe80::1%eth0';reboot", "0.0.0.0/0", "2000::/3", "192.0.2.1 x"} {
		l.other(t, 64, "runbook", "--egress", egress)
	}
	doc := l.other(t, 0, "runbook", "--server", "exchange", "--egress", "192.0.2.1").out
	if strings.Contains(doc, "\\|") || !strings.Contains(doc, "`Remove-TransportRule 'Postreeve Spam Rule' -Confirm:$false`\n") {
		t.Errorf("commands cannot be copied as they stand:\n%s", doc)
	}
	if got := l.other(t, 64, "runbook", "--egress", "192.0.2.1/24"); !strings.Contains(got.err, "no address or network") {
		t.Errorf("bits behind the length: %s", got.err)
	}
}

// TestOtherSteps: every step says how it is checked, how long to wait and how it is undone, and can be pasted.
func TestOtherSteps(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, exNet)
	for _, server := range []string{"exchange", "cpanel", "zoho", "postfix", "any"} {
		g := lines[m365.Guide](t, l.other(t, 0, "runbook", "--server", server, "--egress", "192.0.2.1", "--egress", "198.51.100.0/28", "--was", "mail.ex.net", "--json").out)[0]
		for _, s := range append(slices.Clone(g.Steps), g.Back...) {
			back := slices.ContainsFunc(g.Back, func(b m365.Step) bool { return b.ID == s.ID })
			if s.Check == "" || s.Wait == "" || s.Undo == "" && s.ID != "tls" && !back || s.Console == nil || s.Console.Path == "" || s.Console.Expect == "" || len(s.Console.Values) == 0 {
				t.Errorf("%s: %s leaves something open: %+v", server, s.ID, s)
			}
			for _, v := range append(slices.Clone(s.Console.Values), m365.Value{Value: s.Undo}) {
				for _, bad := range []string{"(what", "(your", "SERVER\\", "…", "<the"} {
					if strings.Contains(v.Value, bad) {
						t.Errorf("%s: %s: cannot be pasted: %q", server, s.ID, v.Value)
					}
				}
			}
		}
		doc := l.other(t, 0, "runbook", "--server", server, "--egress", "192.0.2.1").out
		if got, want := strings.Count(doc, "**Wait:**"), len(g.Steps)+len(g.Back); got != want || strings.Count(doc, "**Checked by:**") != want {
			t.Errorf("%s: %d of %d steps say how long to wait", server, got, want)
		}
	}
}

// TestOtherUndo: what is put into a list of Postfix comes out again, and nothing that only begins like it.
func TestOtherUndo(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not here")
		}
	}
	l := newLab(t, nil, exNet)
	dir := t.TempDir()
	const fake = "#!/bin/sh\nif [ \"$1\" = -h ]; then cat \"$POSTCONF/$2\"; else printf '%s\\n' \"${2#* = }\" > \"$POSTCONF/${2%% = *}\"; fi\n"
	if err := os.WriteFile(filepath.Join(dir, "postconf"), []byte(fake), 0o700); err != nil {
		t.Fatal(err)
	}
	before := map[string]string{"smtpd_client_restrictions": "permit_mynetworks, reject_rbl_client x.example", "postscreen_access_list": "",
		"smtpd_client_event_limit_exceptions": "192.0.2.10, $mynetworks", "header_checks": "pcre:/etc/postfix/own"}
	for key, value := range before {
		if err := os.WriteFile(filepath.Join(dir, key), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(key string) string {
		raw, err := os.ReadFile(filepath.Join(dir, key))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(raw))
	}
	shell := func(text string) {
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "postconf -e") {
				continue
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "POSTCONF="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s%s%v", line, out, err)
			}
		}
	}
	g := lines[m365.Guide](t, l.other(t, 0, "runbook", "--server", "postfix", "--egress", "192.0.2.1", "--json").out)[0]
	for _, s := range g.Steps[1:3] {
		for _, v := range s.Console.Values {
			shell(v.Value)
		}
	}
	if got := read("smtpd_client_event_limit_exceptions"); got != "192.0.2.1, 192.0.2.10, $mynetworks" {
		t.Errorf("the addresses are not in front: %q", got)
	}
	for _, s := range g.Steps[1:3] {
		shell(s.Undo)
	}
	for key, want := range before {
		if got := read(key); got != want {
			t.Errorf("%s is %q, was %q", key, got, want)
		}
	}
}

func TestOtherVerify(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	addr := sink.Start(t)
	records := func(mx ...string) dnstest.Records {
		return dnstest.Records{"@": mx, "mail": {"A 127.0.0.1"}}
	}
	for name, c := range map[string]struct {
		mx   []string
		args []string
		code int
		want []string
	}{
		"elsewhere":      {[]string{"MX 10 mail"}, []string{"--no-probe"}, 2, []string{"MX records of ex.net: MX: wanted 0 mx.gw.example, found 10 mail.ex.net (mail does not come"}},
		"stale":          {[]string{"MX 0 mx.gw.example.", "MX 90 mail"}, []string{"--no-probe"}, 2, []string{"a way past the gateway", "90 mail.ex.net"}},
		"preference":     {[]string{"MX 5 mx.gw.example."}, []string{"--no-probe"}, 2, []string{"preference 0"}},
		"in order":       {[]string{"MX 0 mx.gw.example."}, []string{"--no-probe"}, 0, []string{"mail comes through the gateway", "no drift"}},
		"open, no TLS":   {[]string{"MX 0 mx.gw.example."}, []string{"--hop", addr, "--recipient", "a@ex.net"}, 2, []string{"mail from strangers: wanted refused, found taken", "TLS: wanted STARTTLS, found not offered"}},
		"nobody answers": {[]string{"MX 0 mx.gw.example."}, []string{"--hop", closed}, 2, []string{"answer: wanted a greeting"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, records(c.mx...), exNet)
			got := l.other(t, c.code, "verify", c.args...)
			for _, w := range c.want {
				if !strings.Contains(got.out, w) {
					t.Errorf("no %q in\n%s", w, got.out)
				}
			}
		})
	}
}

// TestOtherInput: what is pasted into documents is what it is called, and nothing else.
func TestOtherInput(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, exNet)
	for _, args := range [][]string{{"--was", "a;b"}, {"--was", "$(reboot).ex.net"}, {"--was", "192.0.2.1"}, {"--was", "a b.ex.net"}, {"--hop", "$(reboot)"}, {"--hop", "mail.ex.net;x"},
		{"--hop", "mail.ex.net:0"}, {"--hop", "fe80::1%eth0"}, {"--hop", "mail.ex.net\nx"}} {
		if got := l.other(t, 64, "runbook", append(args, "--egress", "192.0.2.1")...); !strings.Contains(got.err, args[0]) {
			t.Errorf("%q: %s", args, got.err)
		}
	}
	for _, args := range [][]string{{"--was", "Mail.ex.net."}, {"--was", "mx.bücher.example"}, {"--hop", "mail"}, {"--hop", "mail.ex.net:2525"}, {"--hop", "192.0.2.25"}, {"--hop", "[2001:db8::25]:25"}, {"--hop", "2001:db8::25"}} {
		l.other(t, 0, "runbook", append(args, "--egress", "192.0.2.1")...)
	}
	if got := l.other(t, 0, "runbook", "--egress", "192.0.2.1", "--was", "mx.Bücher.example."); !strings.Contains(got.out, "ex.net. MX 10 mx.xn--bcher-kva.example.\n") && !strings.Contains(got.out, "`ex.net. MX 10 mx.xn--bcher-kva.example.`") {
		t.Errorf("the record cannot be pasted:\n%s", got.out)
	}
	for _, verb := range []string{"verify", "offboard"} {
		l.other(t, 64, verb, "--recipient", "anna")
	}
	odd := filepath.Join(l.dir, "$(x) y.yaml")
	raw, err := os.ReadFile(l.file)
	if err == nil {
		err = os.WriteFile(odd, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.file = odd
	if got := l.other(t, 0, "runbook", "--egress", "192.0.2.1"); !strings.Contains(got.out, "-c '"+odd+"'") || strings.Contains(got.out, "-c "+odd) {
		t.Errorf("a file name is run:\n%s", got.out)
	}
}

func TestOtherOffboard(t *testing.T) {
	t.Parallel()
	l := newLab(t, dnstest.Records{"@": {"MX 0 mx.gw.example."}}, exNet)
	ids := func(want int, args ...string) (string, m365.Plan) {
		t.Helper()
		plan := lines[m365.Plan](t, l.other(t, want, "offboard", append(args, "--json")...).out)[0]
		var out []string
		for _, s := range plan.Steps {
			out = append(out, s.ID)
		}
		return strings.Join(out, " "), plan
	}
	got := l.other(t, 2, "offboard", "--was", "mail.ex.net", "--egress", "192.0.2.1")
	if open, back := strings.Index(got.out, "Open the mail server"), strings.Index(got.out, "ex.net. MX 10 mail.ex.net."); open < 0 || back < open {
		t.Errorf("the server is not opened first:\n%s", got.out)
	}
	l.zone.Set("@", "MX 10 mail")
	left, plan := ids(2)
	if left != "lock.off spam-rule.remove allow.remove proof.remove" || len(plan.InOrder) != 1 || !strings.Contains(strings.Join(plan.Notes, " "), "Mail comes directly now") {
		t.Errorf("after the MX records moved back: %s, %+v", left, plan)
	}
	sink := &relaytest.Sink{}
	addr := sink.Start(t)
	if left, plan = ids(2, "--recipient", "a@ex.net", "--hop", addr, "--egress", "192.0.2.1", "--seen-as", "8.8.4.4"); left != "spam-rule.remove allow.remove proof.remove" {
		t.Errorf("the server takes mail from strangers: %s, %+v", left, plan)
	}
	for name, egress := range map[string][]string{"nobody knows who is a stranger": nil, "this is none": {"--egress", "127.0.0.1", "--seen-as", "8.8.4.4"},
		"this is none by NAT": {"--egress", "8.8.4.0/24", "--seen-as", "8.8.4.4"}, "there may be a NAT": {"--egress", "192.0.2.1"}} {
		if left, _ = ids(2, append(egress, "--recipient", "a@ex.net", "--hop", addr)...); !strings.HasPrefix(left, "lock.off ") {
			t.Errorf("%s: %s", name, left)
		}
		if left, _ = ids(2, append(egress, "--recipient", "a@ex.net", "--hop", addr, "--done", "lock.off")...); strings.HasPrefix(left, "lock.off ") {
			t.Errorf("%s: what was said does not count any more: %s", name, left)
		}
	}
	shut := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtRcpt, Reply: "550 5.7.1 not from you"}}}
	shutAddr := shut.Start(t)
	got = l.other(t, 2, "offboard", "--recipient", "a@ex.net", "--hop", shutAddr, "--egress", "192.0.2.1")
	if !strings.Contains(got.out, "in the way: server.closed "+shutAddr) || !strings.Contains(got.out, "open it now") || !strings.Contains(got.out, "Open the mail server  (lock.off)\n") {
		t.Errorf("the server refuses strangers, and mail comes directly:\n%s", got.out)
	}
	if left, plan = ids(2, "--recipient", "a@ex.net", "--hop", closed, "--egress", "192.0.2.1"); !strings.HasPrefix(left, "lock.off ") || !strings.Contains(strings.Join(plan.Notes, " "), "open was not seen") {
		t.Errorf("nobody answers: %s, %+v", left, plan)
	}
	l.other(t, 64, "offboard", "--done", "lock")
	l.other(t, 64, "offboard", "--done", "mx.back")
	if left, plan = ids(0, "--done", "lock.off", "--done", "spam-rule.remove", "--done", "allow.remove", "--done", "proof.remove"); left != "" || len(plan.InOrder) != 5 {
		t.Errorf("all is done: %s, %+v", left, plan)
	}
	all := []string{"--done", "lock.off", "--done", "spam-rule.remove", "--done", "allow.remove", "--done", "proof.remove"}
	if left, plan = ids(2, append(all, "--recipient", "a@EX.net", "--hop", shutAddr, "--egress", "192.0.2.1", "--seen-as", "8.8.4.4")...); left != "lock.off" || plan.Blocked() == nil ||
		!strings.Contains(strings.Join(plan.Notes, " "), "Mail comes directly now") {
		t.Errorf("all is said to be done, and the server refuses everybody: %s, %+v", left, plan)
	}
	for _, verb := range []string{"verify", "offboard"} {
		for _, a := range []string{"a@other.example", "a@sub.ex.net", "a@ex.net@other.example"} {
			if got := l.other(t, 64, verb, "--recipient", a, "--hop", addr); !strings.Contains(got.err, "--recipient "+a+" is not in ex.net") {
				t.Errorf("%s, a mailbox of another domain: %s", verb, got.err)
			}
		}
	}
	for _, args := range [][]string{{"--seen-as", "8.8.4.4"}, {"--recipient", "a@ex.net", "--seen-as", "10.0.0.1"}, {"--recipient", "a@ex.net", "--seen-as", "x"}} {
		l.other(t, 64, "offboard", args...)
	}
	for _, verb := range []string{"runbook", "verify", "offboard"} {
		got := run(t, "", "other", verb, "--help")
		if got.code != 0 || !strings.Contains(got.out, "Example") {
			t.Errorf("%s: %+v", verb, got)
		}
	}
}

// TestOtherClosed: a server that refuses strangers is opened at once if any MX record leads past the gateway.
func TestOtherClosed(t *testing.T) {
	t.Parallel()
	shut := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtRcpt, Reply: "550 5.7.1 not from you"}}}
	addr := shut.Start(t)
	for name, c := range map[string]struct {
		mx   []string
		want string
	}{
		"at the gateway": {[]string{"MX 0 mx.gw.example."}, "open it before the MX records move back"},
		"both are in":    {[]string{"MX 0 mx.gw.example.", "MX 10 mail"}, "open it now: mail comes to it directly"},
		"moved back":     {[]string{"MX 10 mail"}, "open it now: mail comes to it directly"},
		"no mail":        {[]string{"MX 0 ."}, "open it before the MX records move back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, dnstest.Records{"@": c.mx}, exNet)
			got := l.other(t, 2, "offboard", "--recipient", "a@ex.net", "--hop", addr, "--egress", "192.0.2.1", "--done", "lock.off")
			if !strings.Contains(got.out, c.want) || strings.Contains(got.out, "Mail comes directly now") != strings.Contains(c.want, "now") {
				t.Errorf("no %q in\n%s", c.want, got.out)
			}
		})
	}
}

// TestOtherServers: while old and new MX records are in, the old ones are looked at as well as the next hop.
func TestOtherServers(t *testing.T) {
	t.Parallel()
	l := newLab(t, dnstest.Records{"@": {"MX 0 mx.gw.example.", "MX 10 old"}, "old": {"CNAME old"}}, "  ex.net: {next-hop: \""+closed+"\"}\n")
	got := l.other(t, 2, "offboard", "--recipient", "a@ex.net", "--egress", "192.0.2.1")
	for _, want := range []string{"Whether " + closed + " ", "Whether old.ex.net is open was not seen"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s", want, got.out)
		}
	}
}
