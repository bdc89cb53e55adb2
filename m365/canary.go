package m365

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"time"
)

// A Canary sends a message from outside through the whole loop and finds it again.
type Canary struct {
	// Mailbox takes the message. It has to be one that the profile protects.
	Mailbox string
	// Send hands over a message with this Message-ID, angle brackets included, from outside the tenant.
	Send func(ctx context.Context, messageID, mailbox string) error
	// Find returns the header of the delivered message, or nil while there is none.
	Find func(ctx context.Context, messageID, mailbox string) (textproto.MIMEHeader, error)
	// Within is how long it may take; zero: 45 minutes, since rules take up to 30 to have effect.
	Within time.Duration
	// Every is the time between two messages; zero: 2 minutes. Mail that left before the rules had effect
	// never shows that they have.
	Every time.Duration
}

// A Sighting is what became of a canary.
type Sighting struct {
	MessageID string        `json:"message-id"`
	Sent      time.Time     `json:"sent"`
	Took      time.Duration `json:"took"`      // until it was found
	Effective time.Duration `json:"effective"` // since the first message was sent: time until the rules had effect
	Scanned   bool          `json:"scanned"`   // it passed the gateway
	Problems  []string      `json:"problems,omitempty"`
}

var errNoCanary = errors.New("no canary came through the gateway")

// fly sends canaries until one comes through the gateway, or the time is over.
func (c *Canary) fly(ctx context.Context, p *Profile, tell func(text string, until time.Time)) (*Sighting, error) {
	if c.Send == nil || c.Find == nil || c.Mailbox == "" {
		return nil, errors.New("m365: a canary needs a mailbox, and functions to send and to find")
	}
	start := time.Now()
	until := start.Add(orDuration(c.Within, 45*time.Minute))
	every := orDuration(c.Every, 2*time.Minute)
	flying := map[string]time.Time{}
	var last *Sighting
	tell("waiting for a message to come through the gateway to "+c.Mailbox, until)
	for {
		id := "<canary-" + newGUID() + "@" + p.Domains[0] + ">"
		if err := c.Send(ctx, id, c.Mailbox); err != nil {
			return last, fmt.Errorf("m365: canary: send: %w", err)
		}
		flying[id] = time.Now()
		pause := min(every, max(time.Until(until), 0))
		for id, sent := range flying {
			h, err := c.Find(ctx, id, c.Mailbox)
			if err != nil {
				return last, fmt.Errorf("m365: canary: find: %w", err)
			}
			if h == nil {
				continue
			}
			delete(flying, id)
			last = judgeCanary(p, h)
			last.MessageID, last.Sent, last.Took, last.Effective = id, sent, time.Since(sent), time.Since(start)
			if last.Scanned {
				return last, nil
			}
		}
		if !time.Now().Before(until) {
			if last != nil {
				return last, fmt.Errorf("m365: canary: %w: %s", errNoCanary, strings.Join(last.Problems, "; "))
			}
			return nil, fmt.Errorf("m365: canary: %w: none was delivered", errNoCanary)
		}
		if err := sleep(ctx, pause); err != nil {
			return last, err
		}
	}
}

// judgeCanary reads from a delivered message what it went through.
func judgeCanary(p *Profile, h textproto.MIMEHeader) *Sighting {
	s := &Sighting{Scanned: h.Get(p.Headers.verdict()) != ""}
	if !s.Scanned {
		s.Problems = append(s.Problems, "it has no header "+p.Headers.verdict()+": it was delivered past the gateway")
		return s
	}
	if h.Get(p.Headers.token()) != "" {
		s.Problems = append(s.Problems, "it still has the header "+p.Headers.token()+": the return rule has no effect yet")
	}
	auth := strings.ToLower(strings.Join(h.Values("Authentication-Results"), " "))
	if strings.Contains(auth, "compauth=fail") {
		s.Problems = append(s.Problems, "composite authentication failed (compauth=fail): the way the tenant trusts the gateway does not work")
	}
	if p.posture() == Hardened && auth != "" && !strings.Contains(auth, "arc=pass") && !strings.Contains(auth, "oda=1") {
		s.Problems = append(s.Problems, "the seal of the gateway was not accepted (no arc=pass)")
	}
	return s
}

func orDuration(d, standard time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return standard
}

// sleep waits, or returns the error of the context.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
