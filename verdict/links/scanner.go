package links

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Scanner looks at where a message leads. The zero value is ready for use, without DNS. Its fields are set before the first Scan and
// only read afterwards; it may then be used by many goroutines at once.
type Scanner struct {
	// Protected are domains that nobody else may look like, as "example.com": those of the gateway's users
	// as a rule. Nil means none.
	Protected []string
	// Brands are names that others like to use. Nil means a list of some hundred well-known ones; an empty
	// slice none.
	Brands []Brand
	// Lists are asked about the hosts in links. Nil means none: nothing is ever asked over the network.
	Lists []List
	// Resolver asks Lists. It is needed if there are any.
	Resolver Resolver
	// Limits bound the work on one message.
	Limits Limits

	once  sync.Once
	ready struct {
		brands  *brandSet
		guarded []guarded
	}
}

// Limits bound the work on one message. A zero field means its default.
type Limits struct {
	Links       int           // looked at; default 1000
	Pictures    int           // looked at for QR codes; default 20
	PictureTime time.Duration // for all of them, and again for each PDF file; default 1 s
	Questions   int           // to Lists, of one message; default 40
	DNSTime     time.Duration // for all of them, which are asked side by side; default 3 s
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Links, 1000)
	orDefault(&l.Pictures, 20)
	orDefault(&l.PictureTime, time.Second)
	orDefault(&l.Questions, 40)
	orDefault(&l.DNSTime, 3*time.Second)
	return l
}

func orDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Name returns "links".
func (*Scanner) Name() string { return "links" }

// Scan implements verdict.Scanner. The error is that of ctx, of the source, or verdict.ErrTooComplex.
func (s *Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.once.Do(s.prepare)
	lim := s.Limits.withDefaults()
	r, failed := collect(ctx, m, lim)
	if err := m.Header().Err(); err != nil && failed == nil {
		failed = err
	}
	j := &judge{reading: r, brands: s.ready.brands, guarded: s.ready.guarded, count: make(map[string]int), hosts: make(map[string]bool)}
	if len(r.links) > 0 || len(r.docs) > 0 || r.codes > 0 || len(r.notes) > 0 || strings.Contains(m.Header().Get("Subject"), ".") {
		j.from = readSender(m)
		j.all()
	}
	if err := ctx.Err(); err != nil {
		return j.out, err
	}
	if len(s.Lists) > 0 && len(r.links) > 0 {
		s.ask(ctx, j, lim)
	}
	return j.out, failed
}

func (s *Scanner) prepare() {
	s.ready.brands = commonBrands()
	if s.Brands != nil {
		s.ready.brands = newBrandSet(s.Brands)
	}
	s.ready.guarded = newGuarded(s.Protected)
}

// all judges the links one by one, then together.
func (j *judge) all() {
	for _, l := range j.links {
		j.link(l)
	}
	for _, p := range j.docs {
		j.forms(p)
	}
	j.message()
	for _, n := range j.notes {
		j.found(n.code, n.part, "%s", n.detail)
	}
}
