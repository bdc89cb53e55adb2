package mailauth_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

func sealer(kind string) *mailauth.Sealer {
	return &mailauth.Sealer{Hostname: "mx.gw.example", Domain: "gw.example", Selector: "s2", Key: testKeys()[kind]}
}

func sealZone(t testing.TB, zone mailauthtest.Zone, kind string) mailauthtest.Zone {
	t.Helper()
	zone["s2._domainkey.gw.example"] = mailauthtest.Records{TXT: []string{record(t, testKeys()[kind])}}
	return zone
}

// sealed authenticates and seals a message, and returns it with the new set on top.
func sealed(t testing.TB, zone mailauth.Resolver, s *mailauth.Sealer, raw []byte) ([]byte, error) {
	t.Helper()
	m := message(raw)
	fields, err := s.Seal(t.Context(), m, authenticate(t, zone, m))
	return append(fields, raw...), err
}

func TestSealChain(t *testing.T) {
	t.Parallel()
	for kind := range testKeys() {
		zone := sealZone(t, keyZone(t, kind), kind)
		raw := sign(t, kind, "relaxed/relaxed", plainHead+plainBody, "")
		for i := 1; i <= 3; i++ {
			var err error
			if raw, err = sealed(t, zone, sealer(kind), raw); err != nil {
				t.Fatal(err)
			}
			raw = append([]byte("Received: from a by b\r\n"), raw...)
			got := authenticate(t, zone, message(raw))
			if got.ARC.Result != verdict.Pass || got.ARC.Sealer != "gw.example" || !anyDKIM(got, verdict.Pass) {
				t.Fatalf("%s, %d sets: %+v", kind, i, got)
			}
		}
		for line := range bytes.Lines(raw) {
			if len(line) > 1000 || !bytes.HasSuffix(line, []byte("\r\n")) {
				t.Errorf("line %q", line)
			}
		}
		for _, x := range []struct{ name, old, new string }{
			{"body", "Bye", "Buy"},
			{"subject", "Subject: hello", "Subject: hallo"},
			{"results of the first set", "i=1; mx.gw.example; dkim=pass", "i=1; mx.gw.example; dkim=fail"},
			{"a set gone", "ARC-Seal: i=2", "X-Seal: i=2"},
			{"chain said to begin again", "cv=pass", "cv=none"},
		} {
			changed := strings.Replace(string(raw), x.old, x.new, 1)
			if changed == string(raw) {
				t.Fatalf("%s: nothing to change in %s", x.name, raw)
			}
			if got := authenticate(t, zone, message([]byte(changed))); got.ARC.Result != "fail" {
				t.Errorf("%s changed: %+v", x.name, got.ARC)
			}
		}
		// A broken chain is sealed as such, and nobody adds to it then.
		broken, err := sealed(t, zone, sealer(kind), []byte(strings.Replace(string(raw), "Bye", "Buy", 1)))
		if err != nil || !strings.Contains(string(broken), "i=4; a="+kind+"-sha256; cv=fail") {
			t.Fatalf("%v: %.300s", err, broken)
		}
		if got := authenticate(t, zone, message(broken)); got.ARC.Result != "fail" {
			t.Errorf("a chain that was closed: %+v", got.ARC)
		}
		if _, err := sealed(t, zone, sealer(kind), broken); !errors.Is(err, mailauth.ErrNotSealed) {
			t.Errorf("sealing a closed chain: %v", err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	zone := sealZone(t, mailauthtest.Zone{}, "rsa")
	raw, err := sealed(t, zone, sealer("rsa"), []byte(plainHead+plainBody))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer("rsa").Seal(t.Context(), message(raw), verdict.AuthResults{}); !errors.Is(err, mailauth.ErrNotSealed) {
		t.Errorf("nobody checked the chain: %v", err)
	}
	if _, err := sealed(t, failing{}, sealer("rsa"), raw); !errors.Is(err, mailauth.ErrNotSealed) {
		t.Errorf("nobody can tell: %v", err)
	}
	for i := 2; i <= 50; i++ {
		if raw, err = sealed(t, zone, sealer("rsa"), raw); err != nil {
			t.Fatal(err)
		}
	}
	if got := authenticate(t, zone, message(raw)); got.ARC.Result != verdict.Pass {
		t.Errorf("50 sets: %+v", got.ARC)
	}
	if _, err := sealed(t, zone, sealer("rsa"), raw); !errors.Is(err, mailauth.ErrNotSealed) {
		t.Errorf("51 sets: %v", err)
	}
	for name, s := range map[string]*mailauth.Sealer{
		"nothing":     {},
		"no key":      {Domain: "gw.example", Selector: "s2"},
		"no selector": {Domain: "gw.example", Key: testKeys()["rsa"]},
		"no domain":   {Domain: "a\r\nb", Selector: "s2", Key: testKeys()["rsa"]},
	} {
		if _, err := s.Seal(t.Context(), message([]byte(plainHead)), verdict.AuthResults{}); err == nil || errors.Is(err, mailauth.ErrNotSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestARCSealSuite seals what the suite of ValiMail validates, on top of what is there.
func TestARCSealSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "arc-suite")
	total := newTally("arc-suite (sealing on top of good chains)", map[string]string{})
	for _, path := range globs(t, dir, "*/*.yml") {
		doc := yamlDocument(t, path)
		zone := sealZone(t, txtZone(doc), "rsa")
		for name, c := range doc["tests"].(map[string]any) {
			c := c.(map[string]any)
			if cv, _ := c["cv"].(string); strings.TrimSpace(cv) == "Fail" {
				continue
			}
			raw, err := sealed(t, zone, sealer("rsa"), []byte(crlf(c["message"].(string))))
			problem := ""
			if got := authenticate(t, zone, message(raw)); err != nil || got.ARC.Result != verdict.Pass || got.ARC.Sealer != "gw.example" {
				problem = fmt.Sprintf("%v, %+v", err, got.ARC)
			}
			total.check(t, filepath.Base(path)+"/"+name, problem)
		}
	}
	total.report(t)
}

func TestGenerateKey(t *testing.T) {
	t.Parallel()
	for _, kind := range []mailauth.KeyKind{mailauth.RSA, mailauth.Ed25519} {
		text, rec, err := mailauth.GenerateKey(kind)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := mailauth.ReadKey(path)
		if err != nil {
			t.Fatal(err)
		}
		s := &mailauth.Sealer{Hostname: "h", Domain: "gw.example", Selector: "s", Key: key}
		parts := mailauth.SplitTXT(rec)
		for _, p := range parts {
			if len(p) > 255 {
				t.Errorf("a string of %d octets", len(p))
			}
		}
		zone := mailauthtest.Zone{"s._domainkey.gw.example": {TXT: []string{strings.Join(parts, "")}}}
		raw, err := sealed(t, zone, s, []byte(plainHead+plainBody))
		if got := authenticate(t, zone, message(raw)); err != nil || got.ARC.Result != verdict.Pass {
			t.Errorf("%s: %v, %+v", kind, err, got.ARC)
		}
	}
	if _, _, err := mailauth.GenerateKey("dsa"); err == nil {
		t.Error("a key of kind dsa")
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(short)})
	if _, err := mailauth.ParseKey(pkcs1); err != nil {
		t.Errorf("PKCS #1, 1024 bits: %v", err)
	}
	for name, text := range map[string]string{
		"nothing":    "",
		"no PEM":     "secret",
		"other type": "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n",
		"garbage":    "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
	} {
		if _, err := mailauth.ParseKey([]byte(text)); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "open.pem")
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o644: false, 0o602: false} {
		if err := errors.Join(os.WriteFile(path, pkcs1, 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := mailauth.ReadKey(path); (err == nil) != good {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := mailauth.ReadKey(filepath.Join(t.TempDir(), "none.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestKeyFilesSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "dkim-arc-misc")
	for name, good := range map[string]bool{
		"kumomta/2022.private":       true,
		"mailauth/private-rsa.pem":   true,
		"mailauth/private-small.pem": false,
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := mailauth.ReadKey(path)
		if (err == nil) != good {
			t.Errorf("%s: %v %v", name, key != nil, err)
		}
	}
}
