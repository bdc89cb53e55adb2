package smtpwire

import (
	"bytes"
	"io"
)

var crlf = []byte("\r\n")

// rawData returns the next part of a message behind DATA, without doubled dots.
func (b *Body) rawData() ([]byte, error) {
	for {
		r := b.r
		block := r.buf[r.r:r.w]
		out, used, end := b.frame(block)
		r.r += used
		wire := used
		if end {
			wire -= len(".\r\n")
			b.done = true
		}
		if err := b.count(wire); err != nil {
			return nil, err
		}
		if len(out) > 0 {
			return out, nil
		}
		if end {
			return nil, io.EOF
		}
		if err := r.fill(); err != nil {
			return nil, noEOF(err)
		}
	}
}

// frame takes dots off the beginnings of lines and looks for the end: a line with a single dot, where a
// line begins behind CRLF and nowhere else. It returns the content, moved together inside of block where
// dots were taken out, the number of octets used, and whether the end was among them. A CR or a dot at
// the end of block that cannot be judged without its successor is left unused.
//
// On the way it sees enough to tell whether the content is clean; then nobody has to look again.
func (b *Body) frame(block []byte) (out []byte, used int, end bool) {
	f := framing{block: block, line: -b.lines.col, max: b.lines.max, clean: true}
	used, end = f.scan(b)
	out = block[:f.to]
	if !b.limits.Normalize && b.fault == nil && f.clean && !b.lines.cr && len(out) > 0 &&
		bytes.Count(out, []byte{'\r'}) == f.lines && bytes.IndexByte(out, 0) < 0 {
		b.lines.off += int64(len(out))
		b.lines.line += int64(f.lines)
		b.lines.col = f.at - f.line
		b.checked = true
	}
	return out, used, end
}

// framing is the work on one block.
type framing struct {
	block []byte
	at    int // next octet to look at
	from  int // beginning of the run that was not moved yet
	to    int // end of the content so far

	line  int  // where the present line has begun; negative if that was in an earlier block
	max   int  // octets of a line with its CRLF
	lines int  // that have ended
	clean bool // each of them with CRLF, and none is too long
}

func (f *framing) move(until int) {
	if f.to != f.from {
		copy(f.block[f.to:], f.block[f.from:until])
	}
	f.to += until - f.from
}

func (f *framing) scan(b *Body) (used int, end bool) {
	block := f.block
	for {
		if b.start && f.at < len(block) {
			if block[f.at] == '.' {
				rest := block[f.at+1:]
				if len(rest) == 0 || len(rest) == 1 && rest[0] == '\r' {
					f.move(f.at)
					return f.at, false
				}
				f.move(f.at)
				if rest[0] == '\r' && rest[1] == '\n' {
					return f.at + 3, true
				}
				f.at++
				f.from, f.line = f.at, f.at
			}
			b.start = false
		}
		i := bytes.IndexByte(block[f.at:], '\n')
		if i < 0 {
			break
		}
		f.at += i + 1
		// The octet before the LF is in this block: a CR is never left at the end of a used one.
		b.start = f.at >= 2 && block[f.at-2] == '\r'
		f.clean = f.clean && b.start && f.at-f.line <= f.max
		f.line = f.at
		f.lines++
	}
	until := len(block)
	if until > f.at && block[until-1] == '\r' {
		until--
	}
	f.move(until)
	f.at = until
	f.clean = f.clean && f.at-f.line <= f.max
	return until, false
}
