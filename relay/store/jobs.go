package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// jobs runs River. A job says only that something is to be looked at; what there is to do stands in the rows, so
// that a job that is lost or run twice does no harm.
type jobs struct {
	insert func(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) error
	start  func(ctx context.Context) error
	stop   func(ctx context.Context) error
	db     *sql.DB // of SQLite: a file of its own, or the committer would wait for it

	mu    sync.Mutex
	woken map[string]time.Time // destinations, and when a job was last made for them
}

// deliverArgs is the job of one destination.
type deliverArgs struct {
	Domain string `json:"domain" river:"unique"`
}

func (deliverArgs) Kind() string { return "deliver" }

// Task is work that is done now and then by any one node of a fleet: re-verifying domains, digests.
type Task struct {
	Name  string // short and constant
	Every time.Duration
	Do    func(ctx context.Context) error // must be safe to run twice
	// Limit is how long it may take, and after which another node does it if the one that did has died; 0: 15 minutes.
	Limit time.Duration
}

type taskArgs struct {
	Name string `json:"name" river:"unique"`
}

func (taskArgs) Kind() string { return "task" }

const (
	jobTimeout  = 30 * time.Second // of feeding a lane; the deliveries themselves are not in the job
	taskTimeout = 15 * time.Minute
)

type deliverWorker struct {
	river.WorkerDefaults[deliverArgs]
	s *Store
}

// Work feeds the destination's lane on this node, and comes back for what is not due yet.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[deliverArgs]) error {
	domain := job.Args.Domain
	until, err := w.s.deliveries.feed(ctx, domain)
	if err != nil {
		return err
	}
	next, err := w.s.nextDue(ctx, domain)
	if err != nil || next.IsZero() {
		return err
	}
	if until.After(next) {
		next = until
	}
	return river.JobSnooze(max(lookEvery, min(time.Until(next), 5*time.Minute)))
}

// nextDue is when the next row of a destination is due, or zero without rows.
func (s *Store) nextDue(ctx context.Context, domain string) (time.Time, error) {
	var due sql.NullInt64
	err := s.db.queryRow(ctx, "SELECT MIN(due) FROM queued WHERE domain = ? AND state = 'waiting'", domain).Scan(&due)
	if err != nil || !due.Valid {
		return time.Time{}, err
	}
	return time.UnixMilli(due.Int64), nil
}

type taskWorker struct {
	river.WorkerDefaults[taskArgs]
	s     *Store
	tasks map[string]Task
}

// Timeout is also when River takes the job from a node that has died.
func (w *taskWorker) Timeout(job *river.Job[taskArgs]) time.Duration {
	return cmp.Or(w.tasks[job.Args.Name].Limit, taskTimeout)
}

func (w *taskWorker) Work(ctx context.Context, job *river.Job[taskArgs]) error {
	do := w.tasks[job.Args.Name].Do
	if do == nil {
		return river.JobCancel(fmt.Errorf("no task %q on this node", job.Args.Name))
	}
	start := time.Now()
	if err := do(ctx); err != nil {
		w.s.config.Log.Error("task failed", "task", job.Args.Name, "error", err)
		return err
	}
	w.s.config.Log.Debug("task done", "task", job.Args.Name, "took", time.Since(start))
	return nil
}

// openJobs makes the client. Its tables are in the same PostgreSQL, or in jobs.db beside the SQLite file.
func (s *Store) openJobs(ctx context.Context, tasks []Task) (*jobs, error) {
	j := &jobs{woken: make(map[string]time.Time)}
	if s.db.pool != nil {
		return j, setUp(ctx, j, s, riverpgxv5.New(s.db.pool), tasks)
	}
	path := filepath.Join(filepath.Dir(s.db.path), "jobs.db")
	// Nobody else may open it while this process runs: on SQLite there is one that delivers.
	d, err := openSQLite(ctx, path, "&_pragma=locking_mode(EXCLUSIVE)")
	if err != nil {
		return nil, fmt.Errorf("store: is another process running on this database? %w", err)
	}
	if err := d.read.Close(); err != nil {
		return nil, errors.Join(err, d.write.Close())
	}
	j.db = d.write
	if err := setUp(ctx, j, s, riversqlite.New(d.write), tasks); err != nil {
		return nil, errors.Join(err, d.write.Close())
	}
	// Who ran them has been killed. What they were about stands in the rows.
	if _, err := d.write.ExecContext(ctx, "DELETE FROM river_job WHERE state = 'running'"); err != nil {
		return nil, errors.Join(fmt.Errorf("store: jobs of an earlier process: %w", err), d.write.Close())
	}
	return j, nil
}

func setUp[T any](ctx context.Context, j *jobs, s *Store, driver riverdriver.Driver[T], tasks []Task) error {
	log := slog.New(quiet{s.config.Log.Handler()})
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: log})
	if err != nil {
		return err
	}
	if err := retrySerial(ctx, func() error {
		_, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	}); err != nil {
		return fmt.Errorf("store: the tables of jobs: %w", err)
	}
	workers := river.NewWorkers()
	all := append(s.ownTasks(), tasks...)
	do := make(map[string]Task)
	var periodic []*river.PeriodicJob
	for _, t := range all {
		do[t.Name] = t
		periodic = append(periodic, river.NewPeriodicJob(river.PeriodicInterval(t.Every), func() (river.JobArgs, *river.InsertOpts) {
			return taskArgs{t.Name}, &river.InsertOpts{MaxAttempts: 1, Queue: "tasks", UniqueOpts: unique}
		}, &river.PeriodicJobOpts{RunOnStart: true}))
	}
	river.AddWorker(workers, &deliverWorker{s: s})
	river.AddWorker(workers, &taskWorker{s: s, tasks: do})
	client, err := river.NewClient(driver, &river.Config{
		ID:     strings.ReplaceAll(s.claimant, "/", "-"),
		Logger: log, Workers: workers, PeriodicJobs: periodic,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 20}, "tasks": {MaxWorkers: 4}},
		// On SQLite all of this is one process: asking often costs little.
		FetchPollInterval: 500 * time.Millisecond, FetchCooldown: 50 * time.Millisecond,
		JobTimeout: jobTimeout, RescueStuckJobsAfter: time.Minute, // and no sooner than its Timeout
		CompletedJobRetentionPeriod: time.Hour, CancelledJobRetentionPeriod: time.Hour, DiscardedJobRetentionPeriod: 24 * time.Hour,
	})
	if err != nil {
		return err
	}
	j.insert = func(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) error {
		_, err := client.Insert(ctx, args, opts)
		return err
	}
	j.start, j.stop = client.Start, client.Stop
	return nil
}

// retrySerial tries again what nodes that start together keep each other from.
func retrySerial(ctx context.Context, do func() error) error {
	var err error
	for range 10 {
		if err = do(); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
	return err
}

// unique lets a destination or task have one job that waits or runs.
var unique = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateScheduled, rivertype.JobStateRetryable,
}}

// wake has a destination looked after at a time. That it is asked for often is no harm.
func (s *Store) wake(domain string, at time.Time) {
	j := s.jobs.Load()
	if j == nil {
		return // nobody delivers here: another node does, or this one at its start
	}
	j.mu.Lock()
	if when, ok := j.woken[domain]; ok && time.Since(when) < lookEvery {
		j.mu.Unlock()
		return // this node looks by itself, see look
	}
	j.woken[domain] = time.Now()
	j.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := j.insert(ctx, deliverArgs{domain}, &river.InsertOpts{ScheduledAt: at, MaxAttempts: 25, UniqueOpts: unique})
	if err != nil {
		j.forget(domain) // the sweep finds it
		s.config.Log.Warn("a job for the queue could not be made and will be made later", "domain", domain, "error", err)
	}
}

func (j *jobs) forget(domain string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.woken, domain)
}

func (j *jobs) close() error {
	if j.db != nil {
		return j.db.Close()
	}
	return nil
}

// quiet keeps what River says of its everyday life out of the log.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Message = "jobs: " + r.Message
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(n string) slog.Handler      { return quiet{q.Handler.WithGroup(n)} }
