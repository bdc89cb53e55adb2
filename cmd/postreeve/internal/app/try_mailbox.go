package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// mailbox is the next hop of a lab: an SMTP server that takes everything. It keeps the fields that the
// gateway has written, and nothing else of a message.
type mailbox struct {
	addr   string
	ln     net.Listener
	server *smtp.Server
	done   chan struct{}

	mu      sync.Mutex
	headers map[string][]string // by the gateway's id
}

func newMailbox(ctx context.Context) (*mailbox, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	b := &mailbox{addr: ln.Addr().String(), ln: ln, done: make(chan struct{}), headers: map[string][]string{}}
	b.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailboxSession{b}, nil }))
	b.server.Domain = "mailbox." + labDomain
	b.server.ReadTimeout, b.server.WriteTimeout = 5*time.Minute, time.Minute
	b.server.MaxLineLength = 1 << 20
	b.server.EnableSMTPUTF8, b.server.EnableDSN = true, true
	go func() {
		defer close(b.done)
		b.server.Serve(ln)
	}()
	return b, nil
}

func (b *mailbox) close() {
	b.server.Close()
	b.ln.Close() // which the server does not know of if it has only just begun
	<-b.done
}

// take returns the fields with which the message arrived, once.
func (b *mailbox) take(id string) (headers []string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	headers, ok = b.headers[id]
	delete(b.headers, id)
	return headers, ok
}

func (b *mailbox) put(id string, headers []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.headers) >= maxKnown {
		clear(b.headers)
	}
	b.headers[id] = headers
}

type mailboxSession struct{ b *mailbox }

func (mailboxSession) Reset()                               {}
func (mailboxSession) Logout() error                        { return nil }
func (mailboxSession) Mail(string, *smtp.MailOptions) error { return nil }
func (mailboxSession) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data keeps the gateway's fields, which stand on top, one line each.
func (s mailboxSession) Data(r io.Reader) error {
	var id string
	var headers []string
	br := bufio.NewReader(r)
	for len(headers) < 20 {
		line, err := br.ReadSlice('\n')
		text := strings.TrimRight(string(line), "\r\n")
		if err != nil || text == "" {
			break
		}
		if !strings.HasPrefix(text, "X-Postreeve-") {
			continue
		}
		headers = append(headers, text)
		if v, ok := strings.CutPrefix(text, "X-Postreeve-Id: "); ok {
			id = v
		}
	}
	if _, err := io.Copy(io.Discard, br); err != nil {
		return err
	}
	s.b.put(id, headers)
	return nil
}
