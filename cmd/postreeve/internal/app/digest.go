package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// digestTasks are what a store does to tell people of held mail.
func digestTasks(c *config.Config, st *store.Store) ([]store.Task, error) {
	if c.Digest == nil {
		return nil, nil
	}
	d := store.Digest{Every: c.Digest.Every, Admin: c.Digest.Admin, Way: c.AdminDomain(), Domains: c.Digest.Domains}
	if c.Digest.Links != "" {
		l := digestLinks(c.Digest)
		d.Links = &l
	}
	task, err := st.DigestTask(d)
	if err != nil {
		return nil, fmt.Errorf("digest: %s", plainStore(err))
	}
	return []store.Task{task}, nil
}

func digestLinks(d *config.Digest) store.Links {
	return store.Links{Base: d.Links, For: d.LinksFor, Malicious: d.Malicious}
}

// digestKeys are the settings of digests that only a restart changes: all but the names of the certificate's files.
func digestKeys(c *config.Config) any {
	if c.Digest == nil {
		return nil
	}
	d := *c.Digest
	d.TLS = nil
	return []any{d, c.AdminDomain(), c.LinkTLS() != nil}
}

// mostVisitors bounds the connections to the links. More wait until others have gone.
const mostVisitors = 200

// linkServer serves the links of digests.
type linkServer struct {
	url  string // where it can be reached from this machine
	http *http.Server
	log  *slog.Logger
	done chan struct{}

	ctx    context.Context // ends when releases have to
	cancel context.CancelFunc
}

// serveLinks serves the links of digests on an address of their own, if there are any.
func (g *gateway) serveLinks(ctx context.Context, c *config.Config) error {
	d := c.Digest
	if d == nil || d.Links == "" || g.keeper == nil {
		return nil
	}
	base, err := url.Parse(d.Links)
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", d.Listen)
	if err != nil {
		return fmt.Errorf("digest: %w%s", err, listenAdvice(err))
	}
	l := &linkServer{log: g.log, done: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	path := "/" + strings.Trim(base.Path, "/")
	l.url = "http://" + ln.Addr().String() + path
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // one request at a time and connection: mostVisitors bounds both
	l.http = &http.Server{
		Handler:     only(path, g.keeper.LinkHandler(digestLinks(d), l.deliver(&g.live, g.log))),
		ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: 20 * time.Second,
		MaxHeaderBytes: 8 << 10, Protocols: protocols,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug), // strangers say all kinds of things to a public port
	}
	ln = netutil.LimitListener(ln, mostVisitors)
	if c.LinkTLS() != nil {
		l.url = "https" + strings.TrimPrefix(l.url, "http")
		ln = tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: g.live.linkCertificate})
	}
	g.links = l
	go func() {
		defer close(l.done)
		if err := l.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			g.log.Error("links of digests are not served any more", "error", err)
		}
	}()
	return nil
}

// only serves one path.
func only(path string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if "/"+strings.Trim(r.URL.Path, "/") != path {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// deliver hands released messages to their next hops as they are at the moment, until the gateway ends.
func (l *linkServer) deliver(lv *live, log *slog.Logger) store.Deliver {
	return func(ctx context.Context, h store.Held, env verdict.Envelope, body verdict.Source, mark string) ([]relay.Receipt, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(l.ctx, cancel)()
		s := lv.cur.Load()
		return deliverHeld(s.config, s, log)(ctx, h, env, body, mark)
	}
}

// close takes no more requests and waits for releases under way; those that last longer are ended, and written down
// as far as it is known what became of them. Without a listener it does nothing.
func (l *linkServer) close(patience time.Duration) {
	if l == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	err := l.http.Shutdown(ctx)
	l.cancel()
	if err != nil {
		l.log.Warn("a release did not end in time", "waited", patience)
		ctx, stop := context.WithTimeout(context.Background(), 5*time.Second) // to write down what became of it
		defer stop()
		err = l.http.Shutdown(ctx)
	}
	if err != nil {
		l.http.Close()
	}
	<-l.done
}

// linkCertificate is for tls.Config.GetCertificate.
func (l *live) linkCertificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := l.cur.Load().linkCert; cert != nil {
		return cert.GetCertificate(h)
	}
	return nil, errors.New("no certificate for links is configured any more")
}
