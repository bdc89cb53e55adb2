package gworkspace

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const maxReply = 32 << 20 // bytes of a reply

// A requester sends requests and repeats what was refused for a while.
type requester struct {
	transport http.RoundTripper
	timeout   time.Duration
	retry     Retry
	observe   func(Attempt)
}

// A request is sent as often as its reply asks for.
type request struct {
	name, object string
	method       string
	url          *url.URL
	header       http.Header
	body         []byte
	repeat       bool        // sending it twice is the same as sending it once
	tokens       TokenSource // nil: it needs none
	ask          TokenRequest
	before       func(context.Context) error // waits for the quota
	read         func([]byte) error          // takes in a reply of 2xx, or says that it is none; nil: nobody looks
}

// do sends the request until it is answered, refused for good, or the budget is spent. lost says that an
// attempt without a reply may have taken effect.
func (r *requester) do(ctx context.Context, req *request) (lost bool, err error) {
	var waited time.Duration
	renewed := false
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return lost, &Error{Op: req.name, Object: req.object, Err: err}
		}
		start := time.Now()
		status, err := r.once(ctx, req)
		if err == nil {
			r.tell(req, n, status, start, nil, 0)
			return lost, nil
		}
		var e *Error
		if !errors.As(err, &e) {
			r.tell(req, n, status, start, err, 0)
			return lost, err
		}
		var wait time.Duration
		again := e.Retryable && n < cmp.Or(r.retry.Attempts, 6)
		switch {
		case status == http.StatusUnauthorized && req.tokens != nil && !renewed && e.Kind == ErrUnauthorized:
			renewed, req.ask.Refresh, again = true, true, true
		case again && (req.repeat || e.Kind == ErrThrottled):
			wait = max(e.RetryAfter, r.backoff(n))
			lost = lost || e.Kind != ErrThrottled
			again = waited+wait <= cmp.Or(r.retry.Budget, 5*time.Minute)
		default:
			again = false
		}
		r.tell(req, n, status, start, err, wait)
		if !again {
			return lost, err
		}
		waited += wait
		if werr := sleep(ctx, wait); werr != nil {
			return lost, errors.Join(err, werr)
		}
	}
}

func (r *requester) tell(req *request, n, status int, start time.Time, err error, wait time.Duration) {
	if r.observe != nil {
		r.observe(Attempt{Name: req.name, Number: n, Status: status, Took: time.Since(start), Err: err, Wait: wait})
	}
}

// once waits for the quota, gets a token, sends and reads. Its errors are of type *Error, or of the source of
// tokens.
func (r *requester) once(ctx context.Context, req *request) (status int, err error) {
	if req.before != nil {
		if err := req.before(ctx); err != nil {
			return 0, &Error{Op: req.name, Object: req.object, Err: err}
		}
	}
	h := http.Header{"Accept": {"application/json"}, "User-Agent": {"postreeve"}}
	for k, v := range req.header {
		h[k] = v
	}
	if req.tokens != nil {
		t, err := req.tokens.Token(ctx, req.ask)
		req.ask.Refresh = false
		if err == nil {
			err = validToken(t.Value)
		}
		if err != nil {
			return 0, tokenError(req, err)
		}
		h.Set("Authorization", "Bearer "+t.Value)
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	hr, err := http.NewRequestWithContext(ctx, req.method, req.url.String(), bytes.NewReader(req.body))
	if err != nil {
		return 0, &Error{Op: req.name, Object: req.object, Err: err}
	}
	hr.Header = h
	// Not client.Do, which would follow a redirect and take the token along.
	resp, err := cmp.Or[http.RoundTripper](r.transport, http.DefaultTransport).RoundTrip(hr)
	if err != nil {
		return 0, &Error{Op: req.name, Object: req.object, Err: err, Retryable: !isCertificateError(err) && (isTimeout(err) || !errors.Is(err, context.Canceled))}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	switch {
	case err != nil:
		return resp.StatusCode, &Error{Op: req.name, Object: req.object, Status: resp.StatusCode, Err: fmt.Errorf("reply: %w", err), Retryable: true}
	case len(body) > maxReply:
		return resp.StatusCode, &Error{Op: req.name, Object: req.object, Status: resp.StatusCode, Message: "the reply is longer than 32 MiB"}
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		e := replyError(req.name, req.object, resp.StatusCode, body)
		e.RetryAfter = retryAfter(resp.Header)
		if e.Kind == ErrScope && len(req.ask.Scopes) > 0 {
			e.Err = &ScopeError{Subject: req.ask.Subject, Missing: req.ask.Scopes}
		}
		return resp.StatusCode, e
	}
	if req.read != nil {
		if err := req.read(body); err != nil {
			return resp.StatusCode, &Error{Op: req.name, Object: req.object, Status: resp.StatusCode, Err: err, Retryable: true}
		}
	}
	return resp.StatusCode, nil
}

// tokenError says which request had no token. What the source said is kept.
func tokenError(req *request, err error) error {
	e := &Error{Op: req.name, Object: req.object, Err: err, Kind: ErrUnauthorized}
	for _, k := range []error{ErrScope, ErrSubject, ErrThrottled, ErrNoMailbox, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, k) {
			e.Kind = nil // Err says it
		}
	}
	return e
}

// retryAfter reads seconds or a date; zero: none given.
func retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(n, 0), 86400)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), 24*time.Hour)
	}
	return 0
}

// backoff doubles with each attempt, up to a minute, and varies so that clients do not come back in step.
func (r *requester) backoff(attempt int) time.Duration {
	d := cmp.Or(r.retry.First, time.Second) << min(attempt-1, 6)
	d = min(d, time.Minute)
	return d/2 + rand.N(d/2+1)
}

// sleep waits, or returns the error of the context.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func isCertificateError(err error) bool {
	var v *tls.CertificateVerificationError
	var u x509.UnknownAuthorityError
	var h x509.HostnameError
	return errors.As(err, &v) || errors.As(err, &u) || errors.As(err, &h)
}
