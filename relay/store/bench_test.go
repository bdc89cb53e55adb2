package store_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// BenchmarkEnqueue keeps messages of 10 KB durably, 20 at a time, and delivers them meanwhile.
func BenchmarkEnqueue(b *testing.B) {
	s, err := store.Open(b.Context(), store.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	h := &hop{}
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, store.RunConfig{Directory: relay.Static{"ex.net": d}}) }()
	body := verdict.Bytes(append([]byte(mail), bytes.Repeat([]byte("0123456789012345678901234567890123456789\r\n"), 240)...))
	var n atomic.Int64
	b.SetParallelism(10)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m := message(fmt.Sprintf("q%d", n.Add(1)), "r@ex.net")
			if err := s.Enqueue(ctx, d, m, m.Envelope, body); err != nil {
				b.Error(err)
			}
		}
	})
	cancel()
	<-done
}
