package unpack

import (
	"encoding/binary"
	"io"
)

// maxKDF is the largest number of rounds, as a power of two, that a password is tried for. WinRAR writes 15
// and 7-Zip 19, of cheaper rounds.
const (
	maxKDFRar = 17
	maxKDF7z  = 20
)

// rarRounds says whether trying a password on a rar file takes no more rounds than programs set: format 5
// leaves it to the file (RAR 5.0 archive format, "Archive encryption header" and "File encryption record").
// Older formats have a fixed number.
func (w *walker) rarRounds() bool {
	const signature = "Rar!\x1A\x07\x01\x00"
	if !w.signed(0, signature[:4]) {
		return false
	}
	var sig [8]byte
	if n, _ := w.r.ReadAt(sig[:], 0); n < len(sig) || string(sig[:]) != signature {
		return true
	}
	at := int64(len(signature))
	for range w.lim.Entries {
		next, rounds := w.rarBlock(at)
		if rounds > maxKDFRar {
			return false
		}
		if next <= at || next >= w.size {
			return true
		}
		at = next
	}
	return true
}

// rarBlock reads a block of format 5, and returns where the next begins and how many rounds it asks for.
func (w *walker) rarBlock(at int64) (next int64, rounds byte) {
	const largest = 64 << 10
	p := make([]byte, min(largest, max(0, w.size-at)))
	n, err := w.r.ReadAt(p, at)
	if err != nil && err != io.EOF || n < 8 {
		return 0, 0
	}
	p = p[4:n] // the sum
	size, k := binary.Uvarint(p)
	if k <= 0 || size > uint64(len(p)-k) {
		return 0, 0
	}
	head := vints{p: p[k : k+int(size)]}
	next = at + 4 + int64(k) + int64(size)
	kind, flags := head.next(), head.next()
	var extra, data uint64
	if flags&1 != 0 {
		extra = head.next()
	}
	if flags&2 != 0 {
		data = head.next()
	}
	const encryption = 4
	if kind == encryption {
		head.next()
		head.next()
		return 0, head.byte() // what follows is encrypted
	}
	if data > uint64(w.size) {
		return 0, 0
	}
	next += int64(data)
	if extra > uint64(len(head.p)) {
		return next, 0
	}
	records := vints{p: head.p[len(head.p)-int(extra):]}
	for len(records.p) > 0 {
		size := records.next()
		if size > uint64(len(records.p)) {
			break
		}
		r := vints{p: records.p[:size]}
		records.p = records.p[size:]
		if r.next() == 1 {
			r.next()
			r.next()
			rounds = max(rounds, r.byte())
		}
	}
	return next, rounds
}

// vints reads numbers of seven bits a byte.
type vints struct{ p []byte }

func (v *vints) next() uint64 {
	n, k := binary.Uvarint(v.p)
	if k <= 0 {
		v.p = nil
		return 0
	}
	v.p = v.p[k:]
	return n
}

func (v *vints) byte() byte {
	if len(v.p) == 0 {
		return 0
	}
	c := v.p[0]
	v.p = v.p[1:]
	return c
}
