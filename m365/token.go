package m365

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
)

// A TokenRequest says what a token is needed for.
type TokenRequest struct {
	Scope   string // of one service, such as Cloud.ExchangeScope gives it
	Claims  string // JSON the service demanded (continuous access evaluation), or empty
	Refresh bool   // the token given last was refused: a cached one will not do
}

// A Token is a bearer token. It prints as a placeholder, so that it ends up in no log.
type Token struct {
	Value   string
	Expires time.Time // zero: not known
}

// A TokenSource hands out tokens. It is asked for every request, so it should cache; it must be safe for
// concurrent use. An error ends the call that needed the token and is shown to the user.
type TokenSource interface {
	Token(ctx context.Context, req TokenRequest) (Token, error)
}

// String keeps the secret out of whatever is printed.
func (t Token) String() string { return "[token]" }

// GoString keeps the secret out of %#v.
func (t Token) GoString() string { return "[token]" }

// LogValue keeps the secret out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue("[token]") }

// ErrNoNewToken reports that a token was refused and its source has no other one.
var ErrNoNewToken = errors.New("the token was refused and there is no way to get another: sign in again and supply a new one")

// StaticToken returns a source that always hands out this token, whatever it is asked for.
func StaticToken(value string) TokenSource { return staticToken(value) }

type staticToken string

func (staticToken) String() string   { return "[token]" }
func (staticToken) GoString() string { return "[token]" }

// MarshalText keeps the secret out of JSON.
func (staticToken) MarshalText() ([]byte, error) { return []byte("[token]"), nil }

func (s staticToken) Token(_ context.Context, req TokenRequest) (Token, error) {
	if req.Refresh || req.Claims != "" {
		return Token{}, ErrNoNewToken
	}
	return Token{Value: string(s)}, validToken(string(s))
}

// TokenFile returns a source that reads the token from a file for every request, so that something else
// may renew it there. White space around the token is ignored.
func TokenFile(path string) TokenSource { return tokenFile(path) }

type tokenFile string

func (f tokenFile) Token(_ context.Context, req TokenRequest) (Token, error) {
	raw, err := os.ReadFile(string(f))
	if err != nil {
		return Token{}, fmt.Errorf("m365: token file: %w", err)
	}
	v := strings.TrimSpace(string(raw))
	if err := validToken(v); err != nil {
		return Token{}, fmt.Errorf("m365: token file %s: %w", string(f), err)
	}
	if req.Claims != "" {
		return Token{}, ErrNoNewToken
	}
	return Token{Value: v}, nil
}

// validToken refuses what would not be one header value, without repeating it.
func validToken(v string) error {
	if v == "" {
		return errors.New("the token is empty")
	}
	if len(v) > 1<<16 {
		return errors.New("the token is longer than 64 KiB")
	}
	for _, b := range []byte(v) {
		if b <= ' ' || b > '~' {
			return errors.New("the token has characters that no token has: is it the token alone?")
		}
	}
	return nil
}
