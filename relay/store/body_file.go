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
	"sync/atomic"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// files keeps bodies in a directory. A file has the bytes, then a trailer with their digest and number: a
// file that was cut off or changed is told from a whole one, so a body is written where it stays. One that was
// not finished has no row, and is swept.
type files struct {
	path string
	root atomic.Pointer[os.Root]
	step func(string) error
	to   owner // of what root makes

	mu   sync.Mutex
	own  os.FileInfo        // of root
	mark string             // what the place says of itself
	dirs map[string]*keyDir // those whose names are on disk for certain
}

// keyDir is a directory of bodies that is kept open: most of what it costs to make a small file is the way to it.
type keyDir struct {
	*os.Root
	self *os.File // to be fsynced
}

const (
	trailerMagic = "postreeve body 1"
	trailerSize  = len(trailerMagic) + sha256.Size + 8
	mostDirs     = 64 // open at once: those of four days
)

func newFiles(dir string, step func(string) error) (*files, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	own, err := root.Stat(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	f := &files{path: dir, step: step, to: ownerOf(dir), own: own, dirs: make(map[string]*keyDir)}
	f.root.Store(root)
	return f, nil
}

// follow opens the place again if another directory has its name by now: it was moved, restored or mounted. What is
// written to the old one would be found by nobody. A directory without the mark of the place is refused.
func (f *files) follow() error {
	fi, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if os.SameFile(fi, f.own) {
		return nil
	}
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return err
	}
	mark, err := root.ReadFile(markName)
	err = ignore(err, fs.ErrNotExist)
	if err == nil && strings.TrimSpace(string(mark)) != strings.TrimSpace(f.mark) {
		err = fmt.Errorf("store: the bodies at %s are not those that were there when the gateway was started: bring them back, or start it again", f.path)
	}
	own, serr := root.Stat(".")
	if err = errors.Join(err, serr); err != nil {
		return errors.Join(err, root.Close())
	}
	f.root.Store(root) // what is open of the old one is closed by the garbage collector, when nobody uses it any more
	f.own = own
	clear(f.dirs)
	return nil
}

func (f *files) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := []error{f.root.Load().Close()}
	for _, d := range f.dirs {
		errs = append(errs, d.self.Close(), d.Close())
	}
	clear(f.dirs)
	return errors.Join(errs...)
}

// Put writes a new file, and fsyncs it and its directory. If the place was exchanged meanwhile it is an error.
func (f *files) Put(ctx context.Context, key string, src verdict.Source) error {
	if !validKey(key) {
		return fmt.Errorf("store: %q is no key", key)
	}
	if err := f.follow(); err != nil {
		return err
	}
	place := f.root.Load()
	dir, name := filepath.Split(filepath.FromSlash(key))
	d, err := f.dir(filepath.Clean(dir))
	if err != nil {
		return err
	}
	err = f.write(ctx, d, name, src)
	if errors.Is(err, fs.ErrNotExist) { // tidied up, or taken away by somebody
		f.forget(filepath.Clean(dir))
		if d, err = f.dir(filepath.Clean(dir)); err != nil {
			return err
		}
		err = f.write(ctx, d, name, src)
	}
	if err == nil {
		err = f.step("body.dirsync")
	}
	if err == nil {
		err = d.self.Sync()
	}
	if err == nil {
		err = f.follow() // it is of use only where it will be looked for
	}
	if err == nil && f.root.Load() != place {
		err = fmt.Errorf("store: the bodies at %s were exchanged while one of them was being written: it has to be written again", f.path)
	}
	if err != nil {
		return errors.Join(err, ignore(d.Remove(name), fs.ErrNotExist))
	}
	return nil
}

func (f *files) write(ctx context.Context, d *keyDir, name string, src verdict.Source) error {
	if err := f.step("body.create"); err != nil {
		return err
	}
	w, err := d.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := giveFile(w, f.to); err != nil {
		return err
	}
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

// dir opens a directory of bodies, and makes it durable, once. That it is there is not enough: whoever made it may
// not have come to the fsync.
func (f *files) dir(dir string) (*keyDir, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.dirs[dir]; d != nil {
		return d, nil
	}
	if err := f.step("body.mkdir"); err != nil {
		return nil, err
	}
	day := filepath.Dir(dir)
	for _, d := range []string{day, dir} {
		err := f.root.Load().Mkdir(d, 0o700)
		if err == nil {
			err = giveIn(f.root.Load(), d, f.to)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	if err := errors.Join(f.syncDir("."), f.syncDir(day)); err != nil {
		return nil, err
	}
	root, err := f.root.Load().OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	self, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if len(f.dirs) >= mostDirs {
		clear(f.dirs) // days that are over; closed when nobody uses them any more, by the garbage collector
	}
	f.dirs[dir] = &keyDir{root, self}
	return f.dirs[dir], nil
}

// at is where the file of a key is found: in an open directory, or by its whole path.
func (f *files) at(key string) (*os.Root, string) {
	path := filepath.FromSlash(key)
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.dirs[filepath.Dir(path)]; d != nil {
		return d.Root, filepath.Base(path)
	}
	return f.root.Load(), path
}

func (f *files) forget(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.dirs, dir)
}

// tidy removes empty directories of days before a time.
func (f *files) tidy(before time.Time) error {
	days, err := fs.ReadDir(f.root.Load().FS(), ".")
	if err != nil {
		return err
	}
	last := before.UTC().Format(dayFormat)
	for _, day := range days {
		if !day.IsDir() || len(day.Name()) != len(dayFormat) || day.Name() >= last {
			continue
		}
		dirs, err := fs.ReadDir(f.root.Load().FS(), day.Name())
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			f.forget(filepath.Join(day.Name(), dir.Name()))
			_ = f.root.Load().Remove(filepath.Join(day.Name(), dir.Name())) // that it is not empty is the usual case
		}
		_ = f.root.Load().Remove(day.Name())
	}
	return nil
}

// setMark writes the mark, whole or not at all.
func (f *files) setMark(_ context.Context, mark string) error {
	const name = markName + ".next"
	w, err := f.root.Load().OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.WriteString(mark + "\n")
	if err = errors.Join(err, giveFile(w, f.to), w.Sync(), w.Close()); err != nil {
		return err
	}
	f.mu.Lock()
	f.mark = mark
	f.mu.Unlock()
	return errors.Join(f.root.Load().Rename(name, markName), f.syncDir("."))
}

func (f *files) syncDir(dir string) error {
	d, err := f.root.Load().Open(dir)
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
	if err := f.follow(); err != nil {
		return nil, err
	}
	root, name := f.at(key)
	r, err := root.Open(name)
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
	root, name := f.at(key)
	return ignore(root.Remove(name), fs.ErrNotExist)
}

// List yields the files, those too that were never finished.
func (f *files) List(ctx context.Context) iter.Seq2[BodyInfo, error] {
	return func(yield func(BodyInfo, error) bool) {
		if err := f.follow(); err != nil {
			yield(BodyInfo{}, err)
			return
		}
		err := fs.WalkDir(f.root.Load().FS(), ".", func(path string, e fs.DirEntry, err error) error {
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
			key := filepath.ToSlash(path)
			if !validKey(key) {
				return nil // not ours
			}
			if !yield(BodyInfo{key, max(0, fi.Size()-int64(trailerSize)), fi.ModTime()}, nil) {
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
	root, name := b.files.at(b.key)
	r, err := root.Open(name)
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
