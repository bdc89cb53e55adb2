package pdf

import (
	"bufio"
	"io"
)

// predictor says how rows were changed before compression (ISO 32000-2 section 7.4.4.4).
type predictor struct {
	kind                  int // 1 none, 2 TIFF, from 10 on PNG
	colors, bits, columns int
}

func (d *document) predictor(parms dict) predictor {
	get := func(key name, def, most int64) int {
		if v, ok := d.resolve(parms.get(key)).(int64); ok && v > 0 && v <= most {
			return int(v)
		}
		return int(def)
	}
	return predictor{get("Predictor", 1, 15), get("Colors", 1, 8), get("BitsPerComponent", 8, 16), get("Columns", 1, 1<<16)}
}

// predicted undoes the prediction.
func predicted(r io.Reader, p predictor) io.Reader {
	if p.kind < 2 {
		return r
	}
	row := (p.columns*p.colors*p.bits + 7) / 8
	pixel := max(p.colors*p.bits/8, 1)
	return &rowReader{r: bufio.NewReader(r), p: p, cur: make([]byte, row), prev: make([]byte, row), pixel: pixel}
}

type rowReader struct {
	r         *bufio.Reader
	p         predictor
	pixel     int
	cur, prev []byte
	out       []byte // of cur, not yet given
	err       error
}

func (r *rowReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.row(); len(r.out) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// row decodes the next row.
func (r *rowReader) row() {
	kind := byte(0)
	if r.p.kind >= 10 {
		if kind, r.err = r.r.ReadByte(); r.err != nil {
			return
		}
	}
	r.cur, r.prev = r.prev, r.cur
	n, err := io.ReadFull(r.r, r.cur)
	if r.err = err; err == io.ErrUnexpectedEOF {
		r.err = io.EOF
	}
	clear(r.cur[n:])
	if r.p.kind >= 10 {
		r.unfilter(kind)
	} else if r.p.bits == 8 {
		for i := r.pixel; i < len(r.cur); i++ {
			r.cur[i] += r.cur[i-r.pixel]
		}
	}
	r.out = r.cur[:n]
}

// unfilter undoes a filter of PNG.
func (r *rowReader) unfilter(kind byte) {
	for i := range r.cur {
		var left, up, corner byte
		up = r.prev[i]
		if i >= r.pixel {
			left, corner = r.cur[i-r.pixel], r.prev[i-r.pixel]
		}
		switch kind {
		case 1:
			r.cur[i] += left
		case 2:
			r.cur[i] += up
		case 3:
			r.cur[i] += byte((int(left) + int(up)) / 2)
		case 4:
			r.cur[i] += paeth(left, up, corner)
		}
	}
}

func paeth(a, b, c byte) byte {
	p := int(a) + int(b) - int(c)
	pa, pb, pc := abs(p-int(a)), abs(p-int(b)), abs(p-int(c))
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
