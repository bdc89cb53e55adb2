package relaytest_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay/relaytest"
)

func ExampleSink() {
	sink := &relaytest.Sink{Faults: []relaytest.Fault{
		{At: relaytest.AtDot, Times: 1, Reply: "451 4.3.0 try again"},
	}}
	if err := sink.Listen(); err != nil {
		fmt.Println(err)
		return
	}
	defer sink.Close()

	client, err := smtp.Dial(sink.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	for range 2 {
		err := client.SendMail("ann@example.org", []string{"bob@ex.net"}, strings.NewReader("Subject: hi\r\n\r\n.Bob\r\n"))
		fmt.Println(err)
	}
	for _, m := range sink.Messages() {
		fmt.Printf("%s %s %q\n", m.From, m.To, m.Data)
	}
	// Output:
	// SMTP error 451: try again
	// <nil>
	// ann@example.org [bob@ex.net] "Subject: hi\r\n\r\n.Bob\r\n"
}

// talk sends everything at once and returns all that comes back until the sink hangs up.
func talk(t *testing.T, s *relaytest.Sink, lines string) []string {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(nc, lines); err != nil {
		t.Fatal(err)
	}
	var codes []string
	sc := bufio.NewScanner(nc)
	for sc.Scan() {
		codes = append(codes, sc.Text()[:min(4, len(sc.Text()))])
	}
	return codes
}

const opening = "EHLO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n"

var quiet = []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES", "SIZE"}

func TestSinkDialogs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sink  *relaytest.Sink
		in    string
		want  string
		taken []string
	}{
		"dots":                {&relaytest.Sink{}, opening + "DATA\r\n..a\r\n.b\r\nc\r\n.\r\nQUIT\r\n", "220  250  250  250  354  250  221 ", []string{".a\r\nb\r\nc\r\n"}},
		"strict about ends":   {&relaytest.Sink{}, opening + "DATA\r\na\n.\nb\n.\r\nc\r\n.\r\nQUIT\r\n", "220  250  250  250  354  250  221 ", []string{"a\n.\nb\n.\r\nc\r\n"}},
		"lax about ends":      {&relaytest.Sink{Lax: true}, opening + "DATA\r\na\n.\nMAIL FROM:<evil@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nb\n.\r\nQUIT\r\n", "220  250  250  250  354  250  250  250  354  250  221 ", []string{"a\n", "b\n"}},
		"no recipients":       {&relaytest.Sink{}, "EHLO a\r\nMAIL FROM:<a@x>\r\nDATA\r\nQUIT\r\n", "220  250  250  503  221 ", nil},
		"order":               {&relaytest.Sink{}, "RCPT TO:<b@x>\r\nMAIL FROM:<a@x>\r\nMAIL FROM:<a@x>\r\nNONSENSE\r\nMAIL a@x\r\nQUIT\r\n", "220  503  250  503  500  501  221 ", nil},
		"size":                {&relaytest.Sink{Size: 3}, opening + "DATA\r\nabc\r\n.\r\nQUIT\r\n", "220  250  250  250  354  552  221 ", nil},
		"mail refused":        {&relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtMail, Reply: "550 no"}}}, opening + "QUIT\r\n", "220  250  550  503  221 ", nil},
		"second rcpt refused": {&relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtRcpt, Skip: 1, Times: 1, Reply: "550 no"}}}, opening + "RCPT TO:<c@x>\r\nRCPT TO:<d@x>\r\nQUIT\r\n", "220  250  250  250  550  250  221 ", nil},
		"drop at data":        {&relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtData, Drop: true}}}, opening + "DATA\r\n", "220  250  250  250 ", nil},
		"421":                 {&relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtRcpt, Reply: "421 bye"}}}, opening + "QUIT\r\n", "220  250  250  421 ", nil},
		"kept, then dropped":  {&relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtDot, Keep: true, Drop: true}}}, opening + "DATA\r\na\r\n.\r\n", "220  250  250  250  354 ", []string{"a\r\n"}},
		"lines and extra":     {&relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtHello, Lines: 3, Reply: "250 x", Extra: "250 y"}}}, "EHLO a\r\nQUIT\r\n", "220  250- 250- 250  250  221 ", nil},
		"BDAT":                {&relaytest.Sink{}, opening + "BDAT 3\r\na\r\nBDAT 2 LAST\r\n.bQUIT\r\n", "220  250  250  250  250  250  221 ", []string{"a\r\n.b"}},
		"BDAT 0":              {&relaytest.Sink{}, opening + "BDAT 0 LAST\r\nQUIT\r\n", "220  250  250  250  250  221 ", []string{""}},
		"BDAT without RCPT":   {&relaytest.Sink{}, "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\nQUIT\r\n", "220  503  250  221 ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.sink.Without == nil {
				c.sink.Without = quiet
				if strings.Contains(c.in, "BDAT") {
					c.sink.Without = nil
					c.in = strings.Replace(c.in, "EHLO", "HELO", 1)
				}
			}
			c.in = strings.Replace(c.in, "EHLO", "HELO", 1)
			c.sink.Start(t)
			got := talk(t, c.sink, c.in)
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
				t.Error(d)
			}
			var taken []string
			for _, m := range c.sink.Messages() {
				taken = append(taken, string(m.Data))
			}
			if d := cmp.Diff(c.taken, taken); d != "" {
				t.Error(d)
			}
		})
	}
}

// A client by somebody else gets along with all that is offered.
func TestSinkForeignClient(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{}
	c, err := smtp.Dial(s.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, x := range []string{"PIPELINING", "CHUNKING", "DSN", "SMTPUTF8", "8BITMIME", "SIZE"} {
		if ok, _ := c.Extension(x); !ok {
			t.Errorf("%s is not offered", x)
		}
	}
	if err := c.SendMail("a@x", []string{"b@x"}, strings.NewReader(strings.Repeat("x", 200_000)+"\r\n")); err != nil {
		t.Fatal(err)
	}
	if m := s.Messages()[0]; m.Size != 200_002 || m.Params != "BODY=8BITMIME" {
		t.Errorf("%d octets, MAIL with %q", m.Size, m.Params)
	}
}

func TestSinkIdleClose(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{IdleClose: time.Second}
	s.Start(t)
	if got := talk(t, s, "NOOP\r\n"); len(got) != 2 {
		t.Errorf("%q, want a greeting, a reply and the end", got)
	}
}

func TestSinkHangup(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{TLS: &tls.Config{}}
	nc, err := net.Dial("tcp", s.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	br := bufio.NewReader(nc)
	if _, err := br.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	s.Hangup()
	if _, err := br.ReadString('\n'); !errors.Is(err, io.EOF) && err == nil {
		t.Errorf("%v, want the end", err)
	}
}
