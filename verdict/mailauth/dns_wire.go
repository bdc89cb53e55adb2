package mailauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

var wireTypes = map[RecordType]uint16{
	TXT: dns.TypeTXT, A: dns.TypeA, AAAA: dns.TypeAAAA, MX: dns.TypeMX, PTR: dns.TypePTR,
}

// maxAliases is how many CNAME records are followed (RFC 1034 section 3.6.2 asks only that loops end).
const maxAliases = 10

// udpSize is what we offer to take over UDP: no fragments on usual paths.
const udpSize = 1232

var errAliases = errors.New("too many aliases, or a loop of them")

// chase asks one server and follows aliases whose target the server did not look up itself.
func (d *DNS) chase(ctx context.Context, q question, server string) (answer, error) {
	out := answer{ttl: time.Hour * 24}
	name, aliased := q.name, false
	for range maxAliases {
		r, err := d.exchange(ctx, name, wireTypes[q.kind], server)
		if err != nil {
			return answer{}, err
		}
		end, ttl, err := follow(r, name)
		if err != nil {
			return answer{}, err
		}
		out.ttl = min(out.ttl, ttl)
		aliased = aliased || end != name
		values, ttl := valuesAt(r, end, q.kind)
		switch {
		case len(values) > 0:
			out.values, out.ttl = values, min(out.ttl, ttl)
			return out, nil
		case r.Rcode == dns.RcodeNameError:
			// The code is about the end of the chain (RFC 6604 section 3). A name with an alias exists.
			out.absent = !aliased
		case end != name && !slices.ContainsFunc(r.Ns, isSOA):
			name = end
			continue
		}
		out.ttl = min(out.ttl, negativeTTL(r))
		return out, nil
	}
	return answer{}, errAliases
}

// exchange sends one question, over TCP if the answer does not fit a datagram. What it returns is an answer
// to the question with NOERROR or NXDOMAIN (RFC 7208 section 2.6.6: every other code is temporary).
func (d *DNS) exchange(ctx context.Context, name string, kind uint16, server string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	m.SetEdns0(udpSize, false)
	for _, network := range []string{"udp", "tcp"} {
		c := dns.Client{Net: network, Timeout: d.timeout(), UDPSize: udpSize}
		r, _, err := c.ExchangeContext(ctx, m, server)
		switch {
		case err != nil:
			if network == "udp" && r != nil && r.Truncated {
				continue
			}
			return nil, silence{err}
		case r.Id != m.Id || !r.Response || len(r.Question) != 1 || !strings.EqualFold(r.Question[0].Name, m.Question[0].Name) || r.Question[0].Qtype != kind:
			return nil, errors.New("the answer is to another question")
		case r.Truncated && network == "udp":
			continue
		case r.Truncated:
			return nil, errors.New("the answer is cut off")
		case r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError:
			return nil, fmt.Errorf("the server says %s", cmp.Or(dns.RcodeToString[r.Rcode], "an unknown error"))
		}
		return r, nil
	}
	return nil, errors.New("the answer is cut off")
}

// follow walks the aliases in an answer from name to their end.
func follow(r *dns.Msg, name string) (string, time.Duration, error) {
	ttl := time.Hour * 24
	for range maxAliases {
		next := ""
		for _, rr := range r.Answer {
			if c, ok := rr.(*dns.CNAME); ok && sameName(c.Hdr.Name, name) {
				next, ttl = plainName(c.Target), min(ttl, seconds(c.Hdr.Ttl))
				break
			}
		}
		if next == "" {
			return name, ttl, nil
		}
		name = next
	}
	return "", 0, errAliases
}

// valuesAt returns the records of a type at a name.
func valuesAt(r *dns.Msg, name string, t RecordType) ([]string, time.Duration) {
	type preferred struct {
		host string
		pref uint16
	}
	var (
		out []string
		mxs []preferred
		ttl = time.Hour * 24
	)
	for _, rr := range r.Answer {
		h := rr.Header()
		if h.Rrtype != wireTypes[t] || !sameName(h.Name, name) {
			continue
		}
		ttl = min(ttl, seconds(h.Ttl))
		switch rr := rr.(type) {
		case *dns.TXT:
			out = append(out, joinTXT(rr.Txt))
		case *dns.A:
			if a, ok := netip.AddrFromSlice(rr.A); ok {
				out = append(out, a.Unmap().String())
			}
		case *dns.AAAA:
			if a, ok := netip.AddrFromSlice(rr.AAAA); ok {
				out = append(out, a.String())
			}
		case *dns.PTR:
			out = append(out, plainName(rr.Ptr))
		case *dns.MX:
			mxs = append(mxs, preferred{plainName(rr.Mx), rr.Preference})
		}
	}
	slices.SortStableFunc(mxs, func(a, b preferred) int { return cmp.Compare(a.pref, b.pref) })
	for _, m := range mxs {
		out = append(out, m.host)
	}
	return out, ttl
}

// joinTXT joins the strings of a TXT record and undoes the escapes in which the library hands out bytes.
func joinTXT(parts []string) string {
	s := strings.Join(parts, "")
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out = append(out, s[i])
			continue
		}
		if i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]) {
			out = append(out, (s[i+1]-'0')*100+(s[i+2]-'0')*10+(s[i+3]-'0'))
			i += 3
			continue
		}
		i++
		out = append(out, s[i])
	}
	return string(out)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// negativeTTL is how long an answer without records may be kept (RFC 2308 section 5).
func negativeTTL(r *dns.Msg) time.Duration {
	for _, rr := range r.Ns {
		if s, ok := rr.(*dns.SOA); ok {
			return min(seconds(s.Hdr.Ttl), seconds(s.Minttl))
		}
	}
	return time.Minute // nobody said
}

func isSOA(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA }

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

func plainName(s string) string { return strings.TrimSuffix(s, ".") }
