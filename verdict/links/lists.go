package links

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/postreeve/postreeve/verdict"
)

// Resolver asks for the IPv4 addresses of a name. *net.Resolver is one. A name that does not exist is a *net.DNSError with
// IsNotFound.
type Resolver interface {
	LookupHost(ctx context.Context, name string) ([]string, error)
}

// List is a blocklist that is asked over DNS (RFC 5782).
//
// Read its rules before using one: most are free for small private users only, want a key, or refuse questions
// that come through public resolvers. A refusal is an error here, and never a hit: answers outside of 127.0.0.0/8,
// and those in 127.255.255.0/24, which say that the question was not allowed. RFC 5782 section 5 has
// names that every list must and must not have, for a test before use: see Check.
type List struct {
	// Zone is where it is asked, as "dbl.example.org", with the key where it wants one.
	Zone string
	// Addresses says that it lists IP addresses, not domains.
	Addresses bool
	// Hosts says that a list of domains is asked for whole hosts, too. Most want organisational domains.
	Hosts bool
	// Codes says which answers are hits, by the last byte of 127.0.0.x, and what they mean: {2: "spam"}. Nil means
	// that all are.
	Codes map[byte]string
	// Mask says that the last byte is a set of bits, and Codes are the bits: {8: "phishing"}.
	Mask bool
	// Score replaces that of the table. 0 means that.
	Score float64
}

// errRefused is what a list answers that does not want the question.
var errRefused = errors.New("the list refuses to answer: see its rules of use")

// query asks a list for one name. The answer is what was said, "" if it is not listed.
func (l List) query(ctx context.Context, r Resolver, name string) (string, error) {
	answers, err := r.LookupHost(ctx, name+"."+strings.Trim(l.Zone, ".")+".")
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", l.Zone, err)
	}
	var said []string
	for _, a := range answers {
		ip, err := netip.ParseAddr(a)
		if err != nil || !ip.Is4() {
			continue
		}
		b := ip.As4()
		switch {
		case b[0] != 127, b[1] == 255 && b[2] == 255:
			return "", fmt.Errorf("asking %s: %w: answer %s", l.Zone, errRefused, ip)
		case b[1] == 0 && b[2] == 0 && b[3] == 1:
			return "", fmt.Errorf("asking %s: %w: answer %s", l.Zone, errRefused, ip) // used for the same by others
		}
		said = append(said, l.meanings(b[3])...)
	}
	slices.Sort(said)
	return strings.Join(slices.Compact(said), ", "), nil
}

// meanings returns what the last byte of an answer says.
func (l List) meanings(code byte) []string {
	switch {
	case l.Codes == nil:
		return []string{"127.0.0." + strconv.Itoa(int(code))}
	case !l.Mask:
		if m, ok := l.Codes[code]; ok {
			return []string{m}
		}
		return nil
	}
	var out []string
	for bit, m := range l.Codes {
		if code&bit != 0 {
			out = append(out, m)
		}
	}
	return out
}

// Check asks a list for the test points of RFC 5782 section 5, which it must have and must not have, and returns an error
// if it does not answer like a list.
func (l List) Check(ctx context.Context, r Resolver) error {
	must, mustNot := "test", "invalid"
	if l.Addresses {
		must, mustNot = "2.0.0.127", "1.0.0.127"
	}
	said, err := l.query(ctx, r, must)
	switch {
	case err != nil:
		return fmt.Errorf("links: %w", err)
	case said == "":
		return fmt.Errorf("links: the list %s does not have its test point %s: it is empty, or no list", l.Zone, must)
	}
	if said, err = l.query(ctx, r, mustNot); err != nil {
		return fmt.Errorf("links: %w", err)
	}
	if said != "" {
		return fmt.Errorf("links: the list %s has %s, which it must not: it lists everything", l.Zone, mustNot)
	}
	return nil
}

// question is one name for one list.
type question struct {
	list List
	name string // below the zone
	what string // as people know it
	part string
}

// reply is what came of it.
type reply struct {
	said string
	err  error
}

// askAll asks side by side, at most eight at a time, within the time of ctx. The replies are in the order of the questions.
func askAll(ctx context.Context, r Resolver, questions []question) []reply {
	out := make([]reply, len(questions))
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(8, len(questions)) {
		wg.Go(func() {
			for i := range next {
				out[i].said, out[i].err = questions[i].list.query(ctx, r, questions[i].name)
			}
		})
	}
	for i := range questions {
		if ctx.Err() != nil {
			out[i].err = ctx.Err()
			continue
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}

// ask asks the lists about the hosts of a message.
func (s *Scanner) ask(ctx context.Context, j *judge, lim Limits) {
	if s.Resolver == nil {
		j.found(codeListFailed, "", "there are Lists, and no Resolver to ask them")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lim.DNSTime)
	defer cancel()
	questions := s.questions(j, lim.Questions)
	for i, r := range askAll(ctx, s.Resolver, questions) {
		q := questions[i]
		switch {
		case r.err != nil:
			j.found(codeListFailed, q.part, "%v", r.err)
		case r.said != "":
			f := verdict.Found(codeListed)
			f.Part, f.Detail = q.part, clip(fmt.Sprintf("%s is on %s: %s", q.what, q.list.Zone, r.said), 300)
			if q.list.Score != 0 {
				f.Score = q.list.Score
			}
			j.out = append(j.out, f)
		}
	}
}

// questions returns what to ask: every host once, those that people click on first.
func (s *Scanner) questions(j *judge, most int) []question {
	var out []question
	seen := make(map[string]bool)
	add := func(l *link, a address) {
		if !a.web() || len(out) >= most || kindOf(a.host) == siteCommon {
			return
		}
		for _, list := range s.Lists {
			for _, name := range list.names(a) {
				if key := list.Zone + " " + name; !seen[key] && len(out) < most {
					seen[key] = true
					out = append(out, question{list, name, a.host, l.part})
				}
			}
		}
	}
	for _, opens := range []bool{true, false} {
		for _, l := range j.links {
			if l.opens() == opens {
				add(l, l.at)
				for _, p := range l.passes {
					add(l, p)
				}
			}
		}
	}
	return out
}

// names returns what to ask a list for about an address.
func (l List) names(a address) []string {
	switch {
	case a.ip.IsValid():
		if !l.Addresses || a.ip.IsPrivate() || a.ip.IsLoopback() {
			return nil
		}
		return []string{reverse(a.ip)}
	case l.Addresses || !strings.Contains(a.host, ".") || len(a.host) > 200:
		return nil
	case l.Hosts && a.host != a.org:
		return []string{a.host, a.org}
	}
	return []string{a.org}
}

// reverse returns an IP address as lists have it (RFC 5782 sections 2.1 and 2.4).
func reverse(ip netip.Addr) string {
	var labels []string
	if ip.Is4() {
		for _, b := range ip.As4() {
			labels = append(labels, strconv.Itoa(int(b)))
		}
	} else {
		for _, b := range ip.As16() {
			labels = append(labels, strconv.FormatUint(uint64(b>>4), 16), strconv.FormatUint(uint64(b&15), 16))
		}
	}
	slices.Reverse(labels)
	return strings.Join(labels, ".")
}
