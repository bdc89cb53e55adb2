package app_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// nowhere is a PostgreSQL where nothing listens.
const nowhere = `database: "postgres://u@127.0.0.1:1/x?sslmode=disable"`

// answer sends a message and returns what the gateway says in the end.
func (s *served) answer(to, body string) string {
	err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{to}, []byte(message("x", body)))
	if err != nil {
		return strings.ReplaceAll(err.Error(), `"`, "")
	}
	return "250"
}

// TestStoreAway: a gateway whose store cannot be reached when it starts serves what needs none, and refuses nobody for
// good.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	keys := write(t, map[string]string{"id": "i", "secret": "s"})
	for name, store := range map[string]string{
		"postgres": nowhere + "\nbodies: \"file:" + t.TempDir() + "\"",
		"s3": fmt.Sprintf("state: %q\nbodies: {url: \"s3://mail?endpoint=127.0.0.1:1&region=eu-1&insecure=1\", id: \"file:%s/id\", secret: \"file:%s/secret\"}",
			t.TempDir(), keys, keys),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := &relaytest.Sink{}
			hop := sink.Start(t)
			yaml := configFor(hop, store+"\nmetrics: \"127.0.0.1:0\"\nbounces: mx\ndigest: {to: admin@ex.net, links: \"http://127.0.0.1/q\", listen: \"127.0.0.1:0\"}") +
				"  ex.org: {next-hop: \"" + hop + "\"}\n" +
				"  queue.example: {next-hop: \"" + hop + "\", mode: queue, verification: waived}\n" +
				"  away.example: {next-hop: \"127.0.0.1:1\", mode: continuity, verification: waived}\n"
			s := serve(t, yaml)
			for _, c := range []struct{ to, body, want string }{
				{"a@ex.net", "hello", "250"},
				{"a@ex.net", teststring.Malicious, "451 4.3.0 cannot store"},
				{"a@queue.example", "hello", "451 4.3.0 cannot store"},
				{"a@away.example", "hello", "451 4."},
				{"a@ex.org", "hello", "451 4.7.1"},
				{"a@elsewhere.example", "hello", "550 5.7.1"},
				{"a@ex.net", "hello", "250"},
			} {
				if got := s.answer(c.to, c.body); !strings.HasPrefix(got, c.want) {
					t.Errorf("%s %.10q: %s, want %s", c.to, c.body, got, c.want)
				}
			}
			if got := len(sink.Messages()); got != 2 {
				t.Errorf("%d messages at the next hop, want 2", got)
			}
			_, url, _ := strings.Cut(strings.TrimSpace(s.out.String()), "metrics on ")
			url, _, _ = strings.Cut(url, ",")
			text := fetch(t, url)
			for _, want := range []string{"postreeve_store_up 0", `postreeve_store_writes_total{op="ledger",result="failed"}`, `postreeve_store_writes_total{op="hold",result="failed"} 1`} {
				if !strings.Contains(text, want) {
					t.Errorf("the metrics lack %s", want)
				}
			}
			res, err := http.Get(s.links())
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("a link: %s", res.Status)
			}
			s.write(t, yaml+"  ex.com: {next-hop: \""+hop+"\", verification: waived}\n")
			s.log.wait(t, "configuration reloaded", 1)
			if got := s.answer("a@ex.com", "hello"); got != "250" {
				t.Errorf("a domain of the new configuration: %s", got)
			}
			s.end(t)
			log := s.log.String()
			if strings.Count(log, "the store cannot be reached, and is taken") != 1 || strings.Contains(log, "the ledger did not take note") {
				t.Errorf("the log says it more than once, or not at all:\n%s", log)
			}
		})
	}
}

// saysPostgres is a server that answers every connection with an error of PostgreSQL.
func saysPostgres(t *testing.T, code string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				c.Read(make([]byte, 1024))
				body := "SFATAL\x00VFATAL\x00C" + code + "\x00Mso it is\x00\x00"
				c.Write(append([]byte{'E', 0, 0, 0, byte(len(body) + 4)}, body...))
			}()
		}
	}()
	return "database: \"postgres://u@" + ln.Addr().String() + "/x?sslmode=disable\"\nbodies: \"file:" + t.TempDir() + "\""
}

// saysS3 is a bucket that answers every request with a status.
func saysS3(t *testing.T, code int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
	t.Cleanup(s.Close)
	keys := write(t, map[string]string{"id": "i", "secret": "s"})
	return fmt.Sprintf("state: %q\nbodies: {url: \"s3://mail?endpoint=%s&region=eu-1&insecure=1\", id: \"file:%s/id\", secret: \"file:%s/secret\"}",
		t.TempDir(), s.Listener.Addr(), keys, keys)
}

// TestStoreRefuses: who answers and refuses ends the start at once; who says that it is not the time does not.
func TestStoreRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := t.TempDir()
	opened(t, newer).Close()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(newer, "postreeve.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE meta SET value = '1000' WHERE name = 'schema'"); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ store, want string }{ // want is empty: it serves
		"password":          {saysPostgres(t, "28P01"), "28P01"},
		"no database":       {saysPostgres(t, "3D000"), "3D000"},
		"no right":          {saysPostgres(t, "42501"), "42501"},
		"starting":          {saysPostgres(t, "57P03"), ""},
		"too many clients":  {saysPostgres(t, "53300"), ""},
		"read-only":         {saysPostgres(t, "25006"), ""},
		"keys":              {saysS3(t, 403), "Access Denied"},
		"no bucket":         {saysS3(t, 404), "there is no such bucket"},
		"overloaded":        {saysS3(t, 503), ""},
		"secret not there":  {"database: {url: \"postgres://u@127.0.0.1:1/x\", password: \"file:none\"}\nbodies: \"file:" + t.TempDir() + "\"", "none"},
		"no such parameter": {"database: \"postgres://u@127.0.0.1:1/x?sslmode=purple\"\nbodies: \"file:" + t.TempDir() + "\"", "URL cannot be read"},
		"key not there":     {nowhere + "\nbodies: \"file:" + t.TempDir() + "\"\nverification: {key: \"file:none\"}", "none"},
		"newer schema":      {fmt.Sprintf("state: %q\nbodies: \"s3://mail?endpoint=127.0.0.1:1&region=eu-1&insecure=1\"", newer), "of a newer version"},
		"no directory":      {"state: " + file, "not a directory"},
		"no directory, S3":  {strings.Replace(saysS3(t, 503), "state: \"", "state: \""+file, 1), "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			yaml := configFor("192.0.2.1:25", tt.store) + "  ex.org: {next-hop: \"192.0.2.1:25\"}\n"
			if tt.want == "" {
				s := serve(t, yaml)
				s.log.wait(t, "the store cannot be reached", 1)
				s.end(t)
				return
			}
			conf := filepath.Join(t.TempDir(), "c.yaml")
			replace(t, conf, yaml)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, log := newBuffer(), newBuffer()
			if code := app.Run(ctx, []string{"serve", "-c", conf}, strings.NewReader(""), out, log); code != 1 || !strings.Contains(log.String(), tt.want) || ctx.Err() != nil {
				t.Errorf("exit %d, %q, want 1 and %q", code, log, tt.want)
			}
		})
	}
}

// TestStoreSilent: a gateway whose store takes connections and says nothing can be told to end before it is ready, and
// is ready all the same.
func TestStoreSilent(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	yaml := configFor("192.0.2.1:25", "database: \"postgres://u@"+ln.Addr().String()+"/x?sslmode=disable\"\nbodies: \"file:"+t.TempDir()+"\"")
	conf := filepath.Join(t.TempDir(), "c.yaml")
	replace(t, conf, yaml)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if c, err := ln.Accept(); err == nil {
			defer c.Close()
			cancel()
		}
	}()
	out, log := newBuffer(), newBuffer()
	if code := app.Run(ctx, []string{"serve", "-c", conf}, strings.NewReader(""), out, log); code != 0 || out.String() != "" {
		t.Errorf("ended while it starts: exit %d, %q, %q", code, out, log)
	}
	s := serve(t, yaml)
	s.log.wait(t, "the store cannot be reached", 1)
	s.end(t)
}

// TestAwait: a store is waited for as long as it takes, and the log says why once for each reason.
func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out, start, asked := newBuffer(), time.Now(), 0
		log := slog.New(slog.NewTextHandler(out, nil))
		gone, refused := errors.New("gone"), errors.New("refused")
		app.Await(t.Context(), log, gone, func() error {
			asked++
			switch at := time.Since(start); {
			case at < time.Hour:
				return gone
			case at < 2*time.Hour:
				return refused
			}
			return nil
		})
		if took := time.Since(start); took < 2*time.Hour || took > 2*time.Hour+10*time.Second || asked < 720 || asked > 970 {
			t.Errorf("asked %d times in %v", asked, took)
		}
		if text := out.String(); strings.Count(text, "still not in use") != 1 || !strings.Contains(text, "error=refused") || !strings.Contains(text, "the store is there") {
			t.Errorf("the log:\n%s", text)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		app.Await(ctx, slog.New(slog.NewTextHandler(io.Discard, nil)), gone, func() error { return gone })
		if took := time.Since(start); took > 2*time.Hour+71*time.Second {
			t.Errorf("it did not end with its context, but after %v", took)
		}
	})
}
