package gworkspace

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
)

// Secrets are the values of the two header fields that only the gateway and the tenant may know. The newest
// stands first. Two of a kind are good at the same time while one is replaced. They print as a placeholder.
type Secrets struct {
	// Loop is what the gateway stamps on what it has scanned, and what the rule does not send again.
	Loop []string `json:"loop"`
	// Tenant is what Google adds to what it sends, and what the gateway knows the tenant by.
	Tenant []string `json:"tenant"`
}

const maxSecrets = 2

// secretForm has no character that a regular expression, a header field or a form could take for another.
var secretForm = regexp.MustCompile(`^[A-Za-z0-9]{16,128}$`)

// NewSecrets returns random ones.
func NewSecrets() *Secrets {
	return &Secrets{Loop: []string{rand.Text()}, Tenant: []string{rand.Text()}}
}

// ReadSecrets reads what was written as JSON and checks it.
func ReadSecrets(r io.Reader) (*Secrets, error) {
	var s Secrets
	if err := readStrict(r, 1<<16, &s); err != nil {
		// The error of a decoder may quote what it read.
		return nil, errors.New("gworkspace: secrets: not a JSON object with the lists loop and tenant")
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	return &s, nil
}

// Rotate puts a new value of each kind in front and keeps the one before; of two the older is forgotten, so
// settle first. The order that loses no mail: rotate; have the gateway take both tenant secrets and go on
// stamping [Secrets.Stamped]; change the rule to look for both loop secrets and to add the newest tenant secret;
// 48 hours later [Secrets.Settle]; have the gateway stamp the newest; take the old one out of the rule.
func (s *Secrets) Rotate() *Secrets {
	next := NewSecrets()
	if len(s.Loop) > 0 {
		next.Loop = append(next.Loop, s.Loop[0])
	}
	if len(s.Tenant) > 0 {
		next.Tenant = append(next.Tenant, s.Tenant[0])
	}
	return next
}

// Stamped is the loop secret that the gateway has to stamp: while one is replaced, the one before, since the rule
// does not look for the newest yet, and what it does not know it sends again. Empty: there is none.
func (s *Secrets) Stamped() string {
	if len(s.Loop) == 0 {
		return ""
	}
	return s.Loop[len(s.Loop)-1]
}

// Settle keeps the newest value of each kind alone.
func (s *Secrets) Settle() *Secrets {
	return &Secrets{Loop: slices.Clone(s.Loop[:min(1, len(s.Loop))]), Tenant: slices.Clone(s.Tenant[:min(1, len(s.Tenant))])}
}

// Check says what is wrong, without repeating a value.
func (s *Secrets) Check() error {
	var errs []error
	for _, k := range []struct {
		name string
		list []string
	}{{"loop", s.Loop}, {"tenant", s.Tenant}} {
		if len(k.list) == 0 || len(k.list) > maxSecrets {
			errs = append(errs, fmt.Errorf("gworkspace: secrets: %s: want one value, or two while one is replaced, not %d", k.name, len(k.list)))
		}
		for i, v := range k.list {
			if !secretForm.MatchString(v) {
				errs = append(errs, fmt.Errorf("gworkspace: secrets: %s[%d]: want 16 to 128 letters and digits: a space or sign would be pasted or compared wrongly", k.name, i))
			}
			if slices.Contains(k.list[:i], v) {
				errs = append(errs, fmt.Errorf("gworkspace: secrets: %s[%d] is the one before it", k.name, i))
			}
		}
	}
	for _, v := range s.Loop {
		if slices.Contains(s.Tenant, v) {
			errs = append(errs, errors.New("gworkspace: secrets: loop and tenant share a value: who can read one would know the other"))
		}
	}
	return errors.Join(errs...)
}

// Write writes the secrets as JSON, for ReadSecrets. Nothing else shows them.
func (s *Secrets) Write(w io.Writer) error {
	type plain Secrets
	raw, err := json.MarshalIndent((*plain)(s), "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(raw, '\n'))
	return err
}

// String keeps the secrets out of whatever is printed.
func (s *Secrets) String() string { return "[secrets]" }

// GoString keeps the secrets out of %#v.
func (s *Secrets) GoString() string { return "[secrets]" }

// LogValue keeps the secrets out of logs.
func (s *Secrets) LogValue() slog.Value { return slog.StringValue("[secrets]") }

// MarshalJSON keeps the secrets out of what holds a Secrets by accident.
func (s *Secrets) MarshalJSON() ([]byte, error) { return []byte(`"[secrets]"`), nil }
