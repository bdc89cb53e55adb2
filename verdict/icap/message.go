package icap

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const chunk = 64 << 10

// scan sends a message and judges what comes back.
func (s *Scanner) scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	t, err := s.target()
	if err != nil {
		return nil, err
	}
	o, err := s.options(ctx, t)
	if err != nil {
		return nil, err
	}
	preview := o.preview
	if s.NoPreview {
		preview = -1
	}
	head, err := s.request(t, m, preview)
	if err != nil {
		return nil, err
	}
	r, err := remote.Open(m)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c, err := remote.Dial(ctx, t.address, t.tls, 2*m.Size()+slack)
	if err != nil {
		return nil, err
	}
	x := &exchange{scanner: s, c: c, in: bufio.NewReader(c), content: r, size: m.Size(), sum: sha256.New()}
	defer x.end()
	return x.run(head, preview)
}

// request returns everything in front of the content: the ICAP head and the HTTP heads that it encapsulates.
func (s *Scanner) request(t target, m *verdict.Message, preview int64) ([]byte, error) {
	head, err := s.head(s.method(), t)
	if err != nil {
		return nil, err
	}
	var inner, b bytes.Buffer
	about := fmt.Sprintf("Content-Type: message/rfc822\r\nContent-Length: %d\r\n\r\n", m.Size())
	encapsulated := ""
	if s.Reqmod {
		fmt.Fprintf(&inner, "POST http://%s/message.eml HTTP/1.1\r\nHost: %s\r\n%s", host, host, about)
		encapsulated = fmt.Sprintf("req-hdr=0, req-body=%d", inner.Len())
	} else {
		fmt.Fprintf(&inner, "GET http://%s/message.eml HTTP/1.1\r\nHost: %s\r\n\r\n", host, host)
		at := inner.Len()
		fmt.Fprintf(&inner, "HTTP/1.1 200 OK\r\n%s", about)
		encapsulated = fmt.Sprintf("req-hdr=0, res-hdr=%d, res-body=%d", at, inner.Len())
	}
	b.WriteString(head)
	b.WriteString("Allow: 204\r\n")
	if preview >= 0 {
		fmt.Fprintf(&b, "Preview: %d\r\n", preview)
	}
	if m.Origin.Addr.IsValid() {
		fmt.Fprintf(&b, "X-Client-IP: %s\r\n", m.Origin.Addr.Addr().Unmap().WithZone(""))
	}
	fmt.Fprintf(&b, "Encapsulated: %s\r\n\r\n", encapsulated)
	inner.WriteTo(&b)
	return b.Bytes(), nil
}

// exchange is one request on its connection.
type exchange struct {
	scanner *Scanner
	c       *remote.Conn
	in      *bufio.Reader
	content io.Reader
	size    int64

	sending chan error // gets the end of send; nil while nobody sends side by side
	sent    int64      // bytes of the content, and their digest: the sender's until it has ended
	sum     hash.Hash
}

// errHasty is about a service that lets pass what it has not seen.
var errHasty = fmt.Errorf("%w: it came before the message was sent", remote.ErrAnswer)

// run sends the request and judges the answer (RFC 3507 sections 4.5 and 4.9).
func (x *exchange) run(head []byte, preview int64) ([]verdict.Finding, error) {
	if _, err := x.c.Write(head); err != nil {
		return nil, err
	}
	if preview >= 0 {
		end := "0\r\n\r\n"
		if preview >= x.size {
			preview, end = x.size, "0; ieof\r\n\r\n"
		}
		if err := x.send(preview, end); err != nil {
			return nil, err
		}
		r, err := readResponse(x.in)
		if err != nil {
			return nil, err
		}
		if r.status != 100 {
			return x.judge(r)
		}
		if x.sent == x.size {
			return nil, fmt.Errorf("%w: it wants to see more than there is", remote.ErrAnswer)
		}
	}
	// The service may begin to give back what it has before it has everything, and wait until that is read.
	x.sending = make(chan error, 1)
	go func() {
		err := x.send(x.size-x.sent, "0\r\n\r\n")
		var broken *remote.ErrSource
		if errors.As(err, &broken) { // no answer will come to half a message
			x.c.SetReadDeadline(time.Unix(1, 0))
		}
		x.sending <- err
	}()
	r, err := readResponse(x.in)
	if err != nil {
		return nil, x.because(err)
	}
	return x.judge(r)
}

// send sends the next n bytes of the content in chunks, and the end.
func (x *exchange) send(n int64, end string) error {
	if n == 0 {
		_, err := io.WriteString(x.c, end)
		return err
	}
	var b bytes.Buffer
	for n > 0 {
		b.Reset()
		size := min(n, chunk)
		fmt.Fprintf(&b, "%x\r\n", size)
		at := b.Len()
		if _, err := io.CopyN(&b, x.content, size); err != nil {
			var broken *remote.ErrSource
			if !errors.As(err, &broken) {
				err = &remote.ErrSource{Err: io.ErrUnexpectedEOF}
			}
			return err
		}
		x.sum.Write(b.Bytes()[at:])
		x.sent += size
		b.WriteString("\r\n")
		if n -= size; n == 0 {
			b.WriteString(end)
		}
		if _, err := b.WriteTo(x.c); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the sending and returns how it went. It may be called any number of times.
func (x *exchange) stop() error {
	if x.sending == nil {
		return nil
	}
	x.c.SetWriteDeadline(time.Unix(1, 0)) // who has sent everything does not notice
	err := <-x.sending
	x.sending <- err
	return err
}

// end closes the connection. Nothing is read of the message after it.
func (x *exchange) end() {
	x.stop()
	x.c.Close()
}

// because returns the error of the message if that is why the answer could not be read.
func (x *exchange) because(err error) error {
	sending := x.stop()
	var broken *remote.ErrSource
	if errors.As(sending, &broken) {
		return broken
	}
	return err
}
