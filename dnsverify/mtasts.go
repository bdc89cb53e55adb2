package dnsverify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// STSPolicy is an MTA-STS policy (RFC 8461 section 3.2).
type STSPolicy struct {
	Mode   string        `json:"mode"` // "enforce", "testing" or "none"
	MX     []string      `json:"mx"`   // patterns in lower case
	MaxAge time.Duration `json:"max_age"`
}

// STS is what a domain publishes for MTA-STS.
type STS struct {
	ID     string     `json:"id,omitempty"` // of the record; empty if there is none
	Policy *STSPolicy `json:"policy,omitempty"`
}

const (
	maxSTSPolicy = 64 << 10
	maxSTSAge    = 31557600 * time.Second
	maxSTSMX     = 256
)

// ParseSTSPolicy reads a policy. Unknown keys are passed over, a key that appears twice counts once, mx excepted.
func ParseSTSPolicy(body []byte) (*STSPolicy, error) {
	if len(body) > maxSTSPolicy {
		return nil, errors.New("dnsverify: the MTA-STS policy is longer than 64 KB")
	}
	p := &STSPolicy{MaxAge: -1}
	version := ""
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		key, value, ok := strings.Cut(strings.TrimRight(string(line), "\r \t"), ":")
		value = strings.Trim(value, " \t")
		if !ok {
			continue
		}
		switch key {
		case "version":
			if version == "" {
				version = value
			}
		case "mode":
			if p.Mode == "" {
				p.Mode = value
			}
		case "mx":
			if len(p.MX) >= maxSTSMX {
				return nil, errors.New("dnsverify: the MTA-STS policy has too many mx lines")
			}
			p.MX = append(p.MX, canonical(value))
		case "max_age":
			n, err := strconv.ParseUint(value, 10, 32)
			if err == nil && p.MaxAge < 0 {
				p.MaxAge = min(time.Duration(n)*time.Second, maxSTSAge)
			}
		}
	}
	return p, p.check(version)
}

func (p *STSPolicy) check(version string) error {
	switch {
	case version != "STSv1":
		return errors.New("dnsverify: the MTA-STS policy has no version STSv1")
	case p.Mode != "enforce" && p.Mode != "testing" && p.Mode != "none":
		return errors.New("dnsverify: the MTA-STS policy has no mode enforce, testing or none")
	case p.MaxAge < 0:
		return errors.New("dnsverify: the MTA-STS policy has no max_age")
	case len(p.MX) == 0 && p.Mode != "none":
		return errors.New("dnsverify: the MTA-STS policy has no mx")
	}
	for _, m := range p.MX {
		if err := checkPattern(m); err != nil {
			return err
		}
	}
	return nil
}

func checkPattern(m string) error {
	name := strings.TrimPrefix(m, "*.")
	if n, err := normalize(name); err != nil || n != name {
		return fmt.Errorf("dnsverify: the MTA-STS policy has an mx that is no name: %s", show(m, 80))
	}
	return nil
}

// Allows says whether a host matches one of the patterns. A wildcard stands for exactly one label (RFC 8461 section 4.1).
func (p *STSPolicy) Allows(host string) bool {
	host = canonical(host)
	return slices.ContainsFunc(p.MX, func(m string) bool {
		if rest, ok := strings.CutPrefix(m, "*."); ok {
			return parent(host) == rest && !strings.HasPrefix(host, ".")
		}
		return m == host
	})
}

// Blocks says whether senders that have this policy refuse a host. In mode testing they only report it.
func (p *STSPolicy) Blocks(host string) bool { return p.Mode == "enforce" && !p.Allows(host) }

// parseSTSRecord returns the id of a record, and whether the value is such a record at all (RFC 8461 section 3.1).
func parseSTSRecord(value string) (id string, ok bool) {
	fields := strings.Split(value, ";")
	if len(fields) < 2 || strings.TrimRight(fields[0], " \t") != "v=STSv1" {
		return "", false
	}
	for _, f := range fields[1:] {
		if v, isID := strings.CutPrefix(strings.Trim(f, " \t"), "id="); isID && id == "" {
			id = v
		}
	}
	alnum := func(r rune) bool { return r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' }
	if len(id) == 0 || len(id) > 32 || strings.ContainsFunc(id, func(r rune) bool { return !alnum(r) }) {
		return "", true
	}
	return id, true
}

// MTASTS returns what a domain publishes. Without a record, or with several, which count as none, the ID is empty;
// several are reported with a *Problem as well. A record without a policy that can be fetched is an error
// beside an STS with the ID.
func (c *Client) MTASTS(ctx context.Context, domain string) (*STS, error) {
	domain, err := normalize(domain)
	if err != nil {
		return &STS{}, err
	}
	ctx = c.withBudget(ctx)
	values, _, err := c.texts(ctx, "_mta-sts."+domain)
	if err != nil {
		return &STS{}, asProblem(domain, err)
	}
	var ids []string
	for _, v := range values {
		if id, ok := parseSTSRecord(v); ok {
			ids = append(ids, id)
		}
	}
	s := &STS{}
	switch {
	case len(ids) > 1:
		return s, &Problem{Code: MTASTSMultiple, Name: "_mta-sts." + domain}
	case len(ids) == 0 || ids[0] == "":
		return s, nil
	}
	s.ID = ids[0]
	s.Policy, err = c.fetchSTS(ctx, domain)
	if err != nil {
		return s, &Problem{Code: Temporary, Name: "mta-sts." + domain, Detail: "The policy cannot be fetched: " + show(err.Error(), 160) + ".", Err: err}
	}
	return s, nil
}

// fetchSTS gets the policy. Redirects are not followed (RFC 8461 section 3.3).
func (c *Client) fetchSTS(ctx context.Context, domain string) (*STSPolicy, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return nil, err
	}
	var hc http.Client
	if c.HTTP != nil {
		hc = *c.HTTP
	} else {
		t := &http.Transport{DialContext: c.dial, TLSHandshakeTimeout: 10 * time.Second, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10}
		defer t.CloseIdleConnections()
		hc.Transport = t
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSTSPolicy+1))
	if err != nil {
		return nil, err
	}
	return ParseSTSPolicy(body)
}

// dial connects to a host whose name comes from outside: only to addresses that may be asked.
func (c *Client) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	addrs, refused, _, err := c.addresses(ctx, canonical(name))
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 && len(refused) > 0 {
		return nil, fmt.Errorf("%s has no public address", name)
	}
	err = fmt.Errorf("%s has no address", name)
	for _, a := range addrs {
		var conn net.Conn
		var d net.Dialer
		p, _ := strconv.ParseUint(port, 10, 16)
		if conn, err = d.DialContext(ctx, network, netip.AddrPortFrom(a, uint16(p)).String()); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// TLSRPT returns where a domain wants reports about TLS (RFC 8460 section 3). More than one record counts as none.
func (c *Client) TLSRPT(ctx context.Context, domain string) ([]string, error) {
	domain, err := normalize(domain)
	if err != nil {
		return nil, err
	}
	values, _, err := c.texts(c.withBudget(ctx), "_smtp._tls."+domain)
	if err != nil {
		return nil, asProblem(domain, err)
	}
	var out []string
	records := 0
	for _, v := range values {
		fields := strings.Split(v, ";")
		if strings.Trim(fields[0], " \t") != "v=TLSRPTv1" {
			continue
		}
		records++
		for _, f := range fields[1:] {
			rua, ok := strings.CutPrefix(strings.Trim(f, " \t"), "rua=")
			if !ok {
				continue
			}
			for u := range strings.SplitSeq(rua, ",") {
				out = append(out, show(strings.Trim(u, " \t"), 200))
			}
		}
	}
	if records > 1 {
		return nil, nil
	}
	return out[:min(len(out), 16)], nil
}
