package relay_test

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// nameServer answers on loopback with the text of TXT records by name.
func nameServer(tb testing.TB, records map[string]string) string {
	tb.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	started := make(chan struct{})
	srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if text := records[strings.TrimSuffix(q.Question[0].Name, ".")]; text != "" {
			m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}, Txt: mailauth.SplitTXT(text)}}
		} else {
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m) // who gets no answer asks again
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		srv.ActivateAndServe()
	}()
	<-started
	tb.Cleanup(func() {
		srv.Shutdown()
		<-ended
	})
	return pc.LocalAddr().String()
}

// BenchmarkAuthentication sends 10 KB messages through a gateway in one session: without a look at the sender,
// with SPF and DMARC, and with a seal.
func BenchmarkAuthentication(b *testing.B) {
	body := message("hello") + strings.Repeat("a line of the body of this message, about as long as lines are\r\n", 155)
	for _, mode := range []string{"off", "on", "sealed ed25519", "sealed rsa"} {
		b.Run(mode, func(b *testing.B) {
			sink := &relaytest.Sink{Discard: true}
			next := &relay.SMTP{Hosts: []string{sink.Start(b)}, Hostname: "mx.gw.example"}
			b.Cleanup(func() { next.Close() })
			srv := &relay.Server{
				Hostname: "mx.gw.example", Directory: relay.Static{"ex.net": {Name: "ex.net", Next: next}},
				Judge: &verdict.Engine{Scanners: []verdict.Scanner{verdict.Nothing}},
			}
			if mode != "off" {
				server := nameServer(b, map[string]string{"ex.org": "v=spf1 ip4:127.0.0.0/8 -all", "_dmarc.ex.org": "v=DMARC1; p=reject"})
				srv.Auth = relay.Auth{Authenticator: &mailauth.Authenticator{Resolver: &mailauth.DNS{Servers: []string{server}}}, Results: mailauth.AuthenticationResults}
			}
			if kind, ok := strings.CutPrefix(mode, "sealed "); ok {
				private, _, err := mailauth.GenerateKey(mailauth.KeyKind(kind))
				if err != nil {
					b.Fatal(err)
				}
				key, err := mailauth.ParseKey(private)
				if err != nil {
					b.Fatal(err)
				}
				srv.Auth.Sealer = &mailauth.Sealer{Hostname: "mx.gw.example", Domain: "gw.example", Selector: "s1", Key: key}
			}
			send(b, srv, body)
		})
	}
}

// send serves srv and sends it the message as often as the benchmark asks for.
func send(b *testing.B, srv *relay.Server, body string) {
	nc, err := net.Dial("tcp", start(b, srv))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	r := textproto.NewReader(bufio.NewReader(nc))
	expect := func(code int) {
		if _, msg, err := r.ReadResponse(code); err != nil {
			b.Fatal(err, msg)
		}
	}
	expect(220)
	fmt.Fprint(nc, "EHLO client.example\r\n")
	expect(250)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		fmt.Fprintf(nc, "MAIL FROM:<a@ex.org>\r\nRCPT TO:<b@ex.net>\r\nBDAT %d LAST\r\n%s", len(body), body)
		for range 3 {
			expect(250)
		}
	}
}
