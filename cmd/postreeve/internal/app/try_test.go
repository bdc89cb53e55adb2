package app_test

import (
	"context"
	"net"
	"net/smtp"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/verdict/teststring"
)

func TestTryOnce(t *testing.T) {
	t.Parallel()
	got := run(t, "", "try", "--once")
	if got.code != 0 || got.err != "" {
		t.Fatalf("try --once: %d %s%s", got.code, got.out, got.err)
	}
	for _, want := range []string{
		"S: 220 gateway.try.example", "C: MAIL FROM:<friend@sender.example>",
		"clean      250 2.0.0  clean      deliver  mailbox\n",
		"spam       250 2.0.0  spam       tag      mailbox, marked as spam\n",
		"malicious  250 2.0.0  malicious  hold     quarantine, not in the mailbox\n",
		"X-Postreeve-Verdict: CLEAN\n", "X-Postreeve-Verdict: SPAM\n", "X-Postreeve-Spam: FAIL\n",
		"test.gtube", "test.eicar, found by teststring in part 2 invoice.zip", "All three went as they should.",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing in:\n%s", want, got.out)
		}
	}
	for line := range strings.Lines(got.out) {
		if len(line) > 81 {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
	if strings.Contains(got.out, "\x1b") {
		t.Error("colours where there is no terminal")
	}
}

func TestTryJSON(t *testing.T) {
	t.Parallel()
	got := run(t, "", "try", "--once", "--json")
	rows := lines[struct {
		Sample, Class, Action, Place, Reply, Subject, From string
		Headers                                            []string
		Findings                                           []struct{ Code string }
	}](t, got.out)
	if got.code != 0 || len(rows) != 3 {
		t.Fatalf("%d, %s", got.code, got.out)
	}
	if r := rows[2]; r.Sample != "malicious" || r.Class != "malicious" || r.Action != "hold" || r.Place != "quarantine" ||
		r.Subject != "Your invoice" || r.From != "billing@sender.example" || len(r.Headers) != 0 || len(r.Findings) == 0 {
		t.Errorf("the malicious sample: %+v", r)
	}
}

// TestTryStays sends messages of one's own after the samples.
func TestTryStays(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, code := newBuffer(), make(chan int, 1)
	go func() { code <- app.Run(ctx, []string{"try"}, strings.NewReader(""), out, out) }()
	all := out.wait(t, "FROM, SUBJECT, WHY\n", 1)
	_, addr, _ := strings.Cut(all, "gateway ")
	addr, _, _ = strings.Cut(addr, " ")
	for subject, body := range map[string]string{"hostile \x1b[31m": "hello\r\n", "mine": teststring.Malicious + "\r\n"} {
		msg := "From: me@example.org\r\nTo: you@try.example\r\nSubject: " + subject + "\r\n\r\n" + body
		if err := smtp.SendMail(addr, nil, "me@example.org", []string{"you@try.example"}, []byte(msg)); err != nil {
			t.Fatal(err)
		}
	}
	all = out.wait(t, "me@example.org, ", 2)
	for _, want := range []string{`clean      deliver  250 2.0.0  me@example.org, "hostile \x1b[31m"`, `malicious  hold     250 2.0.0  me@example.org, "mine", test.malicious`} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in:\n%s", want, all)
		}
	}
	if err := smtp.SendMail(addr, nil, "me@example.org", []string{"you@elsewhere.example"}, []byte("\r\n")); err == nil || !strings.HasPrefix(err.Error(), "550") {
		t.Errorf("mail for a stranger: %v, want 550", err)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit %d, want 0", got)
	}
	refused(t, addr)
}

func TestTryPortTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	if got := run(t, "", "try", "--once", "--port", port); got.code != 1 || !strings.Contains(got.err, "in use") {
		t.Errorf("got %+v", got)
	}
}
