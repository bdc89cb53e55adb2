package store_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// Keys are read again when they are refused, and those that we have are used while there are no others.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	id, secret, _ := s3Keys()
	var asked atomic.Int64
	next := []func() (string, string, error){
		s3Keys, // to open
		func() (string, string, error) { return id, "of yesterday", nil }, s3Keys, // Put
		func() (string, string, error) { return "yesterday", secret, nil }, s3Keys, // Get
		func() (string, string, error) { return "", "", errors.New("no such file") }, // Open of a large one
		func() (string, string, error) { return id, "of yesterday", nil }, s3Keys,    // Delete
		func() (string, string, error) { return id, "of yesterday", nil }, func() (string, string, error) { return id, "of yesterday", nil }, // for good
	}
	s := open(t, store.Config{Dir: t.TempDir(), Bodies: bucket(t), S3Keys: func() (string, string, error) {
		return next[min(int(asked.Add(1)), len(next))-1]()
	}})
	b, key := s.Bodies(), store.NewKey()
	large := strings.Repeat("0123456789abcdef", 10_000)
	s.ExpireKeys()
	if err := b.Put(t.Context(), key, verdict.Bytes(large)); err != nil || asked.Load() != 3 {
		t.Errorf("put: %v, asked %d times", err, asked.Load())
	}
	s.ExpireKeys()
	src, err := b.Get(t.Context(), key)
	if err != nil || asked.Load() != 5 {
		t.Fatalf("get: %v, asked %d times", err, asked.Load())
	}
	s.ExpireKeys()
	if got := read(t, func() (verdict.Source, error) { return src, nil }); got != large || asked.Load() != 6 {
		t.Errorf("open: %d bytes, asked %d times", len(got), asked.Load())
	}
	s.ExpireKeys()
	if err := b.Delete(t.Context(), key); err != nil || asked.Load() != 8 {
		t.Errorf("delete: %v, asked %d times", err, asked.Load())
	}
	s.ExpireKeys()
	if err := b.Put(t.Context(), store.NewKey(), verdict.Bytes("x")); err == nil || asked.Load() != 10 {
		t.Errorf("with keys that are refused for good: %v, asked %d times", err, asked.Load())
	}
}
