package gworkspace

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// A ClientConfig says how a [Client] reaches a tenant.
type ClientConfig struct {
	// Admin is the super administrator that settings are read as. Required for reading them.
	Admin string
	// Tokens hands out tokens for Admin. Required.
	Tokens TokenSource
	// MailTokens hands out tokens for the users whose mail is taken back; nil: Tokens.
	MailTokens TokenSource
	// ModifyScope is what mail is found and moved with; empty: ScopeModify.
	ModifyScope string
	// BaseURL replaces the addresses of all the services. Plain http is taken on loopback only.
	BaseURL string
	// Transport carries the requests; nil: http.DefaultTransport.
	Transport http.RoundTripper
	// Timeout bounds one attempt; zero: one minute.
	Timeout time.Duration
	// Retry bounds what is tried again.
	Retry Retry
	// Quota is how much of the Gmail API may be used.
	Quota Quota
	// Observe, if set, is told of every attempt, by many goroutines. It sees no secrets and must not block.
	Observe func(Attempt)
}

// Retry bounds how a refused or failed request is repeated. Zero fields have the defaults given.
type Retry struct {
	Attempts int           // requests at most for one call; 6
	Budget   time.Duration // that may be spent waiting for one call; five minutes
	First    time.Duration // wait before the second attempt when the service names none; one second
}

// An Attempt is what Observe is told of one request.
type Attempt struct {
	Name   string // such as gmail.trash
	Number int    // 1 for the first
	Status int    // of HTTP; 0 when there was no reply
	Took   time.Duration
	Err    error         // why it failed, nil when it did not
	Wait   time.Duration // before the next attempt; 0: there is none
}

// A Client reads the settings of one tenant and takes back its mail. Nothing else in this package makes
// requests to it, but for tokens. It is safe for concurrent use.
type Client struct {
	cfg                    ClientConfig
	policy, admin, mail    *url.URL
	http                   requester
	gmailQuota, adminQuota *limiter
	policyQuota            *limiter
}

// NewClient returns a client. It makes no request.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Tokens == nil {
		return nil, errors.New("gworkspace: a client needs a source of tokens")
	}
	if cfg.Admin != "" && !isAddress(cfg.Admin) {
		return nil, fmt.Errorf("gworkspace: admin %q is no address", oneLine(cfg.Admin, 100))
	}
	if cfg.Quota.Project < 0 || cfg.Quota.User < 0 {
		return nil, fmt.Errorf("gworkspace: quota of %d units for all and %d for a mailbox: want more than none, or zero for the default", cfg.Quota.Project, cfg.Quota.User)
	}
	c := &Client{cfg: cfg, http: requester{transport: cfg.Transport, timeout: cmp.Or(cfg.Timeout, time.Minute), retry: cfg.Retry, observe: cfg.Observe}}
	for _, s := range []struct {
		to       **url.URL
		name, at string
	}{{&c.policy, "policy", "https://cloudidentity.googleapis.com"}, {&c.admin, "admin", "https://admin.googleapis.com"}, {&c.mail, "gmail", "https://gmail.googleapis.com"}} {
		u, err := checkedURL(s.name, cmp.Or(cfg.BaseURL, s.at))
		if err != nil {
			return nil, err
		}
		*s.to = u
	}
	q := cfg.Quota.orDefaults()
	c.gmailQuota = newLimiter(perMinute(q.Project), perMinute(q.User))
	c.adminQuota = newLimiter(perMinute(2400), perMinute(2400)) // requests, as the Directory API counts
	c.policyQuota = newLimiter(rate{1, 1}, rate{1, 1})          // undocumented: a page a second does no harm
	return c, nil
}

// checkedURL reads the address of a service.
func checkedURL(what, raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("gworkspace: %s URL: %w", what, err)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return nil, fmt.Errorf("gworkspace: %s URL %q: want scheme, host and at most a path", what, u.Redacted())
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("gworkspace: %s URL %q: plain http is accepted on loopback only", what, raw)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("gworkspace: %s URL %q: want https", what, raw)
	}
	return u, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// mailTokens hands out tokens for mailboxes.
func (c *Client) mailTokens() TokenSource {
	if c.cfg.MailTokens != nil {
		return c.cfg.MailTokens
	}
	return c.cfg.Tokens
}

// Granted asks for a token with each of the scopes alone, as the subject, and returns those that are missing.
// An error means that nobody can tell.
func (c *Client) Granted(ctx context.Context, tokens TokenSource, subject string, scopes []string) (missing []string, err error) {
	for _, s := range scopes {
		_, err := tokens.Token(ctx, TokenRequest{Subject: subject, Scopes: []string{s}})
		switch {
		case errors.Is(err, ErrScope):
			missing = append(missing, s)
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}

// getAdmin asks a service as the administrator and decodes the reply.
func (c *Client) getAdmin(ctx context.Context, name, scope string, to *url.URL, lim *limiter, out any) error {
	if c.cfg.Admin == "" {
		return errors.New("gworkspace: " + name + ": the client has no administrator to act as: set Admin to a super administrator")
	}
	_, err := c.http.do(ctx, &request{name: name, method: http.MethodGet, url: to, repeat: true, tokens: c.cfg.Tokens,
		ask:    TokenRequest{Subject: c.cfg.Admin, Scopes: []string{scope}},
		before: func(ctx context.Context) error { return lim.wait(ctx, "", 1) }, read: decodeInto(out)})
	return err
}

// decodeInto reads a reply of JSON.
func decodeInto(out any) func([]byte) error {
	return func(body []byte) error {
		if json.Unmarshal(body, out) != nil {
			return errors.New("the reply is not what the service sends")
		}
		return nil
	}
}

// maxPages bounds a list, empty pages included.
const maxPages = 10_000

// pages reads a list to its end. A page may be empty and still not be the last.
func pages(ctx context.Context, name string, to *url.URL, get func(ctx context.Context, u *url.URL) (next string, err error)) error {
	last := ""
	for range maxPages {
		u := *to
		if last != "" {
			q := u.Query()
			q.Set("pageToken", last)
			u.RawQuery = q.Encode()
		}
		next, err := get(ctx, &u)
		if err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		if next == last {
			return &Error{Op: name, Kind: ErrIncompleteList, Message: "the service gives the same page again and again"}
		}
		last = next
	}
	return &Error{Op: name, Kind: ErrIncompleteList, Message: "there is no end"}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
