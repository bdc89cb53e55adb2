// Command scanner is a gateway with a scanner of its own: mail that shouts in its subject is spam.
//
//	go run ./examples/scanner -listen 127.0.0.1:2525 -next 127.0.0.1:2599
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os/signal"
	"strings"
	"syscall"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

func shouts(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	s := m.Header().Text("Subject")
	if s == strings.ToLower(s) || s != strings.ToUpper(s) {
		return nil, nil
	}
	return []verdict.Finding{{Code: "shout.subject", Class: verdict.Spam, Detail: "the subject is all capitals"}}, nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:2525", "address to listen on")
	next := flag.String("next", "127.0.0.1:2599", "where mail for example.net goes")
	flag.Parse()

	gw := &relay.Server{
		Hostname: "mx.gw.example",
		Directory: relay.Static{"example.net": {
			Name: "example.net",
			Next: &relay.SMTP{Hosts: []string{*next}, Hostname: "mx.gw.example"},
		}},
		Judge:  &verdict.Engine{Scanners: []verdict.Scanner{verdict.Func("shout", shouts)}},
		Logger: slog.Default(),
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", ln.Addr())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := gw.Serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
}
