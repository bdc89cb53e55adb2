package smtpserver_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/internal/smtpserver"
)

// rig is a server in memory with a recorder behind it.
type rig struct {
	*dialogtest.Listener
	rec *dialogtest.Recorder
	log *dialogtest.Log
	end func() // ends the server and checks that nothing is left
}

var testCert = sync.OnceValue(func() tls.Certificate {
	cert, err := dialogtest.Certificate("mx.test")
	if err != nil {
		panic(err)
	}
	return cert
})

func withTLS() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{testCert()}} }

// start serves s. What s leaves out is filled in.
func start(t testing.TB, s *smtpserver.Server) *rig {
	t.Helper()
	r := &rig{Listener: dialogtest.Listen(), rec: new(dialogtest.Recorder), log: new(dialogtest.Log)}
	if s.Hostname == "" {
		s.Hostname = "mx.test"
	}
	if s.NewSession == nil {
		s.NewSession = func(*smtpserver.Conn) (smtp.Session, error) { return r.rec.Session(), nil }
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, r.Listener) }()
	r.end = func() {
		t.Helper()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if made, out := r.rec.Sessions(); made != out {
			t.Errorf("%d sessions, %d of them logged out", made, out)
		}
		for _, v := range r.rec.Violations() {
			t.Errorf("the contract of smtp.Session: %s", v)
		}
	}
	return r
}

// configured makes a server of the settings of a dialog.
func configured(t *testing.T, settings map[string]string, l *dialogtest.Listener) *smtpserver.Server {
	t.Helper()
	number := func(v string) int {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	duration := func(v string) time.Duration {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	s := &smtpserver.Server{DSN: true, SMTPUTF8: true, RequireTLS: true}
	for key, v := range settings {
		switch key {
		case "tls":
			s.TLSConfig = withTLS()
		case "size":
			s.MaxMessageBytes = int64(number(v))
		case "recipients":
			s.MaxRecipients = number(v)
		case "line":
			s.MaxLineLength = number(v)
		case "errors":
			s.MaxErrors = number(v)
		case "commands":
			s.MaxCommands = number(v)
		case "normalize":
			s.Normalize = true
		case "plain": // no extension that can be switched off
			s.DSN, s.SMTPUTF8, s.RequireTLS = false, false, false
		case "greet-delay":
			s.GreetDelay = duration(v)
		case "peer":
			l.Client = netip.MustParseAddr(v)
		case "xclient":
			trusted := netip.MustParseAddr(v)
			s.XClient = func(a netip.Addr) bool { return a == trusted }
		default:
			t.Fatalf("unknown setting %q", key)
		}
	}
	return s
}

// bubble runs f where waiting takes no time and a goroutine that is left behind is a failure.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	testCert()
	synctest.Test(t, f)
}

// settle lets the server come to rest. It needs a bubble.
func settle() { synctest.Wait() }
