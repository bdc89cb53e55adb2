package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postreeve/postreeve/relay"
)

// RunConfig says how the store works while it runs.
type RunConfig struct {
	// Directory knows where the mail of a domain goes. Required.
	Directory relay.Directory
	// Bounces is how notices leave to senders whose domain is not in the Directory: a hop that finds hosts by MX, or a
	// smart host. Nil: these notices wait in the queue until there is one, or they are too old.
	Bounces relay.NextHop
	// Tasks are done now and then, by any one node of a fleet.
	Tasks []Task
	// Remediator does what Condemn and Absolve order. Nil: orders wait.
	Remediator Remediator
}

// tasks are those of the caller, and what comes of the other settings.
func (c RunConfig) tasks(s *Store) []Task {
	if c.Remediator == nil {
		return c.Tasks
	}
	return append(slices.Clone(c.Tasks), Task{Name: "remediate", Every: remedyEvery, Limit: remedyLimit,
		Do: func(ctx context.Context) error { return s.remediate(ctx, c.Remediator) }})
}

// stopTime is how long deliveries under way may take after Run's ctx has ended.
const stopTime = time.Minute

// Run delivers what is queued and does what is to be done now and then, until ctx ends; then it waits for
// deliveries under way, a minute at most, and lets go of the rest. It is called once. Without it the store only
// keeps. On SQLite a second process that runs on the same database is an error.
func (s *Store) Run(ctx context.Context, c RunConfig) (err error) {
	if c.Directory == nil {
		return errors.New("store: Run without a Directory")
	}
	if s.ran.Swap(true) {
		return errors.New("store: Run is called once")
	}
	j, err := s.openJobs(ctx, c.tasks(s))
	if err != nil && ctx.Err() != nil {
		return nil // told to stop before it had begun
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if s.db.pool == nil {
		// jobs.db is locked by this process, so whoever had claims here is gone.
		if err := s.freeClaims(ctx); err != nil {
			s.config.Log.Warn("claims of an earlier process will end by themselves", "error", err)
		}
	}
	// Deliveries end a little later than ctx: what is under way may be finished.
	dctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.deliveries.start(dctx, c)
	if err := j.start(ctx); err != nil {
		s.deliveries.stop()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("store: jobs: %w", err)
	}
	s.jobs.Store(j) // River takes no jobs while it starts: what came meanwhile is seen by look
	kept := make(chan struct{})
	kctx, release := context.WithCancel(dctx)
	go func() {
		defer close(kept)
		s.keepClaims(kctx) // also while deliveries are being finished
	}()
	s.look(ctx)
	s.jobs.Store(nil)
	grace := time.AfterFunc(cmp.Or(s.deliveries.grace, stopTime), cancel)
	defer grace.Stop()
	s.deliveries.stop()
	release()
	<-kept
	sctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := j.stop(sctx); err != nil {
		return fmt.Errorf("store: jobs did not end in time: %w", err)
	}
	return nil
}

// lookEvery is how often a node looks for destinations that nobody serves.
const lookEvery = 5 * time.Second

// look serves, until ctx ends, what is due and nobody's: because it came while this node was busy, because a job
// was lost, or because a node died. Jobs do the same, but they are of one clock and one leader; this is not.
func (s *Store) look(ctx context.Context) {
	tick := time.NewTicker(s.config.look())
	defer tick.Stop()
	for {
		if err := s.serveDue(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.Warn("the queue cannot be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// dueDomains asks the index once for each destination, however many rows there are.
const dueDomains = `WITH RECURSIVE d (name) AS (SELECT MIN(domain) FROM queued UNION ALL
 SELECT (SELECT MIN(domain) FROM queued WHERE domain > d.name) FROM d WHERE d.name IS NOT NULL)
 SELECT name, (SELECT MIN(due) FROM queued WHERE domain = d.name AND state = 'waiting'),
 (SELECT MAX(due) FROM queued WHERE domain = d.name AND state = 'waiting') FROM d WHERE name IS NOT NULL`

// manyFeeds that fail in a row are about the database, and not about one destination.
const manyFeeds = 3

func (s *Store) serveDue(ctx context.Context) error {
	rows, err := s.db.query(ctx, dueDomains)
	if err != nil {
		return err
	}
	now := millis(time.Now())
	type todo struct {
		domain string
		asked  bool
	}
	var list []todo
	for rows.Next() {
		var domain string
		var first, last number
		if err := rows.Scan(&domain, &first, &last); err != nil {
			return errors.Join(err, rows.Close())
		}
		if !first.null && (first.odd || last.odd || first.n <= now || last.n > now+insane.Milliseconds()) {
			list = append(list, todo{domain, first.n == 0 && !first.odd})
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	// In another order each time: what cannot be read does not keep the same others from being reached.
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	mail := slices.DeleteFunc(slices.Clone(list), func(t todo) bool { return isBounce(t.domain) })
	notices := slices.DeleteFunc(list, func(t todo) bool { return !isBounce(t.domain) })
	bad := 0
	for _, t := range append(mail, notices...) { // mail before what is said about it
		if ctx.Err() != nil {
			return nil
		}
		if err = s.hurry(ctx, t.domain, t.asked); err == nil {
			_, err = s.deliveries.feed(ctx, t.domain)
		}
		if err == nil {
			bad = 0
			continue
		}
		if bad++; bad == manyFeeds {
			return err
		}
		s.config.Log.Warn("the queue cannot be read", "domain", t.domain, "error", err)
	}
	return nil
}

// hurry ends the pause of a destination if a person asked for an attempt, once: of many messages asked for only a few are
// claimed at a time, and the rest would ask again with every look, however often the hop was found away.
func (s *Store) hurry(ctx context.Context, domain string, asked bool) error {
	if !asked {
		return nil
	}
	err := s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		return t.put(ctx, "UPDATE queued SET due = ? WHERE id IN "+t.db.ordered("domain = ? AND state = 'waiting' AND due = 0"), millis(time.Now()), domain)
	})
	if err == nil {
		s.deliveries.hurry(domain)
	}
	return err
}

// keepClaims renews claims until ctx ends.
func (s *Store) keepClaims(ctx context.Context) {
	tick := time.NewTicker(s.config.claim() / 4)
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

// stir has a destination looked after at a time. Those of notices are many, and have no job of their own: look finds
// them.
func (s *Store) stir(domain string, at time.Time) {
	if !isBounce(domain) {
		s.wake(domain, at)
	}
}
