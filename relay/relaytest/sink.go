package relaytest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Stage is a step of a session at which a Fault strikes.
type Stage string

// The stages. A fault at AtBody strikes when the first line of a message has come, one at AtDot when the
// message is complete and would be taken.
const (
	AtConnect  Stage = "CONNECT"
	AtHello    Stage = "EHLO" // also HELO
	AtStartTLS Stage = "STARTTLS"
	AtTLS      Stage = "TLS" // instead of the handshake, after 220 has been said
	AtMail     Stage = "MAIL"
	AtRcpt     Stage = "RCPT"
	AtData     Stage = "DATA" // also BDAT
	AtBody     Stage = "BODY"
	AtDot      Stage = "DOT" // also the end of the last chunk
	AtReset    Stage = "RSET"
)

// Fault is something that a Sink does wrong, or that a test wants it to do. What is set is done in the
// order of the fields.
type Fault struct {
	At Stage
	// Match strikes only if the command has this in it, such as "<b@ex.net>"; at AtBody and AtDot it is
	// looked for among all addresses of the envelope. Empty: always.
	Match string
	Skip  int // so many times nothing happens yet
	Times int // so many times it happens; 0: always

	Delay time.Duration // wait first
	Keep  bool          // at AtDot: take the message although Reply refuses it or the connection drops
	Reply string        // said instead of the usual reply, without CRLF at the end: "451 4.3.0 later"
	Lines int           // the reply has so many lines, all the same
	Split bool          // it leaves byte by byte
	Extra string        // said as well, in the same breath
	Drop  bool          // the connection is closed, without the usual reply
}

// SinkMessage is a message that a Sink has taken.
type SinkMessage struct {
	From       string            // without angle brackets
	Params     string            // of MAIL: "SIZE=10 BODY=8BITMIME"
	To         []string          // in the order of the commands
	RcptParams map[string]string // by address, those that have any
	Data       []byte            // as it was sent, with the dots of DATA taken out; nil if Discard is set
	Size       int64
	BDAT       bool // it came in chunks
	Conn       int  // number of the connection, from 1
	TLS        *tls.ConnectionState
}

// Sink is an SMTP server that takes every message and keeps it, or fails as it is told to. It is a
// server of its own, with a simple loop and no code in common with what it tests.
//
// A Sink is a struct literal; Start or Listen makes it run. Its fields must not change afterwards,
// except through Fail.
type Sink struct {
	Hostname string   // in the greeting and the answer to EHLO; "sink.example" if empty
	Without  []string // extensions that are not offered, of PIPELINING, 8BITMIME, SMTPUTF8, DSN, CHUNKING, ENHANCEDSTATUSCODES, SIZE
	Also     []string // lines that are offered more: "LIMITS RCPTMAX=2", "REQUIRETLS"
	Size     int64    // the limit that is announced with SIZE and kept; 0 means none
	NoEHLO   bool     // EHLO is refused with 502

	TLS       *tls.Config // offers STARTTLS if not nil
	TLSNeeded bool        // MAIL without TLS gets 530

	Faults    []Fault
	IdleClose time.Duration // a connection is closed silently after so long without a command; 0 means never
	// Lax ends DATA at a lone dot between line ends of any kind, as careless servers do: what was
	// smuggled behind it becomes the next commands.
	Lax     bool
	Discard bool // bodies are counted and thrown away

	mu       sync.Mutex
	ln       net.Listener
	wg       sync.WaitGroup
	done     chan struct{}
	conns    map[net.Conn]bool
	count    int
	commands []string
	messages []SinkMessage
	faults   []Fault
}

// Start makes the sink listen on a free port of the loopback address until the test ends, and returns
// the address.
func (s *Sink) Start(tb testing.TB) string {
	tb.Helper()
	if err := s.Listen(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s.Addr()
}

// Listen makes the sink listen on a free port of the loopback address. The caller must Close it.
func (s *Sink) Listen() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("relaytest: sink: %w", err)
	}
	s.init()
	s.ln = ln
	s.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.Serve(nc) })
		}
	})
	return nil
}

func (s *Sink) init() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		s.conns = map[net.Conn]bool{}
		s.faults = append(slices.Clone(s.Faults), s.faults...)
	}
}

// Addr is the address that the sink listens on.
func (s *Sink) Addr() string { return s.ln.Addr().String() }

// Close ends the sink and all its connections, and waits for them.
func (s *Sink) Close() error {
	s.init()
	s.mu.Lock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	for nc := range s.conns {
		nc.Close()
	}
	s.mu.Unlock()
	var err error
	if s.ln != nil {
		err = s.ln.Close()
	}
	s.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Hangup closes all connections that are open, silently, and goes on listening.
func (s *Sink) Hangup() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for nc := range s.conns {
		nc.Close()
	}
}

// Say sends a line on all connections that are open, although nobody has asked. It is not for TLS.
func (s *Sink) Say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for nc := range s.conns {
		fmt.Fprintf(nc, "%s\r\n", line)
	}
}

// Fail adds a fault from now on.
func (s *Sink) Fail(f Fault) {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// Messages returns what has been taken so far. A message is there before its 250 is sent.
func (s *Sink) Messages() []SinkMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Commands returns all command lines so far, each with the number of its connection: "1 EHLO a.example".
func (s *Sink) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Conns returns the number of connections so far.
func (s *Sink) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Open returns the number of connections that are open.
func (s *Sink) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Serve serves one connection, which may be one end of a net.Pipe, and returns when it is over.
func (s *Sink) Serve(nc net.Conn) {
	s.init()
	s.mu.Lock()
	select {
	case <-s.done:
		s.mu.Unlock()
		nc.Close()
		return
	default:
	}
	s.count++
	s.conns[nc] = true
	c := &sinkConn{s: s, id: s.count, raw: nc}
	s.mu.Unlock()
	c.over(nc)
	c.serve()
	c.nc.Close()
	s.mu.Lock()
	delete(s.conns, nc)
	s.mu.Unlock()
}

// fault returns the fault that strikes now, if any.
func (s *Sink) fault(at Stage, line string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.faults {
		f := &s.faults[i]
		if f.At != at || !strings.Contains(line, f.Match) || f.Times < 0 {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		got := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				f.Times = -1
			}
		}
		return &got
	}
	return nil
}

func (s *Sink) take(m SinkMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
}

func (s *Sink) hostname() string {
	if s.Hostname != "" {
		return s.Hostname
	}
	return "sink.example"
}

// sinkConn is one session.
type sinkConn struct {
	s    *Sink
	id   int
	raw  net.Conn
	nc   net.Conn
	br   *bufio.Reader
	bw   *bufio.Writer
	tls  *tls.ConnectionState
	mail *SinkMessage // the transaction, nil outside
}

func (c *sinkConn) over(nc net.Conn) {
	c.nc = nc
	c.br = bufio.NewReaderSize(nc, 64<<10)
	c.bw = bufio.NewWriter(nc)
}

// reply says what belongs here, or does what a fault says instead. goOn is false if the connection is
// to be closed; done says that the client was told what it hoped for.
func (c *sinkConn) reply(at Stage, line, usual string) (goOn, done bool) {
	return c.act(c.s.fault(at, line), usual)
}

func (c *sinkConn) act(f *Fault, usual string) (goOn, done bool) {
	if f == nil {
		return c.say(usual), true
	}
	if f.Delay > 0 {
		c.bw.Flush()
		select {
		case <-time.After(f.Delay):
		case <-c.s.done:
			return false, false
		}
	}
	text := f.Reply
	if text == "" && !f.Drop {
		text = usual
	}
	if text == "" {
		return false, false
	}
	say := c.say
	if f.Split {
		say = c.dribble
	}
	for range f.Lines - 1 {
		fmt.Fprintf(c.bw, "%s-%s\r\n", text[:3], text[3:])
	}
	whole := text
	if f.Extra != "" {
		whole += "\r\n" + f.Extra
	}
	return say(whole) && !f.Drop, text[0] == usual[0]
}

// say sends a reply, with those to the commands that have come already. A 421 ends the session.
func (c *sinkConn) say(text string) bool {
	c.bw.WriteString(text)
	c.bw.WriteString("\r\n")
	last := strings.HasPrefix(text, "421")
	if last || c.br.Buffered() == 0 || text[0] == '3' {
		return c.bw.Flush() == nil && !last
	}
	return true
}

// dribble sends a reply one byte a write.
func (c *sinkConn) dribble(text string) bool {
	c.bw.Flush()
	for _, b := range []byte(text + "\r\n") {
		if _, err := c.nc.Write([]byte{b}); err != nil {
			return false
		}
	}
	return !strings.HasPrefix(text, "421")
}

func (c *sinkConn) serve() {
	ok, _ := c.reply(AtConnect, "", "220 "+c.s.hostname()+" ESMTP sink")
	for ok {
		if c.s.IdleClose > 0 {
			c.nc.SetReadDeadline(time.Now().Add(c.s.IdleClose))
		}
		line, err := c.br.ReadString('\n')
		if err != nil {
			break
		}
		c.nc.SetReadDeadline(time.Time{})
		line = strings.TrimRight(line, "\r\n")
		c.s.mu.Lock()
		c.s.commands = append(c.s.commands, fmt.Sprintf("%d %s", c.id, line))
		c.s.mu.Unlock()
		ok = c.command(line)
	}
	c.bw.Flush()
}
