package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// releasedName is the header field that carries the mark of a release.
const releasedName = "Released"

// Release delivers a message that was held to the next hop of its domain, with the fields on top that it
// would have got, but for an ARC set, and with mark in a field of its own. m is as it was held: its Envelope has
// those who are to get it, and its Auth what was known about the sender when it came, which is what the
// Authentication-Results say. It may be called on a server that does not serve.
func (s *Server) Release(ctx context.Context, d *Domain, m *verdict.Message, class verdict.Class, mark string) ([]Receipt, error) {
	if err := s.Valid(); err != nil {
		return nil, err
	}
	if d == nil || d.Next == nil {
		return nil, errors.New("relay: the domain has no next hop")
	}
	s.init()
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.deliver())
	defer cancel()
	var st stamps
	s.stampResults(&st, m)
	st.add("Received", fmt.Sprintf("from quarantine by %s (%s) id %s; %s", s.hostname, stampNote(d), m.ID, m.Received.Format(time.RFC1123Z)))
	st.add(s.Headers.name("Id"), m.ID)
	st.add(s.Headers.name("Verdict"), verdictWord(class))
	if mark != "" {
		st.add(s.Headers.name(releasedName), mark)
	}
	if d.Token != "" {
		st.add(s.Headers.name("Token"), d.Token)
	}
	if st.err != nil {
		return nil, st.err
	}
	out := &stamped{head: []byte(st.b.String()), src: m}
	for f := range m.Header().All() {
		if s.Headers.ours(f, s.ownNames) {
			out.cut = append(out.cut, span{f.Offset(), f.Offset() + f.Len()})
		}
	}
	return d.Next.Deliver(ctx, m.Envelope, out)
}

// released says whether a message that would be held was held and released before.
func (s *Server) released(ctx context.Context, m *verdict.Message) bool {
	r, ok := s.Hold.(Releaser)
	if !ok {
		return false
	}
	for _, mark := range m.Header().Values(s.Headers.name(releasedName)) {
		ctx, cancel := context.WithTimeout(ctx, s.Timeouts.store())
		was, err := shield(s, "holder", func() (bool, error) { return r.Released(ctx, m, mark), nil })
		cancel()
		if err == nil && was {
			return true
		}
	}
	return false
}

// record tells the ledger.
func (s *Server) record(ctx context.Context, d *Domain, m *verdict.Message, o Outcome) {
	if s.Ledger == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.ledger())
	defer cancel()
	_, err := shield(s, "ledger", func() (struct{}, error) { return struct{}{}, s.Ledger.RecordMessage(ctx, d, m, o) })
	if err != nil {
		s.log().Error("the ledger did not take note of a message", "id", m.ID, "error", err)
	}
}
