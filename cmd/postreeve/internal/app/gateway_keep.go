package app

import (
	"context"
	"errors"
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
	g.keeper = &keeper{tells: c.Store.Bounces != nil}
	if g.metrics != nil {
		g.keeper.count = g.metrics.Stored
	}
	return g.arrive(ctx, c)
}

// store is the store, or nil: nothing is kept, or it has not come yet.
func (g *gateway) store() *store.Store {
	if g.keeper == nil {
		return nil
	}
	return g.keeper.cur.Load()
}

func (g *gateway) closeStore() {
	st := g.store()
	if st == nil {
		return
	}
	if err := st.Close(); err != nil {
		g.log.Error("closing the store", "error", err)
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
	if _, err := digestTasks(c, new(store.Store)); err != nil { // it is judged, and not done
		return err
	}
	remediator, err := newRemediator(c, g.log)
	if err != nil {
		return err
	}
	g.kept.Go(func() {
		if hop, ok := bounces.(*relay.SMTP); ok {
			defer hop.Close()
		}
		st := g.store()
		if st == nil {
			st = g.await(ctx, c)
		}
		if st == nil {
			return
		}
		first := st
		for pause := time.Second; ; pause = min(2*pause, time.Minute) {
			tasks, _ := digestTasks(c, st) // what it refuses it refused above
			err := st.Run(ctx, store.RunConfig{Directory: &g.live, Bounces: bounces, Tasks: append(tasks, g.proofs.task()), Remediator: remediator})
			if st != first {
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
		g.metrics.Keep(func(ctx context.Context) (map[string]float64, error) {
			st, err := g.keeper.store()
			if err != nil {
				return nil, err
			}
			return keptCounts(ctx, st)
		})
	}
	return nil
}

// another opens the store once more, since one runs only once. It is nil when ctx has ended.
func (g *gateway) another(ctx context.Context, c *config.Config, why error, pause time.Duration) *store.Store {
	for {
		g.log.Error("queued mail is not delivered by this node at the moment", "error", why, "again", pause)
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

// mostCounted bounds what is read of a list to be counted.
const mostCounted = 10000

// keptCounts counts what is kept.
func keptCounts(ctx context.Context, st *store.Store) (map[string]float64, error) {
	n, err := st.Counts(ctx)
	if err != nil {
		return nil, err
	}
	age := 0.0
	if !n.Oldest.IsZero() {
		age = max(0, time.Since(n.Oldest).Seconds())
	}
	return map[string]float64{
		"held_messages": float64(n.Held), "held_bytes": float64(n.HeldBytes), "held_uncertain_recipients": float64(n.Uncertain),
		"queued_messages": float64(n.Queued), "queued_bytes": float64(n.QueuedBytes), "queue_oldest_seconds": age, "queue_aside_messages": float64(n.Aside),
	}, nil
}
