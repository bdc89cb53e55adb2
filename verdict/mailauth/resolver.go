package mailauth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// RecordType is a type of DNS record (RFC 1035, RFC 3596).
type RecordType string

// The types that mail authentication asks for.
const (
	TXT  RecordType = "TXT"
	A    RecordType = "A"
	AAAA RecordType = "AAAA"
	MX   RecordType = "MX"
	PTR  RecordType = "PTR"
)

// Resolver looks up DNS records. It may be used by many goroutines and must stop when ctx ends.
//
// The records come as text: TXT with its strings joined (RFC 7208 section 3.3), addresses as netip writes
// them, MX as host names by preference with "" for a null MX (RFC 7505), PTR as names; names without final
// dot. A name that exists without records of the type gives none and no error. A name that does not
// exist is ErrNotExist. Every other error, and ErrTemporary, means that nobody can tell now.
//
// DNS is the resolver for production, mailauthtest.Zone one for tests.
type Resolver interface {
	Lookup(ctx context.Context, name string, t RecordType) ([]string, error)
}

var (
	// ErrNotExist says that a name does not exist (NXDOMAIN, RFC 8020).
	ErrNotExist = errors.New("mailauth: name does not exist")
	// ErrTemporary says that a question got no answer: asking again later may help.
	ErrTemporary = errors.New("mailauth: temporary DNS failure")
)

// noData says that err is an answer: there are no such records.
func noData(err error) bool { return errors.Is(err, ErrNotExist) }

// temporary makes sure that err is known for what it is: what a Resolver returns that is not ErrNotExist.
func temporary(err error) error {
	if err == nil || errors.Is(err, ErrTemporary) || noData(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrTemporary, err)
}

// lookup asks r, but for names that cannot exist, which it does not have to be asked about.
func lookup(ctx context.Context, r Resolver, name string, t RecordType) ([]string, error) {
	if !validName(name) {
		return nil, ErrNotExist
	}
	out, err := r.Lookup(ctx, name, t)
	return out, temporary(err)
}

// validName says whether a name can be asked for: labels of 1 to 63 octets, 253 altogether (RFC 1035
// section 2.3.4), without a final dot and without bytes that could be read as anything else.
func validName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case c <= ' ' || c >= 0x7f:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0
}

// asciiDomain returns a domain in lower case, without final dot, U-labels as A-labels (RFC 5890), or ""
// if it is no name that could be asked for.
func asciiDomain(domain string) string {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	for i := range len(domain) {
		if domain[i] < 0x80 {
			continue
		}
		a, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return ""
		}
		domain = a
		break
	}
	if !validName(domain) {
		return ""
	}
	return domain
}

// within says whether name is domain or below it. Both are in lower case.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, domain) && name[len(name)-len(domain)-1] == '.'
}

// reverseName returns the name under which an address has its PTR records (RFC 1035 section 3.5, RFC 3596).
func reverseName(a netip.Addr) string {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0])
	}
	const hex = "0123456789abcdef"
	b := a.As16()
	out := make([]byte, 0, 72)
	for i := 15; i >= 0; i-- {
		out = append(out, hex[b[i]&0xf], '.', hex[b[i]>>4], '.')
	}
	return string(append(out, "ip6.arpa"...))
}
