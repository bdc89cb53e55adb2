package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/relay"
)

// RunConfig says how the store works while it runs.
type RunConfig struct {
	// Directory knows where the mail of a domain goes. Required.
	Directory relay.Directory
	// Bounces is how notices to senders leave: a hop that finds hosts by MX, or a smart host. Nil: notices wait
	// in the queue until there is one.
	Bounces relay.NextHop
	// Tasks are done now and then, by any one node of a fleet.
	Tasks []Task
}

// Run delivers what is queued and does what is to be done now and then, until ctx ends; then it waits for
// deliveries under way, a minute at most. It is called once. Without it the store only keeps.
func (s *Store) Run(ctx context.Context, c RunConfig) error {
	if c.Directory == nil {
		return errors.New("store: Run without a Directory")
	}
	s.bounces, s.instance = c.Bounces, rand.Text()[:8]
	j, err := s.openJobs(ctx, c.Tasks)
	if err != nil {
		return err
	}
	// Deliveries end a little later than ctx: what is under way may be finished.
	dctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.deliveries.start(dctx, c.Directory)
	s.jobs.Store(j)
	if err := j.start(ctx); err != nil {
		return errors.Join(fmt.Errorf("store: jobs: %w", err), j.close())
	}
	s.keepClaims(ctx)
	s.jobs.Store(nil)
	grace := time.AfterFunc(time.Minute, cancel)
	defer grace.Stop()
	s.deliveries.stop()
	sctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	return errors.Join(j.stop(sctx), j.close())
}

// keepClaims renews claims until ctx ends.
func (s *Store) keepClaims(ctx context.Context) {
	tick := time.NewTicker(claimTime / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.renew(ctx); err != nil && ctx.Err() == nil {
				s.config.Log.Warn("claims on queued messages were not renewed", "error", err)
			}
		}
	}
}
