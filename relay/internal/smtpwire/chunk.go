package smtpwire

import "io"

// rawChunk returns the next part of the present chunk, and goes on to the next chunk where it ends.
func (b *Body) rawChunk() ([]byte, error) {
	for b.left == 0 {
		if b.last {
			b.done = true
			b.r.shrink()
			return nil, io.EOF
		}
		if err := b.more(b); err != nil {
			return nil, err
		}
	}
	r := b.r
	if r.r == r.w {
		if err := r.fill(); err != nil {
			return nil, noEOF(err)
		}
	}
	n := int(min(b.left, int64(r.w-r.r)))
	out := r.buf[r.r : r.r+n]
	r.r += n
	b.left -= int64(n)
	if err := b.count(n); err != nil {
		return nil, err
	}
	return out, nil
}
