package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// openStore opens the store, if the configuration wants one.
func (g *gateway) openStore(ctx context.Context, c *config.Config) error {
	if !c.Keeps() {
		return nil
	}
	st, err := openPatiently(ctx, c, g.log)
	if err != nil {
		return fmt.Errorf("opening the store: %s (postreeve check says more)", plainStore(err))
	}
	g.keeper = &keeper{Store: st}
	if g.metrics != nil {
		g.keeper.count = g.metrics.Stored
	}
	return nil
}

// store is the store, or nil.
func (g *gateway) store() *store.Store {
	if g.keeper == nil {
		return nil
	}
	return g.keeper.Store
}

func (g *gateway) closeStore() {
	if g.keeper == nil {
		return
	}
	if err := g.keeper.Close(); err != nil {
		g.log.Error("closing the store", "err", err)
	}
}

// keep has the store deliver what is queued, and look after itself, until ctx ends.
func (g *gateway) keep(ctx context.Context, c *config.Config) error {
	if g.keeper == nil {
		return nil
	}
	bounces, err := newBounces(c, g.log)
	if err != nil {
		return err
	}
	g.kept.Go(func() {
		if hop, ok := bounces.(*relay.SMTP); ok {
			defer hop.Close()
		}
		st := g.keeper.Store
		for pause := time.Second; ; pause = min(2*pause, time.Minute) {
			err := st.Run(ctx, store.RunConfig{Directory: &g.live, Bounces: bounces})
			if st != g.keeper.Store {
				err = errors.Join(err, st.Close())
			}
			if err == nil || ctx.Err() != nil {
				return
			}
			// It could not begin: the database has gone since it was opened, or another process runs on it. Mail is
			// taken and kept meanwhile.
			if st = g.another(ctx, c, err, pause); st == nil {
				return
			}
		}
	})
	if g.metrics != nil {
		g.metrics.Keep(func(ctx context.Context) (map[string]float64, error) { return keptCounts(ctx, g.keeper.Store) })
	}
	return nil
}

// another opens the store once more, since one runs only once. It is nil when ctx has ended.
func (g *gateway) another(ctx context.Context, c *config.Config, why error, pause time.Duration) *store.Store {
	for {
		g.log.Error("queued mail is not delivered by this node at the moment", "err", why, "again", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		var st *store.Store
		if st, why = openStore(ctx, c, g.log); why == nil {
			return st
		}
	}
}

// mostCounted bounds what is counted of a list for the metrics.
const mostCounted = 10000

// keptCounts counts what is kept.
func keptCounts(ctx context.Context, st *store.Store) (map[string]float64, error) {
	held, err := st.HeldMessages(ctx, store.StateHeld, store.Filter{Limit: mostCounted})
	if err != nil {
		return nil, err
	}
	queued, err := st.QueuedMessages(ctx, store.Filter{Limit: mostCounted})
	if err != nil {
		return nil, err
	}
	out := map[string]float64{"held_messages": float64(len(held)), "queued_messages": float64(len(queued)), "queue_oldest_seconds": 0, "queue_aside_messages": 0}
	for _, q := range queued {
		if q.State == store.StateAside {
			out["queue_aside_messages"]++
		} else {
			out["queue_oldest_seconds"] = max(out["queue_oldest_seconds"], time.Since(q.At).Seconds())
		}
	}
	return out, nil
}
