// Package metrics counts what a gateway does, for Prometheus. It fills the hooks of relay.Server and
// verdict.Engine.
package metrics

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// Metrics has its own registry. Make one with New. It may be used by many goroutines at once.
type Metrics struct {
	registry *prometheus.Registry

	messages *prometheus.CounterVec // class, action, reply
	bytes    prometheus.Counter
	auth     *prometheus.CounterVec // method, result
	seals    *prometheus.CounterVec // result
	find     prometheus.Histogram
	judge    prometheus.Histogram
	deliver  prometheus.Histogram
	total    prometheus.Histogram
	now      prometheus.Gauge
	accepted prometheus.Counter
	refused  *prometheus.CounterVec // code
	runs     *prometheus.CounterVec // scanner, outcome
	scans    *prometheus.HistogramVec
	reloads  *prometheus.CounterVec // result
	stored   *prometheus.CounterVec // op, result
	storing  *prometheus.HistogramVec
}

// seconds are the bounds of the histograms: from what a small message takes to the patience of senders.
var seconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// New returns metrics that are all zero.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		messages: counters("messages_total", "Messages whose content was received, by what they were and what was done.", "class", "action", "reply"),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "postreeve_message_bytes_total", Help: "Bytes of these messages."}),
		auth:     counters("auth_results_total", "What was found out about senders, by method and result; of several DKIM signatures the best.", "method", "result"),
		seals:    counters("arc_seals_total", "Messages that were to be sealed, by result: sealed, not.", "result"),
		find:     histogram("authenticate_seconds", "Time that finding out the sender of a message took."),
		judge:    histogram("judge_seconds", "Time that judging a message took."),
		deliver:  histogram("deliver_seconds", "Time that the next hop took for a message."),
		total:    histogram("message_seconds", "Time from the end of a message to the reply."),
		now:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "postreeve_connections", Help: "SMTP connections at this moment."}),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{Name: "postreeve_connections_total", Help: "SMTP connections that were let in."}),
		refused:  counters("connections_refused_total", "SMTP connections that were refused, by reply code.", "code"),
		runs:     counters("scanner_runs_total", "Messages that a scanner was asked about, by outcome: done, skipped, failed, timeout.", "scanner", "outcome"),
		scans: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postreeve_scanner_seconds", Help: "Time that a scanner took for a message.", Buckets: seconds,
		}, []string{"scanner"}),
		reloads: counters("reloads_total", "Configurations that were read while running, by result: ok, failed.", "result"),
		stored:  counters("store_writes_total", "Messages that were to be kept, by what for (hold, queue, ledger, notice) and result: ok, failed.", "op", "result"),
		storing: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postreeve_store_seconds", Help: "Time until a message was durable.", Buckets: seconds,
		}, []string{"op"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "postreeve_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(m.messages, m.bytes, m.auth, m.seals, m.find, m.judge, m.deliver, m.total, m.now, m.accepted, m.refused, m.runs, m.scans,
		m.reloads, m.stored, m.storing, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postreeve_" + name, Help: help}, labels)
}

func histogram(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "postreeve_" + name, Help: help, Buckets: seconds})
}

// Handler serves the metrics in the format that was asked for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Timeout: 10 * time.Second, MaxRequestsInFlight: 10})
}

// Relay returns the hooks for a relay.Server.
func (m *Metrics) Relay() relay.Trace {
	return relay.Trace{
		Connected:    func(netip.Addr) { m.now.Inc(); m.accepted.Inc() },
		Disconnected: func(netip.Addr) { m.now.Dec() },
		Refused:      func(_ netip.Addr, r *relay.Reply) { m.refused.WithLabelValues(fmt.Sprint(r.Code)).Inc() },
		Done:         m.done,
	}
}

func (m *Metrics) done(o relay.Outcome) {
	reply := "none"
	if o.Reply != nil {
		reply = fmt.Sprintf("%dxx", o.Reply.Code/100)
	}
	m.messages.WithLabelValues(o.Class.String(), o.Action.String(), reply).Inc()
	m.bytes.Add(float64(o.Size))
	m.total.Observe(o.Took.Seconds())
	m.authenticated(o)
	if o.Report != nil {
		m.judge.Observe(o.Judged.Seconds())
	}
	if o.Delivered > 0 {
		m.deliver.Observe(o.Delivered.Seconds())
	}
}

// authenticated counts results as RFC 8601 spells them; what nobody checked is not counted.
func (m *Metrics) authenticated(o relay.Outcome) {
	if o.Authenticated > 0 {
		m.find.Observe(o.Authenticated.Seconds())
	}
	count := func(method string, r verdict.AuthResult) {
		if slices.Contains(results, r) {
			m.auth.WithLabelValues(method, string(r)).Inc()
		}
	}
	count("spf", o.Auth.SPF.Result)
	count("dmarc", o.Auth.DMARC.Result)
	count("arc", o.Auth.ARC.Result)
	if len(o.Auth.DKIM) > 0 {
		best := o.Auth.DKIM[0].Result
		for _, d := range o.Auth.DKIM {
			if d.Result == verdict.Pass {
				best = d.Result
			}
		}
		count("dkim", best)
	}
	switch {
	case o.Sealed:
		m.seals.WithLabelValues("sealed").Inc()
	case o.Unsealed != nil:
		m.seals.WithLabelValues("not").Inc()
	}
}

// results are all that a method can have: labels must not be made by senders.
var results = []verdict.AuthResult{"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror", "policy"}

// Engine returns the hooks for a verdict.Engine.
func (m *Metrics) Engine() verdict.Trace {
	return verdict.Trace{ScanDone: func(_ *verdict.Message, run verdict.Run, _ []verdict.Finding) {
		m.runs.WithLabelValues(run.Scanner, string(run.Outcome)).Inc()
		if run.Outcome != verdict.Skipped {
			m.scans.WithLabelValues(run.Scanner).Observe(run.Took.Seconds())
		}
	}}
}

// Reloaded counts a configuration that was read while running.
func (m *Metrics) Reloaded(ok bool) {
	if ok {
		m.reloads.WithLabelValues("ok").Inc()
	} else {
		m.reloads.WithLabelValues("failed").Inc()
	}
}

// Domains has the number of domains in each state of their proof asked for when the metrics are read.
func (m *Metrics) Domains(count func() map[string]int) {
	m.registry.MustRegister(domains{prometheus.NewDesc("postreeve_domains", "Domains by the state of their proof.", []string{"state"}, nil), count})
}

type domains struct {
	desc  *prometheus.Desc
	count func() map[string]int
}

// Describe implements prometheus.Collector.
func (d domains) Describe(ch chan<- *prometheus.Desc) { ch <- d.desc }

// Collect implements prometheus.Collector.
func (d domains) Collect(ch chan<- prometheus.Metric) {
	for state, n := range d.count() {
		ch <- prometheus.MustNewConstMetric(d.desc, prometheus.GaugeValue, float64(n), state)
	}
}
