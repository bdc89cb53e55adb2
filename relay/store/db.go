package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// db is the rows. Statements are written with ? for their parameters, in the SQL that SQLite and PostgreSQL
// have in common, and @now for the clock of the database in milliseconds, which is one for all nodes.
type db struct {
	write *sql.DB
	read  *sql.DB       // the same as write for PostgreSQL
	pool  *pgxpool.Pool // nil for SQLite
	path  string        // of the SQLite file

	readOnly string // the directory of a SQLite file on a disk that nobody can write; empty: it can be

	patience time.Duration // for tests: 0 means readTime

	hot   map[string]*sql.Stmt // of write, made once by prepare
	bound sync.Map             // statements as the database wants them, by how they are written here
}

// openDB opens the database of a URL: postgres://…, or sqlite:PATH.
func openDB(ctx context.Context, rawURL string) (*db, error) {
	if path, ok := strings.CutPrefix(rawURL, "sqlite:"); ok {
		return openSQLite(ctx, strings.TrimPrefix(path, "//"), "")
	}
	if strings.HasPrefix(rawURL, "postgres://") || strings.HasPrefix(rawURL, "postgresql://") {
		return openPostgres(ctx, rawURL)
	}
	scheme, _, _ := strings.Cut(rawURL, ":")
	return nil, fmt.Errorf("store: database %q: want sqlite:PATH or postgres://USER@HOST/NAME", scheme+":…")
}

// openSQLite opens a file in WAL mode with synchronous FULL: a commit is on disk when it returns. All writes
// go through one connection, since SQLite has one writer at a time anyway.
func openSQLite(ctx context.Context, path, pragmas string) (*db, error) {
	if err := makeSQLite(path); err != nil {
		return nil, err
	}
	dsn := func(extra string) string {
		return "file:" + (&url.URL{Path: path}).EscapedPath() +
			"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_pragma=cache_size(-32000)&_pragma=journal_size_limit(67108864)" + pragmas + extra
	}
	write, err := sql.Open("sqlite", dsn("&_txlock=immediate"))
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn("&_pragma=query_only(1)"))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(4)
	d := &db{write: write, read: read, path: path, hot: make(map[string]*sql.Stmt)}
	if err := write.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), d.close())
	}
	if err := giveSQLite(path); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), d.close())
	}
	return d, nil
}

// makeSQLite makes an empty file where there is none: SQLite would make one that others can read.
func makeSQLite(path string) error {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(giveFile(f, ownerOf(filepath.Dir(path))), f.Sync(), f.Close(), syncNames(filepath.Dir(path)))
}

// giveSQLite gives the files that SQLite keeps beside a database to its owner: root may have made them.
func giveSQLite(path string) error {
	for _, end := range []string{"-wal", "-shm"} {
		if err := givePath(path+end, ownerOf(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (d *db) close() error {
	var errs []error
	for _, s := range d.hot {
		errs = append(errs, s.Close())
	}
	errs = append(errs, d.write.Close())
	if d.pool != nil {
		d.pool.Close()
	} else {
		errs = append(errs, d.read.Close())
	}
	return errors.Join(errs...)
}

// bind turns ? and @now into what the database calls them.
func (d *db) bind(query string) string {
	if q, ok := d.bound.Load(query); ok {
		return q.(string)
	}
	q := d.translate(query)
	if len(query) < 1000 && !strings.Contains(query, "LIMIT ") { // there are few of those
		d.bound.Store(query, q)
	}
	return q
}

func (d *db) translate(query string) string {
	if d.pool == nil {
		return strings.ReplaceAll(query, "@now", "CAST(unixepoch('subsec') * 1000 AS INTEGER)")
	}
	query = strings.ReplaceAll(query, "@now", "(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
	var b strings.Builder
	n := 0
	for i := range len(query) {
		if query[i] == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteByte(query[i])
	}
	return b.String()
}

// prepare makes statements hot. SQLite parses each statement anew otherwise; pgx remembers them by itself.
func (d *db) prepare(ctx context.Context, queries ...string) error {
	if d.pool != nil {
		return nil
	}
	for _, q := range queries {
		s, err := d.write.PrepareContext(ctx, d.bind(q))
		if err != nil {
			return fmt.Errorf("store: %w in %s", err, q)
		}
		d.hot[q] = s
	}
	return nil
}

// locked is the clause that keeps rows that another node works on out of a SELECT. SQLite has one writer.
func (d *db) locked() string {
	if d.pool != nil {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// lock is the clause that has a SELECT wait for other nodes that work on the rows, and keeps them off until the
// transaction ends.
func (d *db) lock() string {
	if d.pool != nil {
		return " FOR UPDATE"
	}
	return ""
}

// ordered finds the ids of queued rows for a statement that changes them all, in the order in which all nodes lock many of
// them: two that wait for each other end as a deadlock. SQLite has one writer.
func (d *db) ordered(cond string) string {
	return "(SELECT id FROM queued WHERE " + cond + " ORDER BY id" + d.lock() + ")"
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
