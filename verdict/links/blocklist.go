package links

import (
	"context"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Blocklist asks lists of IP addresses about the client that a message comes from: verdict.Message.Origin. It can object
// before the message is sent. Without Lists it finds nothing. Its fields are set before the first use and only read
// afterwards; it may then be used by many goroutines at once.
type Blocklist struct {
	// Lists are asked in this order, those of domains left out.
	Lists []List
	// Resolver asks them. It is needed if there are any.
	Resolver Resolver
	// Time is for all of them, side by side. 0 means 2 s.
	Time time.Duration
}

// Name returns "blocklist".
func (Blocklist) Name() string { return "blocklist" }

// Scan implements verdict.Scanner. A list that cannot be asked is a finding without weight; the error is that of ctx.
func (b Blocklist) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ip := m.Origin.Addr.Addr().Unmap()
	if !ip.IsValid() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || len(b.Lists) == 0 {
		return nil, nil
	}
	if b.Resolver == nil {
		f := verdict.Found(codeClientFailed)
		f.Detail = "there are Lists, and no Resolver to ask them"
		return []verdict.Finding{f}, nil
	}
	var questions []question
	for _, l := range b.Lists {
		if l.Addresses {
			questions = append(questions, question{list: l, name: reverse(ip.WithZone("")), what: ip.String()})
		}
	}
	limit := b.Time
	orDefault(&limit, 2*time.Second)
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out []verdict.Finding
	for i, r := range askAll(within, b.Resolver, questions) {
		q := questions[i]
		var f verdict.Finding
		switch {
		case r.err != nil:
			f = verdict.Found(codeClientFailed)
			f.Detail = clip(r.err.Error(), 300)
		case r.said != "":
			f = verdict.Found(codeClientListed)
			f.Detail = clip(fmt.Sprintf("%s is on %s: %s", q.what, q.list.Zone, r.said), 300)
			if q.list.Score != 0 {
				f.Score = q.list.Score
			}
		default:
			continue
		}
		out = append(out, f)
	}
	return out, ctx.Err()
}

// ScanEnvelope implements verdict.EnvelopeScanner: the client is known from the beginning, so it asks after MAIL and
// not again for each recipient.
func (b Blocklist) ScanEnvelope(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if len(m.Envelope.To) > 0 {
		return nil, ctx.Err()
	}
	return b.Scan(ctx, m)
}
