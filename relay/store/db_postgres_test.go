package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postreeve/postreeve/relay/store"
)

// freezer passes connections on, until those that there are freeze: they stay open, and nothing comes any more, as
// behind a firewall that has forgotten them. New ones work.
type freezer struct {
	*middle
	era  atomic.Int64
	mute atomic.Bool // what the server says is lost, and what it is told is not
}

// freezing returns the URL of a database behind a freezer.
func freezing(t *testing.T, rawURL string) (string, *freezer) {
	t.Helper()
	f := &freezer{}
	var behind string
	behind, f.middle = between(t, rawURL, func(run func(func()), s, c net.Conn) {
		era := f.era.Load()
		run(func() { f.pipe(s, c, era, false) })
		run(func() { f.pipe(c, s, era, true) })
	})
	return behind, f
}

func (f *freezer) pipe(dst, src net.Conn, era int64, answers bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		frozen := f.era.Load() != era
		if n > 0 && !frozen && !(answers && f.mute.Load()) {
			_, _ = dst.Write(buf[:n])
		}
		if err != nil {
			if !frozen {
				dst.Close()
			}
			return
		}
	}
}

// Connections that freeze keep nobody waiting: what asks now and then notices, and asks on others.
func TestFrozenConnections(t *testing.T) {
	t.Parallel()
	direct := database(t)
	behind, f := freezing(t, direct)
	c := store.Config{Database: direct, Bodies: "file:" + t.TempDir(), Node: "n1"}
	writer := open(t, c)
	c.Database, c.Node = behind, "n2"
	s := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, "domain", func(context.Context) { seen.Add(1) })
	}()
	await(t, "first look", func() bool { return seen.Load() == 1 })
	f.era.Add(1)
	start := time.Now()
	if _, err := writer.PutRecord(ctx, store.Record{Kind: "domain", ID: "ex.net", Value: "{}"}); err != nil {
		t.Fatal(err)
	}
	await(t, "look at the change of a domain", func() bool { return seen.Load() == 2 })
	t.Logf("seen after %v", time.Since(start).Round(time.Millisecond))
	if _, err := s.Record(ctx, "domain", "ex.net"); err != nil {
		t.Error(err)
	}
	f.cut() // so that nobody says good-bye to who does not answer
	cancel()
	<-done
}

// Whoever reads waits for a time, and not for ever.
func TestSilentDatabase(t *testing.T) {
	t.Parallel()
	url, f := freezing(t, database(t))
	s := open(t, store.Config{Database: url, Bodies: "file:" + t.TempDir(), Node: "n1"})
	if _, err := s.Record(t.Context(), "domain", "ex.net"); !errors.Is(err, store.ErrNotFound) { // on a connection that nobody pings now
		t.Fatal(err)
	}
	f.era.Add(1)
	s.Patience(300 * time.Millisecond)
	if _, err := s.Record(t.Context(), "domain", "ex.net"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	s.Patience(30 * time.Second)
	if _, err := s.Records(t.Context(), "domain"); err != nil { // on another one
		t.Error(err)
	}
	f.cut()
}

// A server that was a standby, and is the primary now, is written to again without a restart.
func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	c := store.Config{Database: database(t), Bodies: "file:" + t.TempDir(), Node: "n1"}
	s := open(t, c)
	admin, err := pgx.Connect(t.Context(), strings.Replace(c.Database, "pool_max_conns=8&", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	do := func(q string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), q); err != nil {
			t.Fatal(q, err)
		}
	}
	n := 0
	hold := func() error {
		n++
		_, err := s.Hold(t.Context(), nil, message(fmt.Sprint("m", n), "b@ex.net"), nil)
		return err
	}
	if err := hold(); err != nil {
		t.Fatal(err)
	}
	name := admin.Config().Database
	do("ALTER DATABASE " + name + " SET default_transaction_read_only = on")
	do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	await(t, "connection to the standby", func() bool { err := hold(); return err != nil && strings.Contains(err.Error(), "25006") })
	do("SET default_transaction_read_only = off")
	do("ALTER DATABASE " + name + " SET default_transaction_read_only = off")
	start := time.Now()
	await(t, "connection to the primary", func() bool { return hold() == nil })
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("after %v", took)
	}
}

// The URL has the last word.
func TestPostgresURL(t *testing.T) {
	t.Parallel()
	base := strings.Replace(database(t), "pool_max_conns=8&", "", 1)
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	two := strings.Replace(base, u.Host, u.Host+",localhost:"+u.Port(), 1)
	dir := t.TempDir()
	many := max(8, 2*int32(runtime.NumCPU()))
	for _, tt := range []struct {
		name, url string
		conns     int32
		validates bool
		wait      time.Duration
	}{
		{"nothing said", base, many, false, 10 * time.Second},
		{"connections", base + "&pool_max_conns=3", 3, false, 10 * time.Second},
		{"in the words of libpq", base + "&connect_timeout=3&keepalives=1&keepalives_idle=7&keepalives_interval=2&keepalives_count=4&tcp_user_timeout=5000", many, false, 3 * time.Second},
		{"without keepalives", base + "&keepalives=0&tcp_user_timeout=0", many, false, 10 * time.Second},
		{"two servers", two, many, true, 10 * time.Second},
		{"two servers, any of them", two + "&target_session_attrs=any", many, false, 10 * time.Second},
		{"the primary", base + "&target_session_attrs=primary", many, true, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, store.Config{Database: tt.url, Bodies: "file:" + dir, Node: "n1"})
			cfg := s.Pool()
			if cfg.MaxConns != tt.conns || (cfg.ConnConfig.ValidateConnect != nil) != tt.validates || cfg.ConnConfig.ConnectTimeout != tt.wait {
				t.Errorf("%d connections, a choice: %v, waits %v", cfg.MaxConns, cfg.ConnConfig.ValidateConnect != nil, cfg.ConnConfig.ConnectTimeout)
			}
			if _, err := s.Record(t.Context(), "domain", "x"); !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
		})
	}
}
