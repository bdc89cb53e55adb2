package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stored counts a message that was to be kept: op is hold, queue or ledger.
func (m *Metrics) Stored(op string, ok bool, took time.Duration) {
	result := "ok"
	if !ok {
		result = "failed"
	}
	m.stored.WithLabelValues(op, result).Inc()
	m.storing.WithLabelValues(op).Observe(took.Seconds())
}

// Keep has what the store keeps asked for when the metrics are read, every 15 s at most. The function returns
// values by the names in keptHelp; while it fails the last ones stand, and postreeve_store_up is 0.
func (m *Metrics) Keep(ask func(ctx context.Context) (map[string]float64, error)) {
	k := &kept{ask: ask, descs: map[string]*prometheus.Desc{}, up: prometheus.NewDesc("postreeve_store_up", "1 while the store answers.", nil, nil)}
	for name, help := range keptHelp {
		k.descs[name] = prometheus.NewDesc("postreeve_"+name, help, nil, nil)
	}
	m.registry.MustRegister(k)
}

var keptHelp = map[string]string{
	"held_messages":             "Messages in quarantine; at most a million are counted, and so below.",
	"held_bytes":                "Bytes of held messages, and of released ones until they expire: what quota.held bounds.",
	"held_uncertain_recipients": "Recipients of whom nobody knows whether they have what was released: somebody has to ask.",
	"queued_messages":           "Messages that wait for their next hop.",
	"queued_bytes":              "Bytes of queued messages: what quota.queue bounds.",
	"queue_oldest_seconds":      "Age of the oldest message that waits.",
	"queue_aside_messages":      "Queued messages that cannot be read: somebody has to look.",
}

// kept is a collector that remembers for a while what it was told.
type kept struct {
	ask   func(ctx context.Context) (map[string]float64, error)
	descs map[string]*prometheus.Desc
	up    *prometheus.Desc

	mu     sync.Mutex
	asked  time.Time
	values map[string]float64
	ok     bool
}

const keptAge = 15 * time.Second

// Describe implements prometheus.Collector.
func (k *kept) Describe(ch chan<- *prometheus.Desc) {
	ch <- k.up
	for _, d := range k.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (k *kept) Collect(ch chan<- prometheus.Metric) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.asked) > keptAge {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		values, err := k.ask(ctx)
		cancel()
		k.ok, k.asked = err == nil, time.Now()
		if k.ok {
			k.values = values
		}
	}
	up := 0.0
	if k.ok {
		up = 1
	}
	ch <- prometheus.MustNewConstMetric(k.up, prometheus.GaugeValue, up)
	for name, v := range k.values {
		if d := k.descs[name]; d != nil {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
		}
	}
}
