package app

import (
	"cmp"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
)

type otherCmd struct {
	Runbook  otherRunbookCmd  `cmd:"" help:"Write the steps, with what to paste, and the way back."`
	Verify   otherVerifyCmd   `cmd:"" help:"Look at the MX records and the server: TLS, and ways past the gateway."`
	Offboard otherOffboardCmd `cmd:"" help:"Show the steps that are left of the way back."`
}

func (otherCmd) Help() string {
	return `Puts any other mail server behind the gateway: Exchange 2013 to 2019, cPanel, Zoho, Postfix, or whatever takes mail from third-party MX hosts. Always a whole domain. A person makes the settings; this says which, and checks what can be seen from outside.

Example:
  postreeve other runbook -c postreeve.yaml --server postfix \
    --egress 192.0.2.10 ex.net
  postreeve other verify -c postreeve.yaml ex.net

Exit codes: 0 in order, 2 drift or steps left, 1 error, 64 wrong usage or configuration.`
}

// otherFlags are what all commands take.
type otherFlags struct {
	Config string   `short:"c" required:"" placeholder:"FILE" help:"The configuration of the gateway."`
	Server string   `enum:"exchange,cpanel,zoho,postfix,any" default:"any" help:"What the mail server is: exchange, cpanel, zoho, postfix or any."`
	Egress []string `placeholder:"ADDRESS" help:"Addresses and networks that the gateway sends from."`
	Hop    string   `placeholder:"HOST[:PORT]" help:"The mail server; by default the next hop of the configuration."`
	Was    []string `placeholder:"HOST" help:"The MX hosts from before the gateway, for the way back."`
	outFlags
	Domain string `arg:"" help:"The domain."`
}

// otherDesk is what a command works with.
type otherDesk struct {
	flags  *otherFlags
	cfg    *config.Config
	conf   *config.Domain // nil if the gateway does not know the domain
	domain string
	hop    string
	mx     []string
	was    []string // MX hosts from before the gateway, without a dot at the end
	egress []string
	header string // prefix of our header fields
	client *dnsverify.Client
	own    dnsverify.Own
}

func (f *otherFlags) open(e *env) (*otherDesk, error) {
	cfg, err := config.Load(f.Config)
	if err != nil {
		return nil, err
	}
	d := &otherDesk{flags: f, cfg: cfg, header: cmp.Or(cfg.Headers.Prefix, "X-Postreeve"), client: newClient(cfg, nil), own: ourselves(cfg)}
	if d.domain, err = cfg.Names().Normalize(f.Domain); err != nil {
		return nil, usage(e, "%s", plain(err))
	}
	for _, s := range f.Egress {
		a, err := netip.ParsePrefix(s)
		if ip, ierr := netip.ParseAddr(s); ierr == nil && ip.Zone() == "" { // a zone may hold anything, and is pasted
			ip = ip.Unmap()
			a, err, s = netip.PrefixFrom(ip, ip.BitLen()), nil, ip.String()
		}
		switch {
		case err != nil || a.Masked() != a:
			return nil, usage(e, "--egress %s is no address or network, as in 192.0.2.7 or 192.0.2.0/24", s)
		case a.Addr().Is4() && a.Bits() < 8 || a.Addr().Is6() && a.Bits() < 32:
			return nil, usage(e, "--egress %s: to trust so many addresses cannot be meant: those that the gateway sends from", s)
		}
		d.egress = append(d.egress, s)
	}
	if d.was, err = f.before(e); err != nil {
		return nil, err
	}
	if f.Hop != "" && !isHop(f.Hop) {
		return nil, usage(e, "--hop %s is no mail server, as in mail.ex.net, 192.0.2.25 or mail.ex.net:2525", f.Hop)
	}
	d.conf = serving(cfg, d.domain)
	d.hop = cmp.Or(f.Hop, (&desk{conf: d.conf}).hop())
	if d.mx = slices.Clone(cfg.Verification.MX); len(d.mx) == 0 {
		d.mx = []string{cfg.Hostname}
	}
	slices.Sort(d.mx)
	return d, nil
}

// before are the MX hosts from before the gateway. They are pasted, so nothing else may stand there.
func (f *otherFlags) before(e *env) ([]string, error) {
	var out []string
	for _, s := range f.Was {
		name, err := dnsverify.Names{PrivateSuffix: true, UnlistedTLD: true}.Normalize(s)
		if err != nil {
			return nil, usage(e, "--was %s is no MX host, as in mail.ex.net: %s", s, plain(err))
		}
		out = append(out, name)
	}
	return out, nil
}

// isHop says whether something is HOST or HOST:PORT.
func isHop(s string) bool {
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
		host = h
	}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ip.Zone() == ""
	}
	return hostWord.MatchString(asciiDomain(host))
}

var hostWord = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?\.?$`)

// run is a command of ours about the domain's configuration.
func (d *otherDesk) run(command string) string {
	return "postreeve " + command + " -c " + shellWord(d.flags.Config)
}

// prober connects as the gateway would, and asks as a stranger.
func (d *otherDesk) prober(recipient string, timeout time.Duration) (*dnsverify.Prober, error) {
	return (&desk{ownership: &ownership{cfg: d.cfg, client: d.client, own: d.own}, conf: d.conf}).proberFor(recipient, timeout)
}

func (d *desk) proberFor(recipient string, timeout time.Duration) (*dnsverify.Prober, error) {
	p, err := d.prober(recipient)
	if err == nil {
		p.Timeout = timeout
	}
	return p, err
}

// ours says whether an MX host is the gateway.
func (d *otherDesk) ours(host string) bool {
	return slices.Contains(d.mx, strings.ToLower(strings.TrimSuffix(host, ".")))
}
