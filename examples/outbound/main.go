// Command outbound takes mail from this machine only and sends it on to several next hops: to a partner
// over verified TLS, to a sister company by its MX, to everybody else through a smart host.
//
//	go run ./examples/outbound -listen 127.0.0.1:2525 -partner mail.partner.example:25
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:2525", "address to listen on")
	partner := flag.String("partner", "mail.partner.example:25", "where mail for partner.example goes")
	smart := flag.String("smart", "mail.provider.example:25", "where mail for everybody else goes")
	tls := flag.Bool("tls", true, "verify the partner's certificate")
	flag.Parse()

	const hostname = "out.gw.example"
	direct := &relay.SMTP{Hosts: []string{*partner}, Hostname: hostname}
	if *tls {
		direct.TLS = relay.TLSVerify
	}
	sister := &relay.SMTP{MX: "sister.example", Hostname: hostname}
	others := &relay.SMTP{Hosts: []string{*smart}, Hostname: hostname, TLS: relay.TLSEncrypt}
	policy := relay.Policy{Spam: relay.Reject, Malicious: relay.Reject}
	known := relay.Static{
		"partner.example": {Name: "partner.example", Next: direct, Policy: policy},
		"sister.example":  {Name: "sister.example", Next: sister, Policy: policy},
	}
	gw := &relay.Server{
		Hostname: hostname,
		// Nobody else may connect: a directory that knows every domain is an open relay otherwise.
		Clients: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Directory: relay.DirectoryFunc(func(ctx context.Context, domain string) (*relay.Domain, error) {
			if d, err := known.Lookup(ctx, domain); err == nil {
				return d, nil
			}
			return &relay.Domain{Name: domain, Next: others, Policy: policy, Group: "others"}, nil
		}),
		Judge:  &verdict.Engine{Scanners: []verdict.Scanner{teststring.Scanner{}}},
		Logger: slog.Default(),
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", ln.Addr())
	log.Fatal(gw.Serve(context.Background(), ln))
}
