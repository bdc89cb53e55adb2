package gworkspace

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// smtpHost speaks as much SMTP as a look at a certificate needs.
func smtpHost(conn net.Conn, cert tls.Certificate, withTLS bool) {
	defer conn.Close()
	fmt.Fprint(conn, "220 host ESMTP\r\n")
	smtpSession(conn, cert, withTLS)
}

func smtpSession(conn net.Conn, cert tls.Certificate, withTLS bool) {
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return
		case strings.HasPrefix(line, "EHLO") && withTLS:
			fmt.Fprint(conn, "250-host\r\n250 STARTTLS\r\n")
		case strings.HasPrefix(line, "EHLO"):
			fmt.Fprint(conn, "250 host\r\n")
		case strings.HasPrefix(line, "STARTTLS"):
			fmt.Fprint(conn, "220 go\r\n")
			tc := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
			if tc.Handshake() == nil {
				smtpSession(tc, cert, false)
			}
			return
		default:
			fmt.Fprint(conn, "500 no\r\n")
		}
	}
}

func TestCheckSMTP(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(name string, until time.Duration) tls.Certificate {
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(until), IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	good := certificate("in.gw.example", time.Hour)
	for name, c := range map[string]struct {
		cert    tls.Certificate
		withTLS bool
		trusted bool
		want    string
	}{
		"right":          {good, true, true, ""},
		"no STARTTLS":    {good, false, true, "no STARTTLS"},
		"another name":   {certificate("other.example", time.Hour), true, true, "valid for other.example"},
		"expired":        {certificate("in.gw.example", -time.Hour), true, true, "expired"},
		"nobody's chain": {good, true, false, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := net.Pipe()
			go smtpHost(server, c.cert, c.withTLS)
			pool := x509.NewCertPool()
			if leaf, err := x509.ParseCertificate(c.cert.Certificate[0]); err == nil && c.trusted {
				pool.AddCert(leaf)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err := checkSMTP(ctx, client, "in.gw.example", &tls.Config{RootCAs: pool})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
