package clamd_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/clamd"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func suite(wrap func(verdict.Scanner) verdict.Scanner) verdicttest.Suite {
	return verdicttest.Suite{
		New: func(_ testing.TB, engine net.Addr) verdict.Scanner {
			return wrap(&clamd.Scanner{Address: engine.Network() + ":" + engine.String()})
		},
		Hit:    verdicttest.Malicious,
		Want:   verdict.Malicious,
		Engine: func(tb testing.TB) net.Addr { return daemon(tb, eicar) },
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, suite(func(s verdict.Scanner) verdict.Scanner { return s }))
}

// The same behind all guards.
func TestSuiteGuarded(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, suite(func(s verdict.Scanner) verdict.Scanner {
		b := verdict.Breaker(verdict.Deadline(s, 5*time.Second), 3, 20*time.Millisecond)
		// A fault must not be hidden by what is remembered, so nothing is for long.
		return verdict.MaxSize(verdict.Cache(b, verdict.CacheOptions{ContentOnly: true, Age: time.Nanosecond}), 32<<20, verdict.Unknown)
	}))
}

// replies are what a daemon may say, what that is, and a word of the error.
var replies = []struct {
	reply string
	code  string
	class verdict.Class
	err   string
}{
	{"stream: OK\x00", "", 0, ""},
	{"stream: Eicar-Test-Signature FOUND\x00", "clamd.found", verdict.Malicious, ""},
	{"stream: Win.Test.EICAR_HDB-1.UNOFFICIAL FOUND\x00", "clamd.found", verdict.Malicious, ""},
	{"stream: OK FOUND\x00", "clamd.found", verdict.Malicious, ""},
	{"stream: PUA.Win.Packer FOUND\x00", "clamd.found", verdict.Spam, ""},
	{"stream: Sanesecurity.Junk.1234 FOUND\x00", "clamd.found", verdict.Spam, ""},
	{"stream: Heuristics.Encrypted.Zip FOUND\x00", "clamd.locked", verdict.Unknown, ""},
	{"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\x00", "clamd.limit", verdict.Unknown, "cannot be scanned"},
	{"INSTREAM size limit exceeded. ERROR\x00", "", 0, "cannot be scanned"},
	{"stream: Can't allocate memory ERROR\x00", "", 0, "could not tell: stream: Can't allocate memory"},
	{"UNKNOWN COMMAND\x00", "", 0, "cannot be read"},
	{"stream: OK", "", 0, "cannot be read"},
	{"stream: OK\n", "", 0, "cannot be read"},
	{"stream: OK\x00stream: x FOUND\x00", "", 0, "cannot be read"},
	{"stream: OK\x00\x00", "", 0, "cannot be read"},
	{"stream:  FOUND\x00", "", 0, "cannot be read"},
	{" FOUND\x00", "", 0, "cannot be read"},
	{"OK\x00", "", 0, "cannot be read"},
	{"stream: ok\x00", "", 0, "cannot be read"},
	{"stream: OK \x00", "", 0, "cannot be read"},
	{"\x00", "", 0, "cannot be read"},
	{"", "", 0, "cannot be read"},
	{"stream: " + strings.Repeat("x", 1<<20) + " FOUND\x00", "", 0, "too long"},
	{"stream: a\r\nb\x1b[1m FOUND\x00", "clamd.found", verdict.Malicious, ""},
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for _, tt := range replies {
		t.Run(tt.reply[:min(len(tt.reply), 40)], func(t *testing.T) {
			t.Parallel()
			s := &clamd.Scanner{Address: daemon(t, func([]byte) string { return tt.reply }).String()}
			fs, err := s.Scan(t.Context(), verdicttest.Clean(t))
			if len(fs) == 1 && err == nil {
				err = fs[0].Err
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if len(fs) == 0 && tt.code == "" {
				return
			}
			if len(fs) != 1 || fs[0].Code != tt.code || fs[0].Class != tt.class || strings.ContainsAny(fs[0].Detail, "\r\n\x1b") {
				t.Errorf("got %+v, want %s, %v", fs, tt.code, tt.class)
			}
		})
	}
}

// A daemon that hangs up on a message that is too large has said why.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Read(make([]byte, 1<<10))
		c.Write([]byte("INSTREAM size limit exceeded. ERROR\x00"))
		c.(*net.TCPConn).CloseWrite()
		for p := make([]byte, 64<<10); err == nil; _, err = c.Read(p) {
		}
	}()
	s := &clamd.Scanner{Address: ln.Addr().String()}
	if _, err := s.Scan(t.Context(), verdicttest.Big(t, 8<<20)); !errors.Is(err, verdict.ErrUnscannable) {
		t.Errorf("got %v, want %v", err, verdict.ErrUnscannable)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	s := &clamd.Scanner{Address: daemon(t, eicar).String()}
	if v, err := verdict.VersionOf(t.Context(), verdict.Breaker(s, 1, 0)); v != "ClamAV 1.4.6/1/x" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	for _, address := range []string{"", "here", "unix:", "unix:/nonexistent/clamd.ctl", "127.0.0.1:x"} {
		s := &clamd.Scanner{Address: address}
		if _, err := s.Version(t.Context()); err == nil {
			t.Errorf("address %q: no error", address)
		}
		if _, err := s.Scan(t.Context(), verdicttest.Clean(t)); err == nil {
			t.Errorf("address %q: no error", address)
		}
	}
}

func TestClassFunc(t *testing.T) {
	t.Parallel()
	s := &clamd.Scanner{Address: daemon(t, eicar).String(), Class: func(string) verdict.Class { return verdict.Spam }}
	if fs, err := s.Scan(t.Context(), verdicttest.Malicious(t)); err != nil || len(fs) != 1 || fs[0].Class != verdict.Spam {
		t.Errorf("got %+v, %v", fs, err)
	}
}
