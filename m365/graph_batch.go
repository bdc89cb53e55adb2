package m365

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// preferImmutable makes the id of a message stay the same when it is moved.
	preferImmutable = `IdType="ImmutableId"`
	maxBatch        = 20 // requests in one $batch
	maxMailbox      = 4  // requests to one mailbox at once
)

// A part is one request of a batch. All of them may be sent twice: reads, moves by immutable id, deletions.
type part struct {
	mailbox string // the user it is about; parts to one mailbox are limited
	method  string
	path    string // relative to the version, with its query
	body    any

	status int // answered; 0: not yet
	reply  json.RawMessage
	lost   bool // an earlier attempt may have taken effect
}

type partOut struct {
	ID      string            `json:"id"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    any               `json:"body,omitempty"`
}

type partIn struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

// batch sends all parts, in as many rounds as it takes: what is throttled or fails for a moment goes out
// again after the longest wait that was asked for, until the budget of Retry is spent. An error means that
// the batch itself did not go through; what became of each part stands in it.
func (g *Graph) batch(ctx context.Context, parts []*part) error {
	attempts := map[*part]int{}
	most := 6
	if g.cfg.Retry.Attempts > 0 {
		most = g.cfg.Retry.Attempts
	}
	budget := g.cfg.Retry.Budget
	if budget <= 0 {
		budget = 5 * time.Minute
	}
	open := parts
	for round := 1; len(open) > 0; round++ {
		now, later := pickBatch(open)
		wait, err := g.round(ctx, now)
		if err != nil {
			return err
		}
		for _, p := range now {
			attempts[p]++
			if p.again() && attempts[p] < most && wait <= budget {
				p.lost = p.lost || p.status != http.StatusTooManyRequests
				later = append(later, p)
			}
		}
		open = later
		if wait > 0 && len(open) > 0 && wait <= budget {
			budget -= wait
			if err := g.http.wait(ctx, wait); err != nil {
				return err
			}
		}
	}
	return nil
}

// pickBatch takes up to twenty parts, and up to four of a mailbox.
func pickBatch(open []*part) (now, later []*part) {
	used := map[string]int{}
	for _, p := range open {
		if len(now) < maxBatch && used[p.mailbox] < maxMailbox {
			used[p.mailbox]++
			now = append(now, p)
		} else {
			later = append(later, p)
		}
	}
	return now, later
}

// again says whether the answer was none.
func (p *part) again() bool {
	return p.status == 0 || p.status == http.StatusTooManyRequests || p.status >= 500
}

// round sends one batch and returns how long to wait before the next one.
func (g *Graph) round(ctx context.Context, now []*part) (time.Duration, error) {
	out := make([]partOut, len(now))
	for i, p := range now {
		out[i] = partOut{ID: strconv.Itoa(i), Method: p.method, URL: p.path, Body: p.body, Headers: map[string]string{"Prefer": preferImmutable}}
		if p.body != nil {
			out[i].Headers["Content-Type"] = "application/json"
		}
		p.status, p.reply = 0, nil
	}
	var in struct{ Responses []partIn }
	if err := g.send(ctx, http.MethodPost, "/$batch", map[string]any{"requests": out}, &in, true); err != nil {
		return 0, err
	}
	var wait time.Duration
	for _, r := range in.Responses {
		i, err := strconv.Atoi(r.ID)
		if err != nil || i < 0 || i >= len(now) {
			return 0, fmt.Errorf("m365: Graph: a batch was answered for a request that was not in it")
		}
		p := now[i]
		p.status, p.reply = r.Status, r.Body
		h := http.Header{}
		for k, v := range r.Headers {
			h.Set(k, v)
		}
		if p.again() {
			after := retryAfter(h)
			if after == 0 {
				after = g.http.backoff(1)
			}
			wait = max(wait, after)
		}
	}
	for _, p := range now {
		if p.status == 0 { // left out of the answer
			wait = max(wait, g.http.backoff(1))
		}
	}
	return wait, nil
}

// err is what a part failed with, nil if it did not.
func (p *part) err(object string) error {
	if p.status >= 200 && p.status < 300 {
		return nil
	}
	e := replyError(graphName(p.method, p.path), object, &reply{status: p.status, header: http.Header{}, body: p.reply})
	if p.status == 0 {
		e.Kind, e.Retryable, e.Message = ErrAmbiguous, true, "the batch was answered without this part"
	}
	if e.Kind == ErrForbidden {
		e.Role = "the application permission Mail.ReadWrite, and no policy that keeps the application out of this mailbox"
	}
	return e
}
