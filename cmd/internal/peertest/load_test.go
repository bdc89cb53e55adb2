package peertest

import (
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// acks are the messages for which a sender was told 250.
type acks struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (a *acks) add(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ids[id] = true
}

// load sends messages with subjects of their own on ten sessions at once. After a time it calls kill,
// and it returns when all sessions have noticed.
func load(t *testing.T, addr string, round int, d time.Duration, acked *acks, kill func()) {
	t.Helper()
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 100)
	var wg sync.WaitGroup
	var over atomic.Bool
	for s := range 10 {
		wg.Go(func() {
			nc, err := net.DialTimeout("tcp", addr, time.Second)
			if err != nil {
				return
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(20 * time.Second))
			c := textproto.NewConn(nc)
			if _, _, err := c.ReadResponse(220); err != nil {
				return
			}
			if c.PrintfLine("EHLO load.example") != nil {
				return
			}
			if _, _, err := c.ReadResponse(250); err != nil {
				return
			}
			for i := 0; !over.Load(); i++ {
				id := fmt.Sprintf("r%d-s%d-m%d", round, s, i)
				if c.PrintfLine("MAIL FROM:<a@ex.org>\r\nRCPT TO:<b@ex.net>\r\nDATA") != nil {
					return
				}
				for _, want := range []int{250, 250, 354} {
					if _, _, err := c.ReadResponse(want); err != nil {
						return
					}
				}
				if c.PrintfLine("Subject: %s\r\n\r\n%s.", id, body) != nil {
					return
				}
				if _, _, err := c.ReadResponse(250); err != nil {
					return
				}
				acked.add(id)
			}
		})
	}
	time.Sleep(d)
	kill()
	over.Store(true)
	wg.Wait()
}
