package mailauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Rotation is a list of sealing keys that take turns: of those whose turn has come the latest seals. It may be
// used by many goroutines at once.
//
// The record of the next key has to be published before its turn begins, and that of the one before has to
// stay as long as mail that it sealed is on its way: a week will do.
type Rotation []Turn

// Turn is a key and when it begins to seal.
type Turn struct {
	From   time.Time // zero: from the beginning
	Sealer *Sealer
}

// Current returns the sealer whose turn it is, or nil if nobody's has come.
func (r Rotation) Current(now time.Time) *Sealer {
	var current *Turn
	for i := range r {
		t := &r[i]
		if !t.From.After(now) && (current == nil || !t.From.Before(current.From)) {
			current = t
		}
	}
	if current == nil {
		return nil
	}
	return current.Sealer
}

// Seal is Sealer.Seal with the key whose turn it is.
func (r Rotation) Seal(ctx context.Context, m *verdict.Message, results verdict.AuthResults) ([]byte, error) {
	s := r.Current(time.Now())
	if s == nil {
		return nil, fmt.Errorf("%w: the turn of no key has come", ErrNotSealed)
	}
	return s.Seal(ctx, m, results)
}

// Valid says what keeps the key from sealing, if anything does.
func (s *Sealer) Valid() error {
	_, err := s.algorithm()
	return err
}

// RecordName returns the name at which the record of the key has to be published.
func (s *Sealer) RecordName() string { return s.Selector + "._domainkey." + s.Domain }

// Published asks whether the record of the key is there as it has to be. The error is nil if it is; it is
// ErrTemporary if nobody can tell now, and else says what differs.
func (s *Sealer) Published(ctx context.Context, r Resolver) error {
	if err := s.Valid(); err != nil {
		return err
	}
	f := fetchKey(ctx, r, asciiDomain(s.Selector)+"._domainkey."+asciiDomain(s.Domain))
	if f.key == nil {
		if f.result == "temperror" {
			return temporary(f.err)
		}
		return f.err
	}
	if !f.key.matches(s.Key.Public()) {
		return errors.New("mailauth: the record has the key of somebody else")
	}
	return nil
}
