package peertest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// An operator puts the gateway between two Postfix servers: mail goes in at the first and lies in the
// mailboxes of the second, tagged; malicious mail comes back to its sender as a notification by the
// first, not by us.
func TestBetweenTwoPostfix(t *testing.T) {
	t.Parallel()
	need(t, "postfix", "swaks")
	boxes, err := os.MkdirTemp("", "peer-boxes-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(boxes) })
	// Postfix refuses to deliver as its own user, so the boxes belong to nobody.
	sh(t, `chown nobody "$1"; chmod 700 "$1"`, boxes)
	uid := strings.TrimSpace(sh(t, "id -u nobody"))

	down, up := free(t), free(t)
	postfix(t, down, fmt.Sprintf(`myhostname = down.example
virtual_mailbox_domains = ex.net
virtual_mailbox_base = %s
virtual_mailbox_maps = inline:{ b@ex.net=b/ }
virtual_uid_maps = static:%s
virtual_gid_maps = static:%s
virtual_minimum_uid = 1`, boxes, uid, strings.TrimSpace(sh(t, "id -g nobody"))))
	gw, _, _ := gateway(t, down, "")
	upDir := postfix(t, up, fmt.Sprintf(`myhostname = up.example
relay_domains = ex.net
transport_maps = inline:{ ex.net=relay:[127.0.0.1]:%s }
notify_classes =
bounce_template_file =`, port(gw)))

	for _, class := range []verdict.Class{verdict.Clean, verdict.Spam, verdict.Malicious} {
		swaks(t, 0, "--server", up, "--to", "b@ex.net", "--from", "", "--header", "Subject: "+class.String(), "--body", teststring.Sample(class))
	}
	swaks(t, 0, "--server", up, "--to", "nobody@ex.net", "--from", "", "--header", "Subject: lost")

	var got map[string][]byte
	wait(t, "two messages in the mailbox", func() bool {
		got = map[string][]byte{}
		files, _ := filepath.Glob(boxes + "/b/new/*")
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil {
				got[subjectOf(b)] = b
			}
		}
		return len(got) == 2
	})
	for subject, want := range map[string]string{"clean": "X-Postreeve-Verdict: CLEAN\n", "spam": "X-Postreeve-Spam: FAIL\n"} {
		if !bytes.Contains(got[subject], []byte(want)) {
			t.Errorf("%s arrived without %q:\n%s", subject, want, got[subject])
		}
	}
	wait(t, "two refusals in the log of the first Postfix", func() bool {
		b, _ := os.ReadFile(filepath.Join(upDir, "mail.log"))
		return bytes.Contains(b, []byte("550 5.7.1")) && bytes.Contains(b, []byte("550 5.1.1"))
	})
}

func subjectOf(b []byte) string {
	return verdict.NewMessage(verdict.Bytes(b)).Header().Get("Subject")
}

// swaks runs swaks and checks its exit code: 0 sent, 24 recipients refused, 26 message refused, 29 TLS.
func swaks(t *testing.T, code int, args ...string) string {
	t.Helper()
	out, err := exec.Command("swaks", append([]string{"--helo", "client.example", "--timeout", "20"}, args...)...).CombinedOutput()
	got := 0
	if e, ok := err.(*exec.ExitError); ok {
		got = e.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != code {
		t.Errorf("swaks %q ended with %d, want %d:\n%s", args, got, code, out)
	}
	return string(out)
}

// What swaks says, with and without TLS.
func TestSwaks(t *testing.T) {
	t.Parallel()
	need(t, "swaks")
	cert, key := certificate(t, "mx.gw.example")
	for _, engine := range []string{"strict", "go-smtp"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			sink := &relaytest.Sink{}
			gw, _, _ := gateway(t, sink.Start(t), fmt.Sprintf("engine: %s\ntls: {cert: %q, key: %q}", engine, cert, key))
			base := []string{"--server", gw, "--from", "a@ex.org"}
			for _, tt := range []struct {
				name string
				code int
				args []string
				want string // in the transcript
			}{
				{"plain", 0, []string{"--to", "b@ex.net"}, "250 2.0.0"},
				{"pipelined", 0, []string{"--to", "b@ex.net,c@ex.net", "--pipeline"}, "250 2.0.0"},
				{"STARTTLS", 0, []string{"--to", "b@ex.net", "--tls"}, "TLS started"},
				{"STARTTLS, verified", 0, []string{"--to", "b@ex.net", "--tls", "--tls-verify", "--tls-ca-path", cert}, "TLS started"},
				{"STARTTLS, another name in SNI", 0, []string{"--to", "b@ex.net", "--tls", "--tls-sni", "other.example"}, "TLS started"},
				{"TLS 1.0 only", 29, []string{"--to", "b@ex.net", "--tls", "--tls-protocol", "tlsv1"}, ""},
				{"null sender", 0, []string{"--to", "b@ex.net", "--from", ""}, "250 2.0.0"},
				{"spam", 0, []string{"--to", "b@ex.net", "--body", teststring.Sample(verdict.Spam)}, "250 2.0.0"},
				{"malicious", 26, []string{"--to", "b@ex.net", "--body", teststring.Sample(verdict.Malicious)}, "550 5.7.1"},
				{"unknown", 26, []string{"--to", "b@ex.net", "--body", teststring.Sample(verdict.Unknown)}, "451 4.7.1"},
				{"not ours", 24, []string{"--to", "b@other.example"}, "550 5.7.1"},
				{"HELO", 0, []string{"--to", "b@ex.net", "--protocol", "SMTP"}, "250 2.0.0"},
				{"not offered", 28, []string{"--to", "b@ex.net", "--auth", "LOGIN", "--auth-user", "u", "--auth-password", "p"}, ""},
			} {
				t.Run(tt.name, func(t *testing.T) {
					if out := swaks(t, tt.code, append(tt.args, base...)...); !strings.Contains(out, tt.want) {
						t.Errorf("no %q in\n%s", tt.want, out)
					}
				})
			}
			for _, m := range sink.Messages() {
				if bytes.Contains(m.Data, []byte("MAL")) {
					t.Errorf("delivered:\n%s", m.Data)
				}
			}
		})
	}
}

// Postfix's own load generator and sink, many sessions at once: nothing is lost or doubled.
func TestSourceAndSink(t *testing.T) {
	t.Parallel()
	need(t, "smtp-source", "smtp-sink")
	sinkAddr := free(t)
	dump := t.TempDir()
	os.Chmod(dump, 0o777)
	process(t, "smtp-sink", "-u", "root", "-d", dump+"/%M.", sinkAddr, "100")
	wait(t, "smtp-sink", func() bool { return greets(sinkAddr) })
	gw, _, _ := gateway(t, sinkAddr, "")
	for _, args := range [][]string{
		{"-s", "20", "-m", "500", "-l", "4096"},
		{"-s", "8", "-m", "100", "-l", "200000", "-d"},
		{"-s", "4", "-m", "20", "-l", "5000000"},
	} {
		before := count(t, dump)
		n, _ := strconv.Atoi(args[3])
		sh(t, `smtp-source "$@"`, append(args, "-f", "a@ex.org", "-t", "b@ex.net", gw)...)
		if got := count(t, dump) - before; got != n {
			t.Errorf("%v: %d messages at the sink, want %d", args, got, n)
		}
	}
}

// count is how many messages smtp-sink has written.
func count(t *testing.T, dir string) int {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// Behind haproxy the gateway sees the original client, in both versions of the PROXY protocol, and
// takes the header from nobody else.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	need(t, "haproxy")
	for _, version := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			sink := &relaytest.Sink{}
			// The balancer connects from 127.0.0.9, and only that address is listed.
			gw, out, _ := gateway(t, sink.Start(t), `proxies: ["127.0.0.9/32"]`)
			wait(t, "the gateway", func() bool { return strings.Contains(out.String(), gw) })
			front := free(t)
			cfg := filepath.Join(t.TempDir(), "haproxy.cfg")
			os.WriteFile(cfg, []byte(fmt.Sprintf(`defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen smtp
  bind %s
  server gw %s source 127.0.0.9 %s
`, front, gw, version)), 0o644)
			process(t, "haproxy", "-f", cfg)
			wait(t, "haproxy", func() bool { return greets(front) })

			need(t, "swaks")
			swaks(t, 0, "--server", front, "--to", "b@ex.net", "--from", "a@ex.org", "--local-interface", "127.0.0.77")
			wait(t, "the message", func() bool { return len(sink.Messages()) == 1 })
			if !bytes.Contains(sink.Messages()[0].Data, []byte("from client.example ([127.0.0.77]) by mx.gw.example")) {
				t.Errorf("the client is not named:\n%s", sink.Messages()[0].Data)
			}
			// A stranger's header is a bad command, and he keeps his own address.
			got := sh(t, `exec 3<>/dev/tcp/127.0.0.1/"$1"; printf 'PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\nQUIT\r\n' >&3; timeout 10 cat <&3`, port(gw))
			if !regexp.MustCompile(`(?m)^5\d\d`).MatchString(got) {
				t.Errorf("a stranger's PROXY header: %q", got)
			}
		})
	}
}

// Killed again and again under load, the gateway has told nobody 250 for what the next hop does not have.
// KILLS says how often, 5 if it is not set.
func TestKill(t *testing.T) {
	t.Parallel()
	need(t, "smtp-source", "smtp-sink")
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("KILLS")); err == nil {
		kills = n
	}
	sink := &relaytest.Sink{}
	hop := sink.Start(t)
	addr := free(t)
	acked := &acks{ids: map[string]bool{}}
	lost, doubled := 0, 0
	for round := range kills {
		_, _, cmd := gatewayAt(t, addr, hop, "")
		stop := time.Duration(100+round*37%400) * time.Millisecond
		load(t, addr, round, stop, acked, func() { cmd.Process.Kill() })
		cmd.Wait()
	}
	seen := map[string]int{}
	for _, m := range sink.Messages() {
		seen[subjectOf(m.Data)]++
	}
	for id := range acked.ids {
		if seen[id] == 0 {
			lost++
		}
	}
	for _, n := range seen {
		doubled += n - 1
	}
	t.Logf("%d kills: %d answered 250, %d at the next hop, %d of those not answered; lost %d, doubled %d",
		kills, len(acked.ids), len(seen), len(seen)-len(acked.ids), lost, doubled)
	if lost > 0 || len(acked.ids) == 0 {
		t.Errorf("lost %d of %d", lost, len(acked.ids))
	}
}
