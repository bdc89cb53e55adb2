package icap

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const (
	maxOptions = 64 << 10    // bytes of an answer to OPTIONS
	maxPreview = 64 << 10    // bytes
	maxTTL     = time.Minute // for which options are believed
	slack      = 1 << 20     // bytes that an answer may have beside the content
	maxDetail  = 300         // bytes
	port       = "1344"      // RFC 3507 section 4.2
	agent      = "User-Agent: postreeve\r\n"
	host       = "mail.postreeve.invalid" // of the URL that the message has for the service
)

// Scanner asks an ICAP service. It may be used by many goroutines at once; each scan is a connection. Its fields must
// not change once it is in use.
type Scanner struct {
	// URL is the service: "icap://127.0.0.1:1344/avscan", or "icaps://…" by TLS. If it is empty every scan fails.
	URL string
	// Socket is the path of a Unix socket to connect to instead of the host of URL.
	Socket string
	// TLS is for icaps. Nil means that of the system.
	TLS *tls.Config
	// Reqmod asks by REQMOD instead of RESPMOD.
	Reqmod bool
	// NoPreview sends the whole message, whatever the service would be content with.
	NoPreview bool
	// Class is what a message is that the service does not let through. Unknown, the zero value, means Malicious.
	Class verdict.Class
	// Header has more fields for every request, like Proxy-Authorization. Their values stand in no error.
	Header map[string]string

	mu    sync.Mutex
	known options
}

// options are what a service says about itself.
type options struct {
	until   time.Time
	preview int64 // -1: none
	version string
}

// Name returns "icap".
func (s *Scanner) Name() string { return "icap" }

// Scan implements verdict.Scanner.
func (s *Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	findings, err := s.scan(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("icap: %w", err)
	}
	return findings, nil
}

// Version asks for the options and returns the service with its ISTag.
func (s *Scanner) Version(ctx context.Context) (string, error) {
	t, err := s.target()
	if err == nil {
		var o options
		if o, err = s.ask(ctx, t); err == nil {
			return o.version, nil
		}
	}
	return "", fmt.Errorf("icap: %w", err)
}

// target is a service taken apart.
type target struct {
	address string // to connect to
	host    string
	uri     string // in requests
	tls     *tls.Config
}

func (s *Scanner) target() (target, error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "icap" && u.Scheme != "icaps" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return target{}, errors.New("want icap://host:port/service, without user and fragment")
	}
	t := target{address: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)), host: u.Host}
	if u.Scheme == "icaps" {
		t.tls = &tls.Config{}
		if s.TLS != nil {
			t.tls = s.TLS.Clone()
		}
		t.tls.ServerName = cmp.Or(t.tls.ServerName, u.Hostname())
	}
	if s.Socket != "" {
		t.address = "unix:" + s.Socket
	}
	t.uri = "icap://" + u.Host + cmp.Or(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		t.uri += "?" + u.RawQuery
	}
	if strings.ContainsAny(t.uri, " \r\n") {
		return target{}, errors.New("the URL has blanks or line ends in it")
	}
	return t, nil
}

func (s *Scanner) method() string {
	if s.Reqmod {
		return "REQMOD"
	}
	return "RESPMOD"
}

// head returns the first lines of a request.
func (s *Scanner) head(method string, t target) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s ICAP/1.0\r\nHost: %s\r\n%sConnection: close\r\n", method, t.uri, t.host, agent)
	for _, name := range slices.Sorted(maps.Keys(s.Header)) {
		if strings.ContainsAny(name, ": \t\r\n\x00") || name == "" || strings.ContainsAny(s.Header[name], "\r\n\x00") {
			return "", fmt.Errorf("the field %.40q cannot be sent", name)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", name, s.Header[name])
	}
	return b.String(), nil
}

// options returns what is known about the service, and asks for it when that is too old.
func (s *Scanner) options(ctx context.Context, t target) (options, error) {
	s.mu.Lock()
	o := s.known
	s.mu.Unlock()
	if time.Now().Before(o.until) {
		return o, nil
	}
	return s.ask(ctx, t)
}

// forget makes the next scan ask again.
func (s *Scanner) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = options{}
}

// ask asks for the options (RFC 3507 section 4.10).
func (s *Scanner) ask(ctx context.Context, t target) (options, error) {
	head, err := s.head("OPTIONS", t)
	if err != nil {
		return options{}, err
	}
	c, err := remote.Dial(ctx, t.address, t.tls, maxOptions)
	if err != nil {
		return options{}, err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "%sEncapsulated: null-body=0\r\n\r\n", head); err != nil {
		return options{}, err
	}
	r, err := readResponse(bufio.NewReader(c))
	if err != nil {
		return options{}, fmt.Errorf("asking for its options: %w", err)
	}
	o, err := readOptions(r, s.method())
	if err != nil {
		return options{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = o
	return o, nil
}

// readOptions reads the answer to OPTIONS.
func readOptions(r *response, method string) (options, error) {
	if r.status != 200 {
		return options{}, fmt.Errorf("asking for its options: it answers %d; is the name of the service right?", r.status)
	}
	methods := strings.FieldsFunc(strings.Join(r.header.Values("Methods"), ","), func(c rune) bool { return c == ',' || c == ' ' })
	if !slices.Contains(methods, method) {
		return options{}, fmt.Errorf("the service does not know %s: it offers %s", method, remote.Line(strings.Join(methods, ", "), maxDetail))
	}
	o := options{preview: -1, until: time.Now().Add(maxTTL)}
	if v := r.header.Get("Options-Ttl"); v != "" {
		if ttl, err := strconv.ParseUint(v, 10, 31); err == nil {
			o.until = time.Now().Add(min(maxTTL, time.Duration(ttl)*time.Second))
		}
	}
	if v := r.header.Get("Preview"); v != "" {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return options{}, fmt.Errorf("%w: Preview: %.40q", remote.ErrAnswer, v)
		}
		o.preview = min(int64(n), maxPreview)
	}
	o.version = remote.Excerpt(r.header.Get("Service")+" "+strings.Trim(r.header.Get("Istag"), `"`), maxDetail)
	return o, nil
}
