package app_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// served is a gateway that runs in the test.
type served struct {
	file     string
	out, log *buffer
	stop     context.CancelFunc
	code     chan int
}

// serve starts a gateway with a configuration and waits until it is ready.
func serve(t testing.TB, yaml string) *served {
	t.Helper()
	s := &served{file: filepath.Join(t.TempDir(), "postreeve.yaml"), out: newBuffer(), log: newBuffer(), code: make(chan int, 1)}
	s.write(t, yaml)
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.code <- app.Run(ctx, []string{"serve", "-c", s.file}, strings.NewReader(""), s.out, s.log)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	s.out.wait(t, "\n", 1)
	return s
}

// write replaces the configuration, as editors do.
func (s *served) write(t testing.TB, yaml string) {
	t.Helper()
	replace(t, s.file, yaml)
}

// addr is where the n-th listener is.
func (s *served) addr(n int) string {
	_, list, _ := strings.Cut(s.out.String(), "SMTP on ")
	list, _, _ = strings.Cut(strings.TrimSpace(list), ", metrics")
	return strings.Split(list, ", ")[n]
}

func (s *served) end(t testing.TB) {
	t.Helper()
	s.stop()
	select {
	case code := <-s.code:
		if code != 0 {
			t.Errorf("exit %d: %s", code, s.log)
		}
	case <-time.After(time.Minute):
		t.Fatalf("it did not end: %s", s.log)
	}
}

// configFor is the least configuration, and more. It asks no name server unless more says so.
func configFor(hop, more string) string {
	if !strings.Contains(more, "dns:") {
		more += "\nauth: none"
	}
	return "hostname: gw.example\nlisten: [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n" + more +
		"\ndomains:\n  ex.net: {next-hop: \"" + hop + "\", verification: waived}\n"
}

func TestServe(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	hop := sink.Start(t)
	state := t.TempDir()
	s := serve(t, configFor(hop, "metrics: \"127.0.0.1:0\"\nstate: "+state+"\nlog: {format: json}")+
		"  ex.org: {next-hop: \""+hop+"\"}\n")
	for i, c := range []struct{ to, body, want string }{
		{"a@ex.net", "hello", ""},
		{"a@ex.net", teststring.Spam, ""},
		{"a@ex.net", teststring.Malicious, ""},
		{"a@ex.net", teststring.Unknown, "451 4.7.1"},
		{"a@ex.org", "hello", "451 4.7.1"},
		{"a@elsewhere.example", "hello", "550 5.7.1"},
	} {
		err := smtp.SendMail(s.addr(i%2), nil, "b@example.org", []string{c.to}, []byte(message("x", c.body)))
		if got := strings.ReplaceAll(fmt.Sprint(err), `"`, ""); c.want == "" && err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("message %d: %v, want %q", i, err, c.want)
		}
	}
	all := sink.Messages()
	if len(all) != 2 || !strings.Contains(string(all[0].Data), "X-Postreeve-Verdict: CLEAN\r\n") || !strings.Contains(string(all[1].Data), "X-Postreeve-Spam: FAIL\r\n") {
		t.Errorf("the next hop has %d messages: %+v", len(all), all)
	}
	if _, err := os.Stat(filepath.Join(state, "tmp")); err != nil {
		t.Errorf("no place for temporary files: %v", err)
	}
	_, url, _ := strings.Cut(strings.TrimSpace(s.out.String()), "metrics on ")
	text := fetch(t, url)
	for _, want := range []string{
		`postreeve_messages_total{action="deliver",class="clean",reply="2xx"} 1`, `postreeve_messages_total{action="hold",class="malicious",reply="2xx"} 1`,
		`postreeve_held_messages 1`, `postreeve_queued_messages 0`, `postreeve_store_up 1`, `postreeve_store_writes_total{op="ledger",result="ok"} 4`,
		`postreeve_connections_total 6`, `postreeve_scanner_runs_total{outcome="done",scanner="structure"} 4`, `postreeve_judge_seconds_count 4`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	s.end(t)
	if log := s.log.String(); !strings.Contains(log, `"msg":"ended"`) || !strings.Contains(log, "say verification: waived") {
		t.Errorf("log: %s", log)
	}
}

// fetch gets a page.
func fetch(t testing.TB, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// greeting opens a connection and returns what the gateway says first.
func greeting(t testing.TB, addr string) (net.Conn, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, say(t, c, "")
}

// say sends a line and returns the first line of the answer.
func say(t testing.TB, c net.Conn, line string) string {
	t.Helper()
	c.SetDeadline(time.Now().Add(time.Minute))
	if line != "" {
		if _, err := c.Write([]byte(line + "\r\n")); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	first, _, _ := strings.Cut(string(buf[:n]), "\r\n")
	return first
}

func TestServeReload(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	hop := sink.Start(t)
	s := serve(t, configFor(hop, ""))
	open, _ := greeting(t, s.addr(0))
	say(t, open, "EHLO client.example")
	if got := say(t, open, "MAIL FROM:<a@example.org>"); got[:3] != "250" {
		t.Fatal(got)
	}

	// Another domain, by a changed file: the session that is open knows it too.
	s.write(t, configFor(hop, "")+"  ex.org: {next-hop: \""+hop+"\", verification: waived}\n")
	s.log.wait(t, "configuration reloaded", 1)
	if got := say(t, open, "RCPT TO:<a@ex.org>"); got[:3] != "250" {
		t.Errorf("the new domain: %s", got)
	}

	// A file with mistakes: the old configuration stays in force, and all mistakes are in the log.
	s.write(t, configFor(hop, "limts: {}\nzzzzzzzz: 1"))
	log := s.log.wait(t, "new configuration refused", 2)
	if !strings.Contains(log, "line=3") || !strings.Contains(log, "line=4") || !strings.Contains(log, "did you mean limits?") {
		t.Errorf("log: %s", log)
	}
	if err := smtp.SendMail(s.addr(0), nil, "a@example.org", []string{"a@ex.org"}, []byte(message("x", "y"))); err != nil {
		t.Errorf("after a file with mistakes: %v", err)
	}

	// What cannot be made is refused as well: a certificate that is not there.
	s.write(t, configFor(hop, "tls: {cert: none.pem, key: none.pem}"))
	s.log.wait(t, "none.pem", 1)

	// Another name and limit: for new connections. The session that is open goes on.
	s.write(t, strings.Replace(configFor(hop, "limits: {recipients: 1}\nscanners: []"), "gw.example", "other.example", 1))
	s.log.wait(t, "configuration reloaded", 2)
	fresh, hello := greeting(t, s.addr(1))
	if !strings.HasPrefix(hello, "220 other.example") {
		t.Errorf("a new connection hears %q", hello)
	}
	say(t, fresh, "EHLO client.example")
	say(t, fresh, "MAIL FROM:<a@example.org>")
	say(t, fresh, "RCPT TO:<a@ex.net>")
	if got := say(t, fresh, "RCPT TO:<b@ex.net>"); got[:3] != "452" {
		t.Errorf("the new limit: %s", got)
	}
	if got := say(t, open, "DATA"); got[:3] != "354" {
		t.Errorf("the old session: %s", got)
	}
	if got := say(t, open, message("x", teststring.Malicious)+"."); got[:3] != "250" {
		t.Errorf("the new scanners, which are none: %s", got)
	}

	// What needs a restart is said.
	s.write(t, strings.Replace(configFor(hop, "spool: {total: 1MiB}"), "listen:", "state: "+t.TempDir()+"\nlisten:", 1))
	s.log.wait(t, "configuration reloaded", 3)
	s.log.wait(t, "changes only when the gateway is started again", 2)
	open.Close()
	fresh.Close() // in the middle of a message, which would be waited for
	s.end(t)
}

// TestServeDrains ends the gateway in the middle of a message, which is still delivered.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	s := serve(t, configFor(sink.Start(t), ""))
	c, _ := greeting(t, s.addr(0))
	say(t, c, "EHLO client.example")
	say(t, c, "MAIL FROM:<a@example.org>")
	say(t, c, "RCPT TO:<a@ex.net>")
	say(t, c, "DATA")
	s.stop()
	s.log.wait(t, "msg=ending", 1)
	if got := say(t, c, message("x", "y")+"."); got[:3] != "250" {
		t.Errorf("the message under way: %s", got)
	}
	s.end(t)
	if len(sink.Messages()) != 1 {
		t.Error("the message did not arrive")
	}
	refused(t, s.addr(0))
}

// refused waits until nobody listens at an address. Whoever should have left it never does if he has not, and another
// test that was given its port meanwhile ends.
func refused(t testing.TB, addr string) {
	t.Helper()
	eventually(t, "the end of what listens at "+addr, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

func TestServeCannot(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() }) // after the subtests, which are parallel
	taken := ln.Addr().String()
	for name, c := range map[string]struct{ yaml, want string }{
		"port taken":     {strings.Replace(configFor("192.0.2.1:25", ""), "127.0.0.1:0", taken, 1), "in use"},
		"metrics taken":  {configFor("192.0.2.1:25", "metrics: \""+taken+"\""), "in use"},
		"no certificate": {configFor("192.0.2.1:25", "tls: {cert: none.pem, key: none.pem}"), "none.pem"},
		"no state":       {configFor("192.0.2.1:25", "state: /dev/null/x"), "state: mkdir"},
		"no token": {
			configFor("192.0.2.1:25", "") + "  ex.org: {next-hop: 192.0.2.1, verification: waived, token: \"env:POSTREEVE_TEST_NO_SUCH_VARIABLE\"}\n", "domains.ex.org: secret env:",
		},
		"no roots": {configFor("192.0.2.1:25", "") + "  ex.org: {next-hop: 192.0.2.1, verification: waived, tls: {mode: verify, roots: none.pem}}\n", "tls.roots"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(write(t, map[string]string{"c.yaml": c.yaml}), "c.yaml")
			if got := run(t, "", "serve", "-c", file); got.code != 1 || !strings.Contains(got.err, c.want) {
				t.Errorf("got %+v, want %q", got, c.want)
			}
		})
	}
}

// TestServeProcess runs the program as systemd does: it says when it is ready, reloads at SIGHUP and ends
// with 0 at SIGTERM.
func TestServeProcess(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"c.yaml": configFor("192.0.2.1:25", "")})
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	cmd := exec.Command(os.Args[0], "serve", "-c", filepath.Join(dir, "c.yaml"))
	cmd.Env = append(os.Environ(), "POSTREEVE_TEST_MAIN=1", "NOTIFY_SOCKET="+filepath.Join(dir, "s"))
	log := newBuffer()
	cmd.Stdout, cmd.Stderr = log, log
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	notified := func() string {
		socket.SetDeadline(time.Now().Add(time.Minute))
		buf := make([]byte, 100)
		n, err := socket.Read(buf)
		if err != nil {
			t.Fatalf("systemd was not told: %v; %s", err, log)
		}
		return string(buf[:n])
	}
	if got := notified(); got != "READY=1" {
		t.Errorf("systemd is told %q", got)
	}
	t.Logf("ready after %v", time.Since(start))
	log.wait(t, "postreeve: ready, SMTP on 127.0.0.1:", 1)
	cmd.Process.Signal(syscall.SIGHUP) // reads the file again although it has not changed
	log.wait(t, "why=SIGHUP", 1)
	log.wait(t, "configuration reloaded", 1)
	cmd.Process.Signal(syscall.SIGTERM)
	if got := notified(); got != "STOPPING=1" {
		t.Errorf("systemd is told %q", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v; %s", err, log)
	}
}

// TestServeSecondSignal ends a gateway that still waits for a message.
func TestServeSecondSignal(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"c.yaml": configFor("192.0.2.1:25", "")})
	cmd := exec.Command(os.Args[0], "serve", "-c", filepath.Join(dir, "c.yaml"))
	cmd.Env = append(os.Environ(), "POSTREEVE_TEST_MAIN=1")
	s := &served{out: newBuffer(), log: newBuffer()}
	cmd.Stdout, cmd.Stderr = s.out, s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	s.out.wait(t, "\n", 1)
	c, _ := greeting(t, s.addr(0))
	say(t, c, "EHLO client.example")
	say(t, c, "MAIL FROM:<a@example.org>")
	say(t, c, "RCPT TO:<a@ex.net>")
	say(t, c, "DATA")
	cmd.Process.Signal(syscall.SIGTERM)
	s.log.wait(t, "msg=ending", 1)
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err == nil {
		t.Errorf("it drained: %s", s.log)
	}
}

// TestServeCertificate offers STARTTLS, and a new certificate as soon as it is there.
func TestServeCertificate(t *testing.T) {
	t.Parallel()
	year := time.Now().Add(365 * 24 * time.Hour)
	_, cert, key := certificate(t, "gw.example", year)
	s := serve(t, configFor("192.0.2.1:25", fmt.Sprintf("tls: {cert: %s, key: %s}", cert, key)))
	serial := func() string {
		c, err := smtp.Dial(s.addr(0))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil { // whose it is is compared below
			t.Fatal(err)
		}
		state, _ := c.TLSConnectionState()
		return string(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	}
	before := serial()
	_, newCert, newKey := certificate(t, "gw.example", year)
	for from, to := range map[string]string{newCert: cert, newKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	s.log.wait(t, "configuration reloaded", 1)
	if serial() == before {
		t.Errorf("still the old certificate: %s", s.log)
	}
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.log.wait(t, "new configuration refused", 1)
	if serial() == before {
		t.Error("a broken file brought the first certificate back")
	}
	s.end(t)
}

// TestServeGroupsKept: with a store a message is one of one domain, whose way is looked up when it leaves.
func TestServeGroupsKept(t *testing.T) {
	t.Parallel()
	hop := new(relaytest.Sink).Start(t)
	s := serve(t, configFor(hop, "state: "+filepath.Join(t.TempDir(), "state"))+"  same.example: {next-hop: \""+hop+"\", verification: waived}\n")
	c, _ := greeting(t, s.addr(0))
	for _, step := range []struct{ line, code string }{
		{"EHLO client.example", "250"}, {"MAIL FROM:<a@example.org>", "250"},
		{"RCPT TO:<a@ex.net>", "250"}, {"RCPT TO:<b@ex.net>", "250"}, {"RCPT TO:<a@same.example>", "452"},
	} {
		if got := say(t, c, step.line); got[:3] != step.code {
			t.Errorf("%s: %s, want %s", step.line, got, step.code)
		}
	}
}

// TestServeGroups: domains with equal settings share a message, others do not.
func TestServeGroups(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	hop := sink.Start(t)
	s := serve(t, configFor(hop, "")+"  same.example: {next-hop: \""+hop+"\", verification: waived}\n"+
		"  other.example: {next-hop: \""+hop+"\", verification: waived, policy: {spam: reject}}\n"+
		"  .sub.example: {next-hop: \""+hop+"\", verification: waived, token: \"file:"+filepath.Join(write(t, map[string]string{"t": "0123456789abcdef\n"}), "t")+"\"}\n")
	c, _ := greeting(t, s.addr(0))
	for _, step := range []struct{ line, code string }{
		{"EHLO client.example", "250"}, {"MAIL FROM:<a@example.org>", "250"},
		{"RCPT TO:<a@ex.net>", "250"}, {"RCPT TO:<a@SAME.example>", "250"}, {"RCPT TO:<a@other.example>", "452"}, {"RCPT TO:<a@x.sub.example>", "452"},
		{"RSET", "250"}, {"MAIL FROM:<a@example.org>", "250"}, {"RCPT TO:<a@x.y.sub.example>", "250"}, {"DATA", "354"}, {message("x", "y") + ".", "250"},
	} {
		if got := say(t, c, step.line); got[:3] != step.code {
			t.Errorf("%s: %s, want %s", step.line, got, step.code)
		}
	}
	if all := sink.Messages(); len(all) != 1 || !strings.Contains(string(all[0].Data), "X-Postreeve-Token: 0123456789abcdef\r\n") {
		t.Errorf("the token is missing: %+v", all)
	}
	if strings.Contains(s.log.String(), "0123456789abcdef") {
		t.Error("the token is in the log")
	}
}
