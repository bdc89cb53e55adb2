package m365

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// A Certificate is what the smart host shows of itself.
type Certificate struct {
	Host     string    `json:"host"`
	Names    []string  `json:"names"`
	NotAfter time.Time `json:"not-after"`
	Trusted  string    `json:"trusted,omitempty"` // why Exchange Online would not accept it; empty: it would
}

// SMTPCertificate asks a mail host for its certificate, by STARTTLS on port 25 unless the address names
// another port.
func SMTPCertificate(ctx context.Context, address string) (*Certificate, error) {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	} else {
		address = net.JoinHostPort(address, "25")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := startTLS(conn); err != nil {
		return nil, err
	}
	// What is shown is judged below, so that an unfit certificate can be described.
	tc := tls.Client(conn, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	chain := tc.ConnectionState().PeerCertificates
	c := &Certificate{Host: host, Names: chain[0].DNSNames, NotAfter: chain[0].NotAfter}
	between := x509.NewCertPool()
	for _, x := range chain[1:] {
		between.AddCert(x)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: between}); err != nil {
		c.Trusted = err.Error()
	}
	return c, nil
}

// startTLS goes as far as the handshake (RFC 3207).
func startTLS(conn net.Conn) error {
	r := bufio.NewReaderSize(conn, 4096)
	for _, say := range []string{"", "EHLO verify.invalid\r\n", "STARTTLS\r\n"} {
		if _, err := conn.Write([]byte(say)); err != nil {
			return err
		}
		if err := reply2xx(r); err != nil {
			return err
		}
	}
	if r.Buffered() > 0 {
		return errors.New("the host says something before the handshake")
	}
	return nil
}

// reply2xx reads one reply (RFC 5321 section 4.2).
func reply2xx(r *bufio.Reader) error {
	for range 100 {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || line[0] != '2' {
			return fmt.Errorf("the host answers %q", oneLine(string(line), 100))
		}
		if line[3] != '-' {
			return nil
		}
	}
	return errors.New("the reply of the host does not end")
}

// problems says what Exchange Online would object to, and what will be soon.
func (c *Certificate) problems(p *Profile, now time.Time) []Problem {
	var out []Problem
	if c.Trusted != "" {
		out = append(out, Problem{Code: "certificate.unfit", Object: c.Host, Text: "Exchange Online would not accept the certificate of the smart host: " + c.Trusted,
			Do: "give the gateway a certificate of a public authority with this name: redirected mail waits until it has one"})
	}
	if left := c.NotAfter.Sub(now); left < 21*24*time.Hour {
		out = append(out, Problem{Code: "certificate.expires", Object: c.Host, Text: "the certificate of the smart host ends on " + c.NotAfter.UTC().Format(time.DateOnly),
			Do: "renew it: redirected mail is not handed over after that"})
	}
	if _, name := p.region().tls(); name != "" && c.Trusted == "" && !hasName(c.Names, name) {
		out = append(out, Problem{Code: "certificate.name", Object: c.Host, Text: "the certificate does not hold the name " + name + ", which the outbound connector asks for",
			Do: "set tls-domain of the region to a name in it: " + strings.Join(c.Names, ", ")})
	}
	return out
}

func hasName(names []string, want string) bool {
	for _, n := range names {
		_, parent, _ := strings.Cut(want, ".")
		if strings.EqualFold(n, want) || strings.EqualFold(n, "*."+parent) {
			return true
		}
	}
	return false
}
