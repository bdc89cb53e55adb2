package impostor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/impostor"
)

// from is a message of sender for bob.
func from(sender string) *verdict.Message {
	m := verdict.NewMessage(verdict.Bytes("From: Somebody <" + sender + ">\r\n\r\nHello\r\n"))
	m.Envelope.To = []verdict.Recipient{{Address: "bob@example.com"}}
	return m
}

func seen(t *testing.T, c *impostor.Memory, recipient, sender string) bool {
	t.Helper()
	ok, err := c.Seen(t.Context(), recipient, sender)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestMemory(t *testing.T) {
	t.Parallel()
	c := new(impostor.Memory)
	c.Learn(from("Ann+news@Example.org"))
	c.Learn(from("")) // nobody
	for _, k := range []struct {
		recipient, sender string
		want              bool
	}{
		{"bob@example.com", "ann@example.org", true},
		{"BOB+x@example.com", "ANN@example.org", true},
		{"bob@example.com", "other@example.org", false},
		{"carol@example.com", "ann@example.org", false},
		{"", "", false},
	} {
		if got := seen(t, c, k.recipient, k.sender); got != k.want {
			t.Errorf("%s from %s: %v, want %v", k.recipient, k.sender, got, k.want)
		}
	}
}

func TestMemoryForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &impostor.Memory{For: time.Hour}
		c.Learn(from("ann@example.org"))
		time.Sleep(59 * time.Minute)
		if !seen(t, c, "bob@example.com", "ann@example.org") {
			t.Error("forgotten too early")
		}
		c.Learn(from("ann@example.org"))
		time.Sleep(59 * time.Minute)
		if !seen(t, c, "bob@example.com", "ann@example.org") {
			t.Error("forgotten although there was new mail")
		}
		time.Sleep(2 * time.Minute)
		if seen(t, c, "bob@example.com", "ann@example.org") {
			t.Error("not forgotten")
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	c := &impostor.Memory{Most: 100}
	for i := range 1000 {
		c.Learn(from(fmt.Sprintf("a%d@example.org", i)))
	}
	kept := 0
	for i := range 1000 {
		if seen(t, c, "bob@example.com", fmt.Sprintf("a%d@example.org", i)) {
			kept++
		}
	}
	if kept > 100 || kept < 40 {
		t.Errorf("%d are remembered, want 40 to 100", kept)
	}
	if !seen(t, c, "bob@example.com", "a999@example.org") {
		t.Error("the newest is forgotten")
	}
}

func TestMemorySideBySide(t *testing.T) {
	t.Parallel()
	c := new(impostor.Memory)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				c.Learn(from(fmt.Sprintf("a%d@example.org", j)))
				if ok, err := c.Seen(context.Background(), "bob@example.com", fmt.Sprintf("a%d@example.org", j)); !ok || err != nil {
					t.Errorf("%d %d: %v %v", i, j, ok, err)
				}
			}
		})
	}
	wg.Wait()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Seen(ended, "a", "b"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}
