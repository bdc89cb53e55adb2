package mailauth_test

import (
	"context"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// failing is a resolver that gets no answer.
type failing struct{}

func (failing) Lookup(context.Context, string, mailauth.RecordType) ([]string, error) {
	return nil, mailauth.ErrTemporary
}

// CheckSPF makes spfAs an SPFChecker.
func (s spfAs) CheckSPF(context.Context, netip.Addr, string, string) verdict.SPFResult {
	return s.check()
}

// withSPF authenticates a message with a From, for which SPF has a result.
func withSPF(t testing.TB, zone mailauth.Resolver, spf spfAs, from string) verdict.AuthResults {
	t.Helper()
	m := message([]byte("From: " + from + "\r\n\r\nx\r\n"))
	m.Origin.Addr = netip.MustParseAddrPort("192.0.2.1:25")
	return withChecker(t, zone, spf, m)
}

func withChecker(t testing.TB, zone mailauth.Resolver, spf mailauth.SPFChecker, m *verdict.Message) verdict.AuthResults {
	t.Helper()
	a := mailauth.Authenticator{Resolver: zone, SPF: spf, Timeout: 30 * time.Second}
	return a.Authenticate(t.Context(), m)
}

// tryRead returns a file, or nothing if it is none.
func tryRead(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// unquote reads the Go string at the beginning of s, as corpora of go test -fuzz have it.
func unquote(s string) string {
	q, err := strconv.QuotedPrefix(s)
	if err != nil {
		return ""
	}
	out, err := strconv.Unquote(q)
	if err != nil {
		return ""
	}
	return out
}
