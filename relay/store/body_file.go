package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// files keeps bodies in a directory. A file has the bytes, then a trailer with their digest and number: a
// file that was cut off or changed is told from a whole one.
type files struct {
	root *os.Root
	step func(string) error

	mu      sync.Mutex
	durable map[string]bool // directories of keys whose names are on disk for certain
}

const (
	trailerMagic = "postreeve body 1"
	trailerSize  = len(trailerMagic) + sha256.Size + 8
	tempSuffix   = ".new"
)

func newFiles(dir string, step func(string) error) (*files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &files{root: root, step: step, durable: make(map[string]bool)}, nil
}

func (f *files) close() error { return f.root.Close() }

// Put writes a new file under another name, fsyncs it, renames it and fsyncs its directory.
func (f *files) Put(ctx context.Context, key string, src verdict.Source) error {
	if !validKey(key) {
		return fmt.Errorf("store: %q is no key", key)
	}
	if err := f.makeDir(filepath.Dir(key)); err != nil {
		return err
	}
	temp := key + tempSuffix
	err := f.write(ctx, temp, src)
	if errors.Is(err, fs.ErrNotExist) { // tidied up, or taken away by somebody
		f.forget(filepath.Dir(key))
		if err = f.makeDir(filepath.Dir(key)); err == nil {
			err = f.write(ctx, temp, src)
		}
	}
	if err == nil {
		err = f.step("body.rename")
	}
	if err == nil {
		err = f.root.Rename(temp, key)
	}
	if err != nil {
		return errors.Join(err, ignore(f.root.Remove(temp), fs.ErrNotExist))
	}
	if err := f.step("body.dirsync"); err != nil {
		return err
	}
	return f.syncDir(filepath.Dir(key))
}

func (f *files) write(ctx context.Context, name string, src verdict.Source) error {
	if err := f.step("body.create"); err != nil {
		return err
	}
	w, err := f.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer w.Close()
	sum := sha256.New()
	if err := copyAll(io.MultiWriter(contextWriter{ctx, w}, sum), src); err != nil {
		return err
	}
	if err := f.step("body.write"); err != nil {
		return err
	}
	if _, err := w.Write(trailer(sum, src.Size())); err != nil {
		return err
	}
	if err := f.step("body.sync"); err != nil {
		return err
	}
	if err := w.Sync(); err != nil {
		return err
	}
	return w.Close()
}

func trailer(sum hash.Hash, size int64) []byte {
	b := append([]byte(trailerMagic), sum.Sum(nil)...)
	return binary.BigEndian.AppendUint64(b, uint64(size))
}

// makeDir makes the directory of a key and makes it durable, once. That it is there is not enough: whoever
// made it may not have come to the fsync.
func (f *files) makeDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.durable[dir] {
		return nil
	}
	if err := f.step("body.mkdir"); err != nil {
		return err
	}
	day := filepath.Dir(dir)
	for _, d := range []string{day, dir} {
		if err := f.root.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := errors.Join(f.syncDir("."), f.syncDir(day)); err != nil {
		return err
	}
	if len(f.durable) > 1000 {
		clear(f.durable) // days that are over
	}
	f.durable[dir] = true
	return nil
}

func (f *files) forget(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.durable, dir)
}

// tidy removes empty directories of days before a time.
func (f *files) tidy(before time.Time) error {
	days, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return err
	}
	last := before.UTC().Format(dayFormat)
	for _, day := range days {
		if !day.IsDir() || len(day.Name()) != len(dayFormat) || day.Name() >= last {
			continue
		}
		dirs, err := fs.ReadDir(f.root.FS(), day.Name())
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			f.forget(filepath.Join(day.Name(), dir.Name()))
			_ = f.root.Remove(filepath.Join(day.Name(), dir.Name())) // that it is not empty is the usual case
		}
		_ = f.root.Remove(day.Name())
	}
	return nil
}

// mark returns what was written first of all that was ever given to it.
func (f *files) mark(_ context.Context, want string) (string, error) {
	have, err := f.root.ReadFile(markName)
	if err == nil && len(have) > 0 {
		return string(have), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	w, err := f.root.OpenFile(markName, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = w.WriteString(want)
	return want, errors.Join(err, w.Sync(), w.Close(), f.syncDir("."))
}

func (f *files) syncDir(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get looks at the trailer; the digest is checked by whoever reads to the end.
func (f *files) Get(_ context.Context, key string) (verdict.Source, error) {
	if !validKey(key) {
		return nil, fmt.Errorf("store: %q is no key", key)
	}
	r, err := f.root.Open(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoBody, key)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	fi, err := r.Stat()
	if err != nil {
		return nil, err
	}
	size := fi.Size() - int64(trailerSize)
	end := make([]byte, trailerSize)
	if size < 0 {
		return nil, fmt.Errorf("%w: %s is cut off", ErrDamaged, key)
	}
	if _, err := r.ReadAt(end, size); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(end, []byte(trailerMagic)) || binary.BigEndian.Uint64(end[trailerSize-8:]) != uint64(size) {
		return nil, fmt.Errorf("%w: %s is cut off or was changed", ErrDamaged, key)
	}
	return &fileBody{f, key, size, end}, nil
}

// Delete removes the file. Its directory is not fsynced: a body that comes back after a crash is swept.
func (f *files) Delete(_ context.Context, key string) error {
	if !validKey(key) {
		return fmt.Errorf("store: %q is no key", key)
	}
	if err := f.step("body.delete"); err != nil {
		return err
	}
	return ignore(f.root.Remove(key), fs.ErrNotExist)
}

// sweep removes what List has shown, also what was never finished.
func (f *files) sweep(_ context.Context, name string) error {
	if !validKey(strings.TrimSuffix(name, tempSuffix)) {
		return fmt.Errorf("store: %q is no body", name)
	}
	return ignore(f.root.Remove(name), fs.ErrNotExist)
}

// List yields the files, those too that were never finished, by their names.
func (f *files) List(ctx context.Context) iter.Seq2[BodyInfo, error] {
	return func(yield func(BodyInfo, error) bool) {
		err := fs.WalkDir(f.root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return ignore(err, fs.ErrNotExist)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			fi, err := e.Info()
			if err != nil {
				return ignore(err, fs.ErrNotExist)
			}
			key := strings.TrimSuffix(filepath.ToSlash(path), tempSuffix)
			if !validKey(key) {
				return nil // not ours
			}
			if !yield(BodyInfo{filepath.ToSlash(path), max(0, fi.Size()-int64(trailerSize)), fi.ModTime()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(BodyInfo{}, err)
		}
	}
}

// fileBody is a body in a file.
type fileBody struct {
	files *files
	key   string
	size  int64
	end   []byte
}

func (b *fileBody) Size() int64 { return b.size }

func (b *fileBody) Open() (io.ReadCloser, error) {
	r, err := b.files.root.Open(b.key)
	if err != nil {
		return nil, err
	}
	return &checkedReader{r: io.LimitReader(r, b.size), c: r, sum: sha256.New(), left: b.size, end: b.end, key: b.key}, nil
}

// checkedReader says at the end whether the bytes are those that were put.
type checkedReader struct {
	r    io.Reader
	c    io.Closer
	sum  hash.Hash
	left int64
	end  []byte // the trailer they should have
	key  string
	size int64
}

func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.sum.Write(p[:n])
	r.left -= int64(n)
	r.size += int64(n)
	if err == io.EOF || err == nil && r.left == 0 {
		if !bytes.Equal(trailer(r.sum, r.size), r.end) {
			return n, fmt.Errorf("%w: the digest of %s is another", ErrDamaged, r.key)
		}
	}
	return n, err
}

func (r *checkedReader) Close() error { return r.c.Close() }

// contextWriter stops a copy when ctx ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w contextWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// ignore returns err unless it is the one that does not matter.
func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}
