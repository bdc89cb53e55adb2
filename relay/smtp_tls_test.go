package relay_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// testCA signs certificates for tests.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t testing.TB) *testCA {
	key, cert, _ := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true})
	return &testCA{cert, key}
}

func issue(t testing.TB, ca *testCA, tmpl *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber = big.NewInt(1)
	tmpl.NotBefore = time.Now().Add(-48 * time.Hour)
	if tmpl.NotAfter.IsZero() {
		tmpl.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := tmpl, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert, der
}

func (ca *testCA) roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

// server returns a configuration with a certificate for name that ends at the given time from now.
func (ca *testCA) server(t testing.TB, name string, life time.Duration) *tls.Config {
	key, _, der := issue(t, ca, &x509.Certificate{DNSNames: []string{name}, NotAfter: time.Now().Add(life)})
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// tlsHop is a next hop named mx.ex.net, by a fake resolver.
func tlsHop(t *testing.T, s *relaytest.Sink, ca *testCA, mode relay.TLSMode) *relay.SMTP {
	_, port, _ := net.SplitHostPort(s.Start(t))
	h := &relay.SMTP{
		Hosts: []string{"mx.ex.net:" + port}, Hostname: "gw.example", TLS: mode,
		TLSConfig: &tls.Config{RootCAs: ca.roots()},
		Resolver:  &fakeResolver{addr: map[string][]netip.Addr{"mx.ex.net": {netip.MustParseAddr("127.0.0.1")}}},
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func TestSMTPTLS(t *testing.T) {
	t.Parallel()
	ca, stranger := newCA(t), newCA(t)
	old := ca.server(t, "mx.ex.net", time.Hour)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	good := ca.server(t, "mx.ex.net", time.Hour)
	const (
		plain = "plain"
		fine  = "TLS"
		again = "plain over a second connection"
		no    = "451 4.7.5"
	)
	for name, c := range map[string]struct {
		sink                           *relaytest.Sink
		opportunistic, encrypt, verify string
	}{
		"not offered":        {&relaytest.Sink{}, plain, no, no},
		"good":               {&relaytest.Sink{TLS: good}, fine, fine, fine},
		"wrong name":         {&relaytest.Sink{TLS: ca.server(t, "other.example", time.Hour)}, fine, fine, no},
		"expired":            {&relaytest.Sink{TLS: ca.server(t, "mx.ex.net", -time.Hour)}, fine, fine, no},
		"unknown CA":         {&relaytest.Sink{TLS: stranger.server(t, "mx.ex.net", time.Hour)}, fine, fine, no},
		"TLS 1.1 only":       {&relaytest.Sink{TLS: old}, again, no, no},
		"broken":             {&relaytest.Sink{TLS: good, Faults: []relaytest.Fault{{At: relaytest.AtTLS, Drop: true}}}, again, no, no},
		"no TLS in it":       {&relaytest.Sink{TLS: good, Faults: []relaytest.Fault{{At: relaytest.AtTLS, Reply: "500 what"}}}, again, no, no},
		"refused for now":    {&relaytest.Sink{TLS: good, Faults: []relaytest.Fault{{At: relaytest.AtStartTLS, Reply: "454 4.7.0 no"}}}, again, no, no},
		"refused for good":   {&relaytest.Sink{TLS: good, Faults: []relaytest.Fault{{At: relaytest.AtStartTLS, Reply: "554 5.7.0 no"}}}, again, no, no},
		"text before TLS":    {&relaytest.Sink{TLS: good, Faults: []relaytest.Fault{{At: relaytest.AtStartTLS, Extra: "250 CHUNKING"}}}, again, no, no},
		"gone after TLS":     {&relaytest.Sink{TLS: good, Faults: []relaytest.Fault{{At: relaytest.AtHello, Skip: 1, Times: 1, Drop: true}}}, again, no, no},
		"ask for TLS, or no": {&relaytest.Sink{TLS: good, TLSNeeded: true}, fine, fine, fine},
	} {
		for mode, want := range map[relay.TLSMode]string{
			relay.TLSNone: plain, relay.TLSOpportunistic: c.opportunistic, relay.TLSEncrypt: c.encrypt, relay.TLSVerify: c.verify,
		} {
			if c.sink.TLSNeeded && mode == relay.TLSNone {
				continue
			}
			t.Run(name+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				s := &relaytest.Sink{TLS: c.sink.TLS, TLSNeeded: c.sink.TLSNeeded, Faults: c.sink.Faults}
				h := tlsHop(t, s, ca, mode)
				got, err := h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody))
				if want == no {
					if d := cmp.Diff([]string{"error 451 4.7.5"}, codes(got, err)); d != "" {
						t.Error(d)
					}
					if slices.ContainsFunc(s.Commands(), func(c string) bool { return strings.Contains(c, "ex.net") }) {
						t.Errorf("the envelope leaked: %q", s.Commands())
					}
					return
				}
				if err != nil || len(s.Messages()) != 1 {
					t.Fatalf("%v, %d taken", err, len(s.Messages()))
				}
				if tls := s.Messages()[0].TLS != nil; tls != (want == fine) {
					t.Errorf("TLS %v, want %s", tls, want)
				}
				conns := 1
				if want == again {
					conns = 2
				}
				if s.Conns() != conns {
					t.Errorf("%d connections, want %d", s.Conns(), conns)
				}
			})
		}
	}
}

// That TLS is broken is remembered for a while, and said once.
func TestSMTPTLSMemory(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	s := &relaytest.Sink{TLS: ca.server(t, "mx.ex.net", time.Hour), Faults: []relaytest.Fault{{At: relaytest.AtTLS, Drop: true}}}
	h := tlsHop(t, s, ca, relay.TLSOpportunistic)
	var log bytes.Buffer
	h.Logger = slog.New(slog.NewTextHandler(&log, nil))
	h.MaxIdle = -1
	mustDeliver(t, h, "b@ex.net")
	mustDeliver(t, h, "b@ex.net")
	if s.Conns() != 3 || strings.Count(log.String(), "going on without") != 1 {
		t.Errorf("%d connections, want 3; log %s", s.Conns(), &log)
	}
}

// Over TLS the pool works as without: reuse, and a session that the hop ended while idle.
func TestSMTPTLSPool(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	s := &relaytest.Sink{TLS: ca.server(t, "mx.ex.net", time.Hour)}
	h := tlsHop(t, s, ca, relay.TLSVerify)
	for range 5 {
		mustDeliver(t, h, "b@ex.net", "c@ex.net")
	}
	if s.Conns() != 1 {
		t.Errorf("%d connections, want 1", s.Conns())
	}
	s.Hangup()
	mustDeliver(t, h, "b@ex.net")
	if msgs := s.Messages(); len(msgs) != 6 || s.Conns() != 2 || !msgs[5].TLS.DidResume {
		t.Errorf("%d messages over %d connections, resumed %v", len(msgs), s.Conns(), msgs[5].TLS.DidResume)
	}
}

// What was offered before TLS does not count after it.
func TestSMTPTLSForgets(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	s := &relaytest.Sink{TLS: ca.server(t, "mx.ex.net", time.Hour), Faults: []relaytest.Fault{{At: relaytest.AtHello, Skip: 1, Reply: "250 sink.example"}}}
	mustDeliver(t, tlsHop(t, s, ca, relay.TLSVerify), "b@ex.net")
	if m := s.Messages()[0]; m.Params != "" || m.BDAT {
		t.Errorf("MAIL with %q, in chunks %v", m.Params, m.BDAT)
	}
}

func TestSMTPRequireTLS(t *testing.T) {
	t.Parallel()
	ca, stranger := newCA(t), newCA(t)
	for name, c := range map[string]struct {
		mode relay.TLSMode
		ca   *testCA
		also []string
		mx   bool
		want string
	}{
		"verified":          {relay.TLSVerify, ca, []string{"REQUIRETLS"}, false, "250 2.0.0"},
		"verified anyway":   {relay.TLSEncrypt, ca, []string{"REQUIRETLS"}, false, "250 2.0.0"},
		"not verified":      {relay.TLSEncrypt, stranger, []string{"REQUIRETLS"}, false, "error 550 5.7.30"},
		"not offered":       {relay.TLSVerify, ca, nil, false, "error 550 5.7.30"},
		"no TLS":            {relay.TLSNone, ca, []string{"REQUIRETLS"}, false, "error 550 5.7.30"},
		"name from the DNS": {relay.TLSVerify, ca, []string{"REQUIRETLS"}, true, "error 550 5.7.30"},
	} {
		s := &relaytest.Sink{TLS: c.ca.server(t, "mx.ex.net", time.Hour), Also: c.also}
		h := tlsHop(t, s, ca, c.mode)
		if c.mx {
			h.Port = netip.MustParseAddrPort(s.Addr()).Port()
			h.Hosts, h.MX, h.AllowPrivate = nil, "mx.ex.net", true
		}
		e := hopEnvelope("b@ex.net")
		e.RequireTLS = true
		got := codes(h.Deliver(t.Context(), e, verdict.Bytes(crlfBody)))
		if d := cmp.Diff([]string{c.want}, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		for _, m := range s.Messages() {
			if !strings.Contains(m.Params, "REQUIRETLS") {
				t.Errorf("%s: MAIL with %q", name, m.Params)
			}
		}
	}
}

func TestTLSModeText(t *testing.T) {
	t.Parallel()
	for _, m := range []relay.TLSMode{relay.TLSOpportunistic, relay.TLSNone, relay.TLSEncrypt, relay.TLSVerify} {
		text, _ := m.MarshalText()
		got := relay.TLSMode(99)
		if err := got.UnmarshalText(text); err != nil || got != m {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	m := relay.TLSVerify
	if err := m.UnmarshalText([]byte("off")); err == nil || m != relay.TLSVerify {
		t.Errorf("off: %v, %v", m, err)
	}
}
