package spamd

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/remote"
)

// reply is what the daemon says.
type reply struct {
	spam             bool
	score, threshold float64
	body             string
}

// readReply reads a whole reply: a status line, fields, an empty line, and as many bytes as were announced.
func readReply(r io.Reader) (*reply, error) {
	tp := textproto.NewReader(bufio.NewReader(r))
	line, err := tp.ReadLine()
	if err != nil {
		return nil, unreadable(err)
	}
	if err := status(line); err != nil {
		return nil, err
	}
	fields, err := tp.ReadMIMEHeader()
	if err != nil {
		return nil, unreadable(err)
	}
	var out reply
	if err := out.judgement(fields.Values("Spam")); err != nil {
		return nil, err
	}
	length := fields.Values("Content-Length")
	if len(length) != 1 {
		return nil, fmt.Errorf("%w: %d fields Content-length", remote.ErrAnswer, len(length))
	}
	n, err := strconv.ParseUint(length[0], 10, 31)
	if err != nil || n > maxReply {
		return nil, fmt.Errorf("%w: Content-length %.40q", remote.ErrAnswer, length[0])
	}
	b, err := io.ReadAll(tp.R)
	if err != nil {
		return nil, unreadable(err)
	}
	if uint64(len(b)) != n {
		return nil, fmt.Errorf("%w: it has %d bytes and says %d", remote.ErrAnswer, len(b), n)
	}
	out.body = string(b)
	return &out, nil
}

func unreadable(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", remote.ErrAnswer, err)
}

// status reads "SPAMD/1.1 0 EX_OK". Everything but 0 is an error.
func status(line string) error {
	protocol, rest, _ := strings.Cut(line, " ")
	code, text, _ := strings.Cut(rest, " ")
	if _, err := strconv.Atoi(code); err != nil || !strings.HasPrefix(protocol, "SPAMD/") {
		return fmt.Errorf("%w: %.60q", remote.ErrAnswer, line)
	}
	if code != "0" {
		return fmt.Errorf("it answers %s", remote.Excerpt(code+" "+text, maxDetail))
	}
	return nil
}

// judgement reads "True ; 1000.9 / 5.0", which stands there once.
func (r *reply) judgement(values []string) error {
	if len(values) != 1 {
		return fmt.Errorf("%w: %d fields Spam", remote.ErrAnswer, len(values))
	}
	is, rest, _ := strings.Cut(values[0], ";")
	score, threshold, _ := strings.Cut(rest, "/")
	var errScore, errThreshold error
	r.score, errScore = strconv.ParseFloat(strings.TrimSpace(score), 64)
	r.threshold, errThreshold = strconv.ParseFloat(strings.TrimSpace(threshold), 64)
	is = strings.TrimSpace(is)
	switch {
	case errScore != nil, errThreshold != nil, math.IsNaN(r.score), math.IsNaN(r.threshold):
	case is == "True", is == "Yes":
		r.spam = true
		return nil
	case is == "False", is == "No":
		return nil
	}
	return fmt.Errorf("%w: Spam: %.60q", remote.ErrAnswer, values[0])
}
