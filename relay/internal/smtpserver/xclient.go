package smtpserver

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

// Forwarded is what a listed peer says about the client it speaks for. What it did not say, or does not
// know, is empty.
type Forwarded struct {
	Name  string         // host name by reverse and forward DNS
	Addr  netip.AddrPort // the port may be 0
	Proto string         // SMTP or ESMTP
	Helo  string         // argument of its HELO or EHLO
}

// xattrs are the attributes that are understood.
var xattrs = [...]string{"NAME", "ADDR", "PORT", "PROTO", "HELO"}

// xclient takes the peer for another client from here on, as Postfix does: the session begins again.
func (c *Conn) xclient(arg string) {
	if c.forwarded(&c.client, "XCLIENT", arg) {
		c.restart()
		c.welcome()
	}
}

// xforward notes whom the next transaction comes from.
func (c *Conn) xforward(arg string) {
	if c.forwarded(&c.forward, "XFORWARD", arg) {
		c.reply(250, enhanced{2, 0, 0}, "OK")
	}
}

// forwarded takes over what a command says, if the peer may say it. It replies if it is false.
func (c *Conn) forwarded(to *Forwarded, command, arg string) bool {
	if !c.trusted {
		c.protest(550, enhanced{5, 7, 0}, "Not authorized")
		return false
	}
	f := *to
	if !f.parse(arg) {
		c.protest(501, enhanced{5, 5, 4}, "Malformed "+command+" attribute")
		return false
	}
	*to = f
	return true
}

// parse takes over the attributes in arg. It is false, and f of no use, if there is anything wrong.
func (f *Forwarded) parse(arg string) bool {
	seen := make(map[string]bool, len(xattrs))
	for attr := range strings.FieldsSeq(arg) {
		name, raw, ok := strings.Cut(attr, "=")
		name = strings.ToUpper(name)
		value, valid := smtpwire.DecodeXtext(raw)
		if !ok || !valid || seen[name] {
			return false
		}
		seen[name] = true
		if u := strings.ToUpper(value); u == "[UNAVAILABLE]" || u == "[TEMPUNAVAIL]" {
			value = ""
		}
		if !f.set(name, value) {
			return false
		}
	}
	return len(seen) > 0
}

func (f *Forwarded) set(name, value string) bool {
	switch name {
	case "NAME":
		f.Name = value
		return value == "" || validHelo(value)
	case "HELO":
		f.Helo = value
		return value == "" || validHelo(value)
	case "PROTO":
		f.Proto = strings.ToUpper(value)
		return f.Proto == "" || f.Proto == "SMTP" || f.Proto == "ESMTP"
	case "ADDR":
		addr, ok := forwardedAddr(value)
		f.Addr = netip.AddrPortFrom(addr, f.Addr.Port())
		return ok
	case "PORT":
		port, err := strconv.ParseUint(value, 10, 16)
		f.Addr = netip.AddrPortFrom(f.Addr.Addr(), uint16(port))
		return err == nil || value == ""
	}
	return false
}

func forwardedAddr(s string) (netip.Addr, bool) {
	if s == "" {
		return netip.Addr{}, true
	}
	if len(s) > 5 && strings.EqualFold(s[:5], "IPV6:") {
		s = s[5:]
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil && a.Zone() == ""
}
