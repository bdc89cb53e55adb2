package verdicttest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Load returns the message in the file at path, byte for byte. A file that is missing fails the test.
func Load(tb testing.TB, path string) *verdict.Message {
	tb.Helper()
	f, err := verdict.OpenFile(path)
	if err != nil {
		tb.Fatalf("verdicttest: %v", err)
	}
	return of(f)
}

// New returns a message with the given text, whose line ends may be LF or CRLF and become CRLF.
// For bytes that must stay as they are there is verdict.NewMessage.
func New(tb testing.TB, text string) *verdict.Message {
	tb.Helper()
	if strings.TrimSpace(text) == "" {
		tb.Fatal("verdicttest: New needs at least one header field")
	}
	return of(verdict.Bytes(crlf(text)))
}

// of puts src into an envelope: the same for every message, of names and addresses reserved for examples
// (RFC 2606, RFC 5737).
func of(src verdict.Source) *verdict.Message {
	m := verdict.NewMessage(src)
	m.ID = "test"
	m.Peer = verdict.Client{Addr: netip.MustParseAddrPort("192.0.2.1:25252"), Helo: "mail.example.org", Name: "mail.example.org"}
	m.Origin = m.Peer
	m.Received = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m.Envelope = verdict.Envelope{From: "ann@example.org", To: []verdict.Recipient{{Address: "bob@example.net"}}}
	return m
}

// crlf makes every line end CRLF. A CR that ends no line stays.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}
