package smtpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Extensions are what a server offers.
type Extensions struct {
	ESMTP      bool // it took EHLO
	Pipelining bool
	Chunking   bool
	EightBit   bool
	UTF8       bool
	DSN        bool
	StartTLS   bool
	RequireTLS bool
	Size       int64 // the largest message, 0 if there is no fixed limit
	HasSize    bool  // it takes the SIZE parameter

	RcptMax       int // recipients of a transaction, 0 if it did not say (RFC 9422)
	RcptDomainMax int // different domains of these
	MailMax       int // transactions of a connection
}

// parse reads one line of an answer to EHLO. What is not understood is skipped.
func (x *Extensions) parse(line string) {
	keyword, args, _ := strings.Cut(line, " ")
	switch strings.ToUpper(keyword) {
	case "PIPELINING":
		x.Pipelining = true
	case "CHUNKING":
		x.Chunking = true
	case "8BITMIME":
		x.EightBit = true
	case "SMTPUTF8":
		x.UTF8 = true
	case "DSN":
		x.DSN = true
	case "STARTTLS":
		x.StartTLS = true
	case "REQUIRETLS":
		x.RequireTLS = true
	case "SIZE":
		x.HasSize = true
		if n, err := strconv.ParseInt(strings.TrimSpace(args), 10, 64); err == nil && n > 0 {
			x.Size = n
		}
	case "LIMITS":
		x.limits(args)
	}
}

// limits reads "RCPTMAX=20 MAILMAX=5" (RFC 9422 section 3). A limit of 0 would be no service at all
// and is as good as none.
func (x *Extensions) limits(args string) {
	for f := range strings.FieldsSeq(args) {
		name, value, _ := strings.Cut(f, "=")
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			continue
		}
		switch strings.ToUpper(name) {
		case "RCPTMAX":
			x.RcptMax = n
		case "RCPTDOMAINMAX":
			x.RcptDomainMax = n
		case "MAILMAX":
			x.MailMax = n
		}
	}
}

// Hello reads the greeting and says EHLO, or HELO where that is refused (RFC 5321 section 3.2).
func (c *Conn) Hello(ctx context.Context) error {
	defer c.guard(ctx)()
	r, _, err := c.readReply(c.opt.Timeouts.Greeting)
	if err != nil {
		return c.fail(ctx, Greeting, err)
	}
	if r.Code != 220 {
		c.broken = true
		return r.at(Greeting)
	}
	c.names[0] = firstWord(r.Text)
	return c.hello(ctx)
}

func (c *Conn) hello(ctx context.Context) error {
	c.ext = Extensions{}
	r, lines, err := c.command(ctx, Hello, "EHLO "+c.hostname())
	if err != nil {
		return err
	}
	switch r.class() {
	case 2:
		c.ext.ESMTP = true
		for _, line := range lines[1:] {
			c.ext.parse(line)
		}
	case 5:
		if r, _, err = c.command(ctx, Hello, "HELO "+c.hostname()); err != nil {
			return err
		}
	}
	if r.class() != 2 {
		c.broken = true
		return r.at(Hello)
	}
	c.names[1] = firstWord(r.Text)
	return nil
}

// command sends one line and reads its reply. The error is nil whatever the reply is.
func (c *Conn) command(ctx context.Context, stage Stage, line string) (Reply, []string, error) {
	c.bw.WriteString(line)
	c.bw.WriteString("\r\n")
	if err := c.flush(); err != nil {
		return Reply{}, nil, c.fail(ctx, stage, err)
	}
	r, lines, err := c.readReply(c.opt.Timeouts.Hello)
	if err != nil {
		return Reply{}, nil, c.fail(ctx, stage, err)
	}
	if c.br.Buffered() > 0 {
		return Reply{}, nil, c.fail(ctx, stage, fmt.Errorf("%w: more replies than commands", ErrProtocol))
	}
	return r, lines, nil
}

// hostname is our name, or our address as a literal.
func (c *Conn) hostname() string {
	if c.opt.Hostname != "" {
		return c.opt.Hostname
	}
	ap, err := netip.ParseAddrPort(c.raw.LocalAddr().String())
	if err != nil {
		return "[127.0.0.1]"
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.String() + "]"
}

func firstWord(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	word, _, _ := strings.Cut(text, " ")
	return word
}

// StartTLS changes to TLS with cfg and says hello again. Whatever was learned before is forgotten
// (RFC 3207 section 4.2). After an error the connection is of no more use.
func (c *Conn) StartTLS(ctx context.Context, cfg *tls.Config) error {
	defer c.guard(ctx)()
	r, _, err := c.command(ctx, StartTLS, "STARTTLS") // fails if more came than the reply
	if err != nil {
		return err
	}
	if r.Code != 220 {
		c.broken = true
		return r.at(StartTLS)
	}
	if err := c.deadline(c.opt.Timeouts.Handshake); err != nil {
		return c.fail(ctx, StartTLS, err)
	}
	t := tls.Client(c.raw, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return c.fail(ctx, StartTLS, err)
	}
	c.tls = cfg
	c.over(t)
	return c.hello(ctx)
}

// Verified says whether there is TLS whose certificate has a valid chain and the name of the server.
// It is worked out only when asked, since only REQUIRETLS asks where the mode does not.
func (c *Conn) Verified() bool {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return false
	}
	state := t.ConnectionState()
	if len(state.VerifiedChains) > 0 {
		return true
	}
	if len(state.PeerCertificates) == 0 || c.tls.ServerName == "" {
		return false
	}
	opts := x509.VerifyOptions{Roots: c.tls.RootCAs, DNSName: c.tls.ServerName, Intermediates: x509.NewCertPool()}
	for _, cert := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(opts)
	return err == nil
}
