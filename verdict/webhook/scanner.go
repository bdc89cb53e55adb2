package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
	"github.com/postreeve/postreeve/verdict/internal/remotehttp"
)

// Scanner asks a webhook. It may be used by many goroutines at once and keeps a few connections open. Its fields
// must not change once it is in use.
type Scanner struct {
	// URL is where the server listens: "https://scan.example/mail", "http://127.0.0.1:8080/" or "unix:/run/hook.sock".
	// If it is empty every scan fails. It stands in no error.
	URL string
	// Key signs requests. If it is empty every scan fails, unless Unsigned is set; it should have 32 random bytes.
	Key []byte
	// Unsigned sends requests without a signature: the server then cannot tell them from anybody else's.
	Unsigned bool
	// Header has more fields for every request, like Authorization. Their values stand in no error.
	Header http.Header
	// TLS is for https: roots, and a certificate of ours. Nil means that of the system.
	TLS *tls.Config

	client remotehttp.Client
}

// Name returns "webhook".
func (s *Scanner) Name() string { return "webhook" }

// Scan implements verdict.Scanner.
func (s *Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	findings, err := s.scan(ctx, m)
	if err != nil {
		err = fmt.Errorf("webhook: %w", err)
	}
	return findings, err
}

func (s *Scanner) scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if len(s.Key) == 0 && !s.Unsigned {
		return nil, errors.New("there is no key to sign with")
	}
	body, err := newBody(m)
	if err != nil {
		return nil, err
	}
	h := s.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "postreeve")
	if len(s.Key) > 0 {
		if err := s.sign(ctx, h, body); err != nil {
			return nil, err
		}
	}
	a, err := s.client.Do(ctx, remotehttp.Request{
		Address: s.URL, TLS: s.TLS, Header: h, Body: remote.NewBody(ctx, body.size(), body.open), Bound: remote.MaxAnswer,
	})
	if err == nil {
		err = a.Check()
	}
	if err != nil {
		return nil, err
	}
	return remote.ReadAnswer("webhook", a.Body)
}

// sign reads the message once for the signature, which has to stand in front of it.
func (s *Scanner) sign(ctx context.Context, h http.Header, b *body) error {
	now := time.Now().Unix()
	mac := begin(s.Key, now)
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(mac, &until{ctx, r}); err != nil {
		return err
	}
	h.Set(timestampField, strconv.FormatInt(now, 10))
	h.Set(signatureField, fmt.Sprintf("v1=%x", mac.Sum(nil)))
	return nil
}

// until reads until a context ends.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u *until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
