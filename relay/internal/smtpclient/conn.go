// Package smtpclient speaks the client side of SMTP on one connection, byte for byte.
//
// A Conn is made around a socket, says hello, may start TLS, and then sends messages one after the
// other. It pipelines where the server allows it (RFC 2920), sends bodies with BDAT where the server
// takes it (RFC 3030) and with DATA elsewhere, matches replies to commands in order, and reports an
// exact result for each recipient. It never changes a body: DATA adds the dots that the server takes
// away again and the CRLF that a last line may lack, BDAT adds nothing.
//
// Every read and write has a deadline and ends at once when the context ends. Replies are bounded. After
// anything unexpected the connection is not used again: a reply too many would otherwise be taken for
// the answer to the next message.
//
// Commands and replies: RFC 5321. Extensions: SIZE RFC 1870, 8BITMIME RFC 6152, PIPELINING RFC 2920,
// CHUNKING RFC 3030, STARTTLS RFC 3207, DSN RFC 3461, SMTPUTF8 RFC 6531, REQUIRETLS RFC 8689,
// LIMITS RFC 9422, enhanced codes RFC 2034.
package smtpclient

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Timeouts bound the steps of a connection. Zero means the default, which is what RFC 5321 section
// 4.5.3.2 asks for unless said otherwise.
type Timeouts struct {
	Connect   time.Duration // TCP connection: 30 s
	Greeting  time.Duration // the first 220: 5 min
	Hello     time.Duration // EHLO, HELO, STARTTLS and RSET: 5 min
	Handshake time.Duration // TLS: 1 min
	Mail      time.Duration // MAIL: 5 min
	Rcpt      time.Duration // each RCPT: 5 min
	Data      time.Duration // DATA until 354: 2 min
	Block     time.Duration // each write of at most 1 MiB: 3 min
	End       time.Duration // after the last byte of the body: 10 min
}

// WithDefaults returns t with every zero replaced.
func (t Timeouts) WithDefaults() Timeouts {
	return Timeouts{
		Connect:   cmp.Or(t.Connect, 30*time.Second),
		Greeting:  cmp.Or(t.Greeting, 5*time.Minute),
		Hello:     cmp.Or(t.Hello, 5*time.Minute),
		Handshake: cmp.Or(t.Handshake, time.Minute),
		Mail:      cmp.Or(t.Mail, 5*time.Minute),
		Rcpt:      cmp.Or(t.Rcpt, 5*time.Minute),
		Data:      cmp.Or(t.Data, 2*time.Minute),
		Block:     cmp.Or(t.Block, 3*time.Minute),
		End:       cmp.Or(t.End, 10*time.Minute),
	}
}

// Stage names the step in which something went wrong.
type Stage string

// The stages of a connection in order.
const (
	Connect  Stage = "connect"
	Greeting Stage = "greeting"
	Hello    Stage = "EHLO"
	StartTLS Stage = "STARTTLS"
	Mail     Stage = "MAIL"
	Rcpt     Stage = "RCPT"
	Data     Stage = "DATA"
	Body     Stage = "body"
	End      Stage = "end of data"
	Reset    Stage = "RSET"
)

// ErrProtocol is the cause when the server answered with something that SMTP does not allow there.
var ErrProtocol = errors.New("protocol violation")

// ErrBody is the cause when the body could not be read, or is not as long as it said.
var ErrBody = errors.New("reading the message")

// Error says in which step a connection or a transaction failed, and why.
type Error struct {
	Stage Stage
	Reply *Reply // what the server said, or what we say without asking it (Local); nil if it said nothing
	Local bool   // Reply is ours: the server lacks what the message needs
	Err   error  // the cause where there is no reply
}

// Error returns the stage and what happened, for logs.
func (e *Error) Error() string {
	if e.Reply != nil {
		return fmt.Sprintf("%s: %v", e.Stage, *e.Reply)
	}
	return fmt.Sprintf("%s: %v", e.Stage, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Options say how a connection behaves.
type Options struct {
	// Hostname is what EHLO says. Empty means the local address as a literal (RFC 5321 section 4.1.4).
	Hostname string
	// Timeouts must have no zero left: see WithDefaults.
	Timeouts Timeouts
	// NoChunking never sends BDAT.
	NoChunking bool
	// Trusted says that the name of the server was configured and not learned from DNS that
	// anybody may forge. REQUIRETLS needs it (RFC 8689 section 4.2.1).
	Trusted bool
}

const (
	readBuffer  = 4 << 10
	writeBuffer = 16 << 10 // a usual message leaves in one write
	blockSize   = 1 << 20  // the most that one deadline covers
)

// Conn is one connection. It is used by one goroutine at a time, but Close may come from any.
type Conn struct {
	raw   net.Conn // the socket, also under TLS: deadlines and liveness
	probe *probe   // of raw
	nc    net.Conn // raw or TLS on it
	br    *bufio.Reader
	bw    *bufio.Writer
	opt   Options
	ext   Extensions
	names [2]string // that the server gives itself
	tls   *tls.Config
	sent  int    // transactions begun
	cmd   []byte // scratch for commands

	broken bool // not fit for another transaction

	mu          sync.Mutex
	interrupted bool // a context has ended: no deadline may be set any more
}

// New returns a connection over nc, which it owns from now on. Nothing is read or written yet.
func New(nc net.Conn, opt Options) *Conn {
	c := &Conn{raw: nc, opt: opt, probe: newProbe(nc)}
	c.over(nc)
	return c
}

// over makes nc the stream that is spoken on, with nothing buffered.
func (c *Conn) over(nc net.Conn) {
	c.nc = nc
	c.br = bufio.NewReaderSize(nc, readBuffer)
	c.bw = bufio.NewWriterSize(blockWriter{c}, writeBuffer)
}

// Extensions returns what the server offered in its last answer to EHLO.
func (c *Conn) Extensions() Extensions { return c.ext }

// PeerNames returns the names that the server gave itself in its greeting and in its answer to EHLO.
// Some say something else in either place.
func (c *Conn) PeerNames() [2]string { return c.names }

// Sent returns the number of transactions begun.
func (c *Conn) Sent() int { return c.sent }

// Reusable says whether another transaction may be tried: nothing odd happened, and the server's limit
// on transactions is not reached.
func (c *Conn) Reusable() bool {
	return !c.broken && c.br.Buffered() == 0 && (c.ext.MailMax == 0 || c.sent < c.ext.MailMax)
}

// Alive says that nothing has arrived and the connection has not been closed since it was last used,
// as far as can be seen without waiting.
func (c *Conn) Alive() bool { return !c.probe.readable() }

// Close closes the connection without a word. A reader or writer that is under way fails.
func (c *Conn) Close() error { return c.raw.Close() }

// Quit takes leave, if the connection is in order, and closes. It does not wait for the answer, which
// would tell nothing.
func (c *Conn) Quit() error {
	if c.broken {
		return c.raw.Close()
	}
	c.opt.Timeouts.Block = time.Second
	c.bw.WriteString("QUIT\r\n")
	c.bw.Flush()
	return c.nc.Close()
}

// guard makes the end of ctx interrupt reads and writes until the returned function is called.
func (c *Conn) guard(ctx context.Context) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	stop := context.AfterFunc(ctx, c.interrupt)
	return func() {
		if !stop() {
			c.broken = true
		}
	}
}

func (c *Conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	c.raw.SetDeadline(time.Unix(1, 0))
}

// deadline gives the next read and write d from now, unless the context has ended: a deadline that it
// set must not be moved again.
func (c *Conn) deadline(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupted {
		return os.ErrDeadlineExceeded
	}
	return c.raw.SetDeadline(time.Now().Add(d))
}

// fail makes the connection unusable and names the reason, which is the context's if that has ended.
func (c *Conn) fail(ctx context.Context, stage Stage, err error) *Error {
	c.broken = true
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &Error{Stage: stage, Err: err}
}

// flush sends what is buffered.
func (c *Conn) flush() error { return c.bw.Flush() }

// blockWriter writes to the stream in blocks that each have their own deadline (RFC 5321 section
// 4.5.3.2.5), so that a slow but steady server has all the time it needs.
type blockWriter struct{ c *Conn }

func (w blockWriter) Write(p []byte) (int, error) {
	n := 0
	for {
		if err := w.c.deadline(w.c.opt.Timeouts.Block); err != nil {
			return n, err
		}
		m, err := w.c.nc.Write(p[n:min(len(p), n+blockSize)])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}
