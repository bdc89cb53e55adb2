package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay"
)

// hops gives a probe for each different route.
func (k *checker) hops() []probe {
	users, modes := map[config.Route][]string{}, map[config.Route][]relay.Mode{}
	var order []config.Route
	for _, d := range k.cfg.Domains {
		if users[d.Route] == nil {
			order = append(order, d.Route)
		}
		users[d.Route] = append(users[d.Route], d.Name)
		modes[d.Route] = append(modes[d.Route], d.Mode)
	}
	var out []probe
	for _, r := range order {
		out = append(out, func(ctx context.Context) []checked { return k.route(ctx, r, users[r], meanwhile(modes[r])) })
	}
	return out
}

// meanwhile says what becomes of the mail of domains while their next hop is away.
func meanwhile(modes []relay.Mode) string {
	switch sync := slices.Contains(modes, relay.Synchronous); {
	case !sync:
		return "queued"
	case slices.ContainsFunc(modes, func(m relay.Mode) bool { return m != relay.Synchronous }):
		return "deferred, or queued where mode is continuity or queue"
	}
	return "deferred"
}

// route looks at every host of a route. Mail flows while one of them works; until then it is what fate says.
func (k *checker) route(ctx context.Context, r config.Route, domains []string, fate string) []checked {
	who := domains[0]
	if len(domains) > 1 {
		who += " and " + plural(len(domains)-1, "more domain")
	}
	hosts, bad := k.targets(ctx, r, fate)
	if bad != nil {
		bad.Subject = who
		return []checked{*bad}
	}
	var out []checked
	works := false
	for _, h := range hosts {
		c := k.host(ctx, r, h, fate)
		c.Check, c.Subject = "next-hop", who+" via "+h
		works = works || c.State != stateFail
		out = append(out, c)
	}
	for i := range out {
		if works && out[i].State == stateFail {
			out[i].State = stateWarn
			out[i].Advice += "; mail goes to the other hosts meanwhile"
		}
	}
	return out
}

// maxHosts is how many hosts of an MX set, and addresses of a host, are looked at.
const maxHosts = 5

// targets returns the host:port of a route in order.
func (k *checker) targets(ctx context.Context, r config.Route, fate string) ([]string, *checked) {
	if r.MX == "" {
		return strings.Fields(r.Hosts), nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	port := strconv.Itoa(int(cmp.Or(r.Port, 25)))
	records, err := k.resolver.LookupMX(ctx, r.MX+".")
	fail := func(detail, advice string) ([]string, *checked) {
		return nil, &checked{Check: "next-hop", State: stateFail, Detail: detail, Advice: advice}
	}
	switch {
	case isNotFound(err): // RFC 5321 section 5.1: then it is the name itself
		return []string{net.JoinHostPort(r.MX, port)}, nil
	case err != nil && len(records) == 0:
		return fail("MX of "+r.MX+": "+err.Error(), "the resolver has to answer: mail is "+fate+" until then")
	}
	slices.SortStableFunc(records, func(a, b *net.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	var out []string
	for _, m := range records {
		host := strings.ToLower(strings.TrimSuffix(m.Host, "."))
		if host == k.cfg.Hostname { // all that are no better than we are do not count
			break
		}
		if host != "" && len(out) < maxHosts {
			out = append(out, net.JoinHostPort(host, port))
		}
	}
	if len(out) == 0 {
		return fail("the MX records of "+r.MX+" lead to this gateway, or say that it takes no mail", "mail would loop (5.4.6): name the mail server itself in next-hop")
	}
	return out, nil
}

// host goes through one session as far as EHLO, and STARTTLS where the route uses it.
func (k *checker) host(ctx context.Context, r config.Route, at, fate string) checked {
	ctx, cancel := context.WithTimeout(ctx, 3*k.timeout)
	defer cancel()
	addrs, err := k.addresses(ctx, at)
	if err != nil {
		return checked{State: stateFail, Detail: err.Error(), Advice: "name a host that DNS knows, or its address"}
	}
	var d *dialogue
	var addr string
	for _, addr = range addrs {
		if d, _, err = dial(ctx, addr, k.timeout, nil); err == nil {
			break
		}
	}
	if d == nil {
		return checked{State: stateFail, Detail: err.Error(), Advice: "is the server up, and is the way to it open? Until then mail is " + fate}
	}
	defer d.quit()
	name, extensions, err := d.hello(k.cfg.Hostname)
	if err != nil {
		return checked{State: stateFail, Detail: err.Error(), Advice: "the server has to take mail from this machine"}
	}
	if strings.EqualFold(name, k.cfg.Hostname) {
		return checked{State: stateFail, Detail: "it calls itself " + name + ", which is this gateway", Advice: "mail would loop (5.4.6): name the mail server behind the gateway"}
	}
	_, offered := extensions["STARTTLS"]
	c := checked{State: stateOK, Detail: name + " answers"}
	if addr != at {
		c.Detail += " at " + addr
	}
	switch {
	case r.TLS == relay.TLSNone:
		c.Detail += ", without TLS as configured"
		if offered {
			c.State, c.Advice = stateWarn, "it offers STARTTLS: use tls: opportunistic, or better tls: verify"
		}
		return c
	case !offered && r.TLS == relay.TLSOpportunistic:
		c.Detail += ", without STARTTLS"
		if a, err := netip.ParseAddrPort(addr); err == nil && !a.Addr().IsLoopback() {
			c.State, c.Advice = stateWarn, "mail goes there as clear text: switch STARTTLS on there"
		}
		return c
	case !offered:
		return checked{State: stateFail, Detail: "STARTTLS is not offered, and tls: " + r.TLS.String() + " wants it", Advice: "switch it on there; until then mail is " + fate + " (4.7.5)"}
	}
	return k.secure(ctx, d, r, at, fate, c)
}

// addresses returns the first few addresses of a host, with the port.
func (k *checker) addresses(ctx context.Context, at string) ([]string, error) {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{at}, nil
	}
	found, err := k.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range found[:min(len(found), maxHosts)] {
		out = append(out, net.JoinHostPort(a.Unmap().String(), port))
	}
	return out, nil
}

// secure does the handshake and looks at the certificate.
func (k *checker) secure(ctx context.Context, d *dialogue, r config.Route, at, fate string, c checked) checked {
	cfg, err := hopTLS(r)
	if err != nil {
		return checked{State: stateFail, Detail: err.Error(), Advice: "name a PEM file with the certificates to trust in tls: {roots: …}"}
	}
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	host, _, _ := net.SplitHostPort(at)
	cfg.ServerName = cmp.Or(cfg.ServerName, host)
	var certErr error
	cfg.InsecureSkipVerify = true // the chain is verified below, so that the other modes can warn
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		certErr = verifyChain(cfg, s)
		return nil
	}
	state, err := d.startTLS(ctx, cfg)
	if err != nil {
		c.Detail = err.Error()
		if r.TLS == relay.TLSOpportunistic {
			c.State, c.Advice = stateWarn, "mail goes there as clear text: mend TLS there"
			return c
		}
		return checked{State: stateFail, Detail: c.Detail, Advice: "mend TLS there; until then mail is " + fate + " (4.7.5)"}
	}
	c.Detail += ", " + tls.VersionName(state.Version)
	var leaf time.Time
	if len(state.PeerCertificates) > 0 {
		leaf = state.PeerCertificates[0].NotAfter
	}
	switch {
	case certErr != nil && r.TLS == relay.TLSVerify:
		return checked{State: stateFail, Detail: "certificate: " + certErr.Error(), Advice: "get one there that is valid for " + cfg.ServerName + ", or set tls: {mode: verify, name: …, roots: …}"}
	case certErr != nil:
		c.Detail += "; the certificate would not be accepted by tls: verify (" + certErr.Error() + ")"
	case time.Until(leaf) < soon:
		c.State, c.Detail, c.Advice = stateWarn, c.Detail+"; the certificate expires on "+leaf.Format(time.DateOnly), "renew it there"
	default:
		c.Detail += ", certificate valid for " + cfg.ServerName
	}
	if name, _, err := d.hello(k.cfg.Hostname); err != nil || strings.EqualFold(name, k.cfg.Hostname) {
		return checked{State: stateFail, Detail: fmt.Sprint("after STARTTLS it is this gateway, or does not answer: ", err), Advice: "name the mail server behind the gateway"}
	}
	return c
}

var errNoCertificate = errors.New("the server has none")

// verifyChain verifies the certificates of a server as crypto/tls would have.
func verifyChain(cfg *tls.Config, s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errNoCertificate
	}
	opts := x509.VerifyOptions{Roots: cfg.RootCAs, DNSName: cfg.ServerName, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(opts)
	return err
}
