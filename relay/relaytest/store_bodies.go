package relaytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/postreeve/postreeve/verdict"
)

// Bodies is what keeps the bytes of messages for a store.
type Bodies interface {
	Put(ctx context.Context, key string, src verdict.Source) error
	Get(ctx context.Context, key string) (verdict.Source, error)
	Delete(ctx context.Context, key string) error
}

// BodiesConfig is a place for bodies under test.
type BodiesConfig struct {
	Bodies Bodies                                      // empty
	Key    func() string                               // a key that nobody has used
	List   func(ctx context.Context) ([]string, error) // all keys
	None   error                                       // what Get says of a key that is not there
}

// TestBodies checks a place for bodies.
func TestBodies(t *testing.T, open func(t *testing.T) BodiesConfig) {
	t.Helper()
	t.Run("bytes", func(t *testing.T) {
		c := open(t)
		for name, mail := range odd {
			key := c.Key()
			if err := c.Bodies.Put(t.Context(), key, verdict.Bytes(mail)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := c.Bodies.Get(t.Context(), key)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for range 2 { // as often as one likes
				if b := bytesOf(t, got); b != mail {
					t.Errorf("%s: %d bytes of %d, or others", name, len(b), len(mail))
				}
			}
		}
		keys, err := c.List(t.Context())
		if err != nil || len(keys) != len(odd) {
			t.Errorf("%d keys of %d, %v", len(keys), len(odd), err)
		}
	})
	t.Run("gone", func(t *testing.T) {
		c := open(t)
		key := c.Key()
		if _, err := c.Bodies.Get(t.Context(), key); !errors.Is(err, c.None) {
			t.Errorf("Get of what never was: %v", err)
		}
		if err := c.Bodies.Put(t.Context(), key, verdict.Bytes("x")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Bodies.Delete(t.Context(), key); err != nil {
				t.Errorf("Delete: %v", err)
			}
		}
		if _, err := c.Bodies.Get(t.Context(), key); !errors.Is(err, c.None) {
			t.Errorf("Get of what was deleted: %v", err)
		}
	})
	t.Run("keys of others", func(t *testing.T) {
		c := open(t)
		for _, key := range []string{"", ".", "..", "../x", "/etc/passwd", "a/../../b", "a\x00b", strings.Repeat("x", 5000)} {
			if err := c.Bodies.Put(t.Context(), key, verdict.Bytes("x")); err == nil {
				t.Errorf("Put takes the key %.20q", key)
			}
			if _, err := c.Bodies.Get(t.Context(), key); err == nil {
				t.Errorf("Get takes the key %.20q", key)
			}
			if err := c.Bodies.Delete(t.Context(), key); err == nil {
				t.Errorf("Delete takes the key %.20q", key)
			}
		}
	})
	t.Run("broken source", func(t *testing.T) {
		c := open(t)
		key := c.Key()
		if err := c.Bodies.Put(t.Context(), key, brokenSource{}); err == nil {
			t.Error("half a body was put")
		}
		if _, err := c.Bodies.Get(t.Context(), key); err == nil {
			t.Error("half a body is there")
		}
	})
	t.Run("context", func(t *testing.T) {
		c := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Bodies.Put(ctx, c.Key(), verdict.Bytes("x")); err == nil {
			t.Error("Put goes on after its context has ended")
		}
	})
	t.Run("many at once", func(t *testing.T) {
		c := open(t)
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				key, text := c.Key(), fmt.Sprint("body ", i)
				if err := c.Bodies.Put(t.Context(), key, verdict.Bytes(text)); err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 {
					if err := c.Bodies.Delete(t.Context(), key); err != nil {
						t.Error(err)
					}
					return
				}
				got, err := c.Bodies.Get(t.Context(), key)
				if err != nil || got.Size() != int64(len(text)) {
					t.Errorf("%v %v", got, err)
				}
			})
		}
		wg.Wait()
		if keys, err := c.List(t.Context()); err != nil || len(keys) != 20 {
			t.Errorf("%d keys, want 20, %v", len(keys), err)
		}
	})
}
