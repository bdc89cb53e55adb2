package smtpclient

import (
	"slices"
	"strings"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
	"github.com/postreeve/postreeve/verdict"
)

const (
	maxAddress = 512 // RFC 5321 section 4.5.3.1.3 says 256; some senders go over
	maxENVID   = 100 // RFC 3461 section 4.4
	maxORCPT   = 500 // RFC 3461 section 4.2
)

// safePath says whether an address can stand between angle brackets without ending them or the line.
// It asks for no more: whether the address is right is for the server to say.
func safePath(a string) bool {
	if len(a) > maxAddress {
		return false
	}
	quoted := false
	for i := 0; i < len(a); i++ {
		switch c := a[i]; {
		case c < ' ' || c == 0x7f:
			return false
		case quoted && c == '\\':
			i++ // the next byte is checked for being a control only
			if i == len(a) || a[i] < ' ' || a[i] == 0x7f {
				return false
			}
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '<' || c == '>' || c == ' '):
			return false
		}
	}
	return !quoted
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// foreign says whether an address can only go to a server that has SMTPUTF8.
func foreign(e verdict.Envelope) bool {
	return !ascii(e.From) ||
		slices.ContainsFunc(e.To, func(r verdict.Recipient) bool { return !ascii(r.Address) })
}

const hex = "0123456789ABCDEF"

// appendUTF8Xtext encodes s as utf-8-addr-xtext (RFC 6533 section 3), which any server can take.
func appendUTF8Xtext(b []byte, s string) []byte {
	for _, r := range s {
		if r < '!' || r > '~' || r == '+' || r == '=' || r == '\\' {
			b = append(b, `\x{`...)
			b = appendHex(b, r)
			b = append(b, '}')
		} else {
			b = append(b, byte(r))
		}
	}
	return b
}

func appendHex(b []byte, r rune) []byte {
	digits := 2
	for r>>(4*digits) != 0 {
		digits++
	}
	for i := digits - 1; i >= 0; i-- {
		b = append(b, hex[r>>(4*i)&15])
	}
	return b
}

// printable says whether s has nothing but printable ASCII, as ENVID and ORCPT must (RFC 3461 section 4).
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// appendMailDSN adds RET and ENVID. A value that cannot be sent is left out: these are wishes.
func appendMailDSN(b []byte, e verdict.Envelope) []byte {
	if e.Return == "FULL" || e.Return == "HDRS" {
		b = append(b, " RET="...)
		b = append(b, e.Return...)
	}
	if e.ID != "" && len(e.ID) <= maxENVID && printable(e.ID) {
		b = append(b, " ENVID="...)
		b = append(b, smtpwire.EncodeXtext(e.ID)...)
	}
	return b
}

// appendRcptDSN adds NOTIFY and ORCPT.
func appendRcptDSN(b []byte, r verdict.Recipient) []byte {
	sep := " NOTIFY="
	for _, n := range r.Notify {
		switch n {
		case "NEVER", "SUCCESS", "FAILURE", "DELAY":
			b = append(append(b, sep...), n...)
			sep = ","
		}
	}
	kind, address, ok := strings.Cut(r.Original, ";")
	if !ok || len(r.Original) > maxORCPT || !atom(kind) {
		return b
	}
	switch {
	case strings.EqualFold(kind, "utf-8"):
		b = append(append(b, " ORCPT=utf-8;"...), appendUTF8Xtext(nil, address)...)
	case printable(address):
		b = append(append(append(b, " ORCPT="...), kind...), ';')
		b = append(b, smtpwire.EncodeXtext(address)...)
	}
	return b
}

// atom says whether s is an address type: letters, digits, hyphens.
func atom(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '-' {
			return false
		}
	}
	return s != ""
}
