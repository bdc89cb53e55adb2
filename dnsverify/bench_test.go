package dnsverify_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// BenchmarkVerify checks one domain with two name servers and a resolver on loopback. Allocations are those of the
// servers as well, which run in the same process.
func BenchmarkVerify(b *testing.B) {
	n := dnstest.New(b)
	z := n.Zone("example.com", nil)
	v := &dnsverify.Verifier{Challenge: &dnsverify.Challenge{Key: make([]byte, 16)}, Client: n.Client()}
	cl := dnsverify.Claim{Tenant: "t", Domain: "example.com"}
	r, err := v.Challenge.Record(cl)
	if err != nil {
		b.Fatal(err)
	}
	z.Set(owner, txt(r.Value))
	before := v.Client.Asked()
	b.ReportAllocs()
	for b.Loop() {
		if r, err := v.Verify(b.Context(), cl); err != nil || r.Status != dnsverify.Verified {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	b.ReportMetric(float64(v.Client.Asked()-before)/float64(b.N), "queries/op")
}

// BenchmarkRecheck checks 1,000 domains, eight at a time, as a monitor does.
func BenchmarkRecheck(b *testing.B) {
	const domains = 1000
	n := dnstest.New(b)
	servers := n.Servers(2)
	v := &dnsverify.Verifier{Challenge: &dnsverify.Challenge{Key: make([]byte, 16)}, Client: n.Client()}
	claims := make([]dnsverify.Claim, domains)
	for i := range claims {
		claims[i] = dnsverify.Claim{Tenant: "t", Domain: fmt.Sprintf("d%d.com", i)}
		r, err := v.Challenge.Record(claims[i])
		if err != nil {
			b.Fatal(err)
		}
		n.Zone(claims[i].Domain, dnstest.Records{owner: {txt(r.Value)}}, servers...)
	}
	runtime.GC()
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	before := v.Client.Asked()
	rounds := 0
	for b.Loop() {
		rounds++
		recheck(b, v, claims)
	}
	runtime.GC()
	runtime.ReadMemStats(&end)
	b.ReportMetric(float64(v.Client.Asked()-before)/float64(rounds*domains), "queries/domain")
	b.ReportMetric(float64(end.TotalAlloc-start.TotalAlloc)/float64(rounds*domains), "B/domain")
	b.ReportMetric(float64(max(end.HeapAlloc, start.HeapAlloc)-start.HeapAlloc)/1024, "KiB-kept")
}

func recheck(b *testing.B, v *dnsverify.Verifier, claims []dnsverify.Claim) {
	b.Helper()
	var wg sync.WaitGroup
	next := make(chan dnsverify.Claim)
	for range 8 {
		wg.Go(func() {
			for cl := range next {
				if r, err := v.Verify(b.Context(), cl); err != nil || r.Status != dnsverify.Verified {
					b.Errorf("%s: %+v, %v", cl.Domain, r, err)
				}
			}
		})
	}
	for _, cl := range claims {
		next <- cl
	}
	close(next)
	wg.Wait()
}
