package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

type serveCmd struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"The configuration."`
}

func (serveCmd) Help() string {
	return `Takes mail until SIGTERM or SIGINT, then lets transactions under way finish (timeouts.drain, 30 s) and exits 0; a second signal ends it at once. SIGHUP or a changed file reloads the configuration without dropping a connection; one with errors is refused and the old one stays in force. What needs a new start is said in the log: listen, metrics, spool, log.format, digest, remediation, and where and how mail is kept.

With state: or database: mail is held, queued while its next hop is away, and every message has a row in a ledger: see postreeve quarantine, queue, message and audit. A store that fails defers what has to be kept, and nothing else. A PostgreSQL or a bucket that does not answer at the start is taken into use when it comes, and mail that needs no store is taken meanwhile; one that answers and refuses (a password, a bucket that is not there, a newer version) ends the start, and so does a file that cannot be opened. With digest: people are told by mail of what is held for them, with links that release it.

Mail for a domain that was never proven is deferred with 451 4.7.1: see postreeve domain --help. What is proven is looked at every day, and a failure of DNS takes no mail away.

The log goes to standard error; one line on standard output says when it is ready. GOMEMLIMIT and GOGC have their usual meaning and defaults.

Example:
  cat > postreeve.yaml <<END
  hostname: mx.gw.example
  listen: ["127.0.0.1:2525"]
  domains:
    ex.net: {next-hop: "192.0.2.7:25", verification: waived}
  END
  postreeve check -c postreeve.yaml && postreeve serve -c postreeve.yaml

Exit codes: 0 drained, 1 could not serve, 64 wrong configuration.`
}

// Run serves until the context ends.
func (c *serveCmd) Run(e *env) error {
	seen := stamps([]string{c.Config}) // before it is read: what changes from here on is a change
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	log, level := newLogger(e.err, cfg.Log)
	logWarnings(log, cfg)
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	g, err := newGateway(ctx, cfg, log, level)
	if err != nil && ctx.Err() != nil {
		log.Info("ended before it was ready", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch(ctx, seen, func() []string { return g.live.cur.Load().files() }, hup, log, func(why string) {
			log.Info("reading the configuration again", "why", why)
			err := g.reload()
			if err != nil {
				logReload(log, err)
			}
			if g.metrics != nil {
				g.metrics.Reloaded(err == nil)
			}
		})
	}()
	e.out.printf("%s\n", g.ready())
	sdNotify("READY=1", log)
	err = g.run()
	e.unhook()
	sdNotify("STOPPING=1", log)
	if err != nil {
		log.Error("ending", "error", err)
	} else {
		log.Info("ending")
	}
	cancel()
	<-watched
	g.drain(cmp.Or(cfg.Timeouts.Drain, 30*time.Second) + 5*time.Second)
	log.Info("ended")
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// ready is the line that says where the gateway can be reached.
func (g *gateway) ready() string {
	var addrs []string
	for _, ln := range g.listeners {
		addrs = append(addrs, ln.Addr().String())
	}
	line := "postreeve: ready, SMTP on " + strings.Join(addrs, ", ")
	if g.webAddr != nil {
		line += ", metrics on http://" + g.webAddr.String() + "/metrics"
	}
	if g.links != nil {
		line += ", links on " + g.links.url
	}
	return line
}

func newLogger(s *screen, l config.Log) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(l.Level)
	opts := &slog.HandlerOptions{Level: level}
	var w io.Writer = screenWriter{s}
	if l.JSON {
		return slog.New(slog.NewJSONHandler(w, opts)), level
	}
	return slog.New(slog.NewTextHandler(w, opts)), level
}

// screenWriter writes the records of a log, whose handlers have quoted what they hold.
type screenWriter struct{ s *screen }

func (w screenWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.w.Write(p)
}

// sdNotify tells systemd, if it has asked to be told (sd_notify(3)).
func sdNotify(state string, log *slog.Logger) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		conn.Close()
	}
	if err != nil {
		log.Warn("cannot tell systemd", "state", state, "error", err)
	}
}
