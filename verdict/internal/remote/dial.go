package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// ErrAnswer says that the answer of an engine could not be read: cut short, too long or senseless.
var ErrAnswer = errors.New("the answer cannot be read")

// Split takes an address apart: "unix:/run/engine.sock" or a path that begins with a slash, and
// "127.0.0.1:3310" or "tcp:engine.example:3310".
func Split(address string) (network, addr string, err error) {
	network, addr = "tcp", address
	switch {
	case strings.HasPrefix(address, "unix:"):
		network, addr = "unix", address[len("unix:"):]
	case strings.HasPrefix(address, "/"):
		network = "unix"
	case strings.HasPrefix(address, "tcp:"):
		addr = address[len("tcp:"):]
	}
	if network == "tcp" {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return "", "", fmt.Errorf("address %q: want host:port or unix:/path", address)
		}
	}
	if addr == "" {
		return "", "", fmt.Errorf("address %q: want host:port or unix:/path", address)
	}
	return network, addr, nil
}

// Conn is a connection that ends with a context: reads and writes fail from then on. At most Bound bytes
// are read. It belongs to one goroutine.
type Conn struct {
	net.Conn
	ctx  context.Context
	stop func() bool
	left int64
}

// Dial connects to address, by TLS if config is not nil. No more than bound bytes will be read.
func Dial(ctx context.Context, address string, config *tls.Config, bound int64) (*Conn, error) {
	network, addr, err := Split(address)
	if err != nil {
		return nil, err
	}
	var c net.Conn
	if config == nil {
		c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
	} else {
		c, err = (&tls.Dialer{Config: config}).DialContext(ctx, network, addr)
	}
	if err != nil {
		return nil, First(ctx, err)
	}
	return Bind(ctx, c, bound), nil
}

// Bind makes a Conn of a connection.
func Bind(ctx context.Context, c net.Conn, bound int64) *Conn {
	if end, ok := ctx.Deadline(); ok {
		c.SetDeadline(end)
	}
	past := time.Unix(1, 0)
	return &Conn{c, ctx, context.AfterFunc(ctx, func() { c.SetDeadline(past) }), bound}
}

// Read reads within the bound, beyond which it is ErrAnswer. The error of the context comes first.
func (c *Conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("%w: it is too long", ErrAnswer)
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if err != nil && err != io.EOF {
		err = First(c.ctx, err)
	}
	return n, err
}

// Write writes. The error of the context comes first.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		err = First(c.ctx, err)
	}
	return n, err
}

// CloseWrite says that nothing more will be written, where the connection can say so.
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// First returns the error of ctx if that has ended, which explains whatever else happened, and err
// otherwise. A deadline of the connection may be noticed a moment before that of the context.
func First(ctx context.Context, err error) error {
	if e := ctx.Err(); e != nil {
		return e
	}
	var timeout net.Error
	if end, ok := ctx.Deadline(); ok && errors.As(err, &timeout) && timeout.Timeout() && !time.Now().Before(end.Add(-time.Millisecond)) {
		return context.DeadlineExceeded
	}
	return err
}

// ErrSource marks that the message itself could not be read: nothing an engine is to be blamed for.
type ErrSource struct{ Err error }

func (e *ErrSource) Error() string { return "reading the message: " + e.Err.Error() }

// Unwrap returns the error of the source, and verdict.ErrUnscannable.
func (e *ErrSource) Unwrap() []error { return []error{e.Err, verdict.ErrUnscannable} }

// Open opens the message.
func Open(m *verdict.Message) (io.ReadCloser, error) {
	r, err := m.Open()
	if err != nil {
		return nil, &ErrSource{err}
	}
	return sourceReader{r}, nil
}

// sourceReader marks its errors.
type sourceReader struct{ io.ReadCloser }

func (r sourceReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &ErrSource{err}
	}
	return n, err
}
