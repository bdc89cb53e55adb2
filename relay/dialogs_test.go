package relay

import (
	"context"
	"crypto/tls"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/dialogtest"
)

// hangsUp stands for what a client sees when it is hung up on: where it notices, if at all, depends on who
// is faster.
const hangsUp = "hangs up"

// goDiffers says where go-smtp's server answers otherwise than the dialogs want, by the class of the
// reply, and why that is so. It has the first difference of each dialog; what comes after it is not played.
var goDiffers = map[string]struct{ reply, why string }{
	"addresses":          {`line 6: reply 1 is "250`, "it takes an address without angle brackets, and other things RFC 5321 section 4.1.2 has not"},
	"bdat":               {`line 12: reply 1 is "250`, "BDAT without MAIL is refused but does not end the transaction: RCPT goes on"},
	"bdat-unframed":      {"line 7: the server sent", "a chunk whose size cannot be read is not the end of the session: its octets are read as commands"},
	"content":            {hangsUp, "a line over the bound ends the connection behind the reply"},
	"early-talker":       {`line 4: reply 1 is "220`, "it does not look whether a client speaks first"},
	"endless-line":       {hangsUp, "it hangs up without having read so much"},
	"long-line":          {hangsUp, "a command line over the bound ends the connection"},
	"many-errors":        {hangsUp, "the fourth bad command ends the connection, always"},
	"many-noop":          {`line 7: reply 1 is "250`, "it does not bound how many commands come to nothing"},
	"normalize":          {`line 10: reply 1 is "421`, "after CR CR LF it does not see the CRLF of an end of data: the message goes on and times out"},
	"order":              {`line 20: reply 1 is "252`, "VRFY needs no argument"},
	"other-protocol":     {"line 5: the server sent", "a request of HTTP does not end the connection"},
	"parameters":         {`line 8: reply 1 is "250`, "AUTH=<> is taken from anybody"},
	"plain":              {`line 7: reply 1 is "250`, "its guard always offers SMTPUTF8 and DSN"},
	"session-errors":     {`line 14: reply 1 is "502`, "an error of class 2 is no success to it, though it is sent as one"},
	"size":               {`line 30: reply 1 is "250`, "octets are counted behind the removal of doubled dots"},
	"starttls":           {`line 9: reply 1 is "220`, "STARTTLS is allowed in the middle of a transaction, which it resets"},
	"starttls-injection": {`line 8: reply 1 is "220`, "what was sent behind STARTTLS is thrown away, and the session goes on"},
	"timeouts":           {hangsUp, "it hangs up at once, without a time to read the reply"},
	"unknown":            {hangsUp, "the fourth bad command ends the connection, always"},
	"utf8":               {`line 8: reply 1 is "250`, "it takes a parameter with a value that has none"},
	"xclient":            {hangsUp, "it has no XCLIENT: that is a bad command"},
}

// goAccepts are dialogs in which it takes a message that the strict engine refuses, for the reason above.
var goAccepts = map[string]bool{"size": true}

// Every dialog of the strict engine is played against go-smtp's server behind the guard. It passes, or
// differs just where the table says; in either case nothing is accepted that must not be.
func TestDialogsGoSMTP(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("internal/smtpserver/testdata/dialogs/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dialogs: %v", len(files), err)
	}
	cert, err := dialogtest.Certificate("mx.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d, err := dialogtest.Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			d.ClassOnly = true
			synctest.Test(t, func(t *testing.T) {
				ln, rec := dialogtest.Listen(), new(dialogtest.Recorder)
				s := &Server{Hostname: "mx.test", Notify: NotifierFunc(nil)} // which offers DSN, and is never called
				set(t, s, d.Settings, ln, cert)
				s.init()
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() {
					done <- s.serveGoSMTP(ctx, ln, func(context.Context, *smtp.Conn) smtp.Session { return rec.Session() })
				}()
				got := ""
				if err := d.Run(t.Context(), ln.Dial); err != nil {
					got = err.Error()
				}
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if got == "" {
					if err := d.Check(rec.Messages()); err != nil {
						got = err.Error()
					}
				}
				if err := d.Allows(rec.Messages()); err != nil && !goAccepts[name] {
					t.Error(err)
				}
				want, listed := goDiffers[name]
				switch {
				case want.reply == hangsUp:
				case listed && !strings.Contains(got, want.reply):
					t.Errorf("got %q, want the difference %q (%s)", got, want.reply, want.why)
				case !listed && got != "":
					t.Errorf("differs, and is not in the table: %s", got)
				}
			})
		})
	}
}

// set makes of the settings of a dialog those of a server.
func set(t *testing.T, s *Server, settings map[string]string, ln *dialogtest.Listener, cert tls.Certificate) {
	t.Helper()
	for key, v := range settings {
		n, _ := strconv.Atoi(v)
		switch key {
		case "tls":
			s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		case "size":
			s.Limits.MessageBytes = int64(n)
		case "recipients":
			s.Limits.Recipients = n
		case "line":
			s.Limits.LineBytes = n
		case "errors":
			s.Limits.Errors = n
		case "normalize":
			s.Normalize = true
		case "greet-delay":
			s.Timeouts.Greeting, _ = time.ParseDuration(v)
		case "peer":
			ln.Client = netip.MustParseAddr(v)
		case "xclient":
			s.XClient = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(v), netip.MustParseAddr(v).BitLen())}
		case "commands", "plain", "whole": // settings of the strict engine alone
		default:
			t.Fatalf("unknown setting %q", key)
		}
	}
}
