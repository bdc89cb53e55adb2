package smtpwire

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Reply is a reply as it came over the wire.
type Reply struct {
	Code     int      // 200 to 599
	Enhanced [3]int   // enhanced status code (RFC 3463), zero if there is none
	Lines    []string // text of each line without codes; printable, never empty
}

// Text returns the lines of the reply, separated by \n.
func (r Reply) Text() string { return strings.Join(r.Lines, "\n") }

// ReplyLimits bound one reply. The zero value of a field means its default.
type ReplyLimits struct {
	Lines int // default 100
	Bytes int // of the whole reply with its line ends; default 64 KiB
}

func (l ReplyLimits) lines() int { return orDefault(l.Lines, 100) }
func (l ReplyLimits) bytes() int { return orDefault(l.Bytes, 64<<10) }

func orDefault[T int | int64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// ErrBadReply is wrapped by every error of ReadReply that is about what the server said. The connection
// is of no more use: nobody knows where the next reply begins.
var ErrBadReply = errors.New("malformed SMTP reply")

// ReadReply reads one reply with all its lines (RFC 5321 section 4.2.1). It takes a bare LF for a line
// end. Control characters in the text are replaced, so that it can be logged and handed on. An enhanced
// code is taken from the first line and cut from all lines that begin with it. Errors of br are returned
// as they are, io.EOF only before the first byte.
func ReadReply(br *bufio.Reader, limits ReplyLimits) (Reply, error) {
	var r Reply
	left := limits.bytes()
	for {
		line, err := readReplyLine(br, left)
		if err != nil {
			if len(r.Lines) > 0 || line != "" {
				err = noEOF(err)
			}
			return Reply{}, err
		}
		left -= len(line)
		more, err := r.add(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return Reply{}, err
		}
		if !more {
			return r, nil
		}
		if len(r.Lines) >= limits.lines() {
			return Reply{}, fmt.Errorf("%w: more than %d lines", ErrBadReply, limits.lines())
		}
	}
}

// readReplyLine reads up to and with the next LF, at most limit octets.
func readReplyLine(br *bufio.Reader, limit int) (string, error) {
	var long []byte
	for {
		part, err := br.ReadSlice('\n')
		if len(long)+len(part) > limit {
			return "", fmt.Errorf("%w: too many octets", ErrBadReply)
		}
		if err == nil && long == nil {
			return string(part), nil
		}
		long = append(long, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return string(long), err
		}
	}
}

// add takes one line apart and says whether another one follows.
func (r *Reply) add(line string) (more bool, err error) {
	code, ok := replyCode(line)
	if !ok {
		return false, fmt.Errorf("%w: %.60q", ErrBadReply, line)
	}
	text := ""
	if len(line) > 3 {
		more = line[3] == '-'
		text = line[4:]
	}
	first := len(r.Lines) == 0
	if !first && code != r.Code {
		return false, fmt.Errorf("%w: code %d after %d", ErrBadReply, code, r.Code)
	}
	enhanced, rest, ok := cutEnhanced(text, code/100)
	if ok && (first || enhanced == r.Enhanced) {
		r.Enhanced = enhanced
		text = rest
	}
	r.Code = code
	r.Lines = append(r.Lines, printable(text))
	return more, nil
}

func replyCode(line string) (int, bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false
	}
	for i := range 3 {
		if line[i] < '0' || line[i] > '9' {
			return 0, false
		}
	}
	code := int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	return code, code >= 200 && code <= 599
}

// cutEnhanced takes an enhanced code of the given class off the beginning of text. RFC 3463 allows up to
// three digits for subject and detail.
func cutEnhanced(text string, class int) (code [3]int, rest string, ok bool) {
	word, rest, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(word) > 9 || len(parts) != 3 {
		return code, "", false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || len(p) > 3 {
			return [3]int{}, "", false
		}
		code[i] = int(n)
	}
	if code[0] != class || class == 3 {
		return [3]int{}, "", false
	}
	return code, rest, true
}

// printable replaces control characters and invalid UTF-8 by question marks.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == '\ufffd' {
			return '?'
		}
		return r
	}, s)
}

const (
	replyLine  = 512 // octets with CRLF (RFC 5321 section 4.5.3.1.5)
	replyLines = 100
)

// AppendReply appends a reply in wire form to dst. The text may have several lines, separated by \n;
// those beyond 100 are left out. Whatever is not printable US-ASCII becomes a question mark and a line is
// cut at 512 octets, so no text can break the framing. A zero enhanced code is left out.
func AppendReply(dst []byte, code int, enhanced [3]int, text string) []byte {
	for n := 1; ; n++ {
		line, rest, more := strings.Cut(text, "\n")
		more = more && n < replyLines
		start := len(dst)
		dst = strconv.AppendInt(dst, int64(code), 10)
		if more {
			dst = append(dst, '-')
		} else {
			dst = append(dst, ' ')
		}
		if enhanced != [3]int{} {
			for i, v := range enhanced {
				dst = strconv.AppendInt(dst, int64(v), 10)
				dst = append(dst, ".. "[i])
			}
		}
		dst = appendPrintable(dst, line, replyLine-2-(len(dst)-start))
		dst = append(dst, '\r', '\n')
		if !more {
			return dst
		}
		text = rest
	}
}

func appendPrintable(dst []byte, s string, limit int) []byte {
	for i := 0; i < len(s) && i < limit; i++ {
		switch c := s[i]; {
		case c >= ' ' && c < 0x7f:
			dst = append(dst, c)
		case c == '\t':
			dst = append(dst, ' ')
		case c == '\r' && i == len(s)-1: // the line was separated by \r\n
		default:
			dst = append(dst, '?')
		}
	}
	return dst
}
