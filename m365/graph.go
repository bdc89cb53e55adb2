package m365

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A GraphConfig says how a [Graph] client reaches Microsoft Graph. The token decides which tenant that is.
type GraphConfig struct {
	Tokens    TokenSource       // required
	Cloud     Cloud             // zero: worldwide
	BaseURL   string            // replaces the address of Graph; plain http on loopback only
	Transport http.RoundTripper // nil: http.DefaultTransport
	Timeout   time.Duration     // of one attempt; zero: three minutes
	Retry     Retry
	Observe   func(Attempt)
}

// A Graph is a client of Microsoft Graph for consent and for taking back delivered mail. It is safe for
// concurrent use.
type Graph struct {
	cfg  GraphConfig
	base *url.URL
	http requester
}

// NewGraph returns a client. It makes no request.
func NewGraph(cfg GraphConfig) (*Graph, error) {
	if cfg.Tokens == nil {
		return nil, errors.New("m365: a client needs a source of tokens")
	}
	cfg.Cloud = cfg.Cloud.orWorldwide()
	base, err := checkedURL("Graph", cmp.Or(cfg.BaseURL, cfg.Cloud.Graph))
	if err != nil {
		return nil, err
	}
	return &Graph{cfg: cfg, base: base, http: requester{tokens: cfg.Tokens, scope: cfg.Cloud.GraphScope(), retry: cfg.Retry,
		observe: cfg.Observe, client: newHTTPClient(cfg.Transport, cfg.Timeout)}}, nil
}

const graphVersion = "/v1.0"

// graphName is a request without its values, for errors and logs.
func graphName(method, path string) string {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if i > 1 && (isGUID(p) || len(p) > 24 || strings.Contains(p, "@")) {
			parts[i] = "{id}"
		}
	}
	return method + " " + strings.Join(parts, "/")
}

// send makes one request to a path below the version, with its query, and decodes the reply into out. A nil
// in means no body, a nil out that nobody looks at the reply. repeat says that twice is as good as once.
func (g *Graph) send(ctx context.Context, method, path string, in, out any, repeat bool) error {
	u, err := url.Parse(g.base.String() + graphVersion + path)
	if err != nil {
		return fmt.Errorf("m365: Graph: %w", err)
	}
	return g.sendTo(ctx, method, u, graphName(method, path), in, out, repeat)
}

func (g *Graph) sendTo(ctx context.Context, method string, u *url.URL, name string, in, out any, repeat bool) error {
	h := http.Header{"Accept": {"application/json"}, "Client-Request-Id": {newGUID()}, "Prefer": {preferImmutable}}
	var body []byte
	if in != nil {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(in); err != nil {
			return fmt.Errorf("m365: Graph: %w", err)
		}
		body = b.Bytes()
		h["Content-Type"] = []string{"application/json"}
	}
	read := func(rep *reply) error {
		if out == nil {
			return nil
		}
		if json.Unmarshal(rep.body, out) != nil {
			return errors.New("the reply is not what Graph sends")
		}
		return nil
	}
	rep, err := g.http.do(ctx, &request{name: name, method: method, url: u, header: h, body: body, repeat: repeat, base: g.base, read: read})
	if err != nil {
		if rep != nil && rep.lost && method == http.MethodDelete && errors.Is(err, ErrNotFound) {
			return nil // the attempt without a reply did it
		}
		return err
	}
	return nil
}

// graphAll reads a list to its end. One that cannot be read to its end is an error.
func graphAll[T any](ctx context.Context, g *Graph, path string) ([]T, error) {
	name := graphName(http.MethodGet, path)
	u, err := url.Parse(g.base.String() + graphVersion + path)
	if err != nil {
		return nil, fmt.Errorf("m365: Graph: %w", err)
	}
	var out []T
	for n := 0; ; n++ {
		var page struct {
			Value []T    `json:"value"`
			Next  string `json:"@odata.nextLink"`
		}
		if err := g.sendTo(ctx, http.MethodGet, u, name, nil, &page, true); err != nil {
			return nil, err
		}
		out = append(out, page.Value...)
		if page.Next == "" {
			return out, nil
		}
		if u, err = g.base.Parse(page.Next); err != nil || !below(g.base, u) || n >= maxPages {
			return nil, &Error{Cmdlet: name, Kind: ErrIncompleteList, Message: "the link to the rest leads elsewhere, or there is no end"}
		}
	}
}

// odataText is a value in a filter, where a quote is doubled, and encoded for a query.
func odataText(s string) string {
	return url.QueryEscape("'" + strings.ReplaceAll(s, "'", "''") + "'")
}
