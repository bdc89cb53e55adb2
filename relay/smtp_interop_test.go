package relay_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// peer is a server by somebody else that keeps what it gets.
type peer struct {
	mu   sync.Mutex
	got  []peerMessage
	next peerMessage
}

type peerMessage struct {
	From string
	Mail smtp.MailOptions
	To   []string
	Rcpt smtp.RcptOptions // of the last
	Data string
}

func (p *peer) Reset()        { p.next = peerMessage{} }
func (p *peer) Logout() error { return nil }
func (p *peer) Mail(from string, o *smtp.MailOptions) error {
	p.next = peerMessage{From: from, Mail: *o}
	return nil
}

func (p *peer) Rcpt(to string, o *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "no@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody of that name"}
	}
	p.next.To = append(p.next.To, to)
	p.next.Rcpt = *o
	return nil
}

func (p *peer) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if strings.Contains(string(b), "X-Bounce") {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "not wanted at all"}
	}
	p.next.Data = string(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, p.next)
	return nil
}

func startPeer(t *testing.T, set func(*smtp.Server)) (*peer, string) {
	p := &peer{}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return p, nil }))
	s.Domain = "peer.example"
	s.ReadTimeout, s.WriteTimeout = 10*time.Second, 10*time.Second
	s.EnableSMTPUTF8, s.EnableDSN = true, true
	if set != nil {
		set(s)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(ln) })
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return p, ln.Addr().String()
}

func TestSMTPInterop(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	for name, set := range map[string]func(*smtp.Server){
		"plain": nil,
		"TLS":   func(s *smtp.Server) { s.TLSConfig = ca.server(t, "peer.example", time.Hour) },
	} {
		for _, noChunking := range []bool{false, true} {
			p, addr := startPeer(t, set)
			h := &relay.SMTP{Hosts: []string{addr}, Hostname: "gw.example", NoChunking: noChunking, MaxConns: 1}
			t.Cleanup(func() { h.Close() })
			e := hopEnvelope("b@ex.net", "bób@ex.net", "no@ex.net")
			e.ID, e.Return = "x+1", "HDRS"
			e.To[1].Notify = []string{"FAILURE", "DELAY"}
			e.To[1].Original = "rfc822;other+x@ex.net"
			for key, body := range byteCases {
				if noChunking && body != "" && !strings.HasSuffix(body, "\r\n") || body == "" ||
					key == "5000 octets" { // over the bound of that server
					continue
				}
				before := len(p.got)
				got := codes(h.Deliver(t.Context(), e, verdict.Bytes(body)))
				if d := cmp.Diff([]string{"250 2.0.0", "250 2.0.0", "550 5.1.1"}, got); d != "" {
					t.Errorf("%s, %s: %s", name, key, d)
					continue
				}
				m := p.got[before]
				if m.Data != body {
					t.Errorf("%s, %s: %q arrived", name, key, clipped(m.Data))
				}
				if m.From != "a@example.org" || !m.Mail.UTF8 || m.Mail.EnvelopeID != "x+1" || m.Mail.Return != "HDRS" || m.Mail.Size != int64(len(body)) ||
					m.Rcpt.OriginalRecipient != "other+x@ex.net" || len(m.Rcpt.Notify) != 2 {
					t.Errorf("%s, %s: %+v", name, key, m)
				}
			}
			got, err := h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes("X-Bounce: 1\r\n\r\n"))
			want := &relay.Reply{Code: 554, Enhanced: relay.EnhancedCode{5, 7, 1}, Text: "not wanted at all"}
			if err != nil {
				t.Fatal(err)
			}
			if r := *got[0].Reply; r.Code != want.Code || r.Enhanced != want.Enhanced || r.Text != want.Text {
				t.Errorf("%s: %+v, want %+v", name, r, want)
			}
			if all := codes(h.DeliverAll(t.Context(), hopEnvelope("no@ex.net", "b@ex.net"), verdict.Bytes(crlfBody))); !cmp.Equal(all, []string{"550 5.1.1", "451 4.3.0"}) {
				t.Errorf("%s: %q", name, all)
			}
		}
	}
}

func clipped(s string) string { return s[:min(len(s), 80)] }

// A limit of that server on recipients leaves the rest for later.
func TestSMTPInteropRecipientLimit(t *testing.T) {
	t.Parallel()
	p, addr := startPeer(t, func(s *smtp.Server) { s.MaxRecipients = 2 })
	h := &relay.SMTP{Hosts: []string{addr}, Hostname: "gw.example"}
	t.Cleanup(func() { h.Close() })
	receipts, err := h.Deliver(t.Context(), hopEnvelope("a@x", "b@x", "c@x"), verdict.Bytes(crlfBody))
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, r := range receipts {
		if r.Accepted() {
			taken++
		} else if !relay.Temporary(r.Reply) {
			t.Errorf("%s: %v is not temporary", r.Recipient, r.Reply)
		}
	}
	total := 0
	for _, m := range p.got {
		total += len(m.To)
	}
	if taken < 2 || taken != total {
		t.Errorf("%d accepted, %d taken", taken, total)
	}
	if _, err := h.Deliver(t.Context(), hopEnvelope("a@x"), verdict.Bytes(crlfBody)); err != nil || errors.Is(err, relay.ErrUncertain) {
		t.Error(err)
	}
}
