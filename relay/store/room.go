package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// room looks after the last bytes of the disk: on a full disk nothing could be deleted or settled either, since a
// database writes to do that. So new mail is refused while there is still room for bookkeeping.
type room struct {
	dirs []string // of this node's rows and bodies; none: both are elsewhere
	most int64    // bytes that are to stay free

	mu   sync.Mutex
	free int64
	read time.Time
}

func roomOf(c Config) *room {
	r := &room{most: c.MinFree}
	if path, ok := strings.CutPrefix(c.Database, "sqlite:"); ok {
		r.dirs = append(r.dirs, filepath.Dir(strings.TrimPrefix(path, "//")))
	}
	if path, ok := strings.CutPrefix(c.Bodies, "file:"); ok {
		r.dirs = append(r.dirs, filepath.Clean(strings.TrimPrefix(path, "//")))
	}
	return r
}

// left is how much is free on the fullest of the disks; false if that is not known.
func (r *room) left() (int64, bool) {
	if r.most < 0 || len(r.dirs) == 0 {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.read) > 10*time.Millisecond || r.read.IsZero() { // what a disk takes in between is little beside MinFree
		least := int64(-1)
		for _, dir := range r.dirs {
			if n, ok := freeBytes(dir); ok && (least < 0 || n < least) {
				least = n
			}
		}
		r.free, r.read = least, time.Now()
	}
	return r.free, r.free >= 0
}

// take says whether n more bytes may be kept. part is how much of what is to stay free counts.
func (r *room) take(n, part int64) error {
	free, ok := r.left()
	if ok && free-n < r.most/part {
		return fmt.Errorf("%w: %d bytes are free on the disk, and %d are to stay free", ErrFull, free, r.most/part)
	}
	if ok {
		r.mu.Lock()
		r.free -= n
		r.mu.Unlock()
	}
	return nil
}
