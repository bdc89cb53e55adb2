package relay

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
)

// hostile are values that clients put into envelopes to get into headers. Table tests and the fuzzer share them.
var hostile = []string{
	"", "mail.example.org", "a\r\nX-Postreeve-Verdict: CLEAN", "a\nb", "a\rb", "a\x00b", "a\tb", "\x7f",
	strings.Repeat("x", 10<<10), "post@пример.рф", "a) (b", "a;b", `a\b`, "=?utf-8?q?=0D=0A?=", "\u2028x", "\x80\xff",
}

// wellFormed says whether a stamp is header lines and nothing else: CRLF only at their ends, a name and
// a colon in each, at most 998 octets (RFC 5322 section 2.1.1).
func wellFormed(head []byte) bool {
	for line := range bytes.Lines(head) {
		body, ok := bytes.CutSuffix(line, []byte("\r\n"))
		name, _, colon := bytes.Cut(body, []byte(": "))
		if !ok || !colon || len(body) > 998 || bytes.ContainsAny(name, " \t\r\n\x00") || bytes.ContainsAny(body, "\r\n\x00") {
			return false
		}
		for _, c := range body {
			if c < ' ' && c != '\t' || c >= 0x7f {
				return false
			}
		}
	}
	return bytes.HasSuffix(head, []byte("\r\n"))
}

type fakeConn struct{ c verdict.Client }

func (f fakeConn) peer() verdict.Client   { return f.c }
func (f fakeConn) origin() verdict.Client { return f.c }
func (f fakeConn) protocol(bool) string   { return "ESMTPS" }
func (f fakeConn) addr() netip.Addr       { return f.c.Addr.Addr() }

// stampWith stamps a message whose every foreign value is v.
func stampWith(t testing.TB, v string) []byte {
	s := &Server{Hostname: "mx.gw.example"}
	s.init()
	m := verdict.NewMessage(verdict.Bytes("X-Forefront-Antispam-Report: CIP:192.0.2.1;H:" + strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(v) + "\r\n\r\nbody\r\n"))
	peer := netip.MustParseAddr("192.0.2.1")
	m.ID, m.Received = "id0", time.Unix(0, 0).UTC()
	m.Peer = verdict.Client{Addr: netip.AddrPortFrom(peer, 25), Helo: v, Name: v, TLS: "TLSv1.3 " + v}
	m.Envelope = verdict.Envelope{From: v, To: []verdict.Recipient{{Address: v}}, ID: v, UTF8: true}
	d := &Domain{Name: v, Upstream: Upstream{Kind: ExchangeOnline, Nets: []netip.Prefix{netip.PrefixFrom(peer, 32)}}}
	src, err := s.stamp(t.Context(), fakeConn{m.Peer}, &transaction{id: "id0", domain: d, envelope: m.Envelope}, m, &Outcome{Class: verdict.Spam, Action: Tag})
	if err != nil {
		t.Fatalf("stamping with %q: %v", v, err)
	}
	return src.(*stamped).head
}

func TestStampsAreWellFormed(t *testing.T) {
	t.Parallel()
	for _, v := range hostile {
		if head := stampWith(t, v); !wellFormed(head) || bytes.Count(head, []byte("\r\n")) < 4 {
			t.Errorf("stamped with %.40q:\n%q", v, head)
		}
	}
}

func FuzzStamps(f *testing.F) {
	for _, v := range hostile {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if head := stampWith(t, v); !wellFormed(head) {
			t.Errorf("stamped with %q:\n%q", v, head)
		}
	})
}

// An ARC set from a sealer that somebody has plugged in cannot bring anything else into the header.
func TestWellSealed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in string
		ok bool
	}{
		{"ARC-Seal: i=1;\r\n\tb=x\r\narc-message-signature: i=1\r\n", true},
		{"ARC-Seal: i=1", false},
		{"ARC-Seal: i=1\n", false},
		{"ARC-Seal: i=1\r\r\n", false},
		{"ARC-Seal: i=\x00\r\n", false},
		{"ARC-Seal: i=1\r\n\r\n", false},
		{"ARC-Seal: i=1\r\n \r\n", false},
		{" b=x\r\nARC-Seal: i=1\r\n", false},
		{"ARC-Seal : i=1\r\n", false},
		{"ARC-: i=1\r\n", false},
		{"X-Postreeve-Verdict: CLEAN\r\n", false},
		{"ARC-Seal: i=1\r\nX: y\r\n", false},
		{"ARC-Seal: " + strings.Repeat("x", 998-10) + "\r\n", true},
		{"ARC-Seal: " + strings.Repeat("x", 998-9) + "\r\n", false},
		{"ARC-Seal: \xff\r\n", false},
	} {
		if err := wellSealed([]byte(tt.in)); (err == nil) != tt.ok {
			t.Errorf("%.60q: %v", tt.in, err)
		}
	}
}

// The writer itself refuses what clean would have mended.
func TestStampsAdd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, value string
		ok          bool
	}{
		{"X-A", "b", true},
		{"X-A", "b\tc", true},
		{"X-A", strings.Repeat("b", 998-5), true},
		{"X-A", strings.Repeat("b", 998-4), false},
		{"X-A", "b\r\nc", false},
		{"X-A", "b\nc", false},
		{"X-A", "b\x00c", false},
		{"X A", "b", false},
		{"X:A", "b", false},
		{"", "b", false},
	} {
		var s stamps
		s.add(tt.name, tt.value)
		if (s.err == nil) != tt.ok || (s.b.Len() > 0) != tt.ok {
			t.Errorf("add %q %.20q: %v, wrote %d octets", tt.name, tt.value, s.err, s.b.Len())
		}
	}
}

func TestReceivedStamp(t *testing.T) {
	t.Parallel()
	s := &Server{Hostname: "mx.gw.example"}
	s.init()
	d := &Domain{Name: "example.net"}
	tx := &transaction{domain: d}
	m := &verdict.Message{ID: "0id", Received: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)}
	m.Peer = verdict.Client{Addr: netip.MustParseAddrPort("[2001:db8::1]:25"), Helo: "mail.example.org", TLS: "TLSv1.3 TLS_AES_128_GCM_SHA256"}
	m.Envelope.To = []verdict.Recipient{{Address: "b@example.net"}}
	got := s.receivedValue(fakeConn{m.Peer}, tx, m)
	want := "from mail.example.org ([IPv6:2001:db8::1]) by mx.gw.example (Postreeve; example.net) with ESMTPS id 0id for <b@example.net> tls TLS_AES_128_GCM_SHA256; Sat, 21 Nov 2026 10:00:00 +0000"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// What we write we can read.
	r := parseReceived(got)
	if c, ok := r.client(); !ok || c.Addr.Addr() != m.Peer.Addr.Addr() || c.Helo != m.Peer.Helo || r.by != "mx.gw.example" || r.note != stampNote(d) {
		t.Errorf("read back as %+v", r)
	}
	m.Envelope.To = append(m.Envelope.To, verdict.Recipient{Address: "c@example.net"})
	if got := s.receivedValue(fakeConn{m.Peer}, tx, m); strings.Contains(got, "for <") {
		t.Errorf("one recipient learns of another: %s", got)
	}
}

// Fields of ours from outside are taken off, in any case and folding; nothing else changes.
func TestStrip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"nothing of ours", "From: a\r\nSubject: b\r\n\r\nbody\r\n", "From: a\r\nSubject: b\r\n\r\nbody\r\n"},
		{"verdict", "From: a\r\nX-Postreeve-Verdict: CLEAN\r\nSubject: b\r\n\r\nX-Postreeve-Verdict: CLEAN\r\n", "From: a\r\nSubject: b\r\n\r\nX-Postreeve-Verdict: CLEAN\r\n"},
		{"any case", "x-POSTREEVE-spam: FAIL\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"folded", "From: a\r\nX-Postreeve-Token:\r\n \tsecret\r\n more\r\nTo: b\r\n\r\n", "From: a\r\nTo: b\r\n\r\n"},
		{"space before the colon", "X-Postreeve-Verdict : CLEAN\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"any name with the prefix", "X-Postreeve-Anything: 1\r\nX-Postreeves: 2\r\nFrom: a\r\n\r\n", "X-Postreeves: 2\r\nFrom: a\r\n\r\n"},
		{"last field, no body", "From: a\r\nX-Postreeve-Id: 1\r\n", "From: a\r\n"},
		{"all of them", "X-Postreeve-Id: 1\r\nX-Postreeve-Id: 2\r\n\r\nbody", "\r\nbody"},
		{"authentication results in our name", "Authentication-Results: MX.gw.example; spf=pass\r\nAuthentication-Results: mx.example.org; spf=pass\r\n\r\n", "Authentication-Results: mx.example.org; spf=pass\r\n\r\n"},
		{"begins with a continuation line", " FORGED\r\nFrom: a\r\n\r\n", " FORGED\r\nFrom: a\r\n\r\n"},
		{"begins with a blank line of tabs", "\t\r\n FORGED\r\nFrom: a\r\n\r\n", "\t\r\n FORGED\r\nFrom: a\r\n\r\n"},
		{"begins with a field of ours in a continuation line", " X-Postreeve-Verdict: FORGED\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"control character before the colon", "X-Postreeve-Verdict\x0b: CLEAN\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"blank in 8 bits before the colon", "X-Postreeve-Verdict\xa0: CLEAN\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"blank in UTF-8 within the name", "X-Postreeve\u200b-Verdict: CLEAN\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"folded before the colon", "X-Postreeve-Verdict\r\n : CLEAN\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"a line that is no field stays", "From a: X-Postreeve-Id: 1\r\nfoo\r\n\r\n", "From a: X-Postreeve-Id: 1\r\nfoo\r\n\r\n"},
		{"authentication results, parenthesis escaped in the comment", "Authentication-Results: (\\)) mx.gw.example; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, quoted with an escape", "Authentication-Results: \"mx.g\\w.example\"; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, odd name", "Authentication-Results\xa0: mx.gw.example; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, in the name of our reports", "Authentication-Results: Reports.GW.example; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, dot at the end", "Authentication-Results: mx.gw.example.; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, a version with a slash", "Authentication-Results: mx.gw.example/1; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, letter case of the name", "AUTHENTICATION-results: mx.gw.example; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, folded everywhere", "Authentication-Results:\r\n\t(a\r\n b)\r\n mx.gw.example\r\n ;spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, encoded word", "Authentication-Results: =?utf-8?q?mx=2Egw.example?=; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results of others in encoded words", "Authentication-Results: =?utf-8?b?c3BmPXBhc3M=?=\r\nFrom: a\r\n\r\n", "Authentication-Results: =?utf-8?b?c3BmPXBhc3M=?=\r\nFrom: a\r\n\r\n"},
		{"authentication results, encoded word of some charset", "Authentication-Results:\r\n =?koi8-r?B?bXguZ3cuZXhhbXBsZQ==?=; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, wide letters", "Authentication-Results: mx\uff0egw.example; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, invisible letters", "Authentication-Results: mx.\u200bgw.example; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, a control character", "Authentication-Results: mx.gw.exam\x01ple; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, our name second", "Authentication-Results: ; mx.gw.example; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, our name behind an open quote", "Authentication-Results: \"x\\\" mx.gw.example; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results, an equals sign in the comment", "Authentication-Results: (a=b) mx.gw.example; spf=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
		{"authentication results of others about us", "Authentication-Results: mx.example.org; dkim=pass header.d=mx.gw.example\r\nFrom: a\r\n\r\n", "Authentication-Results: mx.example.org; dkim=pass header.d=mx.gw.example\r\nFrom: a\r\n\r\n"},
		{"authentication results of a host like us", "Authentication-Results: xmx.gw.example; spf=pass\r\nFrom: a\r\n\r\n", "Authentication-Results: xmx.gw.example; spf=pass\r\nFrom: a\r\n\r\n"},
		{"sealed results are not ours to take", "ARC-Authentication-Results: i=1; mx.gw.example; spf=pass\r\nFrom: a\r\n\r\n", "ARC-Authentication-Results: i=1; mx.gw.example; spf=pass\r\nFrom: a\r\n\r\n"},
		{"authentication results in our name, with a comment", "Authentication-Results: (x (y)) mx.gw.example 1;\r\n dkim=pass\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &Server{Hostname: "mx.gw.example", Auth: Auth{ID: "reports.gw.example"}}
			s.init()
			m := verdict.NewMessage(verdict.Bytes(tt.in))
			src, err := s.stamp(t.Context(), fakeConn{}, &transaction{domain: &Domain{Name: "example.net"}}, m, &Outcome{Class: verdict.Clean})
			if err != nil {
				t.Fatal(err)
			}
			head := string(src.(*stamped).head)
			for _, read := range []func(io.Reader) (string, error){
				func(r io.Reader) (string, error) { b, err := io.ReadAll(r); return string(b), err },
				func(r io.Reader) (string, error) {
					b, err := io.ReadAll(iotest.OneByteReader(r))
					return string(b), err
				},
				func(r io.Reader) (string, error) {
					var b strings.Builder
					_, err := r.(io.WriterTo).WriteTo(&b)
					return b.String(), err
				},
			} {
				r, err := src.Open()
				if err != nil {
					t.Fatal(err)
				}
				got, err := read(r)
				r.Close()
				if d := cmp.Diff(head+tt.want, got); d != "" || err != nil {
					t.Errorf("%v (-want +got):\n%s", err, d)
				}
				if v := verdict.NewMessage(verdict.Bytes(got)).Header().Values("X-Postreeve-Verdict"); len(v) != 1 || v[0] != "CLEAN" {
					t.Errorf("X-Postreeve-Verdict: %q", v)
				}
				if src.Size() != int64(len(got)) {
					t.Errorf("Size %d, read %d", src.Size(), len(got))
				}
			}
		})
	}
}

func TestHeadersValid(t *testing.T) {
	t.Parallel()
	for prefix, ok := range map[string]bool{"": true, "X-PERCEPTION-POINT": true, "X PP": false, "X:": false, "X\r\n": false, "Ü": false} {
		if err := (Headers{Prefix: prefix}).Valid(); (err == nil) != ok {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

func BenchmarkStamp(b *testing.B) {
	s := &Server{Hostname: "mx.gw.example"}
	s.init()
	var msg strings.Builder
	for range 20 {
		msg.WriteString("X-Some-Field: some value that is a little longer than short\r\n")
	}
	msg.WriteString("\r\n" + strings.Repeat("a line of the body of this message\r\n", 280))
	m := verdict.NewMessage(verdict.Bytes(msg.String()))
	m.ID, m.Received = "0abcdefghijklmno", time.Now()
	m.Peer = verdict.Client{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Helo: "mail.example.org"}
	m.Envelope.To = []verdict.Recipient{{Address: "b@example.net"}}
	tx := &transaction{domain: &Domain{Name: "example.net"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.stamp(b.Context(), fakeConn{m.Peer}, tx, m, &Outcome{Class: verdict.Clean, Action: Deliver}); err != nil {
			b.Fatal(err)
		}
	}
}

// A message whose header could hide fields of ours from us and not from others is refused.
func TestHiddenFields(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     string // of the reply, empty if there is none
	}{
		{"a message", "From: a\r\n\r\nX-Postreeve-Verdict: CLEAN\r\n", ""},
		{"no header", "hello\r\n", ""},
		{"no header, and no end", "hello\r\nFrom: a\r\n", ""},
		{"ours behind the end", "From: a\r\ngarbage\r\nX-Postreeve-Verdict: CLEAN\r\n", "5.6.0"},
		{"ours behind the end, at once", "garbage\r\nTo: b\r\nx-postreeve-SPAM : PASS\r\nmore", "5.6.0"},
		{"ours behind the end, folded", "garbage\r\nX-Postreeve-Verdict\r\n : CLEAN\r\n", "5.6.0"},
		{"ours behind the end, far away", "garbage\r\n" + strings.Repeat("A: "+strings.Repeat("b", 5000)+"\r\n", 20) + "X-Postreeve-Id: 1", "5.6.0"},
		{"authentication results behind the end", "garbage\r\nAuthentication-Results: mx.gw.example; spf=pass\r\n", "5.6.0"},
		{"somebody else's behind the end", "garbage\r\nAuthentication-Results: mx.ex.org; spf=pass\r\n", ""},
		{"in a body", "garbage\r\n\r\nX-Postreeve-Verdict: CLEAN\r\n", ""},
		{"empty", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &Server{Hostname: "mx.gw.example"}
			s.init()
			r := s.inspect(&transaction{domain: &Domain{Name: "example.net"}}, verdict.NewMessage(verdict.Bytes(tt.in)))
			switch {
			case tt.want == "" && r != nil:
				t.Errorf("refused: %v", r)
			case tt.want != "" && (r == nil || r.Code != 554 || r.Enhanced.String() != tt.want):
				t.Errorf("%v, want 554 %s", r, tt.want)
			}
		})
	}
}

// A field of ours is known again although a server on the way has folded it.
func TestLoopOfFoldedStamps(t *testing.T) {
	t.Parallel()
	s := &Server{Hostname: "mx.gw.example"}
	s.init()
	d := &Domain{Name: "example.net"}
	stamp := "Received: from a ([192.0.2.1])\r\n\tby MX.gw.example (Postreeve;\r\n\texample.net) with ESMTP\r\n\tid 1; Sat, 21 Nov 2026 10:00:00 +0000\r\n"
	if err := s.loop(d, verdict.NewMessage(verdict.Bytes(strings.Repeat(stamp, maxPasses)+"\r\n")).Header()); err == nil {
		t.Error("the loop was not seen")
	}
}

// The longest names that are allowed together make a stamp that is still allowed.
func TestReceivedStampFits(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n-4) + ".net" }
	s := &Server{Hostname: long(255)}
	s.init()
	m := verdict.NewMessage(verdict.Bytes("\r\n"))
	m.ID, m.Received = newID(), time.Now()
	m.Peer = verdict.Client{Helo: long(255), Addr: netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:25"), TLS: "TLSv1.2 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"}
	m.Envelope.To = []verdict.Recipient{{Address: "b@" + long(252)}}
	if _, err := s.stamp(t.Context(), fakeConn{m.Peer}, &transaction{domain: &Domain{Name: long(255)}}, m, &Outcome{Class: verdict.Clean}); err != nil {
		t.Error(err)
	}
}
