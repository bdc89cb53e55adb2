package dnsverify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

const owner = "_postreeve-challenge"

// world is a net with example.com on two servers, and a verifier for it.
type world struct {
	*testing.T
	net      *dnstest.Net
	zone     *dnstest.Zone
	verifier *dnsverify.Verifier
	claim    dnsverify.Claim
	others   []dnsverify.Claim
}

func newWorld(t *testing.T) *world {
	t.Helper()
	net := dnstest.New(t)
	net.Strict()
	w := &world{T: t, net: net, zone: net.Zone("example.com", nil)}
	w.verifier = &dnsverify.Verifier{
		Challenge: &dnsverify.Challenge{Key: []byte("0123456789abcdef")},
		Client:    net.Client(),
		Timeout:   30 * time.Second,
	}
	w.claim = dnsverify.Claim{Tenant: "t1", Domain: "example.com"}
	return w
}

// value is the value of the record for a claim.
func (w *world) value(cl dnsverify.Claim) string {
	w.Helper()
	r, err := w.verifier.Challenge.Record(cl)
	if err != nil {
		w.Fatal(err)
	}
	return r.Value
}

// txt is a TXT record with one value, in zone file form.
func txt(value string) string {
	return `60 TXT "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// token is the TXT record of the world's claim.
func (w *world) token() string { return txt(w.value(w.claim)) }

func (w *world) verify() *dnsverify.Result {
	w.Helper()
	r, err := w.verifier.Verify(w.Context(), w.claim, w.others...)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// want checks status and code; code "" wants no problem.
func (w *world) want(r *dnsverify.Result, status dnsverify.Status, code dnsverify.Code) {
	w.Helper()
	got := dnsverify.Code("")
	if r.Problem != nil {
		got = r.Problem.Code
	}
	if r.Status != status || got != code {
		w.Fatalf("status %s, code %q; want %s, %q\nproblem: %v\nservers: %+v\nresolvers: %+v",
			r.Status, got, status, code, r.Problem, r.Servers, r.Resolvers)
	}
}
