package app

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// lab is a whole mail system in this process: a gateway, its next hop with a mailbox, and a quarantine
// in memory.
type lab struct {
	addr    string // of the gateway
	mailbox *mailbox
	hop     *relay.SMTP
	engine  *verdict.Engine
	results chan tried // one for each message; what nobody takes is dropped

	cancel context.CancelFunc
	served chan error

	mu    sync.Mutex
	known map[string]letter // by id, of messages under way
}

// letter is what a table says of a message beside its outcome.
type letter struct {
	from, subject string
	to            []string
}

const labDomain = "try.example"

func (l *lab) recipient() string { return "you@" + labDomain }

// newLab starts everything. It ends when it is closed; ctx ends the gateway.
func newLab(ctx context.Context, port int) (*lab, error) {
	engine, err := newEngine(nil, engineParts{})
	if err != nil {
		return nil, err
	}
	l := &lab{
		engine:  engine,
		results: make(chan tried, 100), known: map[string]letter{}, served: make(chan error, 1),
	}
	if l.mailbox, err = newMailbox(ctx); err != nil {
		return nil, err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		l.mailbox.close()
		return nil, fmt.Errorf("%w%s", err, listenAdvice(err))
	}
	l.addr = ln.Addr().String()
	l.hop = &relay.SMTP{Hosts: []string{l.mailbox.addr}, Hostname: "gateway." + labDomain, TLS: relay.TLSNone}
	srv := &relay.Server{
		Hostname:  "gateway." + labDomain,
		Directory: relay.Static{labDomain: {Name: labDomain, Next: l.hop}},
		Judge:     l,
		Hold: relay.HolderFunc(func(_ context.Context, _ *relay.Domain, m *verdict.Message, _ *verdict.Report) (string, error) {
			return "held-" + m.ID, nil // for the table: nobody comes back for it
		}),
		Trace: relay.Trace{Done: l.done},
	}
	ctx, l.cancel = context.WithCancel(ctx)
	go func() { l.served <- srv.Serve(ctx, ln) }()
	return l, nil
}

func (l *lab) close() {
	l.cancel()
	<-l.served
	l.hop.Close()
	l.mailbox.close()
}

func (l *lab) scanners() []string {
	var out []string
	for _, s := range l.engine.Scanners {
		out = append(out, s.Name())
	}
	return out
}

// maxKnown bounds what is remembered of messages whose end was never told.
const maxKnown = 1000

// Judge implements relay.Judge and remembers who sent the message.
func (l *lab) Judge(ctx context.Context, m *verdict.Message) *verdict.Report {
	l.mu.Lock()
	if len(l.known) >= maxKnown {
		clear(l.known)
	}
	l.known[m.ID] = letter{m.Envelope.From, m.Header().Text("Subject"), m.Envelope.Addresses()}
	l.mu.Unlock()
	return l.engine.Judge(ctx, m)
}

// done makes a row of an outcome.
func (l *lab) done(o relay.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.known[o.ID]
	delete(l.known, o.ID)
	t := tried{
		ID: o.ID, From: known.from, To: known.to, Subject: known.subject, Size: o.Size, Class: o.Class, Action: o.Action.String(),
		Place: "nowhere: it was refused", Headers: []string{}, Findings: []verdict.Finding{}, TookMS: float64(o.Took.Microseconds()) / 1000,
	}
	if o.Reply != nil {
		t.Reply = fmt.Sprintf("%d %s %s", o.Reply.Code, o.Reply.Enhanced, o.Reply.Text)
	}
	if o.Report != nil {
		t.Findings = append(t.Findings, o.Report.Findings...)
	}
	if o.Held != "" {
		t.Place = "quarantine"
	}
	if headers, ok := l.mailbox.take(o.ID); ok {
		t.Place, t.Headers = "mailbox", headers
	}
	select {
	case l.results <- t:
	default: // nobody looks
	}
}

// outcome waits for what became of the message that got this reply.
func (l *lab) outcome(ctx context.Context, reply string) (tried, error) {
	for {
		select {
		case t := <-l.results:
			if strings.Contains(reply, t.ID) {
				t.Reply = reply
				return t, nil
			}
		case <-ctx.Done():
			return tried{}, errNoOutcome
		}
	}
}
