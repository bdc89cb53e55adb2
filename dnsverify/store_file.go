package dnsverify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// FileStore is a Store in a directory, which must exist: a directory for each domain, and in it a file for each entry.
// Several processes may use one directory: a domain is locked while an entry is written. A file is written aside,
// synced, and put in its place, and its directory is synced; a crash leaves the entry as it was before or after.
// It needs file locks, which every Unix but the descendants of System V has.
type FileStore struct {
	Dir string
}

const lockName = "lock"

// Domain implements Store.
func (s *FileStore) Domain(_ context.Context, domain string) ([]Entry, error) {
	dir, err := s.dir(domain)
	if err != nil {
		return nil, err
	}
	return readEntries(dir)
}

// dir returns the directory of a domain. A name in normal form is safe as a file name.
func (s *FileStore) dir(domain string) (string, error) {
	if s.Dir == "" {
		return "", errors.New("dnsverify: FileStore.Dir is empty")
	}
	if n, err := normalize(domain); err != nil || n != domain {
		return "", invalid(show(domain, 80), "it is not in normal form")
	}
	return filepath.Join(s.Dir, domain), nil
}

// Save implements Store.
func (s *FileStore) Save(_ context.Context, e Entry) error {
	dir, err := s.dir(e.Domain)
	if err != nil {
		return err
	}
	if !utf8.ValidString(e.Tenant) || !utf8.ValidString(e.Region) { // JSON would store another name
		return fmt.Errorf("dnsverify: saving the state of %s: the tenant or the region is not UTF-8 text", e.Domain)
	}
	if err := save(dir, e); err != nil {
		return fmt.Errorf("saving the state of %s: %w", e.Domain, err)
	}
	return nil
}

func save(dir string, e Entry) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	unlock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return err
	}
	defer unlock()
	name := filepath.Join(dir, entryFile(e.Key()))
	now, err := readEntry(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if now.Version != e.Version {
		return ErrStale
	}
	e.Version++
	data, err := json.MarshalIndent(e, "", "\t")
	if err != nil {
		return err
	}
	return replace(name, data)
}

func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// replace puts data in the place of a file. The lock is held, so what a crash left aside can be overwritten.
func replace(name string, data []byte) error {
	aside := name + ".new"
	f, err := os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(aside))
	}
	if err := os.Rename(aside, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func entryFile(k Key) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %d %s", len(k.Tenant), k.Tenant, len(k.Region), k.Region))
	return hex.EncodeToString(sum[:10]) + ".json"
}

// readEntry reads one file. An entry that is not the one its place says is an error: it was put there by hand.
func readEntry(name string) (Entry, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return Entry{}, err
	}
	var e Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return Entry{}, fmt.Errorf("%s is damaged: restore it or remove it: %w", name, err)
	}
	if entryFile(e.Key()) != filepath.Base(name) || e.Domain != filepath.Base(filepath.Dir(name)) || e.Version == 0 {
		return Entry{}, fmt.Errorf("%s is damaged: it is about another claim: restore it or remove it", name)
	}
	return e, nil
}

func readEntries(dir string) ([]Entry, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		e, err := readEntry(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	slices.SortFunc(out, compareEntries)
	return out, nil
}

// List implements Store. A domain that cannot be read does not hide the others: they are returned beside the error.
func (s *FileStore) List(context.Context) ([]Entry, error) {
	dirs, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, err
	}
	var out []Entry
	var bad []error
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		list, err := readEntries(filepath.Join(s.Dir, d.Name()))
		if err != nil {
			bad = append(bad, err)
		}
		out = append(out, list...)
	}
	return out, errors.Join(bad...)
}
