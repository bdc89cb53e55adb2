package smtpwire

import "bytes"

// mender turns bare CR and bare LF into CRLF, each on its own: CR CR LF becomes two line ends.
type mender struct {
	cr bool // a CR was taken whose successor is not known
}

// cut returns the next piece of the mended content and what is left of p. The piece may be empty.
func (m *mender) cut(p []byte) (piece, rest []byte) {
	if m.cr {
		m.cr = false
		if p[0] == '\n' {
			p = p[1:]
		}
		return crlf, p
	}
	at := 0
	for {
		i := bytes.IndexByte(p[at:], '\n')
		line := p[at:]
		if i >= 0 {
			line = p[at : at+i]
		}
		j := bytes.IndexByte(line, '\r')
		switch {
		case i >= 0 && j >= 0 && j == i-1: // CRLF
			at += i + 1
			continue
		case j == 0 && at == 0: // CR: alone, or nobody knows yet
			m.cr = true
			return nil, p[1:]
		case j >= 0: // first what stands before it
			return p[:at+j], p[at+j:]
		case i == 0 && at == 0: // LF
			return crlf, p[1:]
		case i >= 0:
			return p[:at+i], p[at+i:]
		default:
			return p, nil
		}
	}
}
