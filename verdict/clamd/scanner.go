package clamd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const (
	codeFound  = "clamd.found"
	codeLimit  = "clamd.limit"
	codeLocked = "clamd.locked"

	chunk    = 64 << 10
	maxReply = 4 << 10
	maxName  = 200
)

// Scanner asks a ClamAV daemon. It may be used by many goroutines at once; each scan is a connection.
type Scanner struct {
	// Address is where the daemon listens: "unix:/run/clamav/clamd.ctl" or "127.0.0.1:3310". If it is empty
	// every scan fails. The daemon has neither passwords nor encryption: keep it on this machine.
	Address string
	// Class says what a message is in which a signature with this name was found. Unknown is evidence only.
	// Nil means ClassOf.
	Class func(signature string) verdict.Class
}

// Name returns "clamd".
func (s *Scanner) Name() string { return "clamd" }

// Scan implements verdict.Scanner.
func (s *Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	reply, err := s.instream(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("clamd: %w", err)
	}
	findings, err := s.read(reply)
	if err != nil {
		return nil, fmt.Errorf("clamd: %w", err)
	}
	return findings, nil
}

// Version returns what the daemon says about itself: "ClamAV 1.4.6/27345/Thu Jan  2 10:00:00 2026".
func (s *Scanner) Version(ctx context.Context) (string, error) {
	c, err := remote.Dial(ctx, s.Address, nil, maxReply)
	if err != nil {
		return "", fmt.Errorf("clamd: %w", err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "zVERSION\x00"); err != nil {
		return "", fmt.Errorf("clamd: %w", err)
	}
	v, err := readReply(c)
	if err == nil && !strings.HasPrefix(v, "ClamAV ") {
		err = fmt.Errorf("%w: %.40q is no version", remote.ErrAnswer, v)
	}
	if err != nil {
		return "", fmt.Errorf("clamd: asking for the version: %w", err)
	}
	return v, nil
}

// instream sends the message and returns the reply without its terminator.
func (s *Scanner) instream(ctx context.Context, m *verdict.Message) (string, error) {
	c, err := remote.Dial(ctx, s.Address, nil, maxReply)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := send(c, m); err != nil {
		var broken *remote.ErrSource
		if ctx.Err() != nil || errors.As(err, &broken) {
			return "", err
		}
		// Who sends more than the daemon takes is hung up on, with a reason in the reply.
		if reply, e := readReply(c); e == nil && strings.HasSuffix(reply, "ERROR") {
			return reply, nil
		}
		return "", err
	}
	return readReply(c)
}

// send sends the message in chunks, each behind its length, and a chunk of length 0.
func send(w io.Writer, m *verdict.Message) error {
	r, err := remote.Open(m)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.WriteString(w, "zINSTREAM\x00"); err != nil {
		return err
	}
	buf := make([]byte, 4+chunk)
	for {
		n, err := io.ReadFull(r, buf[4:])
		if n > 0 {
			binary.BigEndian.PutUint32(buf, uint32(n))
			if _, err := w.Write(buf[:4+n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF, err == io.ErrUnexpectedEOF:
			_, err := w.Write(make([]byte, 4))
			return err
		case err != nil:
			return err
		}
	}
}

// readReply reads up to the NUL that ends a reply. Nothing may follow it: the daemon closes the connection, which
// is a reset if it has left something unread.
func readReply(r io.Reader) (string, error) {
	b, err := io.ReadAll(r)
	s, ok := strings.CutSuffix(string(b), "\x00")
	if err != nil && !ok {
		return "", err
	}
	if !ok || strings.Contains(s, "\x00") {
		return "", fmt.Errorf("%w: %d bytes that do not end as they should", remote.ErrAnswer, len(b))
	}
	return s, nil
}

// read makes findings of a reply: "stream: OK", "stream: NAME FOUND" or "… ERROR".
func (s *Scanner) read(reply string) ([]verdict.Finding, error) {
	what, ok := strings.CutPrefix(reply, "stream: ")
	if ok && what == "OK" {
		return nil, nil
	}
	if name, found := strings.CutSuffix(what, " FOUND"); ok && found && name != "" {
		return []verdict.Finding{s.finding(remote.Line(name, maxName))}, nil
	}
	if why, ok := strings.CutSuffix(reply, " ERROR"); ok {
		if strings.Contains(why, "size limit exceeded") {
			return nil, fmt.Errorf("%w: larger than StreamMaxLength of clamd.conf", verdict.ErrUnscannable)
		}
		return nil, fmt.Errorf("it could not tell: %s", remote.Excerpt(why, maxName))
	}
	return nil, fmt.Errorf("%w: %.60q", remote.ErrAnswer, reply)
}

func (s *Scanner) finding(signature string) verdict.Finding {
	code := codeFound
	switch {
	case strings.HasPrefix(signature, "Heuristics.Limits."):
		code = codeLimit
	case strings.HasPrefix(signature, "Heuristics.Encrypted."):
		code = codeLocked
	}
	f := verdict.Found(code)
	f.Detail = signature
	switch code {
	case codeFound:
		class := ClassOf
		if s.Class != nil {
			class = s.Class
		}
		f.Class = class(signature)
	case codeLimit:
		f.Err = fmt.Errorf("clamd: %w: %s", verdict.ErrUnscannable, signature)
	}
	return f
}

// ClassOf is the class of a signature by its name: Spam for "PUA." (possibly unwanted application) and for the names
// that third-party databases give spam, Malicious for everything else.
func ClassOf(signature string) verdict.Class {
	for _, s := range []string{"PUA.", "Sanesecurity.Junk.", "Sanesecurity.Spam", "Sanesecurity.Lott", "Sanesecurity.Job.", "Email.Spam."} {
		if strings.HasPrefix(signature, s) {
			return verdict.Spam
		}
	}
	return verdict.Malicious
}
