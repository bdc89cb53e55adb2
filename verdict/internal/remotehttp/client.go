// Package remotehttp asks engines that speak HTTP: one request for one message, within a context and
// bounds, without proxies, redirections, compression or anything else that an environment could slip in.
package remotehttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const (
	maxHeader = 64 << 10
	idleConns = 16
	idleTime  = 30 * time.Second
)

// Client asks the engine at one URL. It is made on first use and kept. The zero value is ready.
type Client struct {
	once sync.Once
	http *http.Client
	base *url.URL
	err  error
}

// Answer is what the engine said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// parse reads "http://host:port/path", "https://…", or "unix:/path" for a socket.
func parse(address string) (base *url.URL, socket string, err error) {
	if s, ok := strings.CutPrefix(address, "unix:"); ok {
		if s == "" {
			return nil, "", errors.New("want unix:/path of a socket")
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, s, nil
	}
	u, err := url.Parse(address)
	if err != nil { // its text quotes the address, which may hold a secret
		return nil, "", errors.New("the address is no URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, "", errors.New("want http://host:port, https://host or unix:/path, without user and fragment")
	}
	return u, "", nil
}

func (c *Client) setup(address string, config *tls.Config) {
	base, socket, err := parse(address)
	c.base, c.err = base, err
	t := &http.Transport{
		TLSClientConfig:        config,
		DisableCompression:     true, // a small answer must not become a large one
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHeader,
	}
	if socket != "" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}
	}
	c.http = &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Request is one request. Address and TLS are the same for all requests of a Client.
type Request struct {
	Address string
	TLS     *tls.Config
	Path    string // behind that of Address
	Header  http.Header
	Body    *remote.Body // POST; nil: GET
	Bound   int64        // bytes of the answer
}

// Do sends a request and reads the whole answer. The errors never quote the address.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	c.once.Do(func() { c.setup(r.Address, r.TLS) })
	if c.err != nil {
		return nil, c.err
	}
	u := *c.base
	if r.Path != "" {
		u.Path = strings.TrimSuffix(u.Path, "/") + r.Path
	}
	req, err := c.request(ctx, u.String(), r)
	if err != nil {
		return nil, err
	}
	a, err := c.exchange(ctx, req, r.Bound)
	if r.Body != nil {
		if whole := r.Body.Take(); err == nil && whole != nil && a.Status == http.StatusOK {
			return nil, whole
		}
		if broken := r.Body.Err(); broken != nil {
			return nil, broken
		}
	}
	return a, err
}

func (c *Client) request(ctx context.Context, u string, r Request) (*http.Request, error) {
	if r.Body == nil {
		return http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	}
	b, err := r.Body.Reopen()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, b)
	if err != nil {
		r.Body.Take()
		return nil, errors.New("the address is no URL")
	}
	req.GetBody = r.Body.Reopen
	req.ContentLength = r.Body.Size()
	if req.ContentLength == 0 {
		req.Body.Close()
		req.Body = http.NoBody
	}
	req.Header = r.Header.Clone()
	// A connection that the engine has closed in the meantime is no failure: asking again does no harm. An
	// empty list is not sent.
	req.Header["Idempotency-Key"] = nil
	return req, nil
}

func (c *Client) exchange(ctx context.Context, req *http.Request, bound int64) (*Answer, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		var quoted *url.Error
		if errors.As(err, &quoted) {
			err = quoted.Err
		}
		return nil, remote.First(ctx, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, bound+1))
	switch {
	case err != nil:
		return nil, remote.First(ctx, fmt.Errorf("%w: %w", remote.ErrAnswer, err))
	case int64(len(b)) > bound:
		return nil, fmt.Errorf("%w: it is longer than %d bytes", remote.ErrAnswer, bound)
	}
	return &Answer{resp.StatusCode, resp.Header, b}, nil
}

// Check returns an error for every status but 200. That the message is too large is no fault of the engine.
func (a *Answer) Check() error {
	switch a.Status {
	case http.StatusOK:
		return nil
	case http.StatusRequestEntityTooLarge:
		return fmt.Errorf("it takes no message of this size: %w", verdict.ErrUnscannable)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("it answers %d: check the password or key", a.Status)
	}
	return fmt.Errorf("it answers %d", a.Status)
}
