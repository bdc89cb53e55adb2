package milter

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-milter"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const (
	slack     = 1 << 20 // bytes that a milter may say beside a new body
	maxValue  = 1 << 10 // bytes of an address or a name
	maxField  = 60 << 10
	maxDetail = 300
	parting   = time.Second // for a milter to close the connection

	// What is offered: the actions and protocol steps of version 2, since older milters refuse to be offered more,
	// and newer ones do without.
	actions = milter.OptAddHeader | milter.OptChangeBody | milter.OptAddRcpt | milter.OptRemoveRcpt | milter.OptChangeHeader | milter.OptQuarantine
	steps   = milter.OptNoConnect | milter.OptNoHelo | milter.OptNoMailFrom | milter.OptNoRcptTo | milter.OptNoBody | milter.OptNoHeaders | milter.OptNoEOH

	// Some milters, like that of rspamd, announce that they will answer some steps with silence whether that was
	// offered or not. The library knows what that means.
	silences = milter.OptNoHeaderReply | milter.OptNoConnReply | milter.OptNoHeloReply | milter.OptNoMailReply | milter.OptNoRcptReply |
		milter.OptNoDataReply | milter.OptNoUnknownReply | milter.OptNoEOHReply | milter.OptNoBodyReply
)

// Scanner asks a milter. It may be used by many goroutines at once; each scan is a connection.
type Scanner struct {
	// Address is where the milter listens: "unix:/run/opendkim/opendkim.sock" or "127.0.0.1:8891". If it is empty every
	// scan fails.
	Address string
	// Hostname is what this gateway calls itself (macro j). Empty means "localhost".
	Hostname string
	// Reject, Discard and Quarantine are what a message is that the milter wants to have treated so. Unknown, the
	// zero value, means Spam.
	Reject, Discard, Quarantine verdict.Class
	// Rules say what header fields mean that the milter adds. Nil means DefaultRules.
	Rules []Rule
}

// Rule says what a header field means that a milter adds or changes.
type Rule struct {
	// Name is that of the field, and Prefix what its value begins with, unfolded and with
	// single blanks; both without regard to case.
	Name, Prefix string
	// Class is what such a message is. Unknown says that the milter could not tell.
	Class verdict.Class
}

// DefaultRules are about the fields that well-known milters add: clamav-milter, spamass-milter and rspamd.
func DefaultRules() []Rule {
	return []Rule{
		{"X-Virus-Status", "Infected", verdict.Malicious},
		{"X-Virus-Status", "Not Scanned", verdict.Unknown},
		{"X-Spam-Flag", "YES", verdict.Spam},
		{"X-Spam-Status", "Yes", verdict.Spam},
		{"X-Spam", "Yes", verdict.Spam},
	}
}

// Name returns "milter".
func (s *Scanner) Name() string { return "milter" }

// Scan implements verdict.Scanner.
func (s *Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	c, err := remote.Dial(ctx, s.Address, nil, 2*m.Size()+slack)
	if err != nil {
		return nil, fmt.Errorf("milter: %w", err)
	}
	defer c.Close()
	findings, err := s.converse(c, m)
	if err != nil {
		return findings, fmt.Errorf("milter: %w", remote.First(ctx, err))
	}
	return findings, nil
}

// over is a Dialer that has a connection already, and keeps it open.
type over struct{ net.Conn }

func (o over) Dial(string, string) (net.Conn, error) { return o, nil }

func (over) Close() error { return nil }

// converse is a whole session about one message.
func (s *Scanner) converse(c net.Conn, m *verdict.Message) ([]verdict.Finding, error) {
	// Without timeouts of its own the library leaves the deadline of the connection alone.
	session, err := milter.NewClientWithOptions("", "", milter.ClientOptions{Dialer: over{c}, ActionMask: actions, ProtocolMask: steps}).Session()
	if err != nil {
		return nil, unreadable(err)
	}
	if session.ProtocolOpts&^(steps|silences) != 0 || session.ActionOpts&^actions != 0 {
		return nil, fmt.Errorf("%w: it wants %#x and %#x, which was not offered", remote.ErrAnswer, session.ActionOpts, session.ProtocolOpts)
	}
	t := &talk{Scanner: s, session: session, m: m}
	err = t.run()
	session.Close()
	if err == nil && session.ProtocolOpts&silences != 0 {
		err = inStep(c)
	}
	return t.findings, err
}

// inStep waits for the end of a session that is over. A milter that has announced silence and answers all the same has
// more to say then, and what was taken for its word on the message was about something else.
func inStep(c net.Conn) error {
	c.SetReadDeadline(time.Now().Add(parting))
	if n, _ := c.Read(make([]byte, 1)); n > 0 {
		return fmt.Errorf("%w: it answers where it has announced silence", remote.ErrAnswer)
	}
	return nil
}

// unreadable marks what the library could not make sense of.
func unreadable(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", remote.ErrAnswer, err)
}

// client is what a milter is told about who sent the message.
func (t *talk) client() (name string, family milter.ProtoFamily, port uint16, addr string) {
	c := t.m.Origin
	if !c.Addr.IsValid() {
		return "unknown", milter.FamilyUnknown, 0, ""
	}
	ip := c.Addr.Addr().Unmap().WithZone("")
	addr, family = ip.String(), milter.FamilyInet
	if ip.Is6() {
		family = milter.FamilyInet6
	}
	if name = remote.Line(c.Name, maxValue); name == "" {
		name = "[" + addr + "]"
	}
	return name, family, c.Addr.Port(), addr
}

// value is a header field as milters get it: without its first blank, its lines ended by LF, and without NULs,
// which end a value in the protocol.
func value(raw string) string {
	_, v, _ := strings.Cut(raw, ":")
	v = strings.TrimSuffix(strings.TrimSuffix(v, "\n"), "\r")
	if v != "" && strings.ContainsRune(" \t", rune(v[0])) {
		v = v[1:]
	}
	return strings.NewReplacer("\r\n", "\n", "\x00", "?").Replace(v)
}
