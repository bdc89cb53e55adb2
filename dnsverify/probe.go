package dnsverify

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Prober looks at a next hop from outside, without sending mail: it never says DATA. It may be used by many
// goroutines at once.
//
// Whether a host takes mail from strangers can only be seen from an address that the host does not know: run the
// probe from a machine that is not in its allow-list, or the answer says only that the list works.
type Prober struct {
	Client *Client // nil asks the public Internet
	Own    Own
	// Helo is the name given in EHLO; empty means "localhost".
	Helo string
	// From is the sender for the question whether strangers are let in; empty is the null sender.
	From string
	// Recipient is a mailbox that exists behind the host. Empty leaves the question out.
	Recipient string
	// RootCAs are trusted for certificates; nil means those of the system.
	RootCAs *x509.CertPool
	// Port is for a hop without one; 0 means 25.
	Port uint16
	// Timeout is for the whole probe of one address; 0 means 30 s.
	Timeout time.Duration
	// Dial connects; nil means TCP from this host.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	own Client // used if Client is nil
}

// Answer to the question whether a host takes mail from strangers.
const (
	StrangersYes     = "yes"     // it took the recipient: whoever knows its name goes past the gateway
	StrangersNo      = "no"      // it refused for good
	StrangersUnknown = "unknown" // not asked, or put off
)

// Hop is what a probe found. All texts in it are safe to show.
type Hop struct {
	Host       string    `json:"host"`
	Addrs      []HopAddr `json:"addrs"` // at most 4
	TLSA       []TLSA    `json:"tlsa,omitempty"`
	TLSASecure bool      `json:"tlsa_secure,omitempty"` // records that are not secure do not count
	STS        *STS      `json:"sts,omitempty"`         // of the host's own name
	TLSRPT     []string  `json:"tlsrpt,omitempty"`
	// Strangers is the worst of the addresses.
	Strangers string        `json:"strangers"`
	Problems  []*Problem    `json:"problems,omitempty"`
	At        time.Time     `json:"at"`
	Took      time.Duration `json:"took"`
}

// HopAddr is one address of a next hop.
type HopAddr struct {
	Addr       string    `json:"addr"`
	Error      string    `json:"error,omitempty"` // where the dialog ended, if it did
	Banner     string    `json:"banner,omitempty"`
	Extensions []string  `json:"extensions,omitempty"` // after STARTTLS where there is TLS
	StartTLS   bool      `json:"starttls"`
	Pipelining bool      `json:"pipelining"`
	Chunking   bool      `json:"chunking"`
	Size       int64     `json:"size,omitempty"` // largest message; 0: not said
	TLS        string    `json:"tls,omitempty"`  // "TLS 1.3"
	Cipher     string    `json:"cipher,omitempty"`
	CertNames  []string  `json:"cert_names,omitempty"` // at most 10
	CertUntil  time.Time `json:"cert_until,omitzero"`
	CertOK     bool      `json:"cert_ok"` // trusted, and for this name
	CertError  string    `json:"cert_error,omitempty"`
	DANE       string    `json:"dane,omitempty"` // "match" or "mismatch" where there are secure records
	Strangers  string    `json:"strangers"`
	Reply      string    `json:"reply,omitempty"` // to the recipient
}

// Probe looks at a next hop, with or without a port, all its addresses side by side. The error is a *Problem if the host can never be a next hop
// or its addresses cannot be had; whatever the host does is in the result.
func (p *Prober) Probe(ctx context.Context, hop string) (*Hop, error) {
	for _, s := range []string{p.From, p.Recipient, p.Helo} {
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r >= 0x7f }) {
			return nil, errors.New("dnsverify: Prober.From, Recipient and Helo are printable ASCII without blanks and angle brackets")
		}
	}
	c := p.client()
	ctx = c.withBudget(ctx)
	start := time.Now()
	if err := c.CheckNextHop(ctx, hop, p.Own); err != nil {
		return nil, err
	}
	host, port := splitHop(hop)
	port = cmp.Or(port, p.Port, 25)
	h := &Hop{Host: host, Strangers: StrangersUnknown, At: start.UTC()}
	addrs := p.addrs(ctx, c, h.Host)
	if _, err := netip.ParseAddr(h.Host); err != nil {
		p.policies(ctx, c, h)
	}
	h.Addrs = make([]HopAddr, min(len(addrs), 4))
	each(4, len(h.Addrs), func(i int) { h.Addrs[i] = p.dialog(ctx, h, netip.AddrPortFrom(addrs[i], port)) })
	p.judge(h)
	h.Took = time.Since(start)
	return h, nil
}

func (p *Prober) client() *Client {
	if p.Client != nil {
		return p.Client
	}
	return &p.own
}

func (p *Prober) addrs(ctx context.Context, c *Client, host string) []netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}
	}
	addrs, _, _, _ := c.addresses(ctx, host)
	return addrs
}

// policies reads what the host publishes about TLS.
func (p *Prober) policies(ctx context.Context, c *Client, h *Hop) {
	note := func(err error) {
		if err != nil {
			h.Problems = append(h.Problems, asProblem(h.Host, err))
		}
	}
	var err error
	h.TLSA, h.TLSASecure, err = c.TLSA(ctx, h.Host)
	note(err)
	h.STS, err = c.MTASTS(ctx, h.Host)
	note(err)
	h.TLSRPT, err = c.TLSRPT(ctx, h.Host)
	note(err)
}

// judge sums up the addresses.
func (p *Prober) judge(h *Hop) {
	no := 0
	dead := 0
	for _, a := range h.Addrs {
		switch a.Strangers {
		case StrangersYes:
			h.Strangers = StrangersYes
		case StrangersNo:
			no++
		}
		if a.Banner == "" {
			dead++
		}
		if a.DANE == "mismatch" {
			h.Problems = append(h.Problems, &Problem{Code: DANEFailed, Name: h.Host, Servers: []string{a.Addr}})
		}
		if h.STS != nil && h.STS.Policy != nil && a.Banner != "" && h.STS.Policy.Mode == "enforce" && (!a.CertOK || h.STS.Policy.Blocks(h.Host)) {
			h.Problems = append(h.Problems, &Problem{Code: MTASTSBlocksSwitch, Name: h.Host, Servers: []string{a.Addr},
				Detail: "The host does not satisfy its own policy.", Wait: h.STS.Policy.MaxAge})
		}
	}
	if no > 0 && no == len(h.Addrs) {
		h.Strangers = StrangersNo
	}
	if dead == len(h.Addrs) && dead > 0 {
		h.Problems = append(h.Problems, &Problem{Code: Temporary, Name: h.Host, Detail: "No address answers: " + h.Addrs[0].Error + "."})
	}
}

// dialog speaks to one address.
func (p *Prober) dialog(ctx context.Context, h *Hop, addr netip.AddrPort) HopAddr {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.Timeout, 30*time.Second))
	defer cancel()
	out := HopAddr{Addr: addr.String(), Strangers: StrangersUnknown}
	dial := p.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", out.Addr)
	if err != nil {
		out.Error = show(err.Error(), 160)
		return out
	}
	defer conn.Close()
	if t, ok := ctx.Deadline(); ok {
		conn.SetDeadline(t)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := p.talk(newSMTPConn(conn), h, &out); err != nil {
		out.Error = show(err.Error(), 160)
	}
	return out
}

// talk is the dialog: greeting, EHLO, STARTTLS, EHLO, the question about strangers, QUIT.
func (p *Prober) talk(s *smtpConn, h *Hop, out *HopAddr) error {
	r, err := s.read()
	if err != nil {
		return err
	}
	out.Banner = show(r.String(), 160)
	if r.code != 220 {
		return errors.New("the host greets with " + strconv.Itoa(r.code))
	}
	if err := p.ehlo(s, out); err != nil {
		return err
	}
	if out.StartTLS {
		if err := p.startTLS(s, h, out); err != nil {
			return err
		}
		if err := p.ehlo(s, out); err != nil {
			return err
		}
		out.StartTLS = true
	}
	if p.Recipient != "" {
		if err := p.stranger(s, out); err != nil {
			return err
		}
	}
	_, err = s.command("QUIT")
	return err
}

func (p *Prober) ehlo(s *smtpConn, out *HopAddr) error {
	r, err := s.command("EHLO " + cmp.Or(p.Helo, "localhost"))
	if err != nil {
		return err
	}
	if r.code != 250 {
		return errors.New("the host answers EHLO with " + strconv.Itoa(r.code))
	}
	out.Extensions, out.StartTLS, out.Pipelining, out.Chunking, out.Size = nil, false, false, false, 0
	for _, line := range r.lines[1:] {
		out.Extensions = append(out.Extensions, show(line, 80))
		word, arg, _ := strings.Cut(line, " ")
		switch strings.ToUpper(word) {
		case "STARTTLS":
			out.StartTLS = true
		case "PIPELINING":
			out.Pipelining = true
		case "CHUNKING":
			out.Chunking = true
		case "SIZE":
			out.Size, _ = strconv.ParseInt(strings.TrimSpace(arg), 10, 64)
			out.Size = max(out.Size, 0)
		}
	}
	return nil
}

// startTLS takes the connection into TLS, whatever the certificate, and then judges the certificate.
func (p *Prober) startTLS(s *smtpConn, h *Hop, out *HopAddr) error {
	r, err := s.command("STARTTLS")
	if err != nil {
		return err
	}
	if r.code != 220 {
		return errors.New("the host offers STARTTLS and answers it with " + strconv.Itoa(r.code))
	}
	if s.buffered() {
		return errors.New("the host sends something in plain text behind its answer to STARTTLS")
	}
	conf := &tls.Config{
		ServerName:         h.Host,
		MinVersion:         tls.VersionTLS10,
		InsecureSkipVerify: true, // only here: the certificate is judged below, and no mail is sent
	}
	if _, err := netip.ParseAddr(h.Host); err == nil {
		conf.ServerName = ""
	}
	t := tls.Client(s.conn, conf)
	if err := t.Handshake(); err != nil {
		return err
	}
	s.reset(t)
	p.certificate(t.ConnectionState(), h, out)
	return nil
}

func (p *Prober) certificate(st tls.ConnectionState, h *Hop, out *HopAddr) {
	out.TLS, out.Cipher = tls.VersionName(st.Version), tls.CipherSuiteName(st.CipherSuite)
	leaf := st.PeerCertificates[0]
	out.CertUntil = leaf.NotAfter.UTC()
	for _, n := range leaf.DNSNames[:min(len(leaf.DNSNames), 10)] {
		out.CertNames = append(out.CertNames, show(n, 120))
	}
	between := x509.NewCertPool()
	for _, c := range st.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: p.RootCAs, Intermediates: between, DNSName: h.Host})
	if out.CertOK = err == nil; err != nil {
		out.CertError = show(err.Error(), 160)
	}
	var usable []TLSA
	for _, t := range h.TLSA {
		if t.Usable() && h.TLSASecure {
			usable = append(usable, t)
		}
	}
	if len(usable) > 0 {
		out.DANE = "mismatch"
		if dane(usable, st.PeerCertificates, h.Host, time.Now()) {
			out.DANE = "match"
		}
	}
}

// stranger asks whether the host would take mail for the recipient, and takes it back.
func (p *Prober) stranger(s *smtpConn, out *HopAddr) error {
	r, err := s.command("MAIL FROM:<" + p.From + ">")
	if err == nil && r.code/100 == 2 {
		r, err = s.command("RCPT TO:<" + p.Recipient + ">")
	}
	if err != nil {
		return err
	}
	out.Reply = show(r.String(), 200)
	switch r.code / 100 {
	case 2:
		out.Strangers = StrangersYes
	case 5:
		out.Strangers = StrangersNo
	}
	_, err = s.command("RSET")
	return err
}
