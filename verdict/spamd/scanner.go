package spamd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const (
	codeSpam  = "spamd.spam"
	codeScore = "spamd.score"

	maxReply  = 256 << 10
	maxDetail = 1000
)

// Scanner asks a SpamAssassin daemon. It may be used by many goroutines at once; each scan is a connection.
type Scanner struct {
	// Address is where the daemon listens: "127.0.0.1:783" or "unix:/run/spamd.sock". If it is empty every
	// scan fails.
	Address string
	// TLS asks by TLS, for a daemon with --ssl. Nil means that it does not.
	TLS *tls.Config
	// User is whose settings are used. Empty means those of the daemon.
	User string
	// Hostname is what this gateway calls itself in the Received field it puts on top. Empty means "localhost".
	Hostname string
	// Report asks for the report for people instead of the names of the rules; it is the detail of the finding.
	Report bool
}

// Name returns "spamd".
func (s *Scanner) Name() string { return "spamd" }

// Scan implements verdict.Scanner.
func (s *Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	command := "SYMBOLS"
	if s.Report {
		command = "REPORT"
	}
	r, err := s.ask(ctx, command, s.trace(m), m)
	if err != nil {
		return nil, fmt.Errorf("spamd: %w", err)
	}
	code := codeScore
	if r.spam {
		code = codeSpam
	}
	f := verdict.Found(code)
	f.Detail = fmt.Sprintf("score %.1f of %.1f: %s", r.score, r.threshold, remote.Excerpt(r.body, maxDetail))
	return []verdict.Finding{f}, nil
}

// Version returns what SpamAssassin says about itself: "SpamAssassin 4.0.1 (2024-03-25)". It does not change with its rules.
func (s *Scanner) Version(ctx context.Context) (string, error) {
	r, err := s.ask(ctx, "HEADERS", "", verdict.NewMessage(verdict.Bytes("Subject: version\r\n\r\n")))
	if err != nil {
		return "", fmt.Errorf("spamd: asking for the version: %w", err)
	}
	v := verdict.NewMessage(verdict.Bytes(r.body)).Header().Get("X-Spam-Checker-Version")
	if v == "" {
		return "", fmt.Errorf("spamd: asking for the version: %w: it has no X-Spam-Checker-Version", remote.ErrAnswer)
	}
	v, _, _ = strings.Cut(v, " on ")
	return remote.Line(v, maxDetail), nil
}

// trace is what a mail server behind us would see on top of the message.
func (s *Scanner) trace(m *verdict.Message) string {
	const most = 255
	word := func(text, none string) string { // one word, that closes no comment and opens none
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(" ()[]<>;\\\"", r) {
				return '?'
			}
			return r
		}, remote.Line(cmp.Or(text, none), most))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: <%s>\r\n", remote.Line(m.Envelope.From, most))
	if !m.Origin.Addr.IsValid() {
		return b.String()
	}
	at := m.Received
	if at.IsZero() {
		at = time.Unix(0, 0).UTC()
	}
	ip := m.Origin.Addr.Addr().Unmap().WithZone("")
	literal := ip.String()
	if ip.Is6() {
		literal = "IPv6:" + literal
	}
	with := "ESMTP"
	if m.Origin.TLS != "" {
		with = "ESMTPS"
	}
	fmt.Fprintf(&b, "Received: from %s (%s [%s])\r\n\tby %s (Postreeve) with %s id %s;\r\n\t%s\r\n",
		word(m.Origin.Helo, "unknown"), word(m.Origin.Name, "unknown"), literal, word(s.Hostname, "localhost"), with, word(m.ID, "none"),
		at.Format(time.RFC1123Z))
	return b.String()
}

// ask sends a request with trace on top of the message.
func (s *Scanner) ask(ctx context.Context, command, trace string, m *verdict.Message) (*reply, error) {
	r, err := remote.Open(m)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c, err := remote.Dial(ctx, s.Address, s.TLS, maxReply)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	size := int64(len(trace)) + m.Size()
	user := ""
	if s.User != "" {
		user = "User: " + remote.Line(s.User, 100) + "\r\n"
	}
	_, err = fmt.Fprintf(c, "%s SPAMC/1.5\r\nContent-length: %d\r\n%s\r\n%s", command, size, user, trace)
	if err == nil {
		_, err = io.CopyN(onlyWriter{c}, r, m.Size())
	}
	if err != nil {
		var broken *remote.ErrSource
		if errors.Is(err, io.EOF) && !errors.As(err, &broken) {
			err = &remote.ErrSource{Err: io.ErrUnexpectedEOF}
		}
		return nil, err
	}
	// The daemon reads lines and waits for the end of the last one, whatever length it was told.
	if err := c.CloseWrite(); err != nil {
		return nil, err
	}
	return readReply(c)
}

// onlyWriter hides that a connection could read from a file by itself, past our bounds.
type onlyWriter struct{ io.Writer }
