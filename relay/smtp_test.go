package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

func hopEnvelope(to ...string) verdict.Envelope {
	e := verdict.Envelope{From: "a@example.org"}
	for _, a := range to {
		e.To = append(e.To, verdict.Recipient{Address: a})
	}
	return e
}

// newHop returns a next hop to a sink, which is closed before the sink is.
func newHop(t testing.TB, s *relaytest.Sink) *relay.SMTP {
	t.Helper()
	h := &relay.SMTP{Hosts: []string{s.Start(t)}, Hostname: "gw.example"}
	t.Cleanup(func() { h.Close() })
	return h
}

// codes gives the replies of a delivery in short, or the error's.
func codes(receipts []relay.Receipt, err error) []string {
	if err != nil {
		if r, ok := errors.AsType[*relay.Reply](err); ok {
			return []string{"error " + short(r)}
		}
		return []string{"error: " + err.Error()}
	}
	var out []string
	for _, r := range receipts {
		out = append(out, short(r.Reply))
	}
	return out
}

func short(r *relay.Reply) string {
	if r == nil {
		return "none"
	}
	return fmt.Sprintf("%d %v", r.Code, r.Enhanced)
}

const crlfBody = "Subject: x\r\n\r\nhello\r\n"

func TestSMTPDelivers(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{}
	h := newHop(t, s)
	for range 3 {
		got, err := h.Deliver(t.Context(), hopEnvelope("b@ex.net", "c@ex.net"), verdict.Bytes(crlfBody))
		if err != nil {
			t.Fatal(err)
		}
		host := s.Addr()
		want := []relay.Receipt{
			{Recipient: "b@ex.net", Host: host, DSN: true, Reply: &relay.Reply{Code: 250, Enhanced: relay.EnhancedCode{2, 0, 0}, Text: "taken"}},
			{Recipient: "c@ex.net", Host: host, DSN: true, Reply: &relay.Reply{Code: 250, Enhanced: relay.EnhancedCode{2, 0, 0}, Text: "taken"}},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	msgs := s.Messages()
	if len(msgs) != 3 || s.Conns() != 1 {
		t.Fatalf("%d messages over %d connections, want 3 over 1", len(msgs), s.Conns())
	}
	if d := cmp.Diff([]string{"b@ex.net", "c@ex.net"}, msgs[0].To); d != "" || string(msgs[0].Data) != crlfBody {
		t.Errorf("taken: %q to %q", msgs[0].Data, msgs[0].To)
	}
}

func TestSMTPSetup(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]*relay.SMTP{
		"zero":          {},
		"both":          {Hosts: []string{"a"}, MX: "b"},
		"hostname":      {Hosts: []string{"a"}, Hostname: "a b\r\nRSET"},
		"bare IPv6":     {Hosts: []string{"2001:db8::1"}},
		"port":          {Hosts: []string{"a:70000"}},
		"no host":       {Hosts: []string{":25"}},
		"TLS mode":      {Hosts: []string{"a"}, TLS: 17},
		"control bytes": {Hosts: []string{"a\nb:25"}},
	} {
		if _, err := h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody)); err == nil || !relay.Temporary(err) {
			t.Errorf("%s: error %v, want a temporary one", name, err)
		}
		h.Close()
	}
	h := newHop(t, &relaytest.Sink{})
	if _, err := h.Deliver(t.Context(), hopEnvelope(), verdict.Bytes(crlfBody)); err == nil {
		t.Error("delivered to nobody")
	}
}

// byteCases are bodies that a careless client would change. The server lets no bare CR or LF in.
var byteCases = map[string]string{
	"empty":               "",
	"one dot":             ".\r\n",
	"only dots":           ".\r\n..\r\n...\r\n",
	"dot without end":     "a\r\n.",
	"no final newline":    "Subject: x\r\n\r\nend",
	"leading dots":        ".a\r\n..b\r\n\r\n.\r\n",
	"smuggled":            "a\r\n.\r\nMAIL FROM:<evil@example>\r\n",
	"8 bit":               "Subject: x\r\n\r\n\xff\xfe\xe4\r\n",
	"trailing blanks":     "a  \t \r\n \r\n\t\r\n",
	"998 octets":          strings.Repeat("x", 998) + "\r\n",
	"5000 octets":         strings.Repeat("y", 5000) + "\r\nz\r\n",
	"larger than buffers": strings.Repeat(".0123456789\r\n", 40_000),
	"blank lines":         "\r\n\r\n\r\n",
}

func TestSMTPByteIdentity(t *testing.T) {
	t.Parallel()
	sources := map[string]func(string) verdict.Source{
		"bytes":  func(s string) verdict.Source { return verdict.Bytes(s) },
		"buffer": func(s string) verdict.Source { return spooled(t, &verdict.Spool{}, s) },
		"file":   func(s string) verdict.Source { return spooled(t, &verdict.Spool{Memory: 1}, s) },
		"reader": func(s string) verdict.Source { return dribble(s) },
	}
	for _, without := range [][]string{nil, {"CHUNKING"}, {"CHUNKING", "PIPELINING"}} {
		s := &relaytest.Sink{Without: without}
		h := newHop(t, s)
		for name, body := range byteCases {
			for kind, source := range sources {
				before := len(s.Messages())
				got := codes(h.Deliver(t.Context(), hopEnvelope("b@ex.net"), source(body)))
				if d := cmp.Diff([]string{"250 2.0.0"}, got); d != "" {
					t.Errorf("%s from %s without %v: %s", name, kind, without, d)
					continue
				}
				want := body
				if len(without) > 0 && body != "" && !strings.HasSuffix(body, "\r\n") {
					want += "\r\n"
				}
				msgs := s.Messages()
				if len(msgs) != before+1 || string(msgs[before].Data) != want {
					t.Errorf("%s from %s without %v: not the bytes that were sent", name, kind, without)
				}
			}
		}
		if s.Conns() != 1 {
			t.Errorf("without %v: %d connections, want 1", without, s.Conns())
		}
	}
}

func spooled(t *testing.T, sp *verdict.Spool, s string) verdict.Source {
	b, err := sp.ReadAll(strings.NewReader(s), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// dribble is a source whose reader gives a few bytes at a time and can do nothing else.
type dribble string

func (d dribble) Size() int64 { return int64(len(d)) }
func (d dribble) Open() (io.ReadCloser, error) {
	return struct {
		io.Reader
		io.Closer
	}{&stepReader{r: strings.NewReader(string(d))}, io.NopCloser(nil)}, nil
}

type stepReader struct {
	r    io.Reader
	step int
}

func (r *stepReader) Read(p []byte) (int, error) {
	r.step = r.step%13 + 1
	return r.r.Read(p[:min(len(p), r.step)])
}

// A body that cannot be read to its end, or that lied about its size, must never be taken for whole.
func TestSMTPBrokenBody(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcd\r\n", 10_000)
	for _, without := range [][]string{nil, {"CHUNKING"}} {
		for name, body := range map[string]verdict.Source{
			"fails at open":   brokenSource{size: 10, open: errors.New("disk")},
			"fails in middle": brokenSource{text: long, size: int64(2 * len(long)), err: errors.New("disk")},
			"fails at end":    brokenSource{text: long, size: int64(len(long)), err: errors.New("disk")},
			"too short":       brokenSource{text: long, size: int64(len(long)) + 2, err: io.EOF},
			"too long":        brokenSource{text: long, size: int64(len(long)) - 2, err: io.EOF},
		} {
			s := &relaytest.Sink{Without: without}
			h := newHop(t, s)
			e := hopEnvelope("b@ex.net")
			e.Body = "7BIT"
			got := codes(h.Deliver(t.Context(), e, body))
			if d := cmp.Diff([]string{"error 451 4.3.0"}, got); d != "" || len(s.Messages()) != 0 {
				t.Errorf("%s without %v: %d taken, %s", name, without, len(s.Messages()), d)
			}
			// The connection is not used again in the state that it is in.
			if got := codes(h.Deliver(t.Context(), e, verdict.Bytes(crlfBody))); !slices.Equal(got, []string{"250 2.0.0"}) {
				t.Errorf("%s without %v: then %v", name, without, got)
			}
			if len(s.Messages()) != 1 {
				t.Errorf("%s without %v: %d messages taken in the end, want 1", name, without, len(s.Messages()))
			}
		}
	}
}

type brokenSource struct {
	text      string
	size      int64
	err, open error
}

func (b brokenSource) Size() int64 { return b.size }
func (b brokenSource) Open() (io.ReadCloser, error) {
	if b.open != nil {
		return nil, b.open
	}
	return io.NopCloser(io.MultiReader(strings.NewReader(b.text), errReader{b.err})), nil
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// Content that could end the message early is refused for good, where DATA would be used.
func TestSMTPRefusesBareLF(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"a\n.\r\nMAIL FROM:<x@y>\r\n", "a\r.\r\n", "a\r\n\x00.\r\n"} {
		s := &relaytest.Sink{Without: []string{"CHUNKING"}, Lax: true}
		got := codes(newHop(t, s).Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(body)))
		if d := cmp.Diff([]string{"error 554 5.6.0"}, got); d != "" || len(s.Messages()) > 0 {
			t.Errorf("%q: %d taken, %s", body, len(s.Messages()), d)
		}
	}
}

func TestSMTPContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("shutting down")
	for _, at := range []relaytest.Stage{relaytest.AtConnect, relaytest.AtHello, relaytest.AtMail, relaytest.AtRcpt, relaytest.AtData, relaytest.AtDot} {
		synctest.Test(t, func(t *testing.T) {
			s := &relaytest.Sink{Faults: []relaytest.Fault{{At: at, Delay: time.Hour}}}
			h := pipeHop(t, s)
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(30*time.Millisecond, func() { cancel(cause) })
			start := time.Now()
			got, err := h.Deliver(ctx, hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody))
			if err == nil {
				err = got[0].Reply
			}
			if !errors.Is(err, cause) || !relay.Temporary(err) || time.Since(start) != 30*time.Millisecond {
				t.Errorf("%s: %v after %v, want the context's cause at once", at, err, time.Since(start))
			}
			if at == relaytest.AtDot && !errors.Is(err, relay.ErrUncertain) {
				t.Errorf("%s: %v does not say that it may have been delivered", at, err)
			}
			s.Close()
			h.Close()
		})
	}
}

// A context that ends between two steps stops the next one.
func TestSMTPContextBetweenSteps(t *testing.T) {
	t.Parallel()
	for _, without := range [][]string{nil, {"CHUNKING"}} {
		synctest.Test(t, func(t *testing.T) {
			s := &relaytest.Sink{Without: without}
			h := pipeHop(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			e := hopEnvelope("b@ex.net")
			e.Body = "7BIT" // or the body would be looked at before MAIL
			_, err := h.Deliver(ctx, e, hookSource{verdict.Bytes(crlfBody), func() {
				cancel()
				synctest.Wait()
			}})
			if !errors.Is(err, context.Canceled) || len(s.Messages()) > 0 {
				t.Errorf("without %v: %v, %d taken", without, err, len(s.Messages()))
			}
			h.Close()
		})
	}
}

// hookSource calls a function when it is opened.
type hookSource struct {
	verdict.Source
	hook func()
}

func (s hookSource) Open() (io.ReadCloser, error) {
	s.hook()
	return s.Source.Open()
}

func TestSMTPWithoutHostname(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{}
	h := &relay.SMTP{Hosts: []string{s.Start(t)}}
	t.Cleanup(func() { h.Close() })
	if _, err := h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody)); err != nil {
		t.Fatal(err)
	}
	if got := s.Commands()[0]; got != "1 EHLO [127.0.0.1]" {
		t.Errorf("%q, want the address as a literal", got)
	}
}

// A hop that says nothing is waited for as long as RFC 5321 section 4.5.3.2 asks, and no longer.
func TestSMTPTimeouts(t *testing.T) {
	t.Parallel()
	for at, want := range map[relaytest.Stage]time.Duration{
		relaytest.AtConnect: 2 * time.Minute, // Reach
		relaytest.AtHello:   2 * time.Minute,
		relaytest.AtMail:    5 * time.Minute,
		relaytest.AtRcpt:    5 * time.Minute,
		relaytest.AtData:    2 * time.Minute,
		relaytest.AtDot:     10 * time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &relaytest.Sink{Without: []string{"CHUNKING"}, Faults: []relaytest.Fault{{At: at, Delay: 11 * time.Minute}}}
			h := pipeHop(t, s)
			start := time.Now()
			got, err := h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody))
			if err == nil {
				err = got[0].Reply
			}
			if took := time.Since(start); !relay.Temporary(err) || took != want {
				t.Errorf("%s: %v after %v, want %v", at, err, took, want)
			}
			if errors.Is(err, relay.ErrUncertain) != (at == relaytest.AtDot) {
				t.Errorf("%s: %v", at, err)
			}
			s.Close()
			h.Close()
		})
	}
}
