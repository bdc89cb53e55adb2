package store_test

import (
	"context"
	"errors"
	"time"

	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// again is a fresh configuration of the same kind for each part of a suite.
func eachBackend(t *testing.T, test func(t *testing.T, config func(t *testing.T) store.Config)) {
	t.Parallel()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(t, b.config)
		})
	}
}

func TestHolderSuite(t *testing.T) {
	eachBackend(t, func(t *testing.T, config func(t *testing.T) store.Config) {
		relaytest.TestHolder(t, func(t *testing.T) (relay.Holder, func(context.Context, string) (relaytest.Kept, error)) {
			s := open(t, config(t))
			return s, func(ctx context.Context, id string) (relaytest.Kept, error) {
				h, err := s.HeldMessage(ctx, id)
				if err != nil {
					return relaytest.Kept{}, err
				}
				body, err := s.HeldBody(ctx, id)
				return relaytest.Kept{Envelope: h.Envelope, Body: body}, err
			}
		})
	})
}

func TestQueueSuite(t *testing.T) {
	eachBackend(t, func(t *testing.T, config func(t *testing.T) store.Config) {
		relaytest.TestQueue(t, func(t *testing.T, hop relay.NextHop) (relay.Queue, func(context.Context) error) {
			s := open(t, config(t).Quick())
			return s, func(ctx context.Context) error {
				run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": {Name: "ex.net", Next: hop}}})
				for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
					if _, err := s.RetryQueued(ctx, "test"); err != nil {
						return err
					}
					if list, err := s.QueuedMessages(ctx, store.Filter{}); err != nil || len(list) == 0 {
						return err
					}
				}
				return errors.New("not drained after a minute")
			}
		})
	})
}

func TestNotifierSuite(t *testing.T) {
	eachBackend(t, func(t *testing.T, config func(t *testing.T) store.Config) {
		relaytest.TestNotifier(t, func(t *testing.T) (relay.Notifier, func(context.Context) ([]relaytest.Kept, error)) {
			s := open(t, config(t).Quick())
			return s, func(context.Context) ([]relaytest.Kept, error) {
				w := &way{}
				run(t, s, store.RunConfig{Directory: relay.Static{}, Bounces: w})
				await(t, "end of the notices", func() bool { return len(waiting(t, s)) == 0 })
				var out []relaytest.Kept
				for _, m := range w.sent() {
					out = append(out, relaytest.Kept{Envelope: m.e, Body: verdict.Bytes(m.text)})
				}
				return out, nil
			}
		})
	})
}

func TestLedgerSuite(t *testing.T) {
	eachBackend(t, func(t *testing.T, config func(t *testing.T) store.Config) {
		relaytest.TestLedger(t, func(t *testing.T) (relay.Ledger, func(context.Context, string) (bool, error)) {
			s := open(t, config(t))
			return s, func(ctx context.Context, id string) (bool, error) {
				_, err := s.Message(ctx, id)
				if errors.Is(err, store.ErrNotFound) {
					return false, nil
				}
				return err == nil, err
			}
		})
	})
}

func TestBodiesSuite(t *testing.T) {
	eachBackend(t, func(t *testing.T, config func(t *testing.T) store.Config) {
		relaytest.TestBodies(t, func(t *testing.T) relaytest.BodiesConfig {
			b := open(t, config(t)).Bodies()
			return relaytest.BodiesConfig{
				Bodies: b, Key: store.NewKey, None: store.ErrNoBody,
				List: func(ctx context.Context) (keys []string, err error) {
					for info, err := range b.List(ctx) {
						if err != nil {
							return nil, err
						}
						keys = append(keys, info.Key)
					}
					return keys, nil
				},
			}
		})
	})
}
