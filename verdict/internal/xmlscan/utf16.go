package xmlscan

import (
	"bufio"
	"encoding/binary"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// sniffUTF16 returns a reader of r as UTF-8 if r is UTF-16, with a mark or without; otherwise nil.
func sniffUTF16(r *bufio.Reader) io.Reader {
	head, _ := r.Peek(2)
	if len(head) < 2 {
		return nil
	}
	w := &wideReader{r: r, order: binary.LittleEndian}
	switch {
	case head[0] == 0xFF && head[1] == 0xFE:
		r.Discard(2)
	case head[0] == '<' && head[1] == 0:
	case head[0] == 0xFE && head[1] == 0xFF:
		r.Discard(2)
		w.order = binary.BigEndian
	case head[0] == 0 && head[1] == '<':
		w.order = binary.BigEndian
	default:
		return nil
	}
	return w
}

type wideReader struct {
	r     *bufio.Reader
	order binary.ByteOrder
	high  rune // first half of a pair
}

func (w *wideReader) Read(p []byte) (int, error) {
	if len(p) < utf8.UTFMax {
		return 0, io.ErrShortBuffer
	}
	out := p[:0]
	for cap(out)-len(out) >= utf8.UTFMax {
		b, err := w.r.Peek(2)
		if len(b) < 2 {
			if len(out) > 0 {
				return len(out), nil
			}
			if err == nil {
				err = io.EOF
			}
			return 0, err
		}
		u := rune(w.order.Uint16(b))
		w.r.Discard(2)
		switch {
		case w.high != 0:
			if r := utf16.DecodeRune(w.high, u); r != utf8.RuneError {
				out = utf8.AppendRune(out, r)
			}
			w.high = 0
		case utf16.IsSurrogate(u):
			w.high = u
		default:
			out = utf8.AppendRune(out, u)
		}
	}
	return len(out), nil
}
