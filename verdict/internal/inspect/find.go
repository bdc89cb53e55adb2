package inspect

import (
	"bytes"
	"io"
	"slices"
)

const (
	findWindow = 64 << 10
	findMost   = 64 // length of the longest word
)

type hit struct {
	at, word int
}

// Find calls f with every place at which one of the words stands in r, in order, and with the number of
// the word. Each is found wherever it stands, but not within itself. A word has at most 64 bytes.
func (b *Budget) Find(r io.ReaderAt, size int64, words []string, f func(pos int64, word int) error) error {
	buf := make([]byte, min(size, findWindow))
	next := make([]int64, len(words)) // where each of them is looked for
	var hits []hit
	for off := int64(0); off < size; {
		if err := b.Err(); err != nil {
			return err
		}
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if err != nil && err != io.EOF {
			return err
		}
		if n == 0 {
			return nil
		}
		hits = hits[:0]
		for i, w := range words {
			from := int(max(next[i]-off, 0))
			for from < n {
				at := bytes.Index(buf[from:n], []byte(w))
				if at < 0 {
					break
				}
				hits = append(hits, hit{from + at, i})
				from += at + len(w)
				next[i] = off + int64(from)
			}
		}
		slices.SortFunc(hits, func(a, b hit) int { return a.at - b.at })
		for _, h := range hits {
			if err := f(off+int64(h.at), h.word); err != nil {
				return err
			}
		}
		if off+int64(n) >= size || n <= findMost {
			return nil
		}
		// What is cut in two by the end of the window is found in the next one.
		off += int64(n - findMost)
	}
	return nil
}
