package milter_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/emersion/go-milter"
	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/milter"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// filter is a milter that notes what it hears and answers what the test says, by stage.
type filter struct {
	wire.NoOpMilter
	mu      sync.Mutex
	heard   []string
	body    bytes.Buffer
	answers map[string]wire.Response
	end     func(m *wire.Modifier, body []byte) (wire.Response, error)
}

func (f *filter) answer(stage, heard string) (wire.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = append(f.heard, stage+" "+heard)
	if r, ok := f.answers[stage]; ok {
		return r, nil
	}
	return wire.RespContinue, nil
}

func (f *filter) Connect(host, family string, port uint16, addr net.IP, m *wire.Modifier) (wire.Response, error) {
	return f.answer("connect", fmt.Sprintf("%s %s %d %v j=%s", host, family, port, addr, m.Macros["j"]))
}

func (f *filter) Helo(name string, m *wire.Modifier) (wire.Response, error) {
	return f.answer("helo", name)
}

func (f *filter) MailFrom(from string, m *wire.Modifier) (wire.Response, error) {
	return f.answer("mail", from+" i="+m.Macros["i"])
}

func (f *filter) RcptTo(to string, m *wire.Modifier) (wire.Response, error) {
	if r, ok := f.answers["rcpt "+to]; ok {
		return r, nil
	}
	return f.answer("rcpt", to)
}

func (f *filter) Header(name, value string, m *wire.Modifier) (wire.Response, error) {
	return f.answer("header", name+"="+value)
}

func (f *filter) Headers(textproto.MIMEHeader, *wire.Modifier) (wire.Response, error) {
	return f.answer("eoh", "")
}

func (f *filter) BodyChunk(b []byte, m *wire.Modifier) (wire.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.body.Write(b)
	if r, ok := f.answers["body"]; ok {
		return r, nil
	}
	return wire.RespContinue, nil
}

func (f *filter) Body(m *wire.Modifier) (wire.Response, error) {
	if f.end != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.end(m, f.body.Bytes())
	}
	return f.answer("end", "")
}

// said returns what the next session of a milter has heard.
func said(t *testing.T, sessions chan *filter) (heard []string, body string) {
	t.Helper()
	f := <-sessions
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard, f.body.String()
}

// noting makes filters and hands them to the test.
func noting() (fresh func() *filter, sessions chan *filter) {
	sessions = make(chan *filter, 10)
	return func() *filter {
		f := &filter{}
		sessions <- f
		return f
	}, sessions
}

// start runs a milter that is made anew for every session.
func start(tb testing.TB, fresh func() *filter, protocol wire.OptProtocol) net.Addr {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	srv := &wire.Server{NewMilter: func() wire.Milter { return fresh() }, Protocol: protocol,
		Actions: wire.OptAddHeader | wire.OptQuarantine | wire.OptChangeBody | wire.OptAddRcpt}
	done := background(func() { srv.Serve(ln) })
	tb.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr()
}

func background(f func()) chan struct{} {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	return done
}

func gtube() *filter {
	return &filter{end: func(_ *wire.Modifier, body []byte) (wire.Response, error) {
		if bytes.Contains(body, []byte(teststring.GTUBE)) {
			return wire.RespReject, nil
		}
		return wire.RespAccept, nil
	}}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New:    func(_ testing.TB, engine net.Addr) verdict.Scanner { return &milter.Scanner{Address: engine.String()} },
		Hit:    verdicttest.Spam,
		Want:   verdict.Spam,
		Engine: func(tb testing.TB) net.Addr { return start(tb, gtube, 0) },
	})
}

// Everything arrives, in order, and nothing of the mail can break out of its place.
func TestHears(t *testing.T) {
	t.Parallel()
	fresh, sessions := noting()
	addr := start(t, fresh, 0)
	body := strings.Repeat("0123456789abcde\n", 10000) + "\x00.\r\n"
	m := verdict.NewMessage(verdict.Bytes("Subject: a\r\n  folded\r\nEmpty:\r\nTabbed:\tx\r\nNo space:x\r\nX:  two\x00B: y\r\nnot a field\r\n\r\n" + body))
	m.ID = "abc"
	m.Origin = verdict.Client{Addr: netip.MustParseAddrPort("[2001:db8::1]:4242"), Helo: "h\x00i\r\n"}
	m.Envelope = verdict.Envelope{From: "", To: []verdict.Recipient{{Address: "b@example.net\x00x"}, {Address: "c@example.net"}}}
	s := &milter.Scanner{Address: addr.String(), Hostname: "gw.example"}
	if fs, err := s.Scan(t.Context(), m); err != nil || fs != nil {
		t.Fatalf("%v, %v", fs, err)
	}
	want := []string{"connect [2001:db8::1] tcp6 4242 2001:db8::1 j=gw.example", "helo h?i??", "mail  i=abc", "rcpt b@example.net?x", "rcpt c@example.net",
		"header Subject=a\n  folded", "header Empty=", "header Tabbed=x", "header X= two?B: y", "eoh ", "end "}
	heard, got := said(t, sessions)
	if d := cmp.Diff(want, heard); d != "" {
		t.Error(d)
	}
	if got != body {
		t.Errorf("the body has %d bytes, want %d", len(got), len(body))
	}
	m.Envelope.To = nil
	if _, err := s.Scan(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if heard, _ := said(t, sessions); !slices.Contains(heard, "rcpt postmaster") {
		t.Errorf("without recipients: %q", heard)
	}
	for _, tt := range []struct {
		client        verdict.Client
		connect, helo string
	}{
		{verdict.Client{}, "connect unknown unknown 0 <nil> j=gw.example", "helo unknown"},
		{verdict.Client{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Name: "mx.example", Helo: "h"}, "connect mx.example tcp4 25 192.0.2.1 j=gw.example", "helo h"},
	} {
		m.Origin = tt.client
		_, err := s.Scan(t.Context(), m)
		if heard, _ := said(t, sessions); err != nil || heard[0] != tt.connect || heard[1] != tt.helo {
			t.Errorf("%v, %q", err, heard)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	stages := map[string]string{"connect": "connect", "helo": "HELO", "mail": "MAIL", "rcpt": "RCPT", "header": "header", "eoh": "header", "body": "body", "end": "end of message"}
	for _, tt := range []struct {
		name   string
		answer wire.Response
		want   string
		err    string
	}{
		{"continue", wire.RespContinue, "", ""},
		{"accept", wire.RespAccept, "", ""},
		{"reject", wire.RespReject, "milter.reject=malicious STAGE", ""},
		{"discard", wire.RespDiscard, "milter.discard=spam STAGE", ""},
		{"tempfail", wire.RespTempFail, "", "asked again later: STAGE"},
		{"550", wire.NewResponseStr('y', "550 5.7.1 virus\r\nfound"), "milter.reject=malicious STAGE 5.7.1 virus found", ""},
		{"451", wire.NewResponseStr('y', "451 4.7.1 greylisted"), "", "asked again later: STAGE 4.7.1 greylisted"},
		{"250", wire.NewResponseStr('y', "250 2.0.0 fine"), "", "cannot be read"},
		{"no code", wire.NewResponseStr('y', "abc fine"), "", "cannot be read"},
		{"skip", wire.Response(wire.NewResponse('s', nil)), "", "cannot be read"},
		{"something else", wire.NewResponse('!', nil), "", "cannot be read"},
	} {
		for stage, shown := range stages {
			t.Run(tt.name+" at "+stage, func(t *testing.T) {
				t.Parallel()
				addr := start(t, func() *filter { return &filter{answers: map[string]wire.Response{stage: tt.answer}} }, 0)
				fs, err := (&milter.Scanner{Address: addr.String(), Reject: verdict.Malicious}).Scan(t.Context(), verdicttest.Clean(t))
				got := ""
				for _, f := range fs {
					got += f.Code + "=" + f.Class.String() + " " + f.Detail
				}
				if want := strings.ReplaceAll(tt.want, "STAGE", shown); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				if want := strings.ReplaceAll(tt.err, "STAGE", shown); (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			})
		}
	}
}

// A milter that refuses some recipients does not object to the message; one that refuses all does.
func TestRecipients(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answers map[string]wire.Response
		want    string
	}{
		"one": {map[string]wire.Response{"rcpt b@example.net": wire.RespReject}, "milter.recipient=unknown 1 of 2 recipients refused"},
		"all": {map[string]wire.Response{"rcpt": wire.NewResponseStr('y', "550 no")}, "milter.reject=spam RCPT no"},
	} {
		addr := start(t, func() *filter { return &filter{answers: tt.answers} }, 0)
		m := verdicttest.Clean(t)
		m.Envelope.To = []verdict.Recipient{{Address: "b@example.net"}, {Address: "c@example.net"}}
		fs, err := (&milter.Scanner{Address: addr.String()}).Scan(t.Context(), m)
		if err != nil || len(fs) != 1 || fs[0].Code+"="+fs[0].Class.String()+" "+fs[0].Detail != tt.want {
			t.Errorf("%s: %+v, %v; want %s", name, fs, err, tt.want)
		}
	}
}

// What a milter would change is evidence, or what a rule says.
func TestChanges(t *testing.T) {
	t.Parallel()
	rules := []milter.Rule{{Name: "x-mark", Prefix: "bad", Class: verdict.Malicious}, {Name: "X-Mark", Class: verdict.Spam}}
	for name, tt := range map[string]struct {
		do    func(m *wire.Modifier) error
		rules []milter.Rule
		want  string
		blind bool
	}{
		"a field":         {func(m *wire.Modifier) error { return m.AddHeader("Authentication-Results", "x;\r\n\tspf=pass") }, nil, "milter.header=unknown Authentication-Results: x; spf=pass", false},
		"spam":            {func(m *wire.Modifier) error { return m.InsertHeader(0, "x-spam-flag", " yes") }, nil, "milter.header=spam x-spam-flag: yes", false},
		"no spam":         {func(m *wire.Modifier) error { return m.AddHeader("X-Spam-Flag", "NO") }, nil, "milter.header=unknown X-Spam-Flag: NO", false},
		"infected":        {func(m *wire.Modifier) error { return m.ChangeHeader(1, "X-Virus-Status", "Infected (Eicar)") }, nil, "milter.header=malicious X-Virus-Status: Infected (Eicar)", false},
		"not scanned":     {func(m *wire.Modifier) error { return m.AddHeader("X-Virus-Status", "Not Scanned") }, nil, "milter.header=unknown X-Virus-Status: Not Scanned", true},
		"the highest":     {func(m *wire.Modifier) error { return m.AddHeader("X-Mark", "BAD thing") }, rules, "milter.header=malicious X-Mark: BAD thing", false},
		"rules of others": {func(m *wire.Modifier) error { return m.AddHeader("X-Spam-Flag", "YES") }, rules, "milter.header=unknown X-Spam-Flag: YES", false},
		"quarantine":      {func(m *wire.Modifier) error { return m.Quarantine("odd\nthing") }, nil, "milter.quarantine=malicious odd thing", false},
		"body": {func(m *wire.Modifier) error {
			return errors.Join(m.ReplaceBody([]byte("a")), m.ReplaceBody([]byte("b")))
		}, nil, "milter.change=unknown another body", false},
		"recipient": {func(m *wire.Modifier) error { return m.AddRecipient("x@example.org") }, nil, "milter.change=unknown envelope: + <x@example.org>", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := start(t, func() *filter {
				return &filter{end: func(m *wire.Modifier, _ []byte) (wire.Response, error) { return wire.RespAccept, tt.do(m) }}
			}, 0)
			fs, err := (&milter.Scanner{Address: addr.String(), Rules: tt.rules, Quarantine: verdict.Malicious}).Scan(t.Context(), verdicttest.Clean(t))
			if err != nil || len(fs) != 1 || fs[0].Code+"="+fs[0].Class.String()+" "+fs[0].Detail != tt.want || (fs[0].Err != nil) != tt.blind {
				t.Errorf("got %+v, %v; want %s", fs, err, tt.want)
			}
		})
	}
	addr := start(t, func() *filter {
		return &filter{end: func(m *wire.Modifier, _ []byte) (wire.Response, error) {
			for i := range 200 {
				m.AddHeader("X", fmt.Sprint(i))
			}
			return wire.RespAccept, nil
		}}
	}, 0)
	if _, err := (&milter.Scanner{Address: addr.String()}).Scan(t.Context(), verdicttest.Clean(t)); err == nil {
		t.Error("200 changes: no error")
	}
}

// A milter may leave out steps that it was offered to leave out, and no others.
func TestNegotiation(t *testing.T) {
	t.Parallel()
	fresh, sessions := noting()
	for _, protocol := range []wire.OptProtocol{wire.OptNoConnect | wire.OptNoHelo | wire.OptNoMailFrom | wire.OptNoRcptTo | wire.OptNoHeaders | wire.OptNoEOH, wire.OptNoBody} {
		addr := start(t, fresh, protocol)
		if fs, err := (&milter.Scanner{Address: addr.String()}).Scan(t.Context(), verdicttest.Clean(t)); err != nil || fs != nil {
			t.Errorf("%#x: %v, %v", protocol, fs, err)
		}
		heard, body := said(t, sessions)
		if protocol == wire.OptNoBody != (body == "") || protocol != wire.OptNoBody && len(heard) != 1 {
			t.Errorf("%#x: heard %q and %d bytes", protocol, heard, len(body))
		}
	}
	addr := start(t, gtube, wire.OptHeaderLeadingSpace)
	if _, err := (&milter.Scanner{Address: addr.String()}).Scan(t.Context(), verdicttest.Clean(t)); err == nil || !strings.Contains(err.Error(), "not offered") {
		t.Errorf("got %v", err)
	}
	// One that announces silence about header fields and answers all the same: its answers are about other things than
	// they seem to be.
	addr = start(t, gtube, wire.OptNoHeaderReply)
	if fs, err := (&milter.Scanner{Address: addr.String()}).Scan(t.Context(), verdicttest.Spam(t)); err == nil || !strings.Contains(err.Error(), "silence") {
		t.Errorf("got %v, %v", fs, err)
	}
	// One that keeps its word. The library answers for filters that return something.
	addr = start(t, func() *filter {
		f := gtube()
		f.answers = map[string]wire.Response{"header": nil, "body": nil}
		return f
	}, wire.OptNoHeaderReply|wire.OptNoBodyReply)
	if fs, err := (&milter.Scanner{Address: addr.String()}).Scan(t.Context(), verdicttest.Spam(t)); err != nil || len(fs) != 1 {
		t.Errorf("got %v, %v", fs, err)
	}
}

func TestWiring(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "x", "unix:", "127.0.0.1:1", "unix:/nonexistent/milter.sock"} {
		if _, err := (&milter.Scanner{Address: address}).Scan(t.Context(), verdicttest.Clean(t)); err == nil {
			t.Errorf("address %q: no error", address)
		}
	}
	s := &milter.Scanner{Address: start(t, gtube, 0).String()}
	m := verdict.NewMessage(verdict.Bytes("Subject: " + strings.Repeat("x", 100000) + "\r\n\r\n"))
	if _, err := s.Scan(t.Context(), m); !errors.Is(err, verdict.ErrUnscannable) {
		t.Errorf("a field that does not fit: %v", err)
	}
	m = verdict.NewMessage(verdict.Bytes(strings.Repeat("X: y\r\n", 5000) + "\r\n"))
	if _, err := s.Scan(t.Context(), m); !errors.Is(err, verdict.ErrTooComplex) {
		t.Errorf("a header that is too much: %v", err)
	}
}

// canned is a connection on which a milter has said everything already.
type canned struct {
	net.Conn
	io.Reader
}

func (c canned) Read(p []byte) (int, error)      { return c.Reader.Read(p) }
func (c canned) SetReadDeadline(time.Time) error { return nil }

func (c canned) Write(p []byte) (int, error) { return len(p), nil }
func (c canned) Close() error                { return nil }

// packet is one packet of the protocol.
func packet(code byte, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))) + string(code) + data
}

var negotiated = packet('O', "\x00\x00\x00\x06\x00\x00\x00\x01\x00\x00\x00\x00")

var sessions = []string{
	"", negotiated, packet('O', ""), negotiated[:10], negotiated + packet('a', ""), negotiated + packet('r', ""), negotiated + packet('t', ""),
	negotiated + strings.Repeat(packet('c', ""), 100),
	negotiated + packet('y', "550 5.7.1 no\x00"), negotiated + packet('y', "5"), negotiated + packet('y', ""), negotiated + packet('p', "") + packet('a', ""),
	negotiated + strings.Repeat(packet('c', ""), 7) + packet('h', "X\x00y\x00") + packet('q', "why\x00") + packet('m', "\x00\x00\x00\x01X\x00\x00") + packet('b', "x") + packet('+', "<a@b>\x00") + packet('c', ""),
	negotiated + strings.Repeat(packet('c', ""), 7) + packet('h', "X") + packet('c', ""),
	negotiated + strings.Repeat(packet('c', ""), 7) + packet('i', "X") + packet('c', ""),
	"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x0f\xff\xffO",
	packet('O', "\x00\x00\x00\x06\xff\xff\xff\xff\xff\xff\xff\xff"), packet('O', "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"),
}

// Whatever a milter says: what passes ends with "accept" or "continue".
func FuzzSession(f *testing.F) {
	for _, s := range sessions {
		f.Add([]byte(s))
	}
	mail := verdicttest.New(f, "Subject: x\n\nbody\n")
	f.Fuzz(func(t *testing.T, said []byte) {
		fs, err := milter.Converse(canned{Reader: bytes.NewReader(said)}, mail)
		if err == nil && len(fs) == 0 && !bytes.Contains(said, []byte(packet('a', ""))) && !bytes.Contains(said, []byte{0, 0, 0, 1, 'c'}) &&
			!bytes.ContainsAny(said, "ac") {
			t.Errorf("%q passes", said)
		}
	})
}

func TestSessions(t *testing.T) {
	t.Parallel()
	var passed []string
	for _, s := range sessions {
		if fs, err := milter.Converse(canned{Reader: strings.NewReader(s)}, verdicttest.New(t, "Subject: x\n\nbody\n")); err == nil && len(fs) == 0 {
			passed = append(passed, s)
		}
	}
	want := []string{negotiated + packet('a', ""), negotiated + strings.Repeat(packet('c', ""), 100), negotiated + packet('p', "") + packet('a', "")}
	if d := cmp.Diff(want, passed); d != "" {
		t.Error(d)
	}
}
