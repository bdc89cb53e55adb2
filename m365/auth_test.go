package m365_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

const clientID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

func authConfig(s *m365test.Server) m365.AuthConfig {
	return m365.AuthConfig{Tenant: s.TenantID(), ClientID: clientID, LoginURL: s.LoginURL(), Wait: (&waits{}).wait}
}

func exchangeToken() m365.TokenRequest { return m365.TokenRequest{Scope: m365.Cloud{}.ExchangeScope()} }

// works says whether a client can list something with tokens of this source.
func works(t *testing.T, s *m365test.Server, src m365.TokenSource) error {
	t.Helper()
	_, err := newClient(t, s, func(cfg *m365.ClientConfig) { cfg.Tokens = src }).AcceptedDomains(t.Context())
	return err
}

func certificate(t *testing.T, key any, pub any, from, to time.Time) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "postreeve"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func TestClientSecret(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{ClientID: clientID, Secret: "s3cret"})
	src, err := m365.ClientSecret(authConfig(s), "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	if err := works(t, s, src); err != nil {
		t.Error(err)
	}
	a, _ := src.Token(t.Context(), exchangeToken())
	b, err := src.Token(t.Context(), exchangeToken())
	if err != nil || a != b {
		t.Errorf("a token that is good was not kept: %v", err)
	}
	req := exchangeToken()
	req.Refresh = true
	if c, err := src.Token(t.Context(), req); err != nil || c == a {
		t.Errorf("a token that was refused is handed out again: %v", err)
	}
	g, err := m365.NewGraph(m365.GraphConfig{Tokens: src, BaseURL: s.GraphURL()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.App(t.Context(), clientID); err != nil {
		t.Errorf("the same source for Graph: %v", err)
	}
	src, _ = m365.ClientSecret(authConfig(s), "wr0ng")
	_, err = src.Token(t.Context(), exchangeToken())
	var ae *m365.AuthError
	if !errors.As(err, &ae) || ae.Number != "AADSTS7000215" || !strings.Contains(err.Error(), "expired") || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("wrong secret: %v", err)
	}
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cert, leaf := certificate(t, rsaKey(), rsaKey().Public(), now.Add(-time.Hour), now.Add(time.Hour))
	s := m365test.New(t, m365test.Config{ClientID: clientID, Certificate: leaf})
	src, err := m365.ClientCertificate(authConfig(s), cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := works(t, s, src); err != nil {
		t.Error(err)
	}
	req := exchangeToken()
	req.Refresh = true
	if _, err := src.Token(t.Context(), req); err != nil {
		t.Errorf("a second assertion: %v", err)
	}

	expired, _ := certificate(t, rsaKey(), rsaKey().Public(), now.Add(-2*time.Hour), now.Add(-time.Hour))
	if src, err = m365.ClientCertificate(authConfig(s), expired); err == nil {
		_, err = src.Token(t.Context(), exchangeToken())
	}
	if err == nil || !strings.Contains(err.Error(), "valid from") {
		t.Errorf("expired certificate: %v", err)
	}
	other, _ := certificate(t, rsaKey(), rsaKey().Public(), now.Add(-time.Minute), now.Add(time.Hour))
	if src, err = m365.ClientCertificate(authConfig(s), other); err == nil {
		_, err = src.Token(t.Context(), exchangeToken())
	}
	var ae *m365.AuthError
	if !errors.As(err, &ae) || ae.Number != "AADSTS700027" {
		t.Errorf("a certificate that is not registered: %v", err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	elliptic, _ := certificate(t, ec, ec.Public(), now, now.Add(time.Hour))
	small := tls.Certificate{Certificate: cert.Certificate, PrivateKey: ec}
	for _, bad := range []tls.Certificate{elliptic, small, {}, {Certificate: cert.Certificate}, {Certificate: [][]byte{{1}}, PrivateKey: rsaKey()}} {
		if _, err := m365.ClientCertificate(authConfig(s), bad); err == nil {
			t.Error("a certificate that cannot sign was taken")
		}
	}
}

func TestDeviceCode(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{DevicePolls: 3})
	w := &waits{}
	cfg := authConfig(s)
	cfg.Wait, cfg.ClientID = w.wait, ""
	var prompt string
	src, err := m365.DeviceCode(cfg, func(p m365.DevicePrompt) { prompt = p.String() })
	if err != nil {
		t.Fatal(err)
	}
	if err := works(t, s, src); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(prompt, "https://microsoft.com/devicelogin") || !strings.Contains(prompt, "USER") {
		t.Errorf("the person reads %q", prompt)
	}
	if got := fmt.Sprint(w.all); got != "[5s 5s 10s 10s]" {
		t.Errorf("polled after %s, want a longer interval after slow_down", got)
	}
	prompt = ""
	if _, err := src.Token(t.Context(), m365.TokenRequest{Scope: m365.Cloud{}.GraphScope()}); err != nil || prompt != "" {
		t.Errorf("a token for another service: %v, asked %q: the refresh token serves", err, prompt)
	}
}

func TestDeviceCodeRefused(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{BlockDevice: true})
	src, _ := m365.DeviceCode(authConfig(s), func(m365.DevicePrompt) {})
	if _, err := src.Token(t.Context(), exchangeToken()); err == nil || !strings.Contains(err.Error(), "pkce") {
		t.Errorf("blocked by Conditional Access: %v: want another way", err)
	}
	s = m365test.New(t, m365test.Config{DevicePolls: 1000})
	src, _ = m365.DeviceCode(authConfig(s), func(p m365.DevicePrompt) { s.Approve(p.Code, false) })
	var ae *m365.AuthError
	if _, err := src.Token(t.Context(), exchangeToken()); !errors.As(err, &ae) || ae.Code != "authorization_declined" {
		t.Errorf("declined: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	src, _ = m365.DeviceCode(authConfig(s), func(m365.DevicePrompt) { cancel() })
	if _, err := src.Token(ctx, exchangeToken()); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

// browse opens an address as a browser does.
func browse(address string) error {
	resp, err := http.Get(address)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Contains(b, []byte("You are signed in")) {
		err = fmt.Errorf("the page says %s", b)
	}
	return err
}

func TestBrowserSignIn(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{ClientID: clientID})
	src, err := m365.BrowserSignIn(authConfig(s), func(address string) error {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		// Somebody else knocks at the port first.
		resp, err := http.Get(u.Query().Get("redirect_uri") + "/?code=stolen&state=guess")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			return fmt.Errorf("a guessed state got %s", resp.Status)
		}
		return browse(address)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := works(t, s, src); err != nil {
		t.Error(err)
	}
}

func TestBrowserSignInRefused(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{ClientID: clientID})
	src, _ := m365.BrowserSignIn(authConfig(s), func(address string) error {
		u, _ := url.Parse(address)
		q := url.Values{"state": {u.Query().Get("state")}, "error": {"access_denied"}, "error_description": {"AADSTS65004: the user declined\r\nTrace ID: x"}}
		resp, err := http.Get(u.Query().Get("redirect_uri") + "/?" + q.Encode())
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	var ae *m365.AuthError
	if _, err := src.Token(t.Context(), exchangeToken()); !errors.As(err, &ae) || ae.Number != "AADSTS65004" || strings.Contains(err.Error(), "Trace") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	src, _ = m365.BrowserSignIn(authConfig(s), func(string) error { cancel(); return nil })
	if _, err := src.Token(ctx, exchangeToken()); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

func TestClaimsAreAskedFor(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{ClientID: clientID, Secret: "x"})
	secret, _ := m365.ClientSecret(authConfig(s), "x")
	browser, _ := m365.BrowserSignIn(authConfig(s), browse)
	for _, src := range []m365.TokenSource{secret, browser} {
		if err := works(t, s, src); err != nil {
			t.Fatal(err)
		}
		s.Inject(m365test.Fault{Kind: m365test.Challenge})
		if err := works(t, s, src); err != nil {
			t.Errorf("%T: %v", src, err)
		}
	}
}

func TestTokenCache(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	path := filepath.Join(t.TempDir(), "tokens")
	sign := func(key string, tenant string) int {
		t.Helper()
		k, err := m365.ParseCacheKey(key)
		if err != nil {
			t.Fatal(err)
		}
		cfg := authConfig(s)
		cfg.Tenant = tenant
		if cfg.Cache, err = m365.NewTokenCache(path, k); err != nil {
			t.Fatal(err)
		}
		asked := 0
		src, err := m365.DeviceCode(cfg, func(m365.DevicePrompt) { asked++ })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Token(t.Context(), exchangeToken()); err != nil {
			t.Fatal(err)
		}
		return asked
	}
	key, other := m365.NewCacheKey(), m365.NewCacheKey()
	for i, tc := range []struct {
		key, tenant string
		want        int
	}{{key, s.TenantID(), 1}, {key, s.TenantID(), 0}, {key, s.TenantID(), 0}, {key, "contoso.example", 1}, {other, s.TenantID(), 1}, {key, s.TenantID(), 1}} {
		if got := sign(tc.key, tc.tenant); got != tc.want {
			t.Errorf("run %d: asked %d times, want %d", i, got, tc.want)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil || bytes.Contains(raw, []byte("refresh-")) {
		t.Errorf("the file is not encrypted: %s %v", raw, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("null"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := sign(key, s.TenantID()); got != 1 {
		t.Errorf("a broken file: asked %d times", got)
	}
	for _, bad := range []string{"", "abc", strings.Repeat("0", 63), strings.Repeat("z", 64)} {
		if _, err := m365.ParseCacheKey(bad); err == nil {
			t.Errorf("key %q was taken", bad)
		}
	}
}

func TestTenantID(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	cfg := authConfig(s)
	cfg.Tenant = "contoso.example"
	if id, err := m365.TenantID(t.Context(), cfg); err != nil || id != s.TenantID() {
		t.Errorf("TenantID = %q, %v", id, err)
	}
	cfg.Tenant = "nobody.example"
	var ae *m365.AuthError
	if _, err := m365.TenantID(t.Context(), cfg); !errors.As(err, &ae) || ae.Number != "AADSTS90002" {
		t.Errorf("unknown tenant: %v", err)
	}
}

func TestTokensDoNotPrint(t *testing.T) {
	t.Parallel()
	tok := m365.Token{Value: "s3cret"}
	for _, s := range []string{fmt.Sprint(tok), fmt.Sprintf("%v %+v %#v %s", tok, tok, tok, tok), tok.LogValue().String()} {
		if strings.Contains(s, "s3cret") {
			t.Errorf("printed as %s", s)
		}
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("  eyJ.a.b\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if tok, err := m365.TokenFile(path).Token(t.Context(), exchangeToken()); err != nil || tok.Value != "eyJ.a.b" {
		t.Errorf("token file: %v", err)
	}
	for _, bad := range []string{"", "a b", "a\nb", "ä", strings.Repeat("a", 1<<17)} {
		if _, err := m365.StaticToken(bad).Token(t.Context(), exchangeToken()); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("token %.10q: %v", bad, err)
		}
	}
}

func TestClouds(t *testing.T) {
	t.Parallel()
	for name, host := range map[string]string{"": "outlook.office365.com", "GCC": "outlook.office365.com", "gcc-high": "outlook.office365.us",
		"dod": "outlook-dod.office365.us", "china": "partner.outlook.cn"} {
		c, err := m365.CloudByName(name)
		if err != nil || c.Exchange != "https://"+host || c.ExchangeScope() != "https://"+host+"/.default" || c.Login == "" || c.GraphScope() == "" {
			t.Errorf("%q: %+v, %v", name, c, err)
		}
	}
	if _, err := m365.CloudByName("moon"); err == nil {
		t.Error("there is no cloud on the moon")
	}
}

func TestSecondCallerMayGiveUp(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	asked, done := make(chan struct{}), make(chan struct{})
	src, err := m365.BrowserSignIn(authConfig(s), func(address string) error {
		close(asked)
		<-done
		return browse(address)
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := src.Token(t.Context(), exchangeToken()); err != nil {
			t.Errorf("the one who signs in: %v", err)
		}
	})
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.Token(ctx, exchangeToken()); !errors.Is(err, context.Canceled) {
		t.Errorf("the one who gave up: %v", err)
	}
	close(done)
	wg.Wait()
}

func TestApplicationTriesAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range []m365test.FaultKind{m365test.Unavailable, m365test.DropBefore, m365test.DropAfter, m365test.Garbage} {
		s := m365test.New(t, m365test.Config{Secret: "x"})
		s.Inject(m365test.Fault{Kind: kind, Cmdlet: "login oauth2/v2.0/token"})
		src, _ := m365.ClientSecret(authConfig(s), "x")
		if _, err := src.Token(t.Context(), exchangeToken()); err != nil {
			t.Errorf("fault %v: %v", kind, err)
		}
		s = m365test.New(t, m365test.Config{DevicePolls: 2})
		s.Inject(m365test.Fault{Kind: kind, Cmdlet: "login oauth2/v2.0/token"})
		src, _ = m365.DeviceCode(authConfig(s), func(m365.DevicePrompt) {})
		if _, err := src.Token(t.Context(), exchangeToken()); err != nil {
			t.Errorf("fault %v while a person signs in: %v", kind, err)
		}
	}
}
