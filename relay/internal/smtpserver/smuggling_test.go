package smtpserver_test

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/internal/smtpserver"
)

// endings are what some server somewhere has taken for the end of a message, or might. Only the first one
// and those that contain it are.
var endings = []struct {
	octets string
	ends   bool
	faulty bool // there is a bare CR, a bare LF or a NUL in it
}{
	{"\r\n.\r\n", true, false},
	{"\r\r\n.\r\n", true, true},
	{"\n\r\n.\r\n", true, true},
	{"\r\n\x00\r\n.\r\n", true, true},
	{"\n.\n", false, true},
	{"\n.\r\n", false, true},
	{"\r\n.\n", false, true},
	{"\r.\r", false, true},
	{"\r.\n", false, true},
	{"\n.\r", false, true},
	{"\r.\r\n", false, true},
	{"\r\n.\r", false, true},
	{"\r\n\x00.\r\n", false, true},
	{"\r\n.\x00\r\n", false, true},
	{"\r\n.\r\r\n", false, true},
	{"\r\n.\r\x00\n", false, true},
	{"\r\r.\r\r", false, true},
	{"\n\n.\n\n", false, true},
	{"\r\n..\r\n", false, false},
	{"\r\n. \r\n", false, false},
	{"\r\n.\t\r\n", false, false},
	{"\r\n \r\n", false, false},
}

const secondEnvelope = "MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"

// TestSmugglingData sends a message with a second one inside, split in two writes at every octet.
func TestSmugglingData(t *testing.T) {
	t.Parallel()
	for _, e := range endings {
		t.Run(fmt.Sprintf("%q", e.octets), func(t *testing.T) {
			t.Parallel()
			inner := "Subject: one\r\n\r\nbody" + e.octets + secondEnvelope
			wire := inner + "\r\n.\r\n"
			var want []dialogtest.Message
			switch {
			case !e.ends && !e.faulty:
				want = message("a@x", "b@y", unstuffed(inner+"\r\n"))
			case e.ends:
				// Here the client really sends two messages; the first counts if nothing is wrong with it.
				if !e.faulty {
					want = message("a@x", "b@y", "Subject: one\r\n\r\nbody\r\n")
				}
				want = append(want, message("evil@x", "victim@y", "Subject: smuggled\r\n\r\nx\r\n")...)
			}
			for split := 0; split <= len(wire); split++ {
				got := converse(t, wire[:split], wire[split:])
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("split at %d (-want +got):\n%s", split, diff)
				}
			}
		})
	}
}

func message(from, to, body string) []dialogtest.Message {
	return []dialogtest.Message{{Envelope: fmt.Sprintf("FROM:<%s> TO:<%s>", from, to), Body: dialogtest.Escape(body)}}
}

// unstuffed is the content of lines as DATA sends them.
func unstuffed(wire string) string { return strings.ReplaceAll(wire, "\r\n.", "\r\n") }

// converse opens a transaction, sends the parts, and returns what was recorded.
func converse(t *testing.T, parts ...string) []dialogtest.Message {
	t.Helper()
	var got []dialogtest.Message
	bubble(t, func(t *testing.T) {
		r := start(t, &smtpserver.Server{})
		defer r.end()
		c, err := r.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		br := bufio.NewReader(c)
		if _, err := io.WriteString(c, "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n"); err != nil {
			t.Fatal(err)
		}
		for line := ""; !strings.HasPrefix(line, "354"); {
			if line, err = br.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range append(parts, "\r\nQUIT\r\n") {
			if _, err := io.WriteString(c, p); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		if _, err := io.Copy(io.Discard, br); err != nil {
			t.Fatal(err)
		}
		got = r.rec.Messages()
	})
	return got
}

// TestSmugglingChunks does the same in chunks, whose border goes through every octet. In chunks nothing
// ends a message but their count.
func TestSmugglingChunks(t *testing.T) {
	t.Parallel()
	for _, e := range endings {
		t.Run(fmt.Sprintf("%q", e.octets), func(t *testing.T) {
			t.Parallel()
			content := "Subject: one\r\n\r\nbody" + e.octets + secondEnvelope + "\r\n.\r\n"
			var want []dialogtest.Message
			if !e.faulty {
				want = message("a@x", "b@y", content)
			}
			bubble(t, func(t *testing.T) {
				for border := 0; border <= len(content); border++ {
					r := start(t, &smtpserver.Server{})
					c, err := r.Dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					_, err = fmt.Fprintf(c, "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT %d\r\n%sBDAT %d LAST\r\n%sQUIT\r\n",
						border, content[:border], len(content)-border, content[border:])
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, c); err != nil {
						t.Fatal(err)
					}
					r.end()
					if diff := cmp.Diff(want, r.rec.Messages()); diff != "" {
						t.Fatalf("border at %d (-want +got):\n%s", border, diff)
					}
				}
			})
		})
	}
}
