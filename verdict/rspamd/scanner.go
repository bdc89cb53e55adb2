package rspamd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
	"github.com/postreeve/postreeve/verdict/internal/remotehttp"
)

const (
	maxReply      = 4 << 20
	maxHeader     = 1 << 10
	maxRecipients = 100 // rspamd needs no more to know that they are many
)

// Scanner asks rspamd. It may be used by many goroutines at once and keeps a few connections open. Its fields must
// not change once it is in use.
type Scanner struct {
	// URL is where a normal worker, or the proxy, listens: "http://127.0.0.1:11333", "https://rspamd.example" or
	// "unix:/run/rspamd/normal.sock". If it is empty every scan fails.
	URL string
	// Password is sent where rspamd asks for one. It stands in no error.
	Password string
	// TLS is for https. Nil means that of the system.
	TLS *tls.Config
	// Hostname is what this gateway calls itself; rspamd shows it as the MTA. Empty means that nothing is said.
	Hostname string
	// Settings is the id of settings of rspamd that are to be used (Settings-ID). Empty means its own choice.
	Settings string
	// AllSymbols asks rspamd to go on when the score already decides (Pass: all).
	AllSymbols bool
	// Actions say what a message is for which rspamd asks for an action. Unknown is evidence only. Those that are
	// not in it are as the package documentation says.
	Actions map[string]verdict.Class
	// Symbols say what a message with a symbol is, by its name or a pattern like "*_VIRUS" (see path.Match). Unknown
	// says that a part of rspamd could not tell. Nil means DefaultSymbols.
	Symbols map[string]verdict.Class

	client remotehttp.Client
}

// Name returns "rspamd".
func (s *Scanner) Name() string { return "rspamd" }

// Scan implements verdict.Scanner.
func (s *Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	a, err := s.client.Do(ctx, remotehttp.Request{
		Address: s.URL, TLS: s.TLS, Path: "/checkv2", Header: s.header(m), Body: remote.Raw(ctx, m), Bound: maxReply,
	})
	if err == nil {
		err = a.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("rspamd: %w", err)
	}
	findings, err := s.read(a.Body)
	if err != nil {
		err = fmt.Errorf("rspamd: %w", err)
	}
	return findings, err
}

// Version returns what rspamd says that it is: "rspamd/3.4". It does not change with maps and statistics.
func (s *Scanner) Version(ctx context.Context) (string, error) {
	a, err := s.client.Do(ctx, remotehttp.Request{Address: s.URL, TLS: s.TLS, Path: "/ping", Bound: maxHeader})
	if err == nil {
		err = a.Check()
	}
	if err == nil && strings.TrimSpace(string(a.Body)) != "pong" {
		err = fmt.Errorf("%w: no pong", remote.ErrAnswer)
	}
	if err != nil {
		return "", fmt.Errorf("rspamd: %w", err)
	}
	return remote.Line(a.Header.Get("Server"), maxHeader), nil
}

// header says who sent the message to whom.
func (s *Scanner) header(m *verdict.Message) http.Header {
	h := make(http.Header)
	set := func(name, value string) {
		if value != "" {
			h.Add(name, remote.Line(value, maxHeader))
		}
	}
	c := m.Origin
	if c.Addr.IsValid() {
		set("IP", c.Addr.Addr().Unmap().WithZone("").String())
	}
	set("Helo", c.Helo)
	set("Hostname", c.Name)
	if version, cipher, ok := strings.Cut(c.TLS, " "); ok {
		set("TLS-Version", version)
		set("TLS-Cipher", cipher)
	}
	set("From", "<"+m.Envelope.From+">")
	for _, r := range m.Envelope.To[:min(len(m.Envelope.To), maxRecipients)] {
		set("Rcpt", "<"+r.Address+">")
	}
	set("Queue-Id", m.ID)
	set("MTA-Name", s.Hostname)
	set("Settings-ID", s.Settings)
	if s.Password != "" { // as it is: what cannot be sent is an error of the transport
		h.Set("Password", s.Password)
	}
	if s.AllSymbols {
		h.Set("Pass", "all")
	}
	h.Set("User-Agent", "postreeve")
	return h
}
