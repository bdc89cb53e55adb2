// Package inspecttest helps to test the parsers of document formats: with the files of the corpus that may
// stand beside the module, with documents built in place, and by counting what a parser does.
package inspecttest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Corpus returns the folder of the corpus. Without one the test is skipped.
func Corpus(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Skip("no module above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	corpus := filepath.Join(dir, "..", "shared", "corpus")
	if _, err := os.Stat(filepath.Join(corpus, "labels.tsv")); err != nil {
		t.Skip("no corpus beside the module")
	}
	return corpus
}

// Sample is a file of the corpus.
type Sample struct {
	Path, Label, Note string // the path within the corpus
	Data              []byte
}

// Samples returns the files of a set whose path begins with one of the prefixes.
func Samples(t testing.TB, prefixes ...string) []Sample {
	t.Helper()
	corpus := Corpus(t)
	labels, err := os.ReadFile(filepath.Join(corpus, "labels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []Sample
	for line := range strings.Lines(string(labels)) {
		f := strings.SplitN(strings.TrimRight(line, "\r\n"), "\t", 3)
		for _, p := range prefixes {
			if len(f) != 3 || !strings.HasPrefix(f[0], p) {
				continue
			}
			data, err := os.ReadFile(filepath.Join(corpus, filepath.FromSlash(f[0])))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, Sample{f[0], f[1], f[2], data})
			break
		}
	}
	if len(out) == 0 {
		t.Skipf("the corpus has no %v", prefixes)
	}
	return out
}

// Counter is a context that counts how often a parser looks at it, and a reader that counts the bytes
// that it reads: together, what the parser does.
type Counter struct {
	context.Context
	looks atomic.Int64
	bytes atomic.Int64
}

// Err counts a look. Budget.Step looks once for 256 steps.
func (c *Counter) Err() error {
	c.looks.Add(1)
	return c.Context.Err()
}

// Reader returns a reader of data that counts.
func (c *Counter) Reader(data string) io.ReaderAt { return &countingReader{c, strings.NewReader(data)} }

type countingReader struct {
	c *Counter
	r *strings.Reader
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.r.ReadAt(p, off)
	r.c.bytes.Add(int64(n))
	return n, err
}

// Linear fails the test if a parser does more than three times as much for content of twice the size.
// make makes content of size n.
func Linear(t *testing.T, n int, content func(n int) string, parse func(ctx context.Context, r io.ReaderAt, size int64)) {
	t.Helper()
	measure := func(n int) (looks, bytes int64, allocs uint64) {
		data := content(n)
		c := &Counter{Context: t.Context()}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		parse(c, c.Reader(data), int64(len(data)))
		runtime.ReadMemStats(&after)
		return c.looks.Load(), c.bytes.Load(), after.TotalAlloc - before.TotalAlloc
	}
	looks1, bytes1, mem1 := measure(n)
	looks2, bytes2, mem2 := measure(2 * n)
	const slack = 16 // looks, for what is done whatever the size
	if looks2 > 3*looks1+slack {
		t.Errorf("steps grow from %d to %d (times 256) as the content doubles", looks1, looks2)
	}
	if bytes2 > 3*bytes1+1<<20 {
		t.Errorf("bytes read grow from %d to %d as the content doubles", bytes1, bytes2)
	}
	if mem2 > 3*mem1+4<<20 {
		t.Errorf("memory allocated grows from %d to %d as the content doubles", mem1, mem2)
	}
}

// Bounded fails the test if f allocates more than limit bytes, all in all. The test must not be parallel.
func Bounded(t *testing.T, limit uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > limit {
		t.Errorf("allocated %d bytes, want at most %d", got, limit)
	}
}

// Content reads a file of a report.
func Content(t testing.TB, f inspect.File) []byte {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatalf("opening %q: %v", f.Name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading %q: %v", f.Name, err)
	}
	return b
}
