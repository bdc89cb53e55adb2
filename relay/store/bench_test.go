package store_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// BenchmarkEnqueue keeps messages of 10 KB durably, 20 at a time, and delivers them meanwhile or leaves them. A PostgreSQL
// is as far away as the name says.
func BenchmarkEnqueue(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchEnqueue(b, store.Config{Dir: b.TempDir()}, true) })
	for _, trip := range []time.Duration{0, 500 * time.Microsecond, time.Millisecond} {
		for _, what := range []string{"kept", "delivered"} {
			b.Run(fmt.Sprintf("postgres/%v/%s", trip, what), func(b *testing.B) {
				url := database(b)
				if trip > 0 {
					url, _ = wired(b, url, trip)
				}
				benchEnqueue(b, store.Config{Database: url, Bodies: "file:" + filepath.Join(b.TempDir(), "bodies"), Node: "n1"}, what == "delivered")
			})
		}
	}
}

func benchEnqueue(b *testing.B, c store.Config, delivers bool) {
	s, err := store.Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	h := &hop{}
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	if delivers {
		go func() { done <- s.Run(ctx, store.RunConfig{Directory: relay.Static{"ex.net": d}}) }()
	} else {
		d.Mode = relay.Continuity
		done <- nil
	}
	body := verdict.Bytes(append([]byte(mail), bytes.Repeat([]byte("0123456789012345678901234567890123456789\r\n"), 240)...))
	var n atomic.Int64
	b.SetParallelism(max(1, 20/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m := message(fmt.Sprintf("q%d", n.Add(1)), "r@ex.net")
			if err := s.Enqueue(ctx, d, m, m.Envelope, body, ""); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	cancel()
	<-done
}
