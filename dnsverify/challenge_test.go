package dnsverify_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/dnsverify"
)

func TestChallengeRecord(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef")
	claim := dnsverify.Claim{Tenant: "t1", Domain: "example.com", Region: "eu"}
	tests := []struct {
		name      string
		challenge dnsverify.Challenge
		owner     string
	}{
		{"default", dnsverify.Challenge{Key: key}, "_postreeve-challenge.example.com"},
		{"brand", dnsverify.Challenge{Key: key, Brand: "Acme"}, "_acme-challenge.example.com"},
		{"amazon", dnsverify.Challenge{Key: key, Form: dnsverify.AmazonForm}, "_amazonses.example.com"},
		{"amazon with brand", dnsverify.Challenge{Key: key, Form: dnsverify.AmazonForm, Brand: "pp"}, "_pp.example.com"},
		{"per tenant", dnsverify.Challenge{Key: key, PerTenant: true}, "_6e3hzgvxx6ynvmlj._postreeve-challenge.example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "brand" {
				if _, err := tt.challenge.Record(claim); err == nil {
					t.Error("_acme-challenge was taken, which belongs to somebody else")
				}
				tt.challenge.Brand, tt.owner = "Gate", "_gate-challenge.example.com"
			}
			r, err := tt.challenge.Record(claim)
			if err != nil || r.Type != "TXT" {
				t.Fatalf("%+v, %v", r, err)
			}
			if tt.name == "per tenant" { // the label is a hash: its form counts, and that it differs
				other := claim
				other.Tenant = "t2"
				o, _ := tt.challenge.Record(other)
				if o.Name == r.Name || !strings.HasPrefix(r.Name, "_") || strings.Count(r.Name, ".") != 3 {
					t.Errorf("names %q and %q", r.Name, o.Name)
				}
				return
			}
			if r.Name != tt.owner {
				t.Errorf("name %q, want %q", r.Name, tt.owner)
			}
			if tt.challenge.Form == dnsverify.AmazonForm {
				if b, err := base64.StdEncoding.DecodeString(r.Value); err != nil || len(b) != 32 || len(r.Value) != 44 {
					t.Errorf("value %q, want 44 characters of base64", r.Value)
				}
				return
			}
			tok := strings.TrimPrefix(r.Value, "token=")
			b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(tok))
			if err != nil || len(b) != 20 || tok != strings.ToLower(tok) {
				t.Errorf("token %q, want 160 bit in lower case base32", tok)
			}
		})
	}
}

// TestChallengeTokensDiffer changes one thing at a time; only the region may leave the token as it is.
func TestChallengeTokensDiffer(t *testing.T) {
	t.Parallel()
	base := dnsverify.Claim{Tenant: "t1", Domain: "example.com", Region: "eu"}
	value := func(c dnsverify.Challenge, cl dnsverify.Claim) string {
		t.Helper()
		r, err := c.Record(cl)
		if err != nil {
			t.Fatal(err)
		}
		return r.Value
	}
	one := dnsverify.Challenge{Key: bytes.Repeat([]byte{1}, 16)}
	per := dnsverify.Challenge{Key: one.Key, PerRegion: true}
	us := base
	us.Region = "us"
	if value(one, base) != value(one, us) {
		t.Error("one record does not do for all regions")
	}
	if value(per, base) == value(per, us) {
		t.Error("PerRegion gives two regions the same token")
	}
	seen := map[string]string{}
	for name, v := range map[string]string{
		"base":   value(one, base),
		"tenant": value(one, dnsverify.Claim{Tenant: "t2", Domain: "example.com"}),
		"domain": value(one, dnsverify.Claim{Tenant: "t1", Domain: "example.org"}),
		"epoch":  value(one, dnsverify.Claim{Tenant: "t1", Domain: "example.com", Epoch: 1}),
		"key":    value(dnsverify.Challenge{Key: bytes.Repeat([]byte{2}, 16)}, base),
		"shift":  value(one, dnsverify.Claim{Tenant: "t1e", Domain: "xample.com"}),
	} {
		if other, ok := seen[v]; ok {
			t.Errorf("%s and %s have the same token", name, other)
		}
		seen[v] = name
	}
}

func TestChallengeRefuses(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef")
	ok := dnsverify.Claim{Tenant: "t1", Domain: "example.com"}
	long := strings.Repeat(strings.Repeat("a", 49)+".", 5) + "com" // 253: no room for a label in front
	tests := []struct {
		name      string
		challenge dnsverify.Challenge
		claim     dnsverify.Claim
	}{
		{"no key", dnsverify.Challenge{}, ok},
		{"short key", dnsverify.Challenge{Key: key[:15]}, ok},
		{"short old key", dnsverify.Challenge{Key: key, OldKey: key[:3]}, ok},
		{"no tenant", dnsverify.Challenge{Key: key}, dnsverify.Claim{Domain: "example.com"}},
		{"not normal", dnsverify.Challenge{Key: key}, dnsverify.Claim{Tenant: "t1", Domain: "Example.com"}},
		{"public suffix", dnsverify.Challenge{Key: key}, dnsverify.Claim{Tenant: "t1", Domain: "com.au"}},
		{"no room", dnsverify.Challenge{Key: key}, dnsverify.Claim{Tenant: "t1", Domain: long}},
		{"spent", dnsverify.Challenge{Key: key}, dnsverify.Claim{Tenant: "t1", Domain: "example.com", Epoch: 1, Spent: 2}},
		{"label of others", dnsverify.Challenge{Key: key, Form: dnsverify.AmazonForm, Brand: "dmarc"}, ok},
		{"brand with a dot", dnsverify.Challenge{Key: key, Brand: "a.b"}, ok},
		{"brand too long", dnsverify.Challenge{Key: key, Brand: strings.Repeat("a", 60)}, ok},
	}
	for _, tt := range tests {
		if r, err := tt.challenge.Record(tt.claim); err == nil {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
	if _, err := (&dnsverify.Challenge{Key: key}).Delegation(ok); err == nil {
		t.Error("a delegation without a pool")
	}
}

func TestRecordForms(t *testing.T) {
	t.Parallel()
	c := dnsverify.Challenge{Key: []byte("0123456789abcdef"), Pool: "Verify.GW.example."}
	cl := dnsverify.Claim{Tenant: "t1", Domain: "mail.example.com"}
	d, err := c.Delegation(cl)
	if err != nil || d.Type != "CNAME" || !strings.HasSuffix(d.ZoneLine(), ".verify.gw.example.") {
		t.Errorf("%q, %v", d.ZoneLine(), err)
	}
	r, _ := c.Record(cl)
	for zone, want := range map[string]string{
		"example.com":                           "_postreeve-challenge.mail",
		"mail.example.com.":                     "_postreeve-challenge",
		"_postreeve-challenge.mail.example.com": "@",
		"example.org":                           "_postreeve-challenge.mail.example.com",
	} {
		if got := r.Host(zone); got != want {
			t.Errorf("Host(%q) = %q, want %q", zone, got, want)
		}
	}
}

// TestKeyRotation wants tokens of the old key to count while there is one, and not afterwards.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zone.Set(owner, w.token())
	old := w.verifier.Challenge.Key
	w.verifier.Challenge = &dnsverify.Challenge{Key: []byte("another key of 16+"), OldKey: old}
	r := w.verify()
	w.want(r, dnsverify.Verified, "")
	if !r.OldToken {
		t.Error("the result does not say that the token is that of the old key")
	}
	w.verifier.Challenge = &dnsverify.Challenge{Key: []byte("another key of 16+")}
	w.want(w.verify(), dnsverify.Wrong, dnsverify.RecordWrongValue)
}

// TestAmazonForm wants base64 compared exactly.
func TestAmazonForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.verifier.Challenge = &dnsverify.Challenge{Key: []byte("0123456789abcdef"), Form: dnsverify.AmazonForm}
	w.zone.Set("_amazonses", w.token(), txt("another region's value"))
	w.want(w.verify(), dnsverify.Verified, "")
	w.zone.Set("_amazonses", txt(strings.ToLower(w.value(w.claim))))
	w.want(w.verify(), dnsverify.Wrong, dnsverify.RecordWrongValue)
}
