package examples

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// run builds an example, starts it on a free port and returns where it listens.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	src, err := os.ReadFile(name + "/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), "\n"); n >= 60 {
		t.Errorf("%s has %d lines, too many to read at a glance", name, n)
	}
	bin := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", bin, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin, append(args, "-listen", "127.0.0.1:0")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("%s said %q: %v", name, line, err)
	}
	return addr
}

func send(t *testing.T, addr, to, body string) error {
	t.Helper()
	return smtp.SendMail(addr, nil, "a@example.org", []string{to}, []byte(strings.ReplaceAll(body, "\n", "\r\n")))
}

func TestScanner(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	addr := run(t, "scanner", "-next", sink.Start(t))
	for subject, want := range map[string]string{"hello": "CLEAN", "BUY NOW": "SPAM"} {
		if err := send(t, addr, "b@example.net", "Subject: "+subject+"\n\nbody\n"); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(sink.Messages(), func(m relaytest.SinkMessage) bool {
			return strings.Contains(string(m.Data), "X-Postreeve-Verdict: "+want+"\r\n") && strings.Contains(string(m.Data), "Subject: "+subject+"\r\n")
		})
		if i < 0 {
			t.Errorf("%q did not arrive as %s: %+v", subject, want, sink.Messages())
		}
	}
	if err := send(t, addr, "b@example.com", "Subject: x\n\n"); err == nil {
		t.Error("it relays for anybody")
	}
}

func TestHTTPService(t *testing.T) {
	t.Parallel()
	addr := run(t, "httpservice")
	client := &http.Client{Timeout: time.Minute}
	for _, class := range []verdict.Class{verdict.Clean, verdict.Spam, verdict.Malicious, verdict.Unknown} {
		r, err := client.Post("http://"+addr+"/judge", "message/rfc822", strings.NewReader("Subject: x\r\n\r\n"+teststring.Sample(class)+"\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		var got struct{ Class verdict.Class }
		if err := json.Unmarshal(b, &got); err != nil || got.Class != class {
			t.Errorf("%v: %s", class, b)
		}
	}
}

func TestOutbound(t *testing.T) {
	t.Parallel()
	partner, smart := &relaytest.Sink{}, &relaytest.Sink{}
	addr := run(t, "outbound", "-partner", partner.Start(t), "-smart", smart.Start(t), "-tls=false")
	if err := send(t, addr, "b@partner.example", "Subject: x\n\nbody\n"); err != nil {
		t.Fatal(err)
	}
	if got := partner.Messages(); len(got) != 1 || got[0].To[0] != "b@partner.example" {
		t.Errorf("the partner has %+v", got)
	}
	// The smart host of this test has no TLS, and the hop insists on it: deferred, not sent in the clear.
	if err := send(t, addr, "b@elsewhere.example", "Subject: x\n\nbody\n"); err == nil || !strings.HasPrefix(err.Error(), "4") {
		t.Errorf("mail to a hop without TLS: %v, want a temporary refusal", err)
	}
	if got := smart.Messages(); len(got) != 0 {
		t.Errorf("sent in the clear: %+v", got)
	}
	if err := send(t, addr, "b@partner.example", "Subject: x\n\n"+teststring.Sample(verdict.Spam)+"\n"); err == nil {
		t.Error("it sends spam")
	}
}
