package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/cmd/postreeve/internal/metrics"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// gateway is a configuration at work.
type gateway struct {
	log     *slog.Logger
	level   *slog.LevelVar
	live    live
	front   *front
	metrics *metrics.Metrics // nil without
	spool   *verdict.Spool
	proofs  *proofs
	keeper  *keeper // nil: nothing is kept
	kept    sync.WaitGroup

	listeners []net.Listener
	web       *http.Server
	webAddr   net.Addr
	links     *linkServer // nil without

	mu sync.Mutex // one reload at a time
}

// newGateway makes a gateway that listens and does not accept yet. ctx ends when it is to drain.
func newGateway(ctx context.Context, c *config.Config, log *slog.Logger, level *slog.LevelVar) (_ *gateway, err error) {
	g := &gateway{log: log, level: level, front: newFront(ctx, log), proofs: newProofs(log)}
	if c.Metrics != "" {
		g.metrics = metrics.New(readBuild().Version)
		g.metrics.Domains(g.proofs.count)
	}
	if dir := tempDir(c); dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
	}
	g.spool = &verdict.Spool{Memory: c.Spool.Message, Total: c.Spool.Total, Dir: tempDir(c)}
	s, err := newSetup(c, nil, g.proofs, log, g.engineTrace())
	if err != nil {
		return nil, err
	}
	g.live.cur.Store(s)
	defer func() {
		if err != nil {
			g.closeListeners()
			g.links.close(0)
			g.proofs.close()
			g.closeStore()
		}
	}()
	if err := g.openStore(ctx, c); err != nil {
		return nil, err
	}
	srv := g.server(c)
	if err := srv.Valid(); err != nil {
		return nil, err
	}
	if err := g.follow(ctx, c); err != nil {
		return nil, err
	}
	s.warnUnproven(log)
	s.warnTenantTokens(log)
	for _, addr := range c.Listen {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen: %w%s", err, listenAdvice(err))
		}
		g.listeners = append(g.listeners, ln)
	}
	if err := g.serveMetrics(ctx, c.Metrics); err != nil {
		return nil, err
	}
	if err := g.serveLinks(ctx, c); err != nil {
		return nil, err
	}
	if err := g.keep(ctx, c); err != nil {
		return nil, err
	}
	g.front.use(srv, g.listeners[0].Addr())
	return g, nil
}

func listenAdvice(err error) string {
	switch {
	case errors.Is(err, os.ErrPermission):
		return " (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EADDRINUSE):
		return " (something listens there already: postreeve check says what)"
	}
	return ""
}

func (g *gateway) closeListeners() {
	for _, ln := range g.listeners {
		ln.Close()
	}
}

func (g *gateway) engineTrace() verdict.Trace {
	if g.metrics == nil {
		return verdict.Trace{}
	}
	return g.metrics.Engine()
}

// server makes a server of a configuration, around the live setup.
func (g *gateway) server(c *config.Config) *relay.Server {
	srv := &relay.Server{
		Hostname: c.Hostname, Directory: &g.live, Judge: &g.live, Headers: c.Headers,
		Auth:   relay.Auth{Authenticator: &g.live, Results: mailauth.AuthenticationResults, ID: c.Auth.Name, Sealer: &g.live},
		Limits: c.Limits, Timeouts: c.Timeouts, Spool: g.spool,
		Clients: c.Clients, Proxies: c.Proxies, XClient: c.XClient,
		Normalize: c.Normalize, Postmaster: c.Postmaster, Engine: relay.Strict, Logger: g.log,
	}
	srv.Timeouts.Auth = c.Auth.Timeout
	if g.keeper != nil {
		srv.Hold, srv.Queue, srv.Ledger = g.keeper, g.keeper, g.keeper
		srv.Notify = g.keeper.notifier()
	}
	if c.TLS != nil {
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: g.live.certificate}
	}
	if c.Engine == "go-smtp" {
		srv.Engine = relay.GoSMTP
	}
	if g.metrics != nil {
		srv.Trace = g.metrics.Relay()
	}
	return srv
}

// serverKeys are the settings that a running server cannot change: others make a new one for new connections.
func serverKeys(c *config.Config) any {
	return []any{c.Hostname, c.Auth.Name, c.Auth.Timeout, c.Headers, c.Limits, c.Timeouts, c.Clients, c.Proxies, c.XClient, c.Normalize, c.Postmaster, c.Engine, c.TLS != nil}
}

// restartKeys are the settings that only a restart changes, by key.
func restartKeys(c *config.Config) map[string]any {
	return map[string]any{
		"listen": c.Listen, "metrics": c.Metrics, "state": c.State, "spool": c.Spool, "log.format": c.Log.JSON,
		"database": c.Store.Database, "bodies": c.Store.Bodies, "node": c.Store.Node, "bounces": c.Store.Bounces,
		"retention": []time.Duration{c.Store.HeldFor, c.Store.LedgerFor, c.Store.QueuedFor},
		"quota":     []int64{c.Store.HeldBytes, c.Store.QueuedBytes}, "min-free": c.Store.MinFree,
		"digest": digestKeys(c), "remediation": c.Remediation,
	}
}

// serveMetrics serves the metrics on an address of their own.
func (g *gateway) serveMetrics(ctx context.Context, addr string) error {
	if addr == "" {
		return nil
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("metrics: %w%s", err, listenAdvice(err))
	}
	g.webAddr = ln.Addr()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", g.metrics.Handler())
	g.web = &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
	}
	g.front.wg.Go(func() {
		if err := g.web.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			g.log.Error("metrics are not served any more", "error", err)
		}
	})
	return nil
}

// run accepts connections until the context of the gateway ends, and returns when they are drained.
func (g *gateway) run() error {
	for _, ln := range g.listeners {
		g.front.accept(ln)
	}
	var err error
	select {
	case err = <-g.front.failed:
	case <-g.front.ctx.Done():
	}
	return err
}

// drain waits for the transactions under way, which each server bounds by its Timeouts.Drain.
func (g *gateway) drain(patience time.Duration) {
	if g.web != nil {
		g.web.Close()
	}
	var released sync.WaitGroup
	released.Go(func() { g.links.close(patience) })
	done := make(chan struct{})
	go func() {
		g.proofs.close()
		g.front.wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		g.log.Error("some transactions did not end in time", "waited", patience)
	}
	released.Wait()
	g.kept.Wait() // deliveries from the queue have bounds of their own
	g.closeStore()
	g.live.cur.Load().close()
}

// reload puts the configuration in the file into force, or keeps the old one.
func (g *gateway) reload() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.live.cur.Load()
	c, err := config.Load(old.config.File)
	if err != nil {
		return err
	}
	s, err := newSetup(c, old, g.proofs, g.log, g.engineTrace())
	if err != nil {
		return err
	}
	srv := g.server(c)
	if err := srv.Valid(); err != nil {
		return err
	}
	if err := g.follow(g.front.ctx, c); err != nil {
		return err
	}
	now, was := restartKeys(c), restartKeys(old.config)
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if !reflect.DeepEqual(now[key], was[key]) {
			g.log.Warn("this setting changes only when the gateway is started again", "key", key)
		}
	}
	g.live.cur.Store(s)
	g.level.Set(c.Log.Level)
	fresh := !reflect.DeepEqual(serverKeys(c), serverKeys(old.config))
	if fresh {
		g.front.use(srv, g.listeners[0].Addr())
	}
	logWarnings(g.log, c)
	s.warnUnproven(g.log)
	s.warnTenantTokens(g.log)
	g.log.Info("configuration reloaded", "file", c.File, "domains", len(c.Domains), "scanners", len(s.engine.Scanners), "new_server", fresh)
	return nil
}

func logWarnings(log *slog.Logger, c *config.Config) {
	for _, w := range c.Warnings {
		log.Warn(w.Text, "key", w.Key, "file", w.File, "line", w.Line)
	}
}

// logReload says why a configuration was not taken, one record for each thing that is wrong.
func logReload(log *slog.Logger, err error) {
	const kept = "new configuration refused, the old one stays in force"
	var bad config.Errors
	if !errors.As(err, &bad) {
		log.Error(kept, "error", err)
		return
	}
	for _, b := range bad {
		log.Error(kept, "file", b.File, "line", b.Line, "column", b.Column, "key", b.Key, "error", b.Text)
	}
}
