package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Config says where things are kept. The zero value but for Dir is one node on SQLite and files.
type Config struct {
	// Dir is the directory of this node: postreeve.db, jobs.db and bodies/ unless the URLs say otherwise.
	Dir string
	// Database is sqlite:PATH or postgres://USER@HOST/NAME. Empty means sqlite:DIR/postreeve.db. The URL of a PostgreSQL
	// may name several servers, HOST1,HOST2: the one that can be written is used unless target_session_attrs says which;
	// and it may say pool_max_conns, connect_timeout, keepalives_idle and tcp_user_timeout, which have sensible defaults.
	Database string
	// Bodies is file:PATH or s3://BUCKET/PREFIX?endpoint=HOST&region=REGION. Empty means file:DIR/bodies.
	// Nodes that share a database share the bodies too.
	Bodies string
	// S3Keys returns the access key and its secret. It is asked again now and then, and when they are refused, so that
	// they can be changed; it may be asked by many goroutines. Nil: they come from where AWS tools look for them.
	S3Keys func() (id, secret string, err error)
	// Hostname is the gateway's name, for notices to senders. Empty means Node.
	Hostname string
	// HeaderPrefix begins the names of the gateway's header fields, which are taken out of what is returned to
	// senders: relay.Headers.Prefix. Empty means X-Postreeve.
	HeaderPrefix string
	// Postmaster is the address that notices come from. Empty means postmaster@Hostname.
	Postmaster string
	// Node names this node in the ledger and in claims; unique in a fleet. Empty means the host name.
	Node string

	// HeldFor is how long held mail is kept; 0 means 30 days.
	HeldFor time.Duration
	// HeldBytes is how much mail is held at most, in all; Hold fails beyond it. 0 means 10 GiB.
	HeldBytes int64
	// QueuedFor is how long delivery is tried; 0 means 5 days (RFC 5321 section 4.5.4.1).
	QueuedFor time.Duration
	// QueuedBytes is how much mail is queued at most, in all; Enqueue fails beyond it. 0 means 10 GiB.
	QueuedBytes int64
	// MinFree is how many bytes stay free on the disks of this node: with less, Hold and Enqueue fail, and with half
	// of it the ledger does, so that what is kept can still be delivered and deleted. 0 means 64 MiB; negative: none.
	MinFree int64
	// WarnAfter is how long a message is queued before its sender is told that it is late, once, if SPF, DKIM or DMARC
	// vouched for the address. 0: never.
	WarnAfter time.Duration
	// LedgerFor is how long rows of the ledger and of the audit trail are kept; 0 means 90 days.
	LedgerFor time.Duration

	// Existing opens what a gateway has made, and neither makes nor changes anything by that: for programs that look
	// after the store of a gateway which may be running, perhaps in another version. Where there is nothing yet Open
	// fails with ErrEmpty, and a schema of an older version, which is not brought up to date, is ErrOlder. Opening and
	// reading write nothing; what is asked for later, such as a release, writes as ever. So what a node has can be looked
	// at on a disk that is read-only, and writing is ErrReadOnly then.
	Existing bool

	// Log takes what an operator should know. Nil discards it.
	Log *slog.Logger
	// Step is asked before each write, with its name; an error makes the write fail. For tests.
	Step func(name string) error

	claimFor, lookFor, pauseFor time.Duration // for tests: 0 means claimTime, lookEvery and firstPause
}

func (c Config) claim() time.Duration { return cmp.Or(c.claimFor, claimTime) }
func (c Config) look() time.Duration  { return cmp.Or(c.lookFor, lookEvery) }

func (c Config) step(name string) error {
	if c.Step == nil {
		return nil
	}
	return c.Step(name)
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" && (c.Database == "" || c.Bodies == "") {
		return c, errors.New("store: no Dir: say where state is to be kept")
	}
	c.Database = cmp.Or(c.Database, "sqlite:"+filepath.Join(c.Dir, "postreeve.db"))
	c.Bodies = cmp.Or(c.Bodies, "file:"+filepath.Join(c.Dir, "bodies"))
	c.HeldFor = cmp.Or(c.HeldFor, 30*24*time.Hour)
	c.HeldBytes = cmp.Or(c.HeldBytes, 10<<30)
	c.QueuedFor = cmp.Or(c.QueuedFor, 5*24*time.Hour)
	c.QueuedBytes = cmp.Or(c.QueuedBytes, 10<<30)
	c.MinFree = cmp.Or(c.MinFree, 64<<20)
	c.LedgerFor = cmp.Or(c.LedgerFor, 90*24*time.Hour)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Node == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("store: no Node, and the host name is not to be had: %w", err)
		}
		c.Node = host
	}
	c.Hostname = cmp.Or(c.Hostname, c.Node)
	return c, nil
}

// Store is the durable state of a node or a fleet. It may be used by many goroutines at once.
type Store struct {
	config    Config
	db        *db
	bodies    Bodies
	committer *committer

	deliveries *deliveries
	jobs       atomic.Pointer[jobs] // while Run runs
	ran        atomic.Bool
	claimant   string // of this run of this node, in rows that it works on

	secret []byte // of the database, for signatures

	room        *room
	heldBytes   quota
	queuedBytes quota
	noticeBytes quota // of notices to senders, a part of queuedBytes
	counts      counted
	place       place // of the bodies
}

// Open opens or makes the store. The schema is brought up to date, unless Config.Existing says otherwise; a database
// of a newer version is ErrNewer and is left alone, and a disk that nobody can write is ErrReadOnly. Close it at the end.
func Open(ctx context.Context, c Config) (*Store, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{config: c, claimant: text(c.Node, 64) + "/" + rand.Text()[:8]}
	if c.Existing {
		err = s.openExisting(ctx)
	} else {
		err = s.openOrMake(ctx)
	}
	if err != nil {
		return nil, errors.Join(c.diskTrouble(err), s.closeBodies(), s.closeDB())
	}
	s.committer = newCommitter(s.db, c.step, c.Log)
	s.deliveries = &deliveries{s: s}
	s.room = roomOf(c)
	s.heldBytes = quota{db: s.db, query: "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM held WHERE state IN ('held', 'released')", most: c.HeldBytes, what: "Config.HeldBytes; quota.held of the gateway"}
	s.queuedBytes = quota{db: s.db, query: "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM queued", most: c.QueuedBytes, what: "Config.QueuedBytes; quota.queue of the gateway"}
	s.noticeBytes = quota{db: s.db, query: "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM queued WHERE " + s.db.bounces(), most: c.QueuedBytes / noticeShare, what: fmt.Sprintf("notices may have a part in %d of Config.QueuedBytes; quota.queue of the gateway", noticeShare)}
	return s, nil
}

func (s *Store) openOrMake(ctx context.Context) (err error) {
	if s.config.Dir != "" {
		if err := makeDir(s.config.Dir); err != nil {
			return err
		}
	}
	if s.db, err = openDB(ctx, s.config.Database); err != nil {
		return err
	}
	if err = s.db.migrate(ctx); err == nil {
		err = s.db.prepare(ctx, hotStatements...)
	}
	if err == nil {
		s.bodies, err = openBodies(ctx, s.config.Bodies, s.config)
	}
	if err == nil {
		err = s.openSecret(ctx)
	}
	if err == nil {
		err = s.openMark(ctx)
	}
	return err
}

// Close writes what waits and closes the store. What is called afterwards fails.
func (s *Store) Close() error {
	s.committer.close()
	return errors.Join(s.closeBodies(), s.closeDB())
}

func (s *Store) closeDB() error {
	if s.db == nil {
		return nil
	}
	return s.db.close()
}

func (s *Store) closeBodies() error {
	if c, ok := s.bodies.(interface{ close() error }); ok {
		return c.close()
	}
	return nil
}

// hotStatements are those that run for each message.
var hotStatements = []string{
	insertMessage, insertEvent, insertHeld, insertHeldRecipient,
	insertQueued, insertClaimed, insertQueuedRecipient, deleteQueued, deleteQueuedRecipients, retryQueued, settleOneRecipient,
}
