package m365

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	maxReply     = 32 << 20 // bytes of a reply
	maxRedirects = 3
)

// A requester sends requests with a token and repeats what was refused for a while. Both clients of the
// package are made of one.
type requester struct {
	tokens  TokenSource
	scope   string
	retry   Retry
	observe func(Attempt)
	client  *http.Client
}

// A request is sent as often as its reply asks for.
type request struct {
	name, object string
	method       string
	url          *url.URL
	header       http.Header
	body         []byte
	repeat       bool               // sending it twice is the same as sending it once
	base         *url.URL           // redirects stay below it; nil: none is followed
	moved        func(to *url.URL)  // told of a redirect
	secrets      []string           // never repeated, whatever the service says
	read         func(*reply) error // takes in a reply of 2xx, or says that it is none
}

// A reply is read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
	lost   bool // an earlier attempt may have taken effect
}

func (r *reply) requestID() string {
	return oneLine(first(r.header.Get("request-id"), r.header.Get("client-request-id")), 80)
}

func newHTTPClient(rt http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     cmp.Or[http.RoundTripper](rt, http.DefaultTransport),
		Timeout:       cmp.Or(timeout, 3*time.Minute),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// turn is where the repetition of one request stands.
type turn struct {
	attempt, redirects int
	ask                TokenRequest
	renewed            bool   // a new token was asked for because the last one was refused
	refused            *Error // why
	lost               bool
	waited             time.Duration
}

// do sends the request until it is answered, refused for good, or the budget is spent.
func (r *requester) do(ctx context.Context, req *request) (*reply, error) {
	t := turn{ask: TokenRequest{Scope: r.scope}}
	for {
		if err := ctx.Err(); err != nil && t.attempt == 0 {
			return nil, &Error{Cmdlet: req.name, Object: req.object, Err: err}
		}
		t.attempt++
		start := time.Now()
		rep, err := r.once(ctx, req, t.ask)
		t.ask.Claims, t.ask.Refresh = "", false
		var wait time.Duration
		var again bool
		if err == nil {
			rep.lost = t.lost
			again, wait, err = r.judge(req, rep, &t)
		} else {
			again, wait, err = r.failed(ctx, req, err, &t)
		}
		if again && wait > 0 && t.waited+wait > cmp.Or(r.retry.Budget, 5*time.Minute) {
			again = false
		}
		r.tell(req, rep, &t, start, err, again, wait)
		if !again {
			return rep, err
		}
		t.waited += wait
		if werr := r.wait(ctx, wait); werr != nil {
			return nil, errors.Join(err, werr)
		}
	}
}

func (r *requester) tell(req *request, rep *reply, t *turn, start time.Time, err error, again bool, wait time.Duration) {
	if r.observe == nil {
		return
	}
	a := Attempt{Name: req.name, Number: t.attempt, Took: time.Since(start), Err: err}
	if rep != nil {
		a.Status, a.RequestID = rep.status, rep.requestID()
	}
	if again {
		a.Wait = wait
	}
	r.observe(a)
}

// once gets a token, sends and reads.
func (r *requester) once(ctx context.Context, req *request, ask TokenRequest) (*reply, error) {
	token, err := r.tokens.Token(ctx, ask)
	if err != nil {
		return nil, tokenError{err}
	}
	if err := validToken(token.Value); err != nil {
		return nil, tokenError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, r.client.Timeout)
	defer cancel()
	hr, err := http.NewRequestWithContext(ctx, req.method, req.url.String(), bytes.NewReader(req.body))
	if err != nil {
		return nil, err
	}
	for k, v := range req.header {
		hr.Header[k] = v
	}
	hr.Header.Set("Authorization", "Bearer "+token.Value)
	hr.Header.Set("Accept-Language", "en-US") // warnings are told apart by their text
	// Not client.Do, which has its own mind about redirects and turns a redirected POST into a GET.
	resp, err := r.client.Transport.RoundTrip(hr)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	if len(body) > maxReply {
		return nil, errTooLong
	}
	return &reply{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

type tokenError struct{ error }

func (e tokenError) Unwrap() error { return e.error }

var errTooLong = errors.New("the reply is longer than 32 MiB")

// failed judges an attempt without a reply.
func (r *requester) failed(ctx context.Context, req *request, err error, t *turn) (bool, time.Duration, error) {
	e := &Error{Cmdlet: req.name, Object: req.object, Err: err}
	var te tokenError
	if errors.As(err, &te) {
		if t.refused != nil { // the refusal says more than that there is no other token
			t.refused.Err = err
			return false, 0, t.refused
		}
		if ctx.Err() == nil {
			e.Kind = ErrUnauthorized
		}
		return false, 0, e
	}
	var dial *net.OpError
	sent := !errors.As(err, &dial) || dial.Op != "dial"
	if sent && !req.repeat {
		e.Kind = ErrAmbiguous
		return false, 0, e
	}
	if ctx.Err() != nil || errors.Is(err, errTooLong) || isCertificateError(err) {
		return false, 0, e
	}
	t.lost = t.lost || sent
	e.Retryable = true
	return t.attempt < cmp.Or(r.retry.Attempts, 6), r.backoff(t.attempt), e
}

// judge decides what a reply means: an answer, a refusal, or that the request goes out again.
func (r *requester) judge(req *request, rep *reply, t *turn) (bool, time.Duration, error) {
	switch {
	case rep.status >= 200 && rep.status < 300:
		return r.accept(req, rep, t)
	case rep.status >= 300 && rep.status < 400:
		return r.redirect(req, rep, t)
	}
	e := replyError(req.name, req.object, rep)
	e.Message = redact(e.Message, req.secrets)
	more := t.attempt < cmp.Or(r.retry.Attempts, 6)
	switch {
	case rep.status == http.StatusUnauthorized:
		claims := challenge(rep.header)
		if claims != "" {
			e.Kind = ErrClaims
		}
		if t.renewed {
			return false, 0, e
		}
		t.renewed, t.refused, t.ask.Claims, t.ask.Refresh = true, e, claims, true
		return true, 0, e
	case rep.status == http.StatusForbidden && rep.header.Get("x-ms-diagnostics") == "" && !t.renewed && len(bytes.Trim(rep.body, "\x00")) == 0:
		// No reason given: often a token from before a role was granted, not a missing right.
		t.renewed, t.refused, t.ask.Refresh = true, e, true
		return true, 0, e
	case e.Kind == ErrThrottled:
		e.RetryAfter = retryAfter(rep.header)
		return more, cmp.Or(e.RetryAfter, r.backoff(t.attempt)), e
	case e.Retryable && !req.repeat:
		e.Kind = ErrAmbiguous
		return false, 0, e
	case e.Retryable:
		t.lost = true
		return more, max(retryAfter(rep.header), r.backoff(t.attempt)), e
	}
	return false, 0, e
}

// accept takes a reply that makes sense. One that does not comes from something between us and the service,
// or was cut off: nobody knows whether the request got there.
func (r *requester) accept(req *request, rep *reply, t *turn) (bool, time.Duration, error) {
	if req.read == nil {
		return false, 0, nil
	}
	err := req.read(rep)
	if err == nil {
		return false, 0, nil
	}
	e := &Error{Cmdlet: req.name, Object: req.object, Status: rep.status, RequestID: rep.requestID(), Err: err}
	if !req.repeat {
		e.Kind = ErrAmbiguous
		return false, 0, e
	}
	t.lost, e.Retryable = true, true
	return t.attempt < cmp.Or(r.retry.Attempts, 6), r.backoff(t.attempt), e
}

// redirect sends the same request to another place, if that is below the base.
func (r *requester) redirect(req *request, rep *reply, t *turn) (bool, time.Duration, error) {
	e := &Error{Cmdlet: req.name, Object: req.object, Status: rep.status, RequestID: rep.requestID()}
	to, err := req.url.Parse(rep.header.Get("Location"))
	switch {
	case err != nil || rep.header.Get("Location") == "":
		e.Message = "a redirect to nowhere"
	case req.base == nil || !below(req.base, to):
		e.Message = "a redirect to " + oneLine(to.Host, 100) + ", which is not below the address of the service: the token stays here"
	case t.redirects >= maxRedirects:
		e.Message = "redirected again and again"
	default:
		t.redirects++
		t.attempt--
		req.url = to
		if req.moved != nil {
			req.moved(to)
		}
		return true, 0, e
	}
	return false, 0, e
}

var claimsPart = regexp.MustCompile(`(?i)\bclaims="([A-Za-z0-9+/=_-]+)"`)

// challenge returns the claims a refused token must have, as JSON.
func challenge(h http.Header) string {
	for _, v := range h.Values("WWW-Authenticate") {
		m := claimsPart.FindStringSubmatch(v)
		if m == nil || len(m[1]) > 8192 {
			continue
		}
		s := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(m[1], "="))
		raw, err := base64.RawStdEncoding.DecodeString(s)
		if err == nil && json.Valid(raw) {
			return string(raw)
		}
	}
	return ""
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

func (r *requester) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	if r.retry.Wait != nil {
		return r.retry.Wait(ctx, d)
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
