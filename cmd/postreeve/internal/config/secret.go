package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Secret says where a secret is to be found. It never holds the secret itself.
type Secret struct {
	File string // name of a file
	Env  string // name of an environment variable
}

// IsZero says whether there is no secret.
func (s Secret) IsZero() bool { return s == Secret{} }

// String returns the reference.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "file:" + s.File
	case s.Env != "":
		return "env:" + s.Env
	}
	return ""
}

const minSecret, maxSecret = 16, 256

// Read returns a secret of ours, without the end of line behind it: 16 to 256 characters that nobody guesses. The
// zero Secret gives "". Errors name the reference and never the value.
func (s Secret) Read() (string, error) {
	got, err := s.ReadAny()
	if err != nil || s.IsZero() {
		return "", err
	}
	if len(got) < minSecret || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("secret %v: wants %d to %d printable characters of ASCII without blanks, as openssl rand -hex 24 makes them", s, minSecret, maxSecret)
	}
	return got, nil
}

// ReadAny is Read for a secret that somebody else has chosen: 1 to 256 characters in one line.
func (s Secret) ReadAny() (string, error) { return s.read(maxSecret) }

func (s Secret) read(most int) (string, error) {
	var got string
	switch {
	case s.File != "":
		f, err := os.Open(s.File)
		if err != nil {
			return "", fmt.Errorf("secret: %w", err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, int64(most)+3))
		if err != nil {
			return "", fmt.Errorf("secret: %w", err)
		}
		got = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	case s.Env != "":
		got = os.Getenv(s.Env)
		if got == "" {
			return "", fmt.Errorf("secret %v: the variable is not set", s)
		}
	default:
		return "", nil
	}
	if got == "" || len(got) > most || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("secret %v: wants one line of 1 to %d characters", s, most)
	}
	return got, nil
}

func secret(dst *Secret, base string) reader {
	return text(dst, func(s string) (Secret, error) {
		kind, name, _ := strings.Cut(s, ":")
		switch {
		case kind == "file" && name != "":
			file, err := path(base)(name)
			return Secret{File: file}, err
		case kind == "env" && name != "" && !strings.ContainsAny(name, "= "):
			return Secret{Env: name}, nil
		}
		// What stands here may be the secret: it is not repeated.
		return Secret{}, errors.New("wants a reference, as in file:/etc/postreeve/token or env:POSTREEVE_TOKEN, and not the secret itself")
	})
}
