package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Bodies keeps the bytes of messages by key. A key is used once. All methods may be called by many
// goroutines at once and must stop when ctx ends.
type Bodies interface {
	// Put returns only after the bytes and their name are durable. A body that could not be put is not
	// there, or is left for the sweep.
	Put(ctx context.Context, key string, src verdict.Source) error
	// Get returns a Source of exactly the bytes that were put. ErrNoBody if there is none, ErrDamaged,
	// here or at the end of reading, if they are not what they were. The source is valid until ctx ends or the body is deleted.
	Get(ctx context.Context, key string) (verdict.Source, error)
	// Delete removes a body. One that is not there is no error.
	Delete(ctx context.Context, key string) error
	// List yields all keys, in any order, with the time they were put.
	List(ctx context.Context) iter.Seq2[BodyInfo, error]
}

// BodyInfo is a body in a list.
type BodyInfo struct {
	Key  string
	Size int64
	At   time.Time
}

// ErrNoBody says that there is no body with this key.
var ErrNoBody = errors.New("store: no such body")

// ErrDamaged says that the bytes of a body are not those that were put.
var ErrDamaged = errors.New("store: body damaged")

// newKey returns a key that nobody has used: by day, so that no directory grows without end, and by chance. Sixteen
// directories a day keep those who write at the same time apart; more only have to be made.
func newKey(now time.Time) string {
	var b [16]byte
	rand.Read(b[:])
	name := hex.EncodeToString(b[:])
	return now.UTC().Format(dayFormat) + "/" + name[:1] + "/" + name
}

const dayFormat = "20060102"

// validKey says whether a key is one of newKey: it becomes part of a path.
func validKey(key string) bool {
	day, rest, _ := strings.Cut(key, "/")
	dir, name, _ := strings.Cut(rest, "/")
	return len(day) == len(dayFormat) && len(dir) == 1 && len(name) == 32 && strings.HasPrefix(name, dir) &&
		strings.Trim(day, "0123456789") == "" && strings.Trim(name, "0123456789abcdef") == ""
}

// openBodies opens the bodies of a URL: s3://BUCKET/PREFIX?endpoint=…, or file:PATH.
func openBodies(ctx context.Context, rawURL string, c Config) (Bodies, error) {
	if path, ok := strings.CutPrefix(rawURL, "file:"); ok {
		return newFiles(filepath.Clean(strings.TrimPrefix(path, "//")), c.step)
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "s3" {
		return nil, fmt.Errorf("store: bodies %q: want file:PATH or s3://BUCKET/PREFIX?endpoint=HOST&region=REGION", redactURL(rawURL))
	}
	return newObjects(ctx, u, c)
}

// redactURL takes off what may be a secret.
func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "…"
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

// copyAll copies exactly src.Size bytes.
func copyAll(w io.Writer, src verdict.Source) error {
	r, err := src.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(w, r)
	if err == nil && n != src.Size() {
		err = fmt.Errorf("store: the body has %d bytes and not %d", n, src.Size())
	}
	return err
}
