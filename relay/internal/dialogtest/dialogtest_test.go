package dialogtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/dialogtest"
)

// TestOtherEngine plays a dialog against go-smtp's own server: the package is not made for one engine.
func TestOtherEngine(t *testing.T) {
	t.Parallel()
	d, err := dialogtest.Parse(`
S: 220
C: EHLO client.test\r\n
S~ ^250-PIPELINING$
C: MAIL FROM:<a@x>\r\nRCPT TO:<deny@y>\r\nRCPT TO:<b@y>\r\n
S: 250
S: 550 5.1.1 No
S: 250
C: DATA\r\n
S: 354
C: one\r\n..\r\n.\r\n
S: 250
C: QUIT\r\n
S: 221
-- eof
M: FROM:<a@x> TO:<b@y> DATA:one\r\n.\r\n
`)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		rec := new(dialogtest.Recorder)
		ln := dialogtest.Listen()
		s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return rec.Session(), nil }))
		done := make(chan error, 1)
		go func() { done <- s.Serve(ln) }()
		if err := d.Run(t.Context(), ln.Dial); err != nil {
			t.Error(err)
		}
		if err := d.Check(rec.Messages()); err != nil {
			t.Error(err)
		}
		s.Close()
		<-done
	})
}

// TestRunFails: a dialog that does not go as written is an error that names the line.
func TestRunFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialog, want string }{
		{"S: 250", `line 1: reply 1 is "220 hello", want "250"`},
		{"S: 220\nS: 221", `line 2: reply 1, want "221": after "": EOF`},
		{"S~ ^221", `line 1: reply 1 is "220 hello", want "^221"`},
		{"-- eof", `line 1: the server sent "220 hello\r\n", want nothing more`},
		{"S: 220\n-- close\nS: 220", `line 3: the connection is closed already`},
	} {
		d, err := dialogtest.Parse(c.dialog)
		if err != nil {
			t.Fatal(err)
		}
		dial := func(context.Context) (net.Conn, error) {
			client, server := dialogtest.Pipe(netip.AddrPort{}, netip.AddrPort{}, 0)
			_, err := io.WriteString(server, "220 hello\r\n")
			server.Close()
			return client, err
		}
		if err := d.Run(t.Context(), dial); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.dialog, err, c.want)
		}
	}
	d, err := dialogtest.Parse("M: one")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(nil); err == nil {
		t.Error("a missing message was not noticed")
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"X: y", "C: \\q", "C: \\x1", "C: \\", "C*0: x", "Cx: y", "S~ (", "-- jump", "-- wait soon", "-- eof now"} {
		if _, err := dialogtest.Parse("# comment\n" + in); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%q: %v, want an error in line 2", in, err)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\r\n\x00\\\xff\t")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := dialogtest.Unescape(dialogtest.Escape(s)); err != nil || got != s {
			t.Errorf("%q came back as %q, %v", s, got, err)
		}
	})
}

func TestPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := dialogtest.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:25"), 4)
		if got := b.RemoteAddr().String(); got != "192.0.2.1:1" {
			t.Errorf("RemoteAddr is %s", got)
		}
		began := time.Now()
		if err := a.SetDeadline(began.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := a.Write([]byte("12345")); n != 4 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write into a full pipe: %d, %v", n, err)
		}
		if n, err := a.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("Read: %d, %v after %v", n, err, time.Since(began))
		}
		a.Close()
		if got, err := io.ReadAll(b); string(got) != "1234" || err != nil {
			t.Errorf("ReadAll: %q, %v", got, err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Write to a closed end: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read from a closed end: %v", err)
		}
	})
}

// TestRecorderWatches: an engine that breaks the contract is told on.
func TestRecorderWatches(t *testing.T) {
	t.Parallel()
	rec := new(dialogtest.Recorder)
	s := rec.Session()
	_ = s.Rcpt("b@y", &smtp.RcptOptions{})
	s.Reset()
	_ = s.Data(strings.NewReader(""))
	_ = s.Mail("a@x", &smtp.MailOptions{})
	_ = s.Mail("a@x", &smtp.MailOptions{})
	_ = s.Logout()
	s.Reset()
	want := "Rcpt without Mail|Data without recipient|Mail in the middle of a transaction|Reset called after Logout"
	if got := strings.Join(rec.Violations(), "|"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func ExampleDialog_Run() {
	d, err := dialogtest.Parse("S: 220\nC: QUIT\\r\\n\nS: 221\n-- eof")
	if err != nil {
		fmt.Println(err)
		return
	}
	ln := dialogtest.Listen()
	rec := new(dialogtest.Recorder)
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return rec.Session(), nil }))
	go s.Serve(ln)
	defer s.Close()
	fmt.Println(d.Run(context.Background(), ln.Dial))
	fmt.Println(d.Check(rec.Messages()))
	// Output:
	// <nil>
	// <nil>
}
