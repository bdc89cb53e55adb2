package m365

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// A ClientConfig says whose tenant a [Client] talks to, and how.
type ClientConfig struct {
	// Tenant is the id of the tenant or one of its verified domains. Required.
	Tenant string
	// Tokens hands out tokens for the Exchange admin API. Required.
	Tokens TokenSource
	// Cloud is where the tenant lives; zero: worldwide.
	Cloud Cloud
	// BaseURL replaces the address of the admin API. Plain http is taken on loopback only. A regional
	// redirect is followed to hosts under this one and to paths below this one, and nowhere else.
	BaseURL string
	// Admin is the user name of the person who signed in, for routing. Empty: an application signed in.
	Admin string
	// Transport carries the requests; nil: http.DefaultTransport.
	Transport http.RoundTripper
	// Timeout bounds one attempt; zero: three minutes. The service allows a cmdlet fifteen.
	Timeout time.Duration
	// Retry bounds what is tried again.
	Retry Retry
	// Observe, if set, is told of every attempt. It sees no secrets and no parameters, and must not block.
	Observe func(Attempt)
}

// Retry bounds how a refused or failed request is repeated. Zero fields have the defaults given.
type Retry struct {
	Attempts int           // requests at most for one call; 6
	Budget   time.Duration // that may be spent waiting for one call; five minutes
	First    time.Duration // wait before the second attempt when the service names none; one second
	// Wait waits between attempts; nil: a timer. It returns early with the error of the context.
	Wait func(ctx context.Context, d time.Duration) error
}

// An Attempt is what Observe is told of one request.
type Attempt struct {
	Name      string // of the cmdlet, or method and path of a Graph request without its values
	Number    int    // 1 for the first
	Status    int    // of HTTP; 0 when there was no reply
	RequestID string
	Took      time.Duration
	Err       error         // why it failed, nil when it did not
	Wait      time.Duration // before the next attempt; 0: there is none
}

// A Client runs cmdlets in one tenant through the Exchange admin API. Nothing else in this package makes
// requests to it. It is safe for concurrent use.
type Client struct {
	cfg    ClientConfig
	base   *url.URL
	region atomic.Pointer[url.URL] // where the service sent us last, with the path before /adminapi
	schema schema
	http   requester
}

// A Call is one cmdlet with its parameters.
type Call struct {
	Cmdlet string `json:"cmdlet"`
	Params Params `json:"params,omitempty"`
	// WhatIf asks the service to say what it would do. Not every tenant is known to honour it over this
	// API, so treat it as a courtesy, never as a guard.
	WhatIf bool `json:"-"`
}

// A Result is what a cmdlet gave.
type Result struct {
	Rows         []Row
	Warnings     []string
	Confirmation string // the text of a WhatIf
	Unchanged    bool   // the service warned that a Set- changed nothing
	RequestID    string // of the last request, for support cases
}

var tenantForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

// NewClient returns a client for the tenant of cfg. It makes no request.
func NewClient(cfg ClientConfig) (*Client, error) {
	if !tenantForm.MatchString(cfg.Tenant) || strings.Contains(cfg.Tenant, "..") {
		return nil, fmt.Errorf("m365: tenant %q is neither an id nor a domain", cfg.Tenant)
	}
	if cfg.Tokens == nil {
		return nil, errors.New("m365: a client needs a source of tokens")
	}
	cfg.Cloud = cfg.Cloud.orWorldwide()
	if cfg.BaseURL == "" {
		cfg.BaseURL = cfg.Cloud.Exchange
	}
	base, err := checkedURL("Exchange", cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if cfg.Admin != "" && (len(cfg.Admin) > 320 || strings.ContainsFunc(cfg.Admin, notPrintable)) {
		return nil, errors.New("m365: the name of the admin has characters no user name has")
	}
	sch, err := cmdletSchema()
	if err != nil {
		return nil, err
	}
	return &Client{
		cfg: cfg, base: base, schema: sch,
		http: requester{tokens: cfg.Tokens, scope: cfg.Cloud.ExchangeScope(), retry: cfg.Retry,
			observe: cfg.Observe, client: newHTTPClient(cfg.Transport, cfg.Timeout)},
	}, nil
}

// Tenant returns the id or domain the client was made for.
func (c *Client) Tenant() string { return c.cfg.Tenant }

// Check says what is wrong with a call, without making it: a cmdlet, parameter or enum member that does not
// exist, a value of the wrong kind, too long, too many or impossible.
func (c *Client) Check(call Call) error { return c.schema.check(call) }

// Invoke checks a call and runs it. A list comes back whole or not at all: [ErrIncompleteList].
//
// Refused and failed requests are repeated within Retry, except when a New- may have taken effect: then the
// error is [ErrAmbiguous] and the caller lists before it makes the object again, as [Client.New] does. Errors
// of the service are of type *[Error].
func (c *Client) Invoke(ctx context.Context, call Call) (Result, error) {
	if err := c.Check(call); err != nil {
		return Result{}, err
	}
	body, err := encodeCall(call)
	if err != nil {
		return Result{}, err
	}
	page, err := c.post(ctx, call, nil, body)
	if err != nil {
		return Result{}, err
	}
	return c.gather(ctx, call, body, page)
}

func notPrintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' }
