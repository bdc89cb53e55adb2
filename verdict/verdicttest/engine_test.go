package verdicttest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// lineEngine is a stand-in for an engine: it reads a message up to the end of what the client sends, and
// says "OK" or "HIT" on a line.
func lineEngine(network string) func(tb testing.TB) net.Addr {
	return func(tb testing.TB) net.Addr {
		address := "127.0.0.1:0"
		if network == "unix" {
			dir, err := os.MkdirTemp("", "line")
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() { os.RemoveAll(dir) })
			address = filepath.Join(dir, "s")
		}
		ln, err := net.Listen(network, address)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					b, err := io.ReadAll(c)
					if err != nil {
						return
					}
					fmt.Fprintf(c, "%s\n", opinion(b))
				}()
			}
		}()
		return ln.Addr()
	}
}

func opinion(b []byte) string {
	if bytes.Contains(b, []byte(teststring.GTUBE)) {
		return "HIT"
	}
	return "OK"
}

// ask opens a connection that ends with the context, and sends the message.
func ask(ctx context.Context, engine net.Addr, m *verdict.Message) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, engine.Network(), engine.String())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { c.Close() })
	r, err := m.Open()
	if err != nil {
		c.Close()
		return nil, err
	}
	defer r.Close()
	if _, err := io.Copy(c, r); err != nil {
		c.Close()
		return nil, err
	}
	return c, c.(interface{ CloseWrite() error }).CloseWrite()
}

var hit = []verdict.Finding{{Code: "line.hit", Class: verdict.Spam}}

// lineScanner asks a lineEngine as it should be done.
func lineScanner(_ testing.TB, engine net.Addr) verdict.Scanner {
	return verdict.Func("line", func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		c, err := ask(ctx, engine, m)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		line, err := bufio.NewReader(io.LimitReader(c, 100)).ReadString('\n')
		switch {
		case err != nil:
			return nil, fmt.Errorf("line: %w", err)
		case line == "HIT\n":
			return hit, nil
		case line == "OK\n":
			return nil, nil
		}
		return nil, fmt.Errorf("line: the engine says %q", line)
	})
}

func httpEngine(tb testing.TB) net.Addr {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			io.WriteString(w, opinion(b)+"\n")
		}
	}))
	tb.Cleanup(s.Close)
	return s.Listener.Addr()
}

// httpScanner asks an httpEngine, over connections that are kept.
func httpScanner(tb testing.TB, engine net.Addr) verdict.Scanner {
	transport := &http.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	return verdict.Func("http", func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
		body, err := m.Open()
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+engine.String()+"/check", body)
		if err != nil {
			return nil, errors.Join(err, body.Close())
		}
		req.ContentLength = m.Size()
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 100))
		switch text := strings.TrimSpace(string(b)); {
		case err != nil:
			return nil, err
		case text == "HIT":
			return hit, nil
		case text == "OK":
			return nil, nil
		}
		return nil, errors.New("http: the engine says something else")
	})
}
