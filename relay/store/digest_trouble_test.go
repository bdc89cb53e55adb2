package store_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// digests returns a task that makes digests for recipients, and has begun.
func digests(t *testing.T, s *store.Store) store.Task {
	t.Helper()
	task, err := s.DigestTask(store.Digest{Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Do(t.Context()); err != nil { // sees what time it is
		t.Fatal(err)
	}
	return task
}

// A domain of which the Directory says nothing today stops nobody else's digests. Its own wait, and have the token that the
// domain has when they go, once, and by its hop.
func TestDigestDomainInTrouble(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{HeaderPrefix: "X-Brand"}.Quick())
	w, bounces := &mailbox{mail: make(map[string]string), said: make(map[string]verdict.Envelope)}, &way{}
	var well atomic.Bool
	run(t, s, store.RunConfig{Bounces: bounces, Directory: directory(func(_ context.Context, domain string) (*relay.Domain, error) {
		switch {
		case domain == "bad.example" && !well.Load():
			return nil, errDown
		case domain == "unproven.example":
			return nil, relay.ErrUnverified
		}
		return &relay.Domain{Name: domain, Next: w, Token: "secret-2"}, nil
	})})
	task := digests(t, s)
	for id, to := range map[string]string{"m1": "a@bad.example", "m2": "b@good.example", "m3": "c@unproven.example"} {
		if _, err := s.Hold(t.Context(), &relay.Domain{Name: verdict.Domain(to)}, message(id, to), &verdict.Report{Class: verdict.Spam}); err != nil {
			t.Fatal(err)
		}
	}
	got := func(to string) func() bool {
		return func() bool {
			if err := task.Do(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := s.RetryQueued(t.Context(), "admin"); err != nil {
				t.Fatal(err)
			}
			mail, _ := w.got(to)
			return mail != ""
		}
	}
	await(t, "digest", got("b@good.example"))
	tried := func(domain string) bool {
		list, err := s.QueuedMessages(t.Context(), store.Filter{Domain: domain})
		return err == nil && len(list) == 1 && list[0].Attempts > 0
	}
	await(t, "attempts at the others", func() bool { return tried("bad.example") && tried("unproven.example") })
	if mail, _ := w.got("a@bad.example"); mail != "" {
		t.Error("it went by a hop that is not known")
	}
	well.Store(true)
	await(t, "late digest", got("a@bad.example"))
	for _, to := range []string{"a@bad.example", "b@good.example"} {
		mail, _ := w.got(to)
		if strings.Count(mail, "secret-2") != 1 || !strings.HasPrefix(mail, "X-Brand-Token: secret-2\r\n") {
			t.Errorf("to %s:\n%s", to, mail)
		}
	}
	if sent := bounces.sent(); len(sent) != 0 {
		t.Errorf("by the way of bounces: %+v", sent)
	}
}

// fullAfter are bodies of which there is room for some.
type fullAfter struct {
	store.Bodies
	room *atomic.Int64
}

func (b fullAfter) Put(ctx context.Context, key string, src verdict.Source) error {
	if b.room.Add(-1) < 0 {
		return errDown
	}
	return b.Bodies.Put(ctx, key, src)
}

// A round of digests that cannot be finished leaves nothing behind: the next one writes all of them again.
func TestDigestLeavesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		room := new(atomic.Int64)
		s.WrapBodies(func(in store.Bodies) store.Bodies { return fullAfter{in, room} })
		room.Store(1)
		task := digests(t, s)
		if _, err := s.Hold(t.Context(), nil, message("m1", "a@ex.net", "b@ex.net", "c@ex.net"), &verdict.Report{Class: verdict.Spam}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			room.Store(2)
			await(t, "failure", func() bool {
				err := task.Do(t.Context())
				if err != nil && !errors.Is(err, errDown) {
					t.Fatal(err)
				}
				return err != nil
			})
		}
		bodies := 0
		for _, err := range s.Bodies().List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			bodies++
		}
		if bodies != 1 { // of what is held
			t.Errorf("%d bodies", bodies)
		}
		room.Store(1000)
		if err := task.Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(waiting(t, s)); n != 3 {
			t.Errorf("%d digests", n)
		}
	})
}
