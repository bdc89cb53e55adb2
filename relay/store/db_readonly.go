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
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrReadOnly says that nobody can write to the disk that rows or bodies are on. A system may make it so when the disk
// has failed.
var ErrReadOnly = errors.New("store: the file system is read-only")

// crowded is the room that SQLite needs to open a database that nobody else has open.
const crowded = 64 << 10

// diskTrouble adds to an error of opening the store that a disk of this node cannot be written, which SQLite says in
// words of its own that fit everything.
func (c Config) diskTrouble(err error) error {
	if !aboutDisk(err) {
		return err
	}
	for _, dir := range roomOf(c).dirs {
		if readOnlyDisk(dir) {
			return fmt.Errorf("%w: %s: %w", ErrReadOnly, dir, err)
		}
		if n, ok := freeBytes(dir); ok && n < crowded {
			return fmt.Errorf("%w: %s are free on the disk of %s: %w", ErrFull, bytesText(n), dir, err)
		}
	}
	return err
}

// aboutDisk says whether an error may come of a disk that is read-only or full.
func aboutDisk(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff { // without what extends it
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN:
			return true
		}
	}
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC)
}

// openReadOnly opens a file that nobody can write here, to be looked at. SQLite wants to write even to read, but for two
// cases: the log of a gateway is there with the index of that, or there is no log, and nothing can change while it is being
// read. The latter takes more than that we cannot write: a gateway may write to the same file by another mount.
func openReadOnly(ctx context.Context, path string) (*db, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the log is beside that
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(10000)&_pragma=cache_size(-32000)"
	certain := frozen(path) // before its log is looked for
	if fi, err := os.Stat(path + "-wal"); certain && (errors.Is(err, fs.ErrNotExist) || err == nil && fi.Size() == 0) {
		dsn += "&immutable=1"
	}
	read, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(4)
	d := &db{write: read, read: read, path: path, readOnly: filepath.Dir(path), hot: make(map[string]*sql.Stmt)}
	if err := read.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), d.close())
	}
	return d, nil
}

// openForReading opens the database of a program that looks after the store of a gateway.
func openForReading(ctx context.Context, url string) (*db, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok && readOnlyDisk(filepath.Dir(strings.TrimPrefix(path, "//"))) {
		return openReadOnly(ctx, strings.TrimPrefix(path, "//"))
	}
	return openDB(ctx, url)
}
