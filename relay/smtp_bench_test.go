package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

func BenchmarkDeliver(b *testing.B) {
	for _, size := range []int{10 << 10, 5 << 20} {
		body := verdict.Bytes(strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78))
		for name, without := range map[string][]string{"BDAT": nil, "DATA": {"CHUNKING"}} {
			b.Run(fmt.Sprintf("%s/%dKB", name, size>>10), func(b *testing.B) {
				s := &relaytest.Sink{Without: without, Discard: true}
				h := newHop(b, s)
				e := hopEnvelope("b@ex.net")
				e.Body = "7BIT"
				b.SetBytes(body.Size())
				b.ReportAllocs()
				for b.Loop() {
					receipts, err := h.Deliver(b.Context(), e, body)
					if err != nil || !receipts[0].Accepted() {
						b.Fatal(receipts, err)
					}
				}
			})
		}
	}
}

func BenchmarkDeliverParallel(b *testing.B) {
	body := verdict.Bytes(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 10<<10/78))
	s := &relaytest.Sink{Discard: true}
	h := newHop(b, s)
	b.SetBytes(body.Size())
	b.ReportAllocs()
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) {
		var hop relay.NextHop = h
		for pb.Next() {
			if _, err := hop.Deliver(b.Context(), hopEnvelope("b@ex.net"), body); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
