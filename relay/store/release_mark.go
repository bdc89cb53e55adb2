package store

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// mark returns the value of the header field that says that a message was released: where the way of mail leads
// through the gateway again it must not be held again. It is of this message and of no other, since its recipients
// and those who send them back what did not arrive get to see it. See Released.
func (s *Store) mark(id string, print []byte) string {
	return id + "." + s.sign("release", id) + "." + s.sign("released", id+"\x00"+string(print))
}

// markAge is how long a released message may be on its way back to the gateway.
const markAge = 48 * time.Hour

// Released says whether m is a message that was released here, or on another node, and comes by again: mark is
// one of ours and was made for what is in m, Message-ID and From are the same, and every recipient is one that it was
// released to of late.
func (s *Store) Released(ctx context.Context, m *verdict.Message, mark string) bool {
	mark = strings.TrimSpace(mark)
	id, sums, _ := strings.Cut(mark, ".")
	sum, _, _ := strings.Cut(sums, ".")
	if !hmac.Equal([]byte(sum), []byte(s.sign("release", id))) || len(m.Envelope.To) == 0 { // forged, which costs nothing to see
		return false
	}
	h, err := s.HeldMessage(ctx, id)
	if err != nil {
		return false
	}
	if head := headlineOf(m); h.MessageID != head.messageID || h.Author != head.author {
		return false
	}
	for _, to := range m.Envelope.Addresses() {
		if !slices.ContainsFunc(h.Recipients, func(r HeldRecipient) bool {
			return r.Address == address(to) && r.State != StateHeld && r.State != StateDeleted && time.Since(r.At) < markAge
		}) {
			return false
		}
	}
	print, err := fingerprint(ctx, m)
	return err == nil && hmac.Equal([]byte(mark), []byte(s.mark(h.ID, print)))
}

// sign makes a keyed digest, with the secret that all nodes share.
func (s *Store) sign(purpose, what string) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(purpose + "\x00" + what))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:24])
}

// fingerprint is a digest of what is in a message: of its body, and of the fields that say how that is read. Servers
// on the way may add fields, fold them, and change blanks, as RFC 6376 section 3.4.4 knows them to.
func fingerprint(ctx context.Context, m *verdict.Message) ([]byte, error) {
	h := m.Header()
	if err := h.Err(); err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, name := range []string{"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"} {
		for _, v := range h.Values(name) {
			io.WriteString(sum, name+":"+strings.Join(strings.Fields(v), "")+"\x00")
		}
		io.WriteString(sum, "\x00")
	}
	r, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, h.BodyOffset()); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	b := relaxed{w: bufio.NewWriterSize(sum, 32<<10)}
	if _, err := io.Copy(contextWriter{ctx, &b}, r); err != nil {
		return nil, err
	}
	if err := b.w.Flush(); err != nil {
		return nil, err
	}
	return sum.Sum(nil), nil
}

// relaxed writes a body with blanks as one, none at the end of lines, and no empty lines at its end.
type relaxed struct {
	w     *bufio.Writer
	blank bool // blanks that were not written yet
	lines int  // ends of lines that were not written yet
}

func (r *relaxed) Write(p []byte) (int, error) {
	for _, c := range p {
		switch c {
		case '\r':
		case '\n':
			r.lines++
			r.blank = false
		case ' ', '\t':
			r.blank = true
		default:
			for ; r.lines > 0; r.lines-- {
				r.w.WriteByte('\n')
			}
			if r.blank {
				r.w.WriteByte(' ')
				r.blank = false
			}
			r.w.WriteByte(c)
		}
	}
	return len(p), nil // bufio remembers an error, and a digest has none
}
