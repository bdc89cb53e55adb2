package spamd_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/spamd"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// request is what a daemon was asked.
type request struct {
	command string
	user    string
	content []byte
}

// daemon speaks the protocol of spamd and says what answer returns.
func daemon(tb testing.TB, answer func(r request) string) net.Addr {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if r, err := read(c); err == nil {
					io.WriteString(c, answer(r))
				}
			}()
		}
	}()
	return ln.Addr()
}

func read(r io.Reader) (request, error) {
	tp := textproto.NewReader(bufio.NewReader(r))
	line, err := tp.ReadLine()
	if err != nil {
		return request{}, err
	}
	h, err := tp.ReadMIMEHeader()
	if err != nil {
		return request{}, err
	}
	n, err := strconv.Atoi(h.Get("Content-Length"))
	if err != nil {
		return request{}, err
	}
	b, err := io.ReadAll(tp.R) // the daemon waits for the end, and does not count
	if err == nil && len(b) != n {
		err = fmt.Errorf("%d bytes, and %d were announced", len(b), n)
	}
	command, version, _ := strings.Cut(line, " ")
	if version != "SPAMC/1.5" {
		return request{}, fmt.Errorf("version %q", version)
	}
	return request{command, h.Get("User"), b}, err
}

func said(spam, body string) string {
	return fmt.Sprintf("SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: %s\r\n\r\n%s", len(body), spam, body)
}

func gtube(r request) string {
	if bytes.Contains(r.content, []byte(teststring.GTUBE)) {
		return said("True ; 1000.9 / 5.0", "GTUBE,NO_RECEIVED")
	}
	return said("False ; 0.1 / 5.0", "NO_RECEIVED")
}

func TestSuite(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New:    func(_ testing.TB, engine net.Addr) verdict.Scanner { return &spamd.Scanner{Address: engine.String()} },
		Hit:    verdicttest.Spam,
		Want:   verdict.Spam,
		Engine: func(tb testing.TB) net.Addr { return daemon(tb, gtube) },
	})
}

// replies are what a daemon may say, and what becomes of it.
var replies = []struct {
	reply, code, err string
}{
	{said("True ; 1000.9 / 5.0", "GTUBE"), "spamd.spam", ""},
	{said("False ; -1.9 / 5.0", ""), "spamd.score", ""},
	{said("Yes ; 5 / 5", ""), "spamd.spam", ""},
	{said("No ; 5 / 5", ""), "spamd.score", ""},
	{strings.ReplaceAll(said("False ; 1 / 5", "A"), "\r\n", "\n"), "spamd.score", ""},
	{said("Maybe ; 5 / 5", ""), "", "cannot be read"},
	{said("False", ""), "", "cannot be read"},
	{said("False ; x / 5.0", ""), "", "cannot be read"},
	{said("False ; NaN / 5.0", ""), "", "cannot be read"},
	{said("False ; 1", ""), "", "cannot be read"},
	{said("", ""), "", "cannot be read"},
	{said("False ; 1 / 5\r\nSpam: True ; 9 / 5", ""), "", "cannot be read"},
	{said("False ; 1 / 5\r\nContent-length: 0", ""), "", "cannot be read"},
	{said("False ; 1 / 5", "A")[:60], "", "cannot be read"},
	{said("False ; 1 / 5", "A") + "B", "", "cannot be read"},
	{"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1 / 5\r\n\r\n", "", "cannot be read"},
	{"SPAMD/1.1 0 EX_OK\r\nContent-length: -1\r\nSpam: False ; 1 / 5\r\n\r\n", "", "cannot be read"},
	{"SPAMD/1.1 0 EX_OK\r\nContent-length: 99999999999\r\nSpam: False ; 1 / 5\r\n\r\n", "", "cannot be read"},
	{"SPAMD/1.1 0 EX_OK\r\n", "", "cannot be read"},
	{"SPAMD/1.0 79 Timeout: (300 second timeout while trying to CHECK)\r\n", "", "answers 79 Timeout"},
	{"SPAMD/1.0 76 Bad header line: x\x1b\r\n", "", "answers 76"},
	{strings.Replace(said("False ; 1 / 5", ""), "SPAMD", "HTTP", 1), "", "cannot be read"},
	{"SPAMD/1.1 zero EX_OK\r\n\r\n", "", "cannot be read"},
	{"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1 / 5\r\nContent-length: 300000\r\n\r\n" + strings.Repeat("x", 300000), "", "cannot be read"},
	{"\r\n", "", "cannot be read"},
	{"", "", "cannot be read"},
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for _, tt := range replies {
		t.Run(tt.reply[:min(80, len(tt.reply))], func(t *testing.T) {
			t.Parallel()
			s := &spamd.Scanner{Address: daemon(t, func(request) string { return tt.reply }).String()}
			fs, err := s.Scan(t.Context(), verdicttest.Clean(t))
			if (err != nil) != (tt.err != "") || err != nil && (!strings.Contains(err.Error(), tt.err) || strings.ContainsAny(err.Error(), "\r\n\x1b")) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if tt.code != "" && (len(fs) != 1 || fs[0].Code != tt.code || fs[0].Class != verdict.Found(tt.code).Class) {
				t.Errorf("got %+v, want %s", fs, tt.code)
			}
		})
	}
}

// What is put on top names the client and cannot be talked into more lines.
func TestTrace(t *testing.T) {
	t.Parallel()
	var got request
	addr := daemon(t, func(r request) string { got = r; return gtube(r) })
	m := verdict.NewMessage(verdict.Bytes("Subject: x\r\n\r\nbody\r\n"))
	m.ID = "abc"
	m.Received = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m.Envelope.From = "a@example.org>\r\nX: y"
	m.Origin = verdict.Client{Addr: netip.MustParseAddrPort("[2001:db8::1]:25"), Helo: "he lo\r\n(x)", Name: "mx.example", TLS: "TLSv1.3 x"}
	s := &spamd.Scanner{Address: "tcp:" + addr.String(), User: "ann", Hostname: "gw.example", Report: true}
	if _, err := s.Scan(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	want := "Return-Path: <a@example.org>??X: y>\r\n" +
		"Received: from he?lo???x? (mx.example [IPv6:2001:db8::1])\r\n\tby gw.example (Postreeve) with ESMTPS id abc;\r\n\tFri, 02 Jan 2026 03:04:05 +0000\r\n" +
		"Subject: x\r\n\r\nbody\r\n"
	if d := cmp.Diff(want, string(got.content)); d != "" {
		t.Error(d)
	}
	if got.command != "REPORT" || got.user != "ann" {
		t.Errorf("%s for %q", got.command, got.user)
	}
	m.Origin, m.Envelope.From = verdict.Client{}, ""
	if _, err := s.Scan(t.Context(), m); err != nil || !bytes.HasPrefix(got.content, []byte("Return-Path: <>\r\nSubject: x\r\n")) {
		t.Errorf("%v, %q", err, got.content)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	s := &spamd.Scanner{Address: daemon(t, func(r request) string {
		return said("False ; 1 / 5", "X-Spam-Checker-Version: SpamAssassin 4.0.1 (2024-03-25) on host\r\n\r\n")
	}).String()}
	if v, err := s.Version(t.Context()); v != "SpamAssassin 4.0.1 (2024-03-25)" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	s = &spamd.Scanner{Address: daemon(t, gtube).String()}
	if _, err := s.Version(t.Context()); err == nil {
		t.Error("no error")
	}
	if _, err := (&spamd.Scanner{}).Version(t.Context()); err == nil {
		t.Error("no address, no error")
	}
}
