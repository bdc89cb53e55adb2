package relay_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// What the hop offers decides which parameters are sent, and whether the message can go at all.
func TestSMTPParameters(t *testing.T) {
	t.Parallel()
	const eight = "Subject: x\r\n\r\n\xc3\xa4\r\n"
	to := func(a string) verdict.Envelope { return hopEnvelope(a) }
	with := func(change func(*verdict.Envelope)) verdict.Envelope {
		e := to("b@ex.net")
		change(&e)
		return e
	}
	dsn := with(func(e *verdict.Envelope) {
		e.Return, e.ID = "HDRS", "QQ=314+159 é"
		e.To[0].Notify = []string{"SUCCESS", "bogus\r\nRSET", "DELAY"}
		e.To[0].Original = "rfc822;Bob+x=y@ex.net"
	})
	ascii := dsn
	ascii.ID = "QQ=314+159 x"
	for name, c := range map[string]struct {
		sink *relaytest.Sink
		e    verdict.Envelope
		body string
		want string
		mail string // parameters
		rcpt string
	}{
		"plain":                     {e: to("b@ex.net"), mail: "SIZE=21"},
		"no SIZE":                   {sink: &relaytest.Sink{Without: []string{"SIZE"}}, e: to("b@ex.net")},
		"SIZE too small":            {sink: &relaytest.Sink{Size: 20}, e: to("b@ex.net"), want: "error 552 5.3.4"},
		"SIZE just enough":          {sink: &relaytest.Sink{Size: 21}, e: to("b@ex.net"), mail: "SIZE=21"},
		"8BITMIME asked":            {e: with(func(e *verdict.Envelope) { e.Body = "8BITMIME" }), mail: "SIZE=21 BODY=8BITMIME"},
		"8BITMIME found":            {e: to("b@ex.net"), body: eight, mail: "SIZE=18 BODY=8BITMIME"},
		"7BIT, but is not":          {e: with(func(e *verdict.Envelope) { e.Body = "7BIT" }), body: eight, mail: "SIZE=18"},
		"unlabelled to 7 bit":       {sink: &relaytest.Sink{Without: []string{"8BITMIME"}}, e: to("b@ex.net"), body: eight, mail: "SIZE=18"},
		"8BITMIME to 7 bit":         {sink: &relaytest.Sink{Without: []string{"8BITMIME"}}, e: with(func(e *verdict.Envelope) { e.Body = "8BITMIME" }), body: eight, want: "error 554 5.6.3"},
		"8BITMIME asked in vain":    {sink: &relaytest.Sink{Without: []string{"8BITMIME"}}, e: with(func(e *verdict.Envelope) { e.Body = "8BITMIME" }), mail: "SIZE=21"},
		"SMTPUTF8 asked":            {e: with(func(e *verdict.Envelope) { e.UTF8 = true }), mail: "SIZE=21 SMTPUTF8"},
		"SMTPUTF8 by address":       {e: to("bób@ex.net"), mail: "SIZE=21 SMTPUTF8"},
		"SMTPUTF8 missing":          {sink: &relaytest.Sink{Without: []string{"SMTPUTF8"}}, e: to("bób@ex.net"), want: "error 550 5.6.7"},
		"SMTPUTF8 body":             {sink: &relaytest.Sink{Without: []string{"SMTPUTF8"}}, e: with(func(e *verdict.Envelope) { e.UTF8 = true }), body: eight, want: "error 550 5.6.7"},
		"SMTPUTF8 asked in vain":    {sink: &relaytest.Sink{Without: []string{"SMTPUTF8"}}, e: with(func(e *verdict.Envelope) { e.UTF8 = true }), mail: "SIZE=21"},
		"SMTPUTF8 sender":           {sink: &relaytest.Sink{Without: []string{"SMTPUTF8"}}, e: with(func(e *verdict.Envelope) { e.From = "ä@example.org" }), want: "error 550 5.6.7"},
		"DSN":                       {e: ascii, mail: "SIZE=21 RET=HDRS ENVID=QQ+3D314+2B159+20x", rcpt: "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx+3Dy@ex.net"},
		"DSN with a bad ENVID":      {e: dsn, mail: "SIZE=21 RET=HDRS", rcpt: "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx+3Dy@ex.net"},
		"DSN not offered":           {sink: &relaytest.Sink{Without: []string{"DSN"}}, e: ascii, mail: "SIZE=21"},
		"utf-8 ORCPT":               {e: with(func(e *verdict.Envelope) { e.To[0].Original = "UTF-8;bób+1@ex.net" }), mail: "SIZE=21", rcpt: `ORCPT=utf-8;b\x{F3}b\x{2B}1@ex.net`},
		"bad ORCPT":                 {e: with(func(e *verdict.Envelope) { e.To[0].Original = "rf c;x" }), mail: "SIZE=21"},
		"null sender":               {e: with(func(e *verdict.Envelope) { e.From = "" }), mail: "SIZE=21"},
		"quoted":                    {e: to(`"a > b\" c"@ex.net`), mail: "SIZE=21"},
		"injection into MAIL":       {e: with(func(e *verdict.Envelope) { e.From = "a> SIZE=1\r\nRSET\r\n<" }), want: "error 553 5.1.7"},
		"parameter into MAIL":       {e: with(func(e *verdict.Envelope) { e.From = "a@x> BODY=8BITMIME" }), want: "error 553 5.1.7"},
		"injection into RCPT":       {e: to("a@x>\r\nRSET"), want: "553 5.1.3"},
		"parameter into RCPT":       {e: to("a@x> NOTIFY=NEVER"), want: "553 5.1.3"},
		"escape at the end of RCPT": {e: to(`"a\`), want: "553 5.1.3"},
		"empty RCPT":                {e: to(""), want: "553 5.1.3"},
		"endless RCPT":              {e: to(strings.Repeat("x", 1000) + "@ex.net"), want: "553 5.1.3"},
		"HELO only":                 {sink: &relaytest.Sink{NoEHLO: true}, e: ascii, body: "a\r\n.b\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.sink
			if s == nil {
				s = &relaytest.Sink{}
			}
			body := c.body
			if body == "" {
				body = crlfBody
			}
			want := c.want
			if want == "" {
				want = "250 2.0.0"
			}
			got := codes(newHop(t, s).Deliver(t.Context(), c.e, verdict.Bytes(body)))
			if d := cmp.Diff([]string{want}, got); d != "" {
				t.Fatal(d)
			}
			if c.want != "" {
				if len(s.Messages()) > 0 {
					t.Error("sent all the same")
				}
				return
			}
			m := s.Messages()[0]
			if m.Params != c.mail || m.RcptParams[m.To[0]] != c.rcpt || string(m.Data) != body {
				t.Errorf("MAIL with %q, RCPT with %q, %q", m.Params, m.RcptParams, m.Data)
			}
			if m.From != c.e.From || m.To[0] != c.e.To[0].Address {
				t.Errorf("from %q to %q", m.From, m.To)
			}
		})
	}
}

// One recipient that cannot be named does not keep the message from the others.
func TestSMTPBadRecipientAmongGood(t *testing.T) {
	t.Parallel()
	for _, without := range [][]string{nil, {"CHUNKING"}, {"PIPELINING", "CHUNKING"}} {
		s := &relaytest.Sink{Without: without}
		h := newHop(t, s)
		got := codes(h.Deliver(t.Context(), hopEnvelope("a@x", "b\n@x", "c@x"), verdict.Bytes(crlfBody)))
		if d := cmp.Diff([]string{"250 2.0.0", "553 5.1.3", "250 2.0.0"}, got); d != "" || len(s.Messages()) != 1 {
			t.Errorf("without %v: %s", without, d)
		}
		got = codes(h.DeliverAll(t.Context(), hopEnvelope("a@x", "b\n@x"), verdict.Bytes(crlfBody)))
		if d := cmp.Diff([]string{"451 4.3.0", "553 5.1.3"}, got); d != "" || len(s.Messages()) != 1 || s.Conns() != 1 {
			t.Errorf("without %v: %d connections, %s", without, s.Conns(), d)
		}
	}
}

// More recipients than fit into one batch of commands: neither side may end up waiting for the other
// to listen.
func TestSMTPManyRecipients(t *testing.T) {
	t.Parallel()
	var to []string
	for range 3000 {
		to = append(to, strings.Repeat("x", 40)+"@ex.net")
	}
	for _, without := range [][]string{nil, {"CHUNKING"}} {
		synctest.Test(t, func(t *testing.T) { // over a pipe, which holds nothing
			s := &relaytest.Sink{Without: without, Faults: []relaytest.Fault{{At: relaytest.AtRcpt, Lines: 5, Times: 2000, Reply: "250 " + strings.Repeat("y", 200)}}}
			h := pipeHop(t, s)
			mustDeliver(t, h, to...)
			if got := len(s.Messages()[0].To); got != len(to) {
				t.Errorf("without %v: %d recipients, want %d", without, got, len(to))
			}
			h.Close()
		})
	}
}
