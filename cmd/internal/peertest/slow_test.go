package peertest

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
)

// Clients that do nothing, that say a byte now and then, and that begin TLS and stop, do not keep honest
// ones from being served; and one address cannot take all connections.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, "mx.gw.example")
	sink := &relaytest.Sink{}
	addr, _, _ := gateway(t, sink.Start(t), fmt.Sprintf("tls: {cert: %q, key: %q}", cert, key))
	var mu sync.Mutex
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	var wg sync.WaitGroup
	for w := range 10 {
		wg.Go(func() {
			for i := w; i < 1500; i += 10 {
				lines := [][]string{{"EHLO idle.example"}, {"EHLO drip.example", "MAIL FROM:<a@ex.org>", "RCPT TO:<b@ex.net>", "DATA"}, {"EHLO tls.example", "STARTTLS"}}[i%3]
				c, err := converse(addr, i/50, lines...)
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				if i%3 == 1 {
					c.Write([]byte("S"))
				}
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
			}
		})
	}
	wg.Wait()

	refused := 0
	for range 120 { // from one address, which may have a hundred
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if b := make([]byte, 3); func() bool { _, err := c.Read(b); return err == nil && string(b) == "421" }() {
			refused++
		}
	}
	if refused != 20 {
		t.Errorf("%d of 120 connections from one address were refused, want 20", refused)
	}
	for _, c := range conns[len(conns)-120:] {
		c.Close()
	}

	acked := &acks{ids: map[string]bool{}}
	load(t, addr, 0, 500*time.Millisecond, acked, func() {})
	if len(acked.ids) == 0 || len(sink.Messages()) == 0 {
		t.Errorf("beside %d slow clients nobody was served", len(conns))
	}
	t.Logf("beside 1,500 slow clients %d messages in half a second", len(acked.ids))
}
