package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

func (d *decoder) warn(path, format string, args ...any) {
	sub := &decoder{file: d.file, keys: d.keys, meant: d.meant}
	sub.failKey(path, format, args...)
	d.warnings = append(d.warnings, sub.errs...)
}

// check judges what takes more than one key to judge.
func (d *decoder) check(c *Config) {
	for _, key := range []string{"hostname", "listen", "domains"} {
		if d.lacks(key) {
			d.failAt(position{1, 1}, "", "%s is missing: %s", key, map[string]string{
				"hostname": "the gateway needs a host name of its own, as in hostname: mx.gw.example",
				"listen":   "say where to take mail, as in listen: [\":25\"]",
				"domains":  "say whose mail to take, as in domains: {ex.net: {next-hop: \"192.0.2.7:25\", verification: waived}}",
			}[key])
		}
	}
	if d.has("domains") && len(c.Domains) == 0 {
		d.warn("domains", "no domain: every recipient is refused")
	}
	for i, l := range c.Listen {
		if slices.Contains(c.Listen[:i], l) && !strings.HasSuffix(l, ":0") {
			d.failKey("listen", "%s stands there twice", l)
		}
	}
	if slices.Contains(c.Listen, c.Metrics) && !strings.HasSuffix(c.Metrics, ":0") {
		d.failKey("metrics", "%s is taken by listen: use another port", c.Metrics)
	}
	d.patience(c)
	d.engine(c)
	d.ownership(c)
	d.store(c)
	d.digests(c)
	d.authentication(c)
	for _, dom := range c.Domains {
		d.tenantHeader(c, dom)
		d.loops(c, dom)
	}
	if len(c.Scanners) > 0 && !slices.ContainsFunc(c.Scanners, func(s Scanner) bool { return !s.Monitor }) {
		d.warn("scanners", "all of them only monitor: nobody has a vote, so every message is unknown, which is deferred by default")
	}
	if c.Scanners != nil && len(c.Scanners) == 0 {
		d.warn("scanners", "the list is empty: nothing is judged and everything is called clean")
	}
}

// patience keeps our answer within the 10 minutes that a sender waits (RFC 5321 section 4.5.3.2.6).
func (d *decoder) patience(c *Config) {
	judge, deliver := cmp.Or(c.Timeouts.Judge, time.Minute), cmp.Or(c.Timeouts.Deliver, 5*time.Minute)
	if judge+deliver >= 10*time.Minute {
		key := "timeouts.deliver"
		if !d.has(key) {
			key = "timeouts.judge"
		}
		d.failKey(key, "judge (%v) and deliver (%v) together must be below 10m: a sender waits no longer and would send again what has been delivered", judge, deliver)
	}
	if budget := cmp.Or(c.Scan.Timeout, 30*time.Second); budget > judge {
		key := "scan.timeout"
		if !d.has(key) {
			key = "timeouts.judge"
		}
		d.failKey(key, "scan.timeout (%v) is longer than timeouts.judge (%v), which would cut it off", budget, judge)
	}
}

// engine refuses what the chosen engine cannot do.
func (d *decoder) engine(c *Config) {
	if c.Engine == "go-smtp" && len(c.XClient) > 0 {
		d.failKey("xclient", "engine: go-smtp knows neither XCLIENT nor XFORWARD: use engine: strict")
	}
}

// loops refuses a next hop that is the gateway itself (5.4.6), as far as names and numbers tell.
func (d *decoder) loops(c *Config, dom *Domain) {
	for _, hop := range strings.Fields(dom.Route.Hosts) {
		if why := c.isSelf(hop); why != "" {
			d.failKey(dom.path+".next-hop", "mail would loop (5.4.6): %s", why)
		}
	}
	if dom.Route.MX != "" && dom.Route.MX == c.Hostname {
		d.failKey(dom.path+".mx", "mail would loop (5.4.6): %s is this gateway", dom.Route.MX)
	}
}

// isSelf says why a next hop is the gateway itself, or "".
func (c *Config) isSelf(hop string) string {
	host, port, _ := net.SplitHostPort(hop)
	if host == c.Hostname {
		return host + " is this gateway; if the hop runs on the same machine, name it by its address"
	}
	addr, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && (addr.Unmap().IsLoopback() || addr.IsUnspecified())
	for _, l := range c.Listen {
		lhost, lport, _ := net.SplitHostPort(l)
		laddr, lerr := netip.ParseAddr(lhost)
		everywhere := lhost == "" || lerr == nil && laddr.IsUnspecified()
		if lport != port {
			continue
		}
		if lhost == host || everywhere && loopback || lhost == "localhost" && loopback || host == "localhost" && lerr == nil && laddr.IsLoopback() {
			return fmt.Sprintf("%s is an address of this gateway (listen: %s)", hop, l)
		}
	}
	return ""
}
