package office

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

const chunkSize = 4096

// decompress decompresses a container (MS-OVBA section 2.4.1), at most limit bytes. What it returns is
// spent and kept. With an error it is what could be read.
func decompress(b *inspect.Budget, p []byte, limit int) ([]byte, error) {
	if len(p) == 0 || p[0] != 1 {
		return nil, fmt.Errorf("%w: compressed VBA without its signature", ErrFormat)
	}
	p = p[1:]
	var out []byte
	for len(p) >= 2 {
		head := binary.LittleEndian.Uint16(p)
		p = p[2:]
		if head>>12&7 != 3 {
			return out, fmt.Errorf("%w: compressed VBA with a broken chunk", ErrFormat)
		}
		n := min(int(head&0xFFF)+1, len(p))
		start := len(out)
		if head>>15 == 0 {
			out = append(out, p[:min(n, chunkSize)]...)
		} else {
			out = appendChunk(out, p[:n])
		}
		p = p[n:]
		got := int64(len(out) - start)
		if err := b.Keep(got); err != nil {
			return out[:start], err
		}
		if err := b.Spend(got); err != nil {
			return out, err
		}
		if len(out) > limit {
			return out, fmt.Errorf("%w: VBA of more than %d bytes", ErrLimit, limit)
		}
	}
	return out, nil
}

// appendChunk appends what the tokens of a chunk make, at most chunkSize bytes.
func appendChunk(out, p []byte) []byte {
	start := len(out)
	for len(p) > 0 {
		flags := p[0]
		p = p[1:]
		for range 8 {
			done := len(out) - start
			if len(p) == 0 || done >= chunkSize {
				return out
			}
			if flags&1 == 0 {
				out = append(out, p[0])
				p = p[1:]
			} else {
				if len(p) < 2 || done == 0 {
					return out
				}
				token := int(binary.LittleEndian.Uint16(p))
				p = p[2:]
				width := max(bits.Len(uint(done-1)), 4) // of the offset, MS-OVBA section 2.4.1.3.19.1
				length := token&(0xFFFF>>width) + 3
				back := token>>(16-width) + 1
				if back > done {
					return out
				}
				for range min(length, chunkSize-done) {
					out = append(out, out[len(out)-back])
				}
			}
			flags >>= 1
		}
	}
	return out
}
