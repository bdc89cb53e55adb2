package smtpserver_test

import (
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/internal/smtpserver"
)

// TestCutEverywhere breaks a connection off after every octet of a session, in each of the ways in which
// connections break. What is recorded are whole messages, in order, and nothing else.
func TestCutEverywhere(t *testing.T) {
	t.Parallel()
	const wire = "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\none\r\n..\r\n\r\n.\r\n" +
		"MAIL FROM:<copy@x>\r\nRCPT TO:<b@y>\r\nBDAT 5\r\ntwo\r\nNOOP\r\nBDAT 5\r\n.\r\nxxBDAT 0 LAST\r\n" +
		"MAIL FROM:<a@x>\r\nRCPT TO:<deny@y>\r\nBDAT 6 LAST\r\nQUIT\r\n" +
		"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nbad\n.\r\nRSET\r\n.\r\n" +
		"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 7 LAST\r\nthree\r\nQUIT\r\n"
	var whole []dialogtest.Message
	for _, how := range []string{"close", "half", "stall"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				for cut := len(wire); cut >= 0; cut-- {
					r := start(t, &smtpserver.Server{})
					c, err := r.Dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.WriteString(c, wire[:cut]); err != nil {
						t.Fatal(err)
					}
					switch how {
					case "close":
						settle()
						c.Close()
					case "half":
						_ = c.(*dialogtest.PipeConn).CloseWrite()
					}
					_, _ = io.Copy(io.Discard, c)
					c.Close()
					r.end()
					got := r.rec.Messages()
					if cut == len(wire) {
						whole = got
						if len(got) != 3 {
							t.Fatalf("the whole session recorded %v, want three messages", got)
						}
						continue
					}
					if len(got) > len(whole) {
						t.Fatalf("cut at %d: %d messages, want at most %d", cut, len(got), len(whole))
					}
					if diff := cmp.Diff(whole[:len(got)], got); diff != "" && len(got) > 0 {
						t.Fatalf("cut at %d (-want +got):\n%s", cut, diff)
					}
				}
			})
		})
	}
}
