package relay_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// faultCases are all the ways in which a next hop fails, each once. want are the replies for <b> and
// <c>, to are those who got the message. After it a second message must get through; conns is the
// number of connections for both.
var faultCases = []struct {
	name  string
	fault relaytest.Fault
	want  []string
	all   []string // for DeliverAll, if other than want
	to    []string
	conns int
}{
	{"connect 4xx", relaytest.Fault{At: relaytest.AtConnect, Reply: "450 4.3.2 busy"}, []string{"error 450 4.3.2"}, nil, nil, 2},
	{"connect 421", relaytest.Fault{At: relaytest.AtConnect, Reply: "421 4.3.2 busy"}, []string{"error 451 4.3.2"}, nil, nil, 2},
	{"connect 5xx is about us", relaytest.Fault{At: relaytest.AtConnect, Reply: "554 5.7.1 no"}, []string{"error 451 4.4.1"}, nil, nil, 2},
	{"connect drop", relaytest.Fault{At: relaytest.AtConnect, Drop: true}, []string{"error 451 4.4.2"}, nil, nil, 2},
	{"connect garbage", relaytest.Fault{At: relaytest.AtConnect, Reply: "HTTP/1.1 400 Bad Request"}, []string{"error 451 4.5.0"}, nil, nil, 2},
	{"EHLO 4xx", relaytest.Fault{At: relaytest.AtHello, Reply: "451 4.3.0 later"}, []string{"error 451 4.3.0"}, nil, nil, 2},
	{"EHLO 5xx then HELO", relaytest.Fault{At: relaytest.AtHello, Reply: "550 5.7.1 what"}, []string{"250 2.0.0", "250 2.0.0"}, nil, []string{"b", "c"}, 1},
	{"EHLO drop", relaytest.Fault{At: relaytest.AtHello, Drop: true}, []string{"error 451 4.4.2"}, nil, nil, 2},
	{"EHLO 5,000 lines", relaytest.Fault{At: relaytest.AtHello, Lines: 5000, Reply: "250 X"}, []string{"error 451 4.5.0"}, nil, nil, 2},
	{"MAIL 4xx", relaytest.Fault{At: relaytest.AtMail, Reply: "452 4.3.1 full"}, []string{"error 452 4.3.1"}, nil, nil, 1},
	{"MAIL 5xx", relaytest.Fault{At: relaytest.AtMail, Reply: "550 5.1.8 who"}, []string{"error 550 5.1.8"}, nil, nil, 1},
	{"MAIL 530 is about us", relaytest.Fault{At: relaytest.AtMail, Reply: "530 5.7.0 STARTTLS first"}, []string{"error 451 4.7.0"}, nil, nil, 1},
	{"MAIL 421", relaytest.Fault{At: relaytest.AtMail, Reply: "421 4.3.2 bye"}, []string{"error 451 4.3.2"}, nil, nil, 2},
	{"MAIL drop", relaytest.Fault{At: relaytest.AtMail, Drop: true}, []string{"error 451 4.4.2"}, nil, nil, 2},
	{"MAIL split", relaytest.Fault{At: relaytest.AtMail, Split: true}, []string{"250 2.0.0", "250 2.0.0"}, nil, []string{"b", "c"}, 1},
	{"MAIL 3xx", relaytest.Fault{At: relaytest.AtMail, Reply: "354 go"}, []string{"error 451 4.5.0"}, nil, nil, 2},
	{"MAIL 5,000 lines", relaytest.Fault{At: relaytest.AtMail, Reply: "250 ok", Lines: 5000}, []string{"error 451 4.5.0"}, nil, nil, 2},
	{"RCPT 4xx", relaytest.Fault{At: relaytest.AtRcpt, Match: "<c>", Reply: "450 4.2.1 grey"}, []string{"250 2.0.0", "450 4.2.1"}, []string{"451 4.3.0", "450 4.2.1"}, []string{"b"}, 1},
	{"RCPT 5xx", relaytest.Fault{At: relaytest.AtRcpt, Match: "<b>", Reply: "550 5.1.1 who"}, []string{"550 5.1.1", "250 2.0.0"}, []string{"550 5.1.1", "451 4.3.0"}, []string{"c"}, 1},
	{"RCPT no enhanced code", relaytest.Fault{At: relaytest.AtRcpt, Match: "<c>", Reply: "550 who"}, []string{"250 2.0.0", "550 0.0.0"}, []string{"451 4.3.0", "550 0.0.0"}, []string{"b"}, 1},
	{"RCPT all 5xx", relaytest.Fault{At: relaytest.AtRcpt, Times: 2, Reply: "550 5.1.1 who"}, []string{"550 5.1.1", "550 5.1.1"}, nil, nil, 1},
	{"RCPT 421", relaytest.Fault{At: relaytest.AtRcpt, Match: "<c>", Reply: "421 4.3.2 bye"}, []string{"451 4.3.2", "451 4.3.2"}, nil, nil, 2},
	{"RCPT drop", relaytest.Fault{At: relaytest.AtRcpt, Match: "<c>", Drop: true}, []string{"error 451 4.4.2"}, nil, nil, 2},
	{"RCPT refused then drop", relaytest.Fault{At: relaytest.AtRcpt, Match: "<b>", Reply: "550 5.1.1 who", Drop: true}, []string{"550 5.1.1", "451 4.4.2"}, nil, nil, 2},
	{"DATA 4xx", relaytest.Fault{At: relaytest.AtData, Reply: "451 4.3.0 later"}, []string{"error 451 4.3.0"}, nil, nil, 1},
	{"DATA 5xx", relaytest.Fault{At: relaytest.AtData, Reply: "554 5.7.1 no"}, []string{"error 554 5.7.1"}, nil, nil, 1},
	{"DATA 421", relaytest.Fault{At: relaytest.AtData, Reply: "421 4.3.2 bye"}, []string{"error 451 4.3.2"}, nil, nil, 2},
	{"DATA drop", relaytest.Fault{At: relaytest.AtData, Drop: true}, []string{"error 451 4.4.2"}, nil, nil, 2},
	{"DATA 2xx", relaytest.Fault{At: relaytest.AtData, Reply: "250 2.0.0 thanks"}, []string{"error 451 4.5.0"}, nil, nil, 2},
	{"reply too many before the body", relaytest.Fault{At: relaytest.AtData, Extra: "250 2.0.0 taken"}, []string{"error 451 4.5.0"}, nil, nil, 2},
	{"body drop", relaytest.Fault{At: relaytest.AtBody, Drop: true}, []string{"451 4.4.2", "451 4.4.2"}, nil, nil, 2},
	{"dot 4xx", relaytest.Fault{At: relaytest.AtDot, Reply: "452 4.3.1 full"}, []string{"452 4.3.1", "452 4.3.1"}, nil, nil, 1},
	{"dot 5xx", relaytest.Fault{At: relaytest.AtDot, Reply: "554 5.7.1 spam"}, []string{"554 5.7.1", "554 5.7.1"}, nil, nil, 1},
	{"dot 421", relaytest.Fault{At: relaytest.AtDot, Reply: "421 4.3.2 bye"}, []string{"451 4.3.2", "451 4.3.2"}, nil, nil, 2},
	{"dot drop", relaytest.Fault{At: relaytest.AtDot, Drop: true}, []string{"451 4.4.2", "451 4.4.2"}, nil, nil, 2},
	{"taken, then drop", relaytest.Fault{At: relaytest.AtDot, Drop: true, Keep: true}, []string{"451 4.4.2", "451 4.4.2"}, nil, []string{"b", "c"}, 2},
	{"dot 3xx", relaytest.Fault{At: relaytest.AtDot, Reply: "354 more"}, []string{"451 4.4.2", "451 4.4.2"}, nil, nil, 2},
	{"dot late", relaytest.Fault{At: relaytest.AtDot, Delay: 20 * time.Millisecond}, []string{"250 2.0.0", "250 2.0.0"}, nil, []string{"b", "c"}, 1},
	{"reply too many at the end", relaytest.Fault{At: relaytest.AtDot, Extra: "250 2.0.0 again"}, []string{"250 2.0.0", "250 2.0.0"}, nil, []string{"b", "c"}, 2},
}

func TestSMTPFaults(t *testing.T) {
	t.Parallel()
	for mode, without := range map[string][]string{
		"DATA":     {"CHUNKING"},
		"BDAT":     nil,
		"lockstep": {"CHUNKING", "PIPELINING"},
		"slow":     {"PIPELINING"},
	} {
		for _, all := range []bool{false, true} {
			for _, c := range faultCases {
				chunks := !slices.Contains(without, "CHUNKING")
				if chunks && c.fault.At == relaytest.AtData {
					continue // these are TestSMTPChunkRefused
				}
				t.Run(mode+"/"+c.name, func(t *testing.T) {
					t.Parallel()
					f := c.fault
					f.Times = max(f.Times, 1)
					s := &relaytest.Sink{Without: without, Faults: []relaytest.Fault{f}}
					h := newHop(t, s)
					deliver := h.Deliver
					want, to := c.want, c.to
					if all {
						deliver = h.DeliverAll
						if c.all != nil {
							want, to = c.all, nil
						}
					}
					receipts, err := deliver(t.Context(), hopEnvelope("b", "c"), verdict.Bytes(crlfBody))
					if d := cmp.Diff(want, codes(receipts, err)); d != "" {
						t.Error(d)
					}
					var got []string
					for _, m := range s.Messages() {
						got = append(got, m.To...)
					}
					if d := cmp.Diff(to, got); d != "" {
						t.Error("recipients who got it:", d)
					}
					before := len(s.Messages())
					if got := codes(h.Deliver(t.Context(), hopEnvelope("z"), verdict.Bytes(crlfBody))); !slices.Equal(got, []string{"250 2.0.0"}) {
						t.Errorf("afterwards: %v", got)
					}
					if n := len(s.Messages()); n != before+1 || s.Messages()[n-1].To[0] != "z" || string(s.Messages()[n-1].Data) != crlfBody {
						t.Errorf("afterwards %d messages, want %d", n, before+1)
					}
					if s.Conns() != c.conns {
						t.Errorf("%d connections, want %d", s.Conns(), c.conns)
					}
				})
			}
		}
	}
}

// A chunk is refused or lost after all of it was sent.
func TestSMTPChunkRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault     relaytest.Fault
		want      []string
		uncertain bool
		conns     int
	}{
		{relaytest.Fault{Reply: "451 4.3.0 later"}, []string{"451 4.3.0"}, false, 1},
		{relaytest.Fault{Reply: "554 5.7.1 no"}, []string{"554 5.7.1"}, false, 1},
		{relaytest.Fault{Reply: "421 4.3.2 bye"}, []string{"451 4.3.2"}, false, 2},
		{relaytest.Fault{Drop: true}, []string{"451 4.4.2"}, true, 2},
	} {
		c.fault.At, c.fault.Times = relaytest.AtData, 1
		s := &relaytest.Sink{Faults: []relaytest.Fault{c.fault}}
		h := newHop(t, s)
		receipts, err := h.Deliver(t.Context(), hopEnvelope("b"), verdict.Bytes(crlfBody))
		if d := cmp.Diff(c.want, codes(receipts, err)); d != "" {
			t.Errorf("%+v: %s", c.fault, d)
		}
		if err == nil && errors.Is(receipts[0].Reply, relay.ErrUncertain) != c.uncertain {
			t.Errorf("%+v: %v", c.fault, receipts[0].Reply)
		}
		if _, err := h.Deliver(t.Context(), hopEnvelope("z"), verdict.Bytes(crlfBody)); err != nil || s.Conns() != c.conns {
			t.Errorf("%+v: then %v over %d connections, want %d", c.fault, err, s.Conns(), c.conns)
		}
	}
}

// A hop that refuses in the middle of a large body and hangs up is understood, if its reply gets here.
func TestSMTPEarlyRefusal(t *testing.T) {
	t.Parallel()
	body := verdict.Bytes(strings.Repeat("0123456789abcd\r\n", 1<<18)) // 4 MiB
	for _, without := range [][]string{nil, {"CHUNKING"}} {
		s := &relaytest.Sink{Without: without, Discard: true, Faults: []relaytest.Fault{
			{At: relaytest.AtBody, Reply: "552 5.3.4 too much"},
		}}
		got := codes(newHop(t, s).Deliver(t.Context(), hopEnvelope("b"), body))
		// It is seen before the end or there, as it happens.
		if len(got) != 1 || strings.TrimPrefix(got[0], "error ") != "552 5.3.4" || len(s.Messages()) > 0 {
			t.Errorf("without %v: %d taken, %q", without, len(s.Messages()), got)
		}
	}
}

// A hop that asks for the message although it refused all recipients gets nothing, not even a dot.
func TestSMTPDataForNobody(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{Without: []string{"CHUNKING"}, Faults: []relaytest.Fault{
		{At: relaytest.AtRcpt, Reply: "550 5.1.1 who"},
		{At: relaytest.AtData, Reply: "354 go ahead"},
	}}
	h := newHop(t, s)
	for range 2 {
		got := codes(h.Deliver(t.Context(), hopEnvelope("b"), verdict.Bytes(crlfBody)))
		if d := cmp.Diff([]string{"550 5.1.1"}, got); d != "" {
			t.Error(d)
		}
	}
	if s.Conns() != 2 || slices.ContainsFunc(s.Commands(), func(c string) bool { return strings.HasSuffix(c, " .") }) {
		t.Errorf("%d connections, commands %q", s.Conns(), s.Commands())
	}
}

func TestSMTPDeliverAllWaits(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{Without: []string{"CHUNKING"}, Faults: []relaytest.Fault{{At: relaytest.AtRcpt, Match: "<c>", Reply: "550 5.1.1 who"}}}
	got, err := newHop(t, s).DeliverAll(t.Context(), hopEnvelope("b", "c"), verdict.Bytes(crlfBody))
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(got[0].Reply, relay.ErrNotSent) || errors.Is(got[1].Reply, relay.ErrNotSent) {
		t.Errorf("%v, %v: want only the first to be not sent", got[0].Reply, got[1].Reply)
	}
	want := []string{"1 EHLO gw.example", "1 MAIL FROM:<a@example.org> SIZE=21", "1 RCPT TO:<b>", "1 RCPT TO:<c>", "1 RSET"}
	if d := cmp.Diff(want, s.Commands()); d != "" {
		t.Error(d)
	}
}
