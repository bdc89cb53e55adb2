package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// openTime is how long one attempt to open the store may take.
const openTime = 20 * time.Second

// errNoStore is for commands about what is kept, where nothing is.
var errNoStore = errors.New("this configuration keeps no mail: set state: to a directory, or database")

// openStore opens the store of a configuration, makes it where there is none, and brings it up to date. The logger may
// be nil.
func openStore(ctx context.Context, c *config.Config, log *slog.Logger) (*store.Store, error) {
	return openAs(ctx, c, log, false)
}

// openExisting is openStore for what looks after the store of a gateway, which may be running and of another version:
// it makes and changes nothing.
func openExisting(ctx context.Context, c *config.Config, log *slog.Logger) (*store.Store, error) {
	return openAs(ctx, c, log, true)
}

// openForState is for what may be done before the gateway has ever run: it makes a store where there is none, and one
// that is there it leaves in its version.
func openForState(ctx context.Context, c *config.Config) (*store.Store, error) {
	st, err := openExisting(ctx, c, nil)
	if errors.Is(err, store.ErrEmpty) {
		st, err = openStore(ctx, c, nil)
	}
	return st, adviseStore(err)
}

func openAs(ctx context.Context, c *config.Config, log *slog.Logger, existing bool) (*store.Store, error) {
	if !c.Keeps() {
		return nil, errNoStore
	}
	sc := store.Config{
		Dir: c.State, Bodies: c.Store.Bodies.URL, Hostname: c.Hostname, Postmaster: c.Postmaster, Node: c.Store.Node,
		HeldFor: c.Store.HeldFor, HeldBytes: c.Store.HeldBytes, QueuedFor: c.Store.QueuedFor, QueuedBytes: c.Store.QueuedBytes,
		MinFree: c.Store.MinFree, LedgerFor: c.Store.LedgerFor, HeaderPrefix: c.Headers.Prefix, Log: log, Existing: existing,
	}
	if b := c.Store.Bounces; b != nil {
		sc.WarnAfter = b.WarnAfter
	}
	var err error
	if sc.Database, err = c.Store.Database.Read(); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if b := c.Store.Bodies; !b.ID.IsZero() {
		sc.S3Keys = func() (id, secret string, err error) {
			if id, err = b.ID.ReadAny(); err == nil {
				secret, err = b.Secret.ReadAny()
			}
			return id, secret, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	return store.Open(ctx, sc)
}

// adviseStore says what to do about a store that cannot be opened by a command.
func adviseStore(err error) error {
	advice := storeDisk(err)
	switch {
	case err == nil:
		return nil
	case advice != "":
	case errors.Is(err, store.ErrOlder):
		advice = "start the gateway of this version first, which brings the database up to date; or use the postreeve that runs"
	case errors.Is(err, store.ErrNewer):
		advice = "use the version of the gateway that runs, or a newer one"
	case errors.Is(err, fs.ErrPermission), readOnly(err):
		advice = "run this as the user of the gateway"
	case notSQLite(err):
		advice = adviceCorrupt
	default:
		return err
	}
	return fmt.Errorf("%s: %s", plainStore(err), advice)
}

// storeDisk says what to do about the disk of a store, if it is the disk.
func storeDisk(err error) string {
	switch {
	case errors.Is(err, store.ErrReadOnly):
		return "find out in the log of the system why, and mount it so that it can be written"
	case errors.Is(err, store.ErrFull):
		return "make room"
	}
	return ""
}

// plainStore is an error of the store without the name of the package.
func plainStore(err error) string { return strings.TrimPrefix(err.Error(), "store: ") }

// sqliteFile is the database of a node that has one of its own, "" if it is a PostgreSQL.
func sqliteFile(c *config.Config) string {
	if !c.Store.Database.IsZero() {
		return ""
	}
	return filepath.Join(c.State, "postreeve.db")
}

// openKept opens the store for commands that only look after what a gateway has kept. They make no database: one that
// belongs to another user would keep the gateway from starting.
func openKept(e *env, c *config.Config) (*store.Store, error) {
	if !c.Keeps() {
		e.err.printf("postreeve: %v\n", errNoStore)
		return nil, exit(exitUsage)
	}
	// Its log is that of a gateway: what matters to a command is in the errors that it gets.
	st, err := openExisting(e.ctx, c, nil)
	if errors.Is(err, store.ErrEmpty) {
		if file := sqliteFile(c); file != "" {
			return nil, fmt.Errorf("nothing has been kept yet: there is no %s, which postreeve serve makes", file)
		}
		return nil, errors.New("nothing has been kept yet: the database has no tables, which postreeve serve makes")
	}
	return st, adviseStore(err)
}

// keeper is the store as a server uses it: it counts, does not let a ledger that is away hold up mail that needs no
// store, and is there before the store is. Until then what has to be kept fails.
type keeper struct {
	cur   atomic.Pointer[store.Store]                  // nil: it has not come yet
	why   error                                        // why it was not there at the start; nil if it was
	count func(op string, ok bool, took time.Duration) // may be nil
	tells bool                                         // there is a way for notices to senders

	mu   sync.Mutex
	away time.Time // until then the ledger is not asked, nor for notices
	mute time.Time // until then notices are not, for it may be bodies alone that cannot be kept
}

// store is the store, or errStoreAway.
func (k *keeper) store() (*store.Store, error) {
	if st := k.cur.Load(); st != nil {
		return st, nil
	}
	return nil, errStoreAway
}

// ledgerRest is how long the ledger is left alone after it failed, or a notice did. Rows of that time are lost, mail is not.
const ledgerRest = 3 * time.Second

// before says whether one of these times has not come.
func (k *keeper) before(until ...*time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(until, func(t *time.Time) bool { return time.Now().Before(*t) })
}

// rest begins a rest.
func (k *keeper) rest(until *time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	*until = time.Now().Add(ledgerRest)
}

var errStoreRests = errors.New("not written: the store failed a moment ago")

// Hold implements relay.Holder.
func (k *keeper) Hold(ctx context.Context, d *relay.Domain, m *verdict.Message, r *verdict.Report) (id string, err error) {
	start := time.Now()
	st, err := k.store()
	if err == nil {
		id, err = st.Hold(ctx, d, m, r)
	}
	k.counted("hold", err, start)
	return id, err
}

// Released implements relay.Releaser.
func (k *keeper) Released(ctx context.Context, m *verdict.Message, mark string) bool {
	st, err := k.store()
	return err == nil && st.Released(ctx, m, mark)
}

// Enqueue implements relay.Queue.
func (k *keeper) Enqueue(ctx context.Context, d *relay.Domain, m *verdict.Message, e verdict.Envelope, body verdict.Source, why string) error {
	start := time.Now()
	st, err := k.store()
	if err == nil {
		err = st.Enqueue(ctx, d, m, e, body, why)
	}
	k.counted("queue", err, start)
	return err
}

// RecordMessage implements relay.Ledger.
func (k *keeper) RecordMessage(ctx context.Context, d *relay.Domain, m *verdict.Message, o relay.Outcome) error {
	start := time.Now()
	st, err := k.store()
	if err != nil {
		k.counted("ledger", err, start)
		return nil // the log has said once that there are no rows
	}
	if k.before(&k.away) {
		k.counted("ledger", errStoreRests, start)
		return errStoreRests
	}
	if err = st.RecordMessage(ctx, d, m, o); err != nil {
		k.rest(&k.away)
	}
	k.counted("ledger", err, start)
	return err
}

// LinkHandler serves the links of digests, see store.Store.LinkHandler.
func (k *keeper) LinkHandler(l store.Links, deliver store.Deliver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		st, err := k.store()
		if err != nil {
			http.Error(w, "Not now. Try again later.", http.StatusServiceUnavailable)
			return
		}
		st.LinkHandler(l, deliver).ServeHTTP(w, r)
	})
}

func (k *keeper) counted(op string, err error, start time.Time) {
	if k.count != nil {
		k.count(op, err == nil, time.Since(start))
	}
}
