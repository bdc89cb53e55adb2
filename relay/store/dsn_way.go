package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// errNoWay is about notices to senders elsewhere.
var errNoWay = errors.New("no way for notices is configured")

// noticeHop finds how a notice leaves: to a domain whose mail is taken here by the hop of that domain, for the hosts that
// its MX records name are ourselves; to all others by the way of bounces. A domain that was not proven is not ours, whoever
// claims it; but its MX records may lead here already, and the hop of a domain that has none may come: a notice waits for that
// as long as for anything else, and no longer.
func (s *Store) noticeHop(ctx context.Context, dir relay.Directory, bounces relay.NextHop, domain string) (relay.NextHop, error) {
	name := strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(domain, bounceDomain)), ".")
	err := relay.ErrUnknownDomain
	if name != "" {
		var d *relay.Domain
		if d, err = lookup(ctx, dir, name); err == nil {
			return redacting{tokened{d.Next, s.tokenField(d)}}, nil
		}
	}
	unproven := errors.Is(err, relay.ErrUnverified)
	switch {
	case errors.Is(err, errNoNext):
		return nil, errNoNext
	case !unproven && !errors.Is(err, relay.ErrUnknownDomain):
		return nil, err
	case bounces == nil:
		return nil, errNoWay
	case unproven:
		return redacting{patient{bounces}}, nil
	}
	return redacting{bounces}, nil
}

// patient is the way of notices to a domain that may be ours soon: that its next hop is ourselves, as long as it is not,
// is no refusal.
type patient struct{ relay.NextHop }

func (h patient) Deliver(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
	receipts, err := h.NextHop.Deliver(ctx, e, body)
	var r *relay.Reply
	if errors.As(err, &r) {
		if later := notYet(r); later != r {
			err = later
		}
	}
	receipts = slices.Clone(receipts)
	for i := range receipts {
		receipts[i].Reply = notYet(receipts[i].Reply)
	}
	return receipts, err
}

// notYet makes a refusal for a loop (RFC 3463, 5.4.6) a temporary one.
func notYet(r *relay.Reply) *relay.Reply {
	if r == nil || r.Enhanced != (relay.EnhancedCode{5, 4, 6}) {
		return r
	}
	later := *r
	later.Code, later.Enhanced = 451, relay.EnhancedCode{4, 4, 6}
	return &later
}

// tokenField is the field with the token of a domain, empty without one.
func (s *Store) tokenField(d *relay.Domain) string {
	if d.Token == "" {
		return ""
	}
	return s.prefix() + "Token: " + oneLine(d.Token) + "\r\n"
}

// tokened puts a field on top of what is delivered. Without the token the rules of a tenant would send our own mail
// through the gateway, like that of strangers.
type tokened struct {
	relay.NextHop
	field string
}

func (h tokened) Deliver(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
	if h.field != "" {
		body = topped{body, h.field}
	}
	return h.NextHop.Deliver(ctx, e, body)
}

// topped is a message with something on top.
type topped struct {
	verdict.Source
	top string
}

func (t topped) Size() int64 { return int64(len(t.top)) + t.Source.Size() }

func (t topped) Open() (io.ReadCloser, error) {
	r, err := t.Source.Open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(strings.NewReader(t.top), r), r}, nil
}

// redacting is a way for notices. One about a message with REQUIRETLS has to be sent with REQUIRETLS too, or without what it
// returns of the message (RFC 8689 section 5), and it is not to be lost where the way cannot do the first.
type redacting struct{ relay.NextHop }

func (h redacting) Deliver(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
	receipts, err := h.NextHop.Deliver(ctx, e, body)
	if !e.RequireTLS || !lacksTLS(receipts, err) {
		return receipts, err
	}
	short, rerr := redacted(body)
	if rerr != nil {
		return nil, rerr // it can be read another time, or its damage is noticed
	}
	e.RequireTLS = false
	return h.NextHop.Deliver(ctx, e, short)
}

// lacksTLS says whether nobody got a message, for want of REQUIRETLS.
func lacksTLS(receipts []relay.Receipt, err error) bool {
	lacks := func(r *relay.Reply) bool { return r != nil && r.Enhanced == relay.EnhancedCode{5, 7, 30} }
	var r *relay.Reply
	if err != nil {
		return errors.As(err, &r) && lacks(r)
	}
	for _, r := range receipts {
		if !lacks(r.Reply) {
			return false
		}
	}
	return len(receipts) > 0
}

// redacted is a notice of ours without its third part, the header of the message.
func redacted(notice verdict.Source) (verdict.Source, error) {
	var b bytes.Buffer
	if err := copyAll(&b, notice); err != nil {
		return nil, err
	}
	head, _, _ := bytes.Cut(b.Bytes(), []byte("\r\n\r\n"))
	m, err := mail.ReadMessage(bytes.NewReader(append(bytes.Clone(head), "\r\n\r\n"...)))
	if err != nil {
		return nil, fmt.Errorf("store: notice: %w", err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, errors.New("store: notice: it has no parts")
	}
	dashes := "\r\n--" + params["boundary"]
	parts := bytes.SplitN(b.Bytes(), []byte(dashes), 4) // what is before the first of them, two, and the rest
	if len(parts) < 4 {
		return nil, errors.New("store: notice: it has no third part")
	}
	out := bytes.Join(parts[:3], []byte(dashes))
	return verdict.Bytes(append(out, dashes+"--\r\n"...)), nil
}
