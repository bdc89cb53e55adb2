package verdict

import (
	"cmp"
	"container/list"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Versioner is a Scanner that can say by what it judges.
//
// Version names the engine and its signature set: text that changes when the same message could be judged
// otherwise. An error means that it could not be found out; nothing is cached then.
type Versioner interface {
	Version(ctx context.Context) (string, error)
}

// VersionOf asks a scanner, or the one that wrappers hold, for its version. It returns "" if that is no
// Versioner.
func VersionOf(ctx context.Context, s Scanner) (string, error) {
	for {
		if v, ok := s.(Versioner); ok {
			return v.Version(ctx)
		}
		w, ok := s.(*wrapped)
		if !ok {
			return "", nil
		}
		s = w.Scanner
	}
}

// CacheOptions say what a Cache keeps. The zero value is safe for every scanner.
type CacheOptions struct {
	// ContentOnly says that the answers of the scanner depend on the bytes of the message alone, as those of
	// an anti-virus engine do, and not on client, envelope or authentication. The same content to many
	// people is then scanned once.
	ContentOnly bool
	// Entries is how many answers are kept; the least recently used one goes first. 0 means 10000.
	Entries int
	// Age is how long an answer is good. 0 means 10 minutes. For a scanner that is no Versioner it is the
	// only thing that ends one.
	Age time.Duration
	// VersionAge is how long a version is believed before it is asked for again. 0 means 30 seconds.
	VersionAge time.Duration
}

const (
	maxCachedFindings = 50 // a longer answer is not kept
	maxCachedText     = 8 << 10

	versionTimeout = 2 * time.Second // of asking for a version
)

// Cache remembers what a scanner found, by its name, its version (see Versioner) and the SHA-256 digest of the message.
// Failures are never remembered, nor are answers with a finding that could not tell. What objects to
// envelopes is always asked.
//
// A remembered finding is given to other messages of the same content: its Detail must not speak of the
// envelope unless the envelope is part of the key, which is what CacheOptions.ContentOnly is about.
func Cache(s Scanner, o CacheOptions) Scanner {
	c := &cache{
		scanner: s,
		content: o.ContentOnly,
		entries: cmp.Or(max(o.Entries, 0), 10000),
		age:     cmp.Or(max(o.Age, 0), 10*time.Minute),
		fresh:   cmp.Or(max(o.VersionAge, 0), 30*time.Second),
		byKey:   make(map[cacheKey]*list.Element),
		order:   list.New(),
		asking:  make(chan struct{}, 1),
	}
	w := wrap(s)
	w.run = c.run
	return w
}

type cacheKey struct {
	version string
	content [sha256.Size]byte
	around  [sha256.Size]byte // client, envelope and authentication; zero if they do not matter
}

type cacheEntry struct {
	key      cacheKey
	findings []Finding
	until    time.Time
}

type cache struct {
	scanner Scanner
	content bool
	entries int
	age     time.Duration
	fresh   time.Duration

	mu    sync.Mutex
	byKey map[cacheKey]*list.Element
	order *list.List // of *cacheEntry, the most recently used first

	asking       chan struct{} // holds one: who may look at what follows
	version      string
	versionErr   error
	versionUntil time.Time
}

func (c *cache) run(ctx context.Context, m *Message, scan scanFunc) ([]Finding, error) {
	if m.source == nil || ctx.Err() != nil { // an envelope alone
		return scan(ctx, m)
	}
	key, ok := c.key(ctx, m)
	if !ok {
		return scan(ctx, m)
	}
	if findings, ok := c.get(key); ok {
		return findings, nil
	}
	findings, err := scan(ctx, m)
	if err == nil && ctx.Err() == nil && cacheable(findings) {
		c.put(key, findings)
	}
	return findings, err
}

// key returns what an answer is remembered by, or false if that cannot be told.
func (c *cache) key(ctx context.Context, m *Message) (k cacheKey, ok bool) {
	if k.version, ok = c.currentVersion(ctx); !ok {
		return k, false
	}
	d := m.Memo(digestKey{}, func() any { return digestOf(m) }).(digest)
	if d.err != nil {
		return k, false
	}
	k.content = d.sum
	if !c.content {
		h := sha256.New()
		for _, c := range []Client{m.Peer, m.Origin} { // the port says nothing
			fmt.Fprintf(h, "%v %q %q\n", c.Addr.Addr(), c.Helo, c.Name)
		}
		fmt.Fprintf(h, "%q %q %q", m.Envelope.From, m.Envelope.Addresses(), fmt.Sprint(m.Auth))
		h.Sum(k.around[:0])
	}
	return k, true
}

// currentVersion asks one at a time: others wait for the answer and then have it. That there is none is believed
// for a second only.
func (c *cache) currentVersion(ctx context.Context) (string, bool) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return "", false
	}
	if !time.Now().Before(c.versionUntil) {
		ctx, cancel := context.WithTimeout(ctx, versionTimeout)
		defer cancel()
		c.version, c.versionErr = VersionOf(ctx, c.scanner)
		c.versionUntil = time.Now().Add(c.fresh)
		if c.versionErr != nil {
			c.versionUntil = time.Now().Add(time.Second)
		}
	}
	return c.version, c.versionErr == nil
}

func (c *cache) get(k cacheKey) ([]Finding, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[k]
	if !ok {
		return nil, false
	}
	entry := e.Value.(*cacheEntry)
	if !time.Now().Before(entry.until) {
		c.remove(e)
		return nil, false
	}
	c.order.MoveToFront(e)
	return slices.Clone(entry.findings), true
}

func (c *cache) put(k cacheKey, findings []Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[k]; ok {
		c.remove(e)
	}
	c.byKey[k] = c.order.PushFront(&cacheEntry{k, slices.Clone(findings), time.Now().Add(c.age)})
	for c.order.Len() > c.entries {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(e *list.Element) {
	delete(c.byKey, c.order.Remove(e).(*cacheEntry).key)
}

// cacheable says whether an answer is whole and small.
func cacheable(findings []Finding) bool {
	if len(findings) > maxCachedFindings {
		return false
	}
	text := 0
	for _, f := range findings {
		if text += len(f.Code) + len(f.Detail) + len(f.Part); f.Err != nil || text > maxCachedText {
			return false
		}
	}
	return true
}

// digestKey is the Memo of a message's digest, which all caches share.
type digestKey struct{}

type digest struct {
	sum [sha256.Size]byte
	err error
}

func digestOf(m *Message) (d digest) {
	r, err := m.Open()
	if err != nil {
		return digest{err: err}
	}
	defer r.Close()
	h := sha256.New()
	if _, d.err = io.Copy(h, r); d.err == nil {
		h.Sum(d.sum[:0])
	}
	return d
}
