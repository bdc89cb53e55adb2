package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
)

// ErrEmpty says that a store that was to be there, see Config.Existing, has not been made yet.
var ErrEmpty = errors.New("store: nothing has been kept here yet")

// ErrOlder says that the database is of an older version, and that Config.Existing forbids to bring it up to date: the
// gateway of this version has to be started first.
var ErrOlder = errors.New("store: the database is of an older version of postreeve")

// openExisting opens what is there, and writes nothing.
func (s *Store) openExisting(ctx context.Context) (err error) {
	if path, ok := strings.CutPrefix(s.config.Database, "sqlite:"); ok {
		if _, err := os.Stat(strings.TrimPrefix(path, "//")); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: there is no %s", ErrEmpty, strings.TrimPrefix(path, "//"))
		} else if err != nil {
			return err
		}
	}
	if s.db, err = openForReading(ctx, s.config.Database); err != nil {
		return err
	}
	dir, isDir := strings.CutPrefix(s.config.Bodies, "file:")
	if !isDir { // whether there is a bucket is worth to know also before the first start
		if s.bodies, err = openBodies(ctx, s.config.Bodies, s.config); err != nil {
			return err
		}
	}
	if err := s.db.current(ctx); err != nil {
		return err
	}
	if isDir {
		dir = filepath.Clean(strings.TrimPrefix(dir, "//"))
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("store: the bodies are not where they should be, is something not mounted? %w", err)
		}
		if s.bodies, err = openBodies(ctx, s.config.Bodies, s.config); err != nil {
			return err
		}
	}
	if err := s.readSecret(ctx); err != nil {
		return err
	}
	if err := s.readMark(ctx); err != nil {
		return err
	}
	return s.db.prepare(ctx, hotStatements...)
}

// current says whether the schema is that of this version.
func (d *db) current(ctx context.Context) error {
	query := "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'meta'"
	if d.pool != nil {
		query = "SELECT COUNT(to_regclass('meta'))"
	}
	var n int
	if err := d.queryRow(ctx, query).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("%w: the database has no tables", ErrEmpty)
	}
	var v string
	err := d.queryRow(ctx, "SELECT value FROM meta WHERE name = 'schema'").Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: the database has no tables", ErrEmpty)
	}
	if err != nil {
		return err
	}
	have, err := strconv.Atoi(v)
	switch {
	case err != nil:
		return fmt.Errorf("store: schema version %q: %w", v, err)
	case have > len(migrations):
		return newer(have)
	case have < len(migrations):
		return fmt.Errorf("%w: schema %d, this one needs %d", ErrOlder, have, len(migrations))
	}
	return nil
}

// readSecret is openSecret where there must be one.
func (s *Store) readSecret(ctx context.Context) error {
	var secret string
	err := s.db.queryRow(ctx, "SELECT value FROM meta WHERE name = 'secret'").Scan(&secret)
	if errors.Is(err, sql.ErrNoRows) || err == nil && secret == "" {
		return fmt.Errorf("%w: the database has no secret", ErrEmpty)
	}
	s.secret = []byte(secret)
	return err
}

// readMark is openMark where there must be one.
func (s *Store) readMark(ctx context.Context) error {
	m, ok := s.bodies.(interface {
		marked(ctx context.Context) (string, error)
	})
	if !ok {
		return nil
	}
	have, err := m.marked(ctx)
	if err != nil {
		return fmt.Errorf("store: bodies: %w", err)
	}
	known, err := knownPlace(s.db.queryRow(ctx, selectPlace))
	if err != nil {
		return err
	}
	if strings.TrimSpace(have) == freshMark {
		return fmt.Errorf("%w: the gateway has to be started first, which takes the new place of the bodies", ErrEmpty)
	}
	_, s.place.id, _ = strings.Cut(strings.TrimSpace(have), " ")
	return s.judgeMark(known, strings.TrimSpace(have))
}

// marked returns what mark has written, empty if it has not.
func (f *files) marked(context.Context) (string, error) {
	have, err := f.root.Load().ReadFile(markName)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mark == "" {
		f.mark = string(have)
	}
	return string(have), ignore(err, fs.ErrNotExist)
}

// marked returns what mark has written, empty if it has not.
func (o *objects) marked(ctx context.Context) (string, error) {
	r, err := o.client.GetObject(ctx, o.bucket, o.name(markName), minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer r.Close()
	have, err := io.ReadAll(io.LimitReader(r, 1024))
	if err != nil && notThere(err) {
		return "", nil
	}
	return string(have), err
}
