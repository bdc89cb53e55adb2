package app

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/minio/minio-go/v7"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay/store"
)

// A database or a bucket on another machine may be away when a gateway starts. It serves all the same, as it would if
// it had lost them a moment later, and takes them into use when they come: see await.

// firstTime is how long a gateway that starts waits for a store on another machine.
const firstTime = 5 * time.Second

// errStoreAway is what is had instead of a store that has not come yet.
var errStoreAway = errors.New("the store cannot be reached, see the log")

// isLocal says whether nothing of the store is on another machine: then nobody else will mend it.
func isLocal(c *config.Config) bool {
	return c.Store.Database.IsZero() && !strings.HasPrefix(c.Store.Bodies.URL, "s3:")
}

// isAway says whether err, of opening a store that is not local, may pass by itself: nobody answered, or said that it
// is not the time. Who answers and refuses has been asked for the wrong thing.
func isAway(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code[:min(2, len(pg.Code))] { // PostgreSQL, appendix A
		case "08", "25", "40", "53", "55", "57", "58": // connection, read-only, conflict, resources, locks, starting or ending, disk
			return true
		}
		return false
	}
	if s3, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return s3.StatusCode >= http.StatusInternalServerError || s3.StatusCode == http.StatusTooManyRequests
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	for _, lost := range []error{context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, driver.ErrBadConn, pgconn.ErrConnClosed} {
		if errors.Is(err, lost) {
			return true
		}
	}
	_, connect := errors.AsType[*pgconn.ConnectError](err) // among others: none of several servers can be written
	_, network := errors.AsType[*net.OpError](err)
	request, asked := errors.AsType[*url.Error](err)
	return connect || network || asked && request.Op != "parse"
}

// away says whether there is to be a store that has not come yet.
func (g *gateway) away() bool { return g.keeper != nil && g.store() == nil }

// follow has the domains of a configuration watched. Until the store comes, that is left to take.
func (g *gateway) follow(ctx context.Context, c *config.Config) error {
	if !g.away() {
		return g.proofs.follow(ctx, c, g.store())
	}
	if ref := c.Verification.Key; required(c) && !ref.IsZero() { // it would be refused then
		if _, err := ref.Read(); err != nil {
			return err
		}
	}
	return nil
}

// await waits for the store, and is nil when ctx has ended first.
func (g *gateway) await(ctx context.Context, c *config.Config) *store.Store {
	await(ctx, g.log, g.keeper.why, func() error { return g.take(ctx, c) })
	return g.store()
}

// take opens the store and puts it into use as if it had been there from the start.
func (g *gateway) take(ctx context.Context, c *config.Config) error {
	st, err := openStore(ctx, c, g.log)
	if err != nil {
		return err
	}
	g.mu.Lock() // no reload meanwhile
	defer g.mu.Unlock()
	s := g.live.cur.Load()
	if err := g.proofs.follow(ctx, s.config, st); err != nil {
		return errors.Join(err, st.Close())
	}
	g.keeper.cur.Store(st)
	s.warnUnproven(g.log)
	return nil
}

// await calls take, with pauses that grow, until it succeeds or ctx ends. A reason is logged once, until it is another
// one; why is the first.
func await(ctx context.Context, log *slog.Logger, why error, take func() error) {
	start := time.Now()
	for pause := time.Second; ; pause = min(2*pause, 10*time.Second) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause - rand.N(pause/4)): // nodes that wait for the same database come one by one
		}
		err := take()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			log.Info("the store is there, and in use from now on", "after", time.Since(start).Round(time.Millisecond))
			return
		}
		if err.Error() != why.Error() {
			log.Error("the store is still not in use", "error", plainStore(err))
		}
		why = err
	}
}

// arrive opens the store when the gateway starts, or says why it goes on without one.
func (g *gateway) arrive(ctx context.Context, c *config.Config) error {
	local := isLocal(c)
	if !local {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, firstTime)
		defer cancel()
	}
	st, err := openStore(ctx, c, g.log)
	switch {
	case err == nil:
		g.keeper.cur.Store(st)
		return nil
	case storeDisk(err) != "":
		return fmt.Errorf("opening the store: %s: %s", plainStore(err), storeDisk(err))
	case local || !isAway(err):
		return fmt.Errorf("opening the store: %s (postreeve check says more)", plainStore(err))
	}
	g.keeper.why = err
	g.log.Error("the store cannot be reached, and is taken into use when it can be: until then mail that has to be held or queued is deferred, "+
		"and so is mail for domains that have to be proven; no message has a row in the ledger", "error", plainStore(err))
	g.proofs.unread(err)
	return nil
}
