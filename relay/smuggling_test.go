package relay_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
)

// pipes is a listener whose connections are pipes: each write of a test is one read of the server, so
// that a message can be cut exactly where the test wants it.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// sequences are ends of data as different servers have understood them, and what looks like one. Only
// CRLF.CRLF is one; ok says that the sequence is legal inside a message sent by DATA.
var sequences = []struct {
	bytes string
	ok    bool
}{
	{"\n.\n", false}, {"\n.\r\n", false}, {"\r\n.\n", false}, {"\r.\r", false}, {"\r.\n", false}, {"\n.\r", false},
	{"\r.\r\n", false}, {"\r\n.\rx", false}, {"\r\n\x00.\r\n", false}, {"\r\r\n.x\r\n", false}, {"\r\n.\r\r\n", false},
	{"\n\n.\n\n", false}, {"\r\n.\x00\r\n", false}, {"\x00\r\n..\r\n", false}, {"\r\n..\n", false},
	{"\r\n.\r\n", true}, // in BDAT only: there it is content
	{"\r\n..\r\n", true}, {"\r\n...\r\n", true}, {"\r\n..x\r\n", true}, {" .\r\n", true},
}

const embedded = "MAIL FROM:<evil@ex.org>\r\nRCPT TO:<b@ex.net>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n"

// A second message cannot be hidden in a first one, over DATA and BDAT, however the bytes are cut on
// their way, before a next hop that ends messages at any lone dot: it sees one message or none, and the
// one has the bytes that were sent.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	for _, seq := range sequences {
		for _, way := range []string{"DATA", "BDAT"} {
			if way == "DATA" && seq.bytes == "\r\n.\r\n" {
				continue
			}
			t.Run(fmt.Sprintf("%s %q", way, seq.bytes), func(t *testing.T) {
				t.Parallel()
				sink := &relaytest.Sink{Lax: true, Without: []string{"CHUNKING"}}
				next := &relay.SMTP{Hosts: []string{sink.Start(t)}, Hostname: "mx.gw.example"}
				defer next.Close()
				srv := &relay.Server{Hostname: "mx.gw.example", Judge: subject, Directory: relay.Static{"ex.net": {Name: "ex.net", Next: next}}}
				srv.Limits.Errors = -1
				ln := newPipes()
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- srv.Serve(ctx, ln) }()
				defer func() { stop(); <-done }()

				ours, theirs := net.Pipe()
				ln.conns <- theirs
				defer ours.Close()
				ours.SetDeadline(time.Now().Add(60 * time.Second))
				c := &client{t, ours, textproto.NewReader(bufio.NewReader(ours))}
				c.expect("220")
				c.say("EHLO client.example", "250")

				body := "Subject: x\r\n\r\nfirst" + seq.bytes + embedded
				legal := seq.ok || way == "BDAT" && !strings.Contains(seq.bytes, "\x00") && unfit([]byte(body)) == ""
				want := body
				if way == "DATA" {
					want = strings.ReplaceAll(body, "\r\n.", "\r\n")
				}
				for cut := range len(body) {
					before := len(sink.Messages())
					reply := c.cutMail(body, way, cut)
					got := sink.Messages()[before:]
					switch {
					case !legal && (len(got) != 0 || !strings.HasPrefix(reply, "554 5.6.0")):
						t.Fatalf("cut at %d: %q, %d messages at the next hop", cut, reply, len(got))
					case legal && (len(got) != 1 || !strings.HasPrefix(reply, "250")):
						t.Fatalf("cut at %d: %q, %d messages at the next hop", cut, reply, len(got))
					case legal && !strings.HasSuffix(string(got[0].Data), want):
						t.Fatalf("cut at %d: changed: %q", cut, got[0].Data)
					}
				}
			})
		}
	}
}

// cutMail sends one message in two pieces and returns the reply to it.
func (c *client) cutMail(body, way string, cut int) string {
	c.t.Helper()
	c.say("MAIL FROM:<a@ex.org>", "250")
	c.say("RCPT TO:<b@ex.net>", "250")
	var pieces [2]string
	if way == "DATA" {
		c.say("DATA", "354")
		pieces = [2]string{body[:cut], body[cut:] + ".\r\n"}
	} else {
		pieces = [2]string{fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body[:cut]), body[cut:]}
	}
	sent := make(chan error, 1)
	go func() { // the server may answer before it has read everything
		for _, p := range pieces {
			if _, err := io.WriteString(c.nc, p); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	reply := c.expect("")
	if err := <-sent; err != nil {
		c.t.Fatal(err)
	}
	return reply
}
