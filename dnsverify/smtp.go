package dnsverify

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
)

const (
	maxReplyLine  = 2048 // RFC 5321 section 4.5.3.1.5 asks for 512
	maxReplyLines = 100
)

// smtpReply is a reply of one or more lines, without codes.
type smtpReply struct {
	code  int
	lines []string
}

func (r smtpReply) String() string { return fmt.Sprintf("%d %s", r.code, strings.Join(r.lines, " / ")) }

// smtpConn reads replies within bounds. Deadlines are those of the connection.
type smtpConn struct {
	conn net.Conn
	r    *bufio.Reader
}

func newSMTPConn(c net.Conn) *smtpConn {
	return &smtpConn{conn: c, r: bufio.NewReaderSize(c, maxReplyLine)}
}

func (s *smtpConn) reset(c net.Conn) {
	s.conn = c
	s.r.Reset(c)
}

func (s *smtpConn) buffered() bool { return s.r.Buffered() > 0 }

// command sends a line, which must not have a line end in it, and reads the reply.
func (s *smtpConn) command(line string) (smtpReply, error) {
	if strings.ContainsAny(line, "\r\n") {
		return smtpReply{}, errors.New("dnsverify: a line end in a command")
	}
	if _, err := s.conn.Write([]byte(line + "\r\n")); err != nil {
		return smtpReply{}, err
	}
	return s.read()
}

// read reads one reply (RFC 5321 section 4.2).
func (s *smtpConn) read() (smtpReply, error) {
	var r smtpReply
	for range maxReplyLines {
		raw, err := s.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return r, errors.New("a reply line is longer than 2048 octets")
		}
		if err != nil {
			return r, err
		}
		code, text, more, err := parseReplyLine(string(raw))
		if err != nil {
			return r, err
		}
		if r.code != 0 && r.code != code {
			return r, errors.New("the code changes within a reply")
		}
		r.code, r.lines = code, append(r.lines, text)
		if !more {
			return r, nil
		}
	}
	return r, errors.New("a reply has more than 100 lines")
}

func parseReplyLine(raw string) (code int, text string, more bool, err error) {
	line := strings.TrimRight(raw, "\r\n")
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, "", false, fmt.Errorf("no SMTP reply: %s", show(line, 60))
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, "", false, nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, "", false, fmt.Errorf("no SMTP reply: %s", show(line, 60))
	}
	return code, line[4:], line[3] == '-', nil
}
