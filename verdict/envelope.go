package verdict

import (
	"net/netip"
	"strings"
)

// Client is an SMTP client as the server saw it, or as a trusted upstream reported it.
// Every field may be empty: an upstream need not say everything.
type Client struct {
	Addr netip.AddrPort // address and port it connected from; the port may be 0
	Helo string         // argument of its EHLO or HELO
	Name string         // name of the address by reverse and forward DNS, if anybody looked
	TLS  string         // "TLSv1.3 TLS_AES_128_GCM_SHA256", empty without TLS
}

// Envelope is what MAIL and RCPT said (RFC 5321 section 2.3.1), with the parameters that have to be
// handed on. The zero value is the null sender and nobody to send to.
type Envelope struct {
	// From is the reverse-path without angle brackets, quoted as the client quoted it.
	// Empty is the null sender of notifications (RFC 5321 section 4.5.5).
	From string
	// To are the recipients in the order in which they were accepted.
	To []Recipient
	// Body is the BODY parameter (RFC 6152): "", "7BIT" or "8BITMIME".
	Body string
	// UTF8 says that SMTPUTF8 was asked for (RFC 6531): the next hop must offer it.
	UTF8 bool
	// RequireTLS says that REQUIRETLS was asked for (RFC 8689): the next hop must offer it, under verified TLS.
	RequireTLS bool
	// Size is the SIZE parameter in octets (RFC 1870), 0 if the client did not say.
	Size int64
	// Return is the RET parameter (RFC 3461): "", "FULL" or "HDRS".
	Return string
	// ID is the ENVID parameter (RFC 3461) after xtext decoding.
	ID string
}

// Recipient is one RCPT command.
type Recipient struct {
	// Address is the forward-path without angle brackets and source route, quoted as the client quoted it.
	Address string
	// Notify is the NOTIFY parameter (RFC 3461): nil, or NEVER, or some of SUCCESS, FAILURE, DELAY.
	Notify []string
	// Original is the ORCPT parameter (RFC 3461) after xtext decoding, with its type: "rfc822;a@example.org".
	Original string
}

// Domain returns the part of an address behind the last at sign, in lower case, or "".
func Domain(address string) string {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return ""
	}
	return strings.ToLower(address[i+1:])
}

// Addresses returns the addresses of the recipients in order.
func (e Envelope) Addresses() []string {
	out := make([]string, len(e.To))
	for i, r := range e.To {
		out[i] = r.Address
	}
	return out
}
