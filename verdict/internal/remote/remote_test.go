package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"127.0.0.1:3310": "tcp 127.0.0.1:3310", "tcp:[::1]:25": "tcp [::1]:25", "host:783": "tcp host:783",
		"unix:/run/x": "unix /run/x", "/run/x": "unix /run/x", "unix:rel": "unix rel",
		"": "", "host": "", "unix:": "", "tcp:": "", "::1": "",
	} {
		network, addr, err := remote.Split(in)
		if (err != nil) != (want == "") || err == nil && network+" "+addr != want {
			t.Errorf("%q: %s %s, %v; want %q", in, network, addr, err, want)
		}
	}
}

var lines = []struct{ in, want string }{
	{"plain", "plain"}, {"a\r\nb\x00c\x1b\x7f", "a??b?c??"}, {"ü\u0085\u2028x", "ü??x"}, {"\xff\xc3", "??"}, {"", ""},
	{strings.Repeat("x", 100), strings.Repeat("x", 20)}, {strings.Repeat("x", 19) + "ü", strings.Repeat("x", 19)},
}

func TestLine(t *testing.T) {
	t.Parallel()
	for _, tt := range lines {
		if got := remote.Line(tt.in, 20); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := remote.Excerpt(" a\r\n\tb  c\x00 ", 20); got != "a b c?" {
		t.Errorf("%q", got)
	}
}

func FuzzLine(f *testing.F) {
	for _, l := range lines {
		f.Add(l.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, got := range []string{remote.Line(in, 20), remote.Excerpt(in, 20)} {
			if len(got) > 60 || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00\x1b") {
				t.Errorf("%q becomes %q", in, got)
			}
		}
	})
}

// What a library reads after the scan it does not get, and an answer to half a message is none.
func TestBody(t *testing.T) {
	t.Parallel()
	m, takeBack := verdicttest.Lend(t, verdict.Bytes(strings.Repeat("x", 1000)))
	b := remote.Raw(t.Context(), m)
	r, err := b.Reopen()
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(r, make([]byte, 500))
	if err := b.Take(); !errors.Is(err, remote.ErrAnswer) {
		t.Errorf("half of it: %v", err)
	}
	takeBack()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes after the end", n)
	}
	if _, err := b.Reopen(); err == nil {
		t.Error("opened after the end")
	}
	b = remote.Raw(t.Context(), verdicttest.Clean(t))
	first, _ := b.Reopen()
	io.ReadAll(first)
	second, _ := b.Reopen()
	if n, _ := first.Read(make([]byte, 1)); n != 0 {
		t.Error("the first reader goes on beside the second")
	}
	first.Close()
	io.ReadAll(second)
	if err := b.Take(); err != nil {
		t.Errorf("the whole of it: %v", err)
	}
}

// Reads are bounded in bytes and in time.
func TestConn(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer there.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c := remote.Bind(ctx, here, 3)
	go there.Write([]byte("abcd"))
	b, err := io.ReadAll(c)
	if string(b) != "abc" || !errors.Is(err, remote.ErrAnswer) {
		t.Errorf("%q, %v", b, err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := c.Write(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	c.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	here, there = net.Pipe()
	defer there.Close()
	if _, err := remote.Bind(ctx, here, 3).Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}
