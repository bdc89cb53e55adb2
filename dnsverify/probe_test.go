package dnsverify_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// authority is a certificate authority and one certificate from it.
type authority struct {
	pool *x509.CertPool
	cert tls.Certificate
	ca   *x509.Certificate
}

func newAuthority(t *testing.T, names ...string) authority {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test ca"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	ca, _ := x509.ParseCertificate(caDER)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{pool: x509.NewCertPool(), ca: ca, cert: tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}}
	a.pool.AddCert(ca)
	return a
}

// hop is a next hop: go-smtp's server, which takes one recipient, or none.
type hop struct {
	mu   sync.Mutex
	data bool
	rset int
	open bool
}

func (h *hop) NewSession(*smtp.Conn) (smtp.Session, error) { return h, nil }
func (h *hop) Mail(string, *smtp.MailOptions) error        { return nil }
func (h *hop) Logout() error                               { return nil }

func (h *hop) Rcpt(string, *smtp.RcptOptions) error {
	if h.open {
		return nil
	}
	return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 64}, Message: "TenantAttribution <script>"}
}

func (h *hop) Data(io.Reader) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.data = true
	return nil
}

func (h *hop) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rset++
}

func serverTLS(a authority) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{a.cert}} }

// serveHop starts a next hop on a loopback port.
func serveHop(t *testing.T, h *hop, conf *tls.Config) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(h)
	s.Domain, s.TLSConfig, s.MaxMessageBytes = "hop.example.com", conf, 12345678
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(ln) })
	t.Cleanup(func() {
		s.Close()
		wg.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func TestProbe(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "hop.example.com")
	spki := func(c []byte) string {
		cert, _ := x509.ParseCertificate(c)
		sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
		return hex.EncodeToString(sum[:])
	}
	tests := []struct {
		name  string
		host  string
		tls   bool
		open  bool
		tlsa  string
		sign  bool
		check func(t *testing.T, h *dnsverify.Hop, a dnsverify.HopAddr)
	}{
		{name: "everything in order", host: "hop", tls: true, check: func(t *testing.T, h *dnsverify.Hop, a dnsverify.HopAddr) {
			if !a.CertOK || a.TLS != "TLS 1.3" || !a.StartTLS || !a.Pipelining || !a.Chunking || a.Size != 12345678 || h.Strangers != "no" {
				t.Errorf("%+v", a)
			}
			if !strings.Contains(a.Reply, "5.7.64") || strings.Contains(a.Reply, "<") {
				t.Errorf("reply %q, want 5.7.64 and no markup", a.Reply)
			}
		}},
		{name: "takes mail from strangers", host: "hop", tls: true, open: true, check: func(t *testing.T, h *dnsverify.Hop, a dnsverify.HopAddr) {
			if h.Strangers != "yes" {
				t.Errorf("strangers %q, want yes", h.Strangers)
			}
		}},
		{name: "no TLS", host: "hop", check: func(t *testing.T, h *dnsverify.Hop, a dnsverify.HopAddr) {
			if a.StartTLS || a.TLS != "" || a.CertOK || a.Error != "" {
				t.Errorf("%+v", a)
			}
		}},
		{name: "certificate for another name", host: "other", tls: true, check: func(t *testing.T, h *dnsverify.Hop, a dnsverify.HopAddr) {
			if a.CertOK || !strings.Contains(a.CertError, "other.example.com") || a.TLS == "" {
				t.Errorf("%+v", a)
			}
		}},
		{name: "DANE-EE matches", host: "other", tls: true, tlsa: "3 1 1 " + spki(ca.cert.Certificate[0]), sign: true,
			check: func(t *testing.T, h *dnsverify.Hop, a dnsverify.HopAddr) {
				if !h.TLSASecure || a.DANE != "match" || len(h.Problems) > 0 {
					t.Errorf("%+v %+v", h, a)
				}
			}},
		{name: "DANE-TA matches", host: "hop", tls: true, tlsa: "2 1 1 " + spki(ca.cert.Certificate[1]), sign: true,
			check: func(t *testing.T, h *dnsverify.Hop, a dnsverify.HopAddr) {
				if a.DANE != "match" {
					t.Errorf("%+v", a)
				}
			}},
		{name: "DANE-TA for another name", host: "other", tls: true, tlsa: "2 1 1 " + spki(ca.cert.Certificate[1]), sign: true,
			check: func(t *testing.T, h *dnsverify.Hop, a dnsverify.HopAddr) {
				if a.DANE != "mismatch" || len(h.Problems) != 1 || h.Problems[0].Code != dnsverify.DANEFailed {
					t.Errorf("%+v %+v", h, a)
				}
			}},
		{name: "TLSA in an unsigned zone does not count", host: "hop", tls: true, tlsa: "3 1 1 " + strings.Repeat("00", 32),
			check: func(t *testing.T, h *dnsverify.Hop, a dnsverify.HopAddr) {
				if h.TLSASecure || len(h.TLSA) != 1 || a.DANE != "" {
					t.Errorf("%+v %+v", h, a)
				}
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			back := &hop{open: tt.open}
			var conf *tls.Config
			if tt.tls {
				conf = serverTLS(ca)
			}
			at := serveHop(t, back, conf)
			n := dnstest.New(t)
			n.Strict()
			z := n.Zone("example.com", dnstest.Records{tt.host: {"A 127.0.0.1"}})
			if tt.tlsa != "" {
				z.Set("_25._tcp."+tt.host, "TLSA "+tt.tlsa)
			}
			if tt.sign {
				z.Sign()
			}
			p := &dnsverify.Prober{Client: n.Client(), Port: at.Port(), RootCAs: ca.pool, Recipient: "user@example.com", From: "probe@example.org"}
			h, err := p.Probe(t.Context(), tt.host+".example.com")
			if err != nil || len(h.Addrs) != 1 {
				t.Fatalf("%+v, %v", h, err)
			}
			tt.check(t, h, h.Addrs[0])
			back.mu.Lock()
			defer back.mu.Unlock()
			if back.data || back.rset == 0 {
				t.Errorf("DATA said: %v; RSET said %d times", back.data, back.rset)
			}
		})
	}
}

// hostileDialogs are what a next hop may say, line by line: one line is sent for each that comes in.
var hostileDialogs = []struct{ name, script, word string }{
	{"no SMTP", "HTTP/1.1 400 Bad Request", "no SMTP reply"},
	{"refuses", "554 go away", "554"},
	{"endless line", "220 " + strings.Repeat("x", 5000), "longer than 2048"},
	{"endless reply", strings.Repeat("220-x\r\n", 200), "more than 100 lines"},
	{"code changes", "220-a\r\n221 b", "code changes"},
	{"control characters", "220 \x1b[31m\x00<b>\xff", ""},
	{"closes after EHLO", "220 x|", "EOF"},
	{"EHLO refused", "220 x|502 what", "502"},
	{"STARTTLS offered and refused", "220 x|250-x\r\n250 STARTTLS|454 no", "454"},
	{"something behind STARTTLS", "220 x|250-x\r\n250 STARTTLS|220 go\r\n250 injected", "plain text behind"},
	{"STARTTLS and then no TLS", "220 x|250-x\r\n250 STARTTLS|220 go|garbage", "tls"},
	{"negative size", "220 x|250-x\r\n250 SIZE -5|250 ok|250 ok|250 ok|221 bye", ""},
}

func TestProbeHostile(t *testing.T) {
	t.Parallel()
	for _, tt := range hostileDialogs {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := dnstest.New(t)
			n.Zone("example.com", dnstest.Records{"hop": {"A 127.0.0.1"}})
			p := &dnsverify.Prober{Client: n.Client(), Port: serveScript(t, tt.script), Recipient: "user@example.com", Timeout: 30 * time.Second}
			h, err := p.Probe(t.Context(), "hop.example.com")
			if err != nil {
				t.Fatal(err)
			}
			a := h.Addrs[0]
			if !strings.Contains(a.Error, tt.word) || a.Size < 0 {
				t.Errorf("error %q, want %q; size %d", a.Error, tt.word, a.Size)
			}
			if strings.ContainsFunc(a.Banner+a.Error+a.Reply, func(r rune) bool { return r < ' ' || r > '~' || r == '<' }) {
				t.Errorf("not safe to show: %q %q %q", a.Banner, a.Error, a.Reply)
			}
		})
	}
}

// serveScript sends the first part at once and each further one after a line was read.
func serveScript(t *testing.T, script string) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		r := bufio.NewReader(c)
		for i, part := range strings.Split(script, "|") {
			if i > 0 {
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
			}
			if part != "" {
				io.WriteString(c, part+"\r\n")
			}
		}
		if tc, ok := c.(*net.TCPConn); ok && strings.HasSuffix(script, "|garbage") {
			tc.CloseWrite()
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort().Port()
}

func TestProbeRefuses(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	standIns(n)
	p := &dnsverify.Prober{Client: n.Client(), Own: own, Recipient: "user@example.com"}
	var pr *dnsverify.Problem
	if _, err := p.Probe(t.Context(), "smtp.gmail.com"); !errors.As(err, &pr) || pr.Code != dnsverify.NextHopRefused {
		t.Errorf("Probe of smtp.gmail.com: %v", err)
	}
	p.Recipient = "user@example.com>\r\nDATA"
	if _, err := p.Probe(t.Context(), "smtp.google.com"); err == nil {
		t.Error("a recipient with a line end was taken")
	}
}
