package dnsverify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// TLSA is one TLSA record (RFC 6698 section 2.1).
type TLSA struct {
	Usage    uint8  `json:"usage"`    // 2 DANE-TA, 3 DANE-EE; others are of no use for SMTP (RFC 7672 section 3.1)
	Selector uint8  `json:"selector"` // 0 certificate, 1 public key
	Matching uint8  `json:"matching"` // 0 full, 1 SHA-256, 2 SHA-512
	Data     string `json:"data"`     // in hex
}

// Usable says whether the record can authenticate an SMTP server.
func (t TLSA) Usable() bool {
	return (t.Usage == 2 || t.Usage == 3) && t.Selector <= 1 && t.Matching <= 2
}

const maxTLSA = 16

// TLSA returns the TLSA records of a host for port 25, as a validating resolver has them, and whether they are
// secure: validated, over a path that is trusted. Insecure records must not be used. The error is a *Problem: with
// DNSSECBogus or Temporary mail must wait, not go without DANE (RFC 7672 section 2.1).
func (c *Client) TLSA(ctx context.Context, host string) (records []TLSA, secure bool, err error) {
	host, err = normalize(host)
	if err != nil {
		return nil, false, err
	}
	ctx = c.withBudget(ctx)
	name := "_25._tcp." + host
	var last error
	for _, res := range c.resolvers() {
		r, err := c.ask(ctx, res, name, dns.TypeTLSA, recursive)
		if err != nil {
			last = err
			continue
		}
		switch r.rcode {
		case dns.RcodeSuccess, dns.RcodeNameError:
			return readTLSA(r, endOf(r, name)), r.ad && c.trusts(res), nil
		case dns.RcodeServerFailure:
			free, err := c.ask(ctx, res, name, dns.TypeTLSA, recursive|noCheck)
			if err == nil && (free.rcode == dns.RcodeSuccess || free.rcode == dns.RcodeNameError) {
				return nil, false, &Problem{Code: DNSSECBogus, Name: name}
			}
		}
		last = fmt.Errorf("the resolver answers %s", rcodeName(r.rcode))
	}
	if last == nil {
		last = fmt.Errorf("there is no resolver to ask")
	}
	return nil, false, &Problem{Code: Temporary, Name: name, Detail: show(last.Error(), 160), Err: last}
}

func readTLSA(r *reply, name string) (out []TLSA) {
	for _, t := range of[*dns.TLSA](r, name) {
		if len(out) < maxTLSA {
			out = append(out, TLSA{t.Usage, t.Selector, t.MatchingType, canonical(t.Certificate)})
		}
	}
	return out
}

// matches says whether one certificate has the data of the record.
func (t TLSA) matches(cert *x509.Certificate) bool {
	data, err := hex.DecodeString(t.Data)
	if err != nil || !t.Usable() {
		return false
	}
	is := cert.Raw
	if t.Selector == 1 {
		is = cert.RawSubjectPublicKeyInfo
	}
	switch t.Matching {
	case 1:
		sum := sha256.Sum256(is)
		is = sum[:]
	case 2:
		sum := sha512.Sum512(is)
		is = sum[:]
	}
	return bytes.Equal(is, data)
}

// dane says whether a chain, as the server sent it, satisfies one of the records (RFC 7672 section 3).
func dane(records []TLSA, chain []*x509.Certificate, host string, now time.Time) bool {
	if len(chain) == 0 {
		return false
	}
	for _, t := range records {
		if t.Usage == 3 && t.matches(chain[0]) {
			return true // neither name nor date counts
		}
		if t.Usage == 2 && daneTA(t, chain, host, now) {
			return true
		}
	}
	return false
}

// daneTA looks for the trust anchor in the chain and verifies the chain up to it.
func daneTA(t TLSA, chain []*x509.Certificate, host string, now time.Time) bool {
	for i, ca := range chain {
		if i == 0 || !t.matches(ca) {
			continue
		}
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(ca)
		for _, c := range chain[1:] {
			between.AddCert(c)
		}
		_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host, CurrentTime: now})
		if err == nil {
			return true
		}
	}
	return false
}
