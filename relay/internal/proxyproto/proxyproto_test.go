package proxyproto_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/relay/internal/proxyproto"
)

// v2 builds a header of version 2.
func v2(verCmd, famProto byte, body []byte) string {
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), verCmd, famProto)
	h = binary.BigEndian.AppendUint16(h, uint16(len(body)))
	return string(append(h, body...))
}

func v4body(extra int) []byte {
	b := append([]byte{192, 0, 2, 1, 198, 51, 100, 1}, 0xdc, 0x04, 0, 25)
	return append(b, make([]byte, extra)...)
}

func v6body() []byte {
	a := netip.MustParseAddr("2001:db8::1").As16()
	return append(append(append([]byte{}, a[:]...), a[:]...), 0xdc, 0x04, 0, 25)
}

var headers = []struct {
	name, in string
	want     string // RemoteAddr, "pipe" for the balancer's own, "" for an error
}{
	{"v1 TCP4", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n", "192.0.2.1:56324"},
	{"v1 TCP6", "PROXY TCP6 2001:db8::1 2001:db8::2 56324 25\r\n", "[2001:db8::1]:56324"},
	{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", "pipe"},
	{"v1 UNKNOWN with addresses", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "pipe"},
	{"v1 family and address disagree", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", ""},
	{"v1 port", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 25\r\n", ""},
	{"v1 LF only", "PROXY TCP4 192.0.2.1 198.51.100.1 1 25\n" + strings.Repeat("x", 100), ""},
	{"v1 endless", "PROXY " + strings.Repeat("A", 300), ""},
	{"v1 zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", ""},
	{"SMTP instead", "EHLO example.org\r\n", ""},
	{"v2 TCP4", v2(0x21, 0x11, v4body(0)), "192.0.2.1:56324"},
	{"v2 TCP4 with TLVs", v2(0x21, 0x11, v4body(300)), "192.0.2.1:56324"},
	{"v2 TCP6", v2(0x21, 0x21, v6body()), "[2001:db8::1]:56324"},
	{"v2 LOCAL", v2(0x20, 0x00, nil), "pipe"},
	{"v2 UNSPEC", v2(0x21, 0x00, nil), "pipe"},
	{"v2 UNIX", v2(0x21, 0x31, make([]byte, 216)), ""},
	{"v2 short addresses", v2(0x21, 0x11, []byte{1, 2, 3}), ""},
	{"v2 huge", v2(0x21, 0x11, make([]byte, 60_000)), ""},
	{"v2 version 3", v2(0x31, 0x11, v4body(0)), ""},
	{"v2 command", v2(0x22, 0x11, v4body(0)), ""},
	{"v2 bad signature", "\r\n\r\n\x00\r\nQUIT\r\x21\x11\x00\x0c" + string(v4body(0)), ""},
}

// send writes in in pieces of the given size and reports what Accept made of it.
func accept(t *testing.T, in string, piece int) (net.Conn, error) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	go func() {
		for len(in) > 0 {
			n := min(piece, len(in))
			if _, err := client.Write([]byte(in[:n])); err != nil {
				return
			}
			in = in[n:]
		}
	}()
	return proxyproto.Accept(server, time.Second)
}

func TestAccept(t *testing.T) {
	t.Parallel()
	const rest = "EHLO client.example\r\n"
	for _, tt := range headers {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, piece := range []int{1, 7, 1 << 20} {
				c, err := accept(t, tt.in+rest, piece)
				if tt.want == "" {
					if !errors.Is(err, proxyproto.ErrHeader) {
						t.Errorf("in pieces of %d: %v, want ErrHeader", piece, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("in pieces of %d: %v", piece, err)
				}
				if got := c.RemoteAddr().String(); got != tt.want {
					t.Errorf("in pieces of %d: from %s, want %s", piece, got, tt.want)
				}
				got := make([]byte, len(rest))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != rest {
					t.Errorf("in pieces of %d: then %q %v, want %q", piece, got, err, rest)
				}
			}
		})
	}
}

// A balancer that says nothing, or says it a byte at a time for ever, does not keep the connection.
func TestAcceptTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in string }{{"silence", ""}, {"dribble", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 25"}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				defer client.Close()
				go func() {
					for i := range len(tt.in) {
						time.Sleep(300 * time.Millisecond)
						if _, err := client.Write([]byte(tt.in[i : i+1])); err != nil {
							return
						}
					}
				}()
				start := time.Now()
				_, err := proxyproto.Accept(server, 5*time.Second)
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Second {
					t.Errorf("%v after %v", err, time.Since(start))
				}
				client.Close()
				time.Sleep(time.Minute) // the writer notices
			})
		})
	}
}

func FuzzAccept(f *testing.F) {
	for _, tt := range headers {
		f.Add([]byte(tt.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		client, server := net.Pipe()
		defer server.Close()
		go func() { client.Write(in); client.Close() }()
		c, err := proxyproto.Accept(server, time.Second)
		if err == nil && c.RemoteAddr() == nil {
			t.Error("no address")
		}
	})
}
