package links_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/links"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// zone is a Resolver made of a map. What is not in it does not exist.
type zone struct {
	answers map[string][]string
	err     error         // for everything
	delay   time.Duration // before each answer

	mu    sync.Mutex
	asked []string
}

func (z *zone) LookupHost(ctx context.Context, name string) ([]string, error) {
	z.mu.Lock()
	z.asked = append(z.asked, name)
	z.mu.Unlock()
	if z.delay > 0 {
		select {
		case <-time.After(z.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if z.err != nil {
		return nil, z.err
	}
	if a, ok := z.answers[strings.TrimSuffix(name, ".")]; ok {
		return a, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z *zone) names() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	out := slices.Clone(z.asked)
	slices.Sort(out)
	return out
}

func TestLists(t *testing.T) {
	t.Parallel()
	domains := links.List{Zone: "dbl.test", Codes: map[byte]string{2: "spam", 4: "phishing"}}
	masked := links.List{Zone: "multi.test", Mask: true, Codes: map[byte]string{8: "phishing", 64: "abuse"}, Hosts: true, Score: 2}
	addresses := links.List{Zone: "ip.test", Addresses: true}
	for _, c := range []struct {
		name    string
		list    links.List
		answers map[string][]string
		text    string
		want    []string // codes with their detail
	}{
		{"not listed", domains, nil, "https://a.letters.org/", nil},
		{"listed", domains, map[string][]string{"letters.org.dbl.test": {"127.0.1.4"}}, "https://a.letters.org/", []string{"link.listed a.letters.org is on dbl.test: phishing"}},
		{"another code", domains, map[string][]string{"letters.org.dbl.test": {"127.0.1.9"}}, "https://a.letters.org/", nil},
		{"several", domains, map[string][]string{"letters.org.dbl.test": {"127.0.1.4", "127.0.1.2"}}, "https://a.letters.org/", []string{"link.listed a.letters.org is on dbl.test: phishing, spam"}},
		{"a mask", masked, map[string][]string{"a.letters.org.multi.test": {"127.0.0.72"}}, "https://a.letters.org/", []string{"link.listed a.letters.org is on multi.test: abuse, phishing"}},
		{"refused", domains, map[string][]string{"letters.org.dbl.test": {"127.255.255.254"}}, "https://a.letters.org/", []string{"link.list-failed asking dbl.test: the list refuses to answer: see its rules of use: answer 127.255.255.254"}},
		{"refused by a bit", domains, map[string][]string{"letters.org.dbl.test": {"127.0.0.1"}}, "https://a.letters.org/", []string{"link.list-failed asking dbl.test: the list refuses to answer: see its rules of use: answer 127.0.0.1"}},
		{"a search page for everything", domains, map[string][]string{"letters.org.dbl.test": {"198.51.100.1"}}, "https://a.letters.org/", []string{"link.list-failed asking dbl.test: the list refuses to answer: see its rules of use: answer 198.51.100.1"}},
		{"an address", addresses, map[string][]string{"7.100.51.198.ip.test": {"127.0.0.3"}}, "https://198.51.100.7/ https://a.letters.org/", []string{"link.listed 198.51.100.7 is on ip.test: 127.0.0.3"}},
		{"an address of version 6", addresses, map[string][]string{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip.test": {"127.0.0.3"}}, "https://[2001:db8::1]/", []string{"link.listed 2001:db8::1 is on ip.test: 127.0.0.3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc := &links.Scanner{Lists: []links.List{c.list}, Resolver: &zone{answers: c.answers}}
			found, err := sc.Scan(t.Context(), verdicttest.Mail{Text: c.text}.Message(t))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				if strings.HasPrefix(f.Code, "link.list") {
					got = append(got, f.Code+" "+f.Detail)
					if c.list.Score != 0 && f.Score != c.list.Score {
						t.Errorf("score %v", f.Score)
					}
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 100 {
		text.WriteString("https://site-" + strings.Repeat("a", i) + "b.org/ ")
	}
	z := &zone{}
	sc := &links.Scanner{Lists: []links.List{{Zone: "dbl.test"}}, Resolver: z, Limits: links.Limits{Questions: 7}}
	if _, err := sc.Scan(t.Context(), verdicttest.Mail{Text: text.String()}.Message(t)); err != nil {
		t.Fatal(err)
	}
	if n := len(z.names()); n != 7 {
		t.Errorf("%d questions", n)
	}
}

func TestListsAreSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &links.Scanner{Lists: []links.List{{Zone: "dbl.test"}}, Resolver: &zone{delay: time.Hour}, Limits: links.Limits{DNSTime: 2 * time.Second}}
		start := time.Now()
		found, err := sc.Scan(t.Context(), verdicttest.Mail{Text: "https://a.letters.org/ https://b.letters.net/"}.Message(t))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		failed := slices.ContainsFunc(found, func(f verdict.Finding) bool { return f.Code == "link.list-failed" && f.Score == 0 })
		if !failed {
			t.Errorf("%v", found)
		}
	})
}

func TestListsWithoutResolver(t *testing.T) {
	t.Parallel()
	sc := &links.Scanner{Lists: []links.List{{Zone: "dbl.test"}}}
	if got := codes(t, sc, verdicttest.Mail{Text: "https://a.letters.org/"}.Message(t)); !slices.Contains(got, "link.list-failed") {
		t.Errorf("%v", got)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		list    links.List
		zone    *zone
		problem string
	}{
		{"good", links.List{Zone: "a.test"}, &zone{answers: map[string][]string{"test.a.test": {"127.0.0.2"}}}, ""},
		{"good, of addresses", links.List{Zone: "a.test", Addresses: true}, &zone{answers: map[string][]string{"2.0.0.127.a.test": {"127.0.0.2"}}}, ""},
		{"empty", links.List{Zone: "a.test"}, &zone{}, "does not have its test point"},
		{"everything", links.List{Zone: "a.test"}, &zone{answers: map[string][]string{"test.a.test": {"127.0.0.2"}, "invalid.a.test": {"127.0.0.2"}}}, "lists everything"},
		{"refused", links.List{Zone: "a.test"}, &zone{answers: map[string][]string{"test.a.test": {"127.255.255.252"}}}, "rules of use"},
		{"unreachable", links.List{Zone: "a.test"}, &zone{err: errors.New("no route")}, "no route"},
	} {
		err := c.list.Check(t.Context(), c.zone)
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestBlocklist(t *testing.T) {
	t.Parallel()
	z := &zone{answers: map[string][]string{"1.2.0.192.ip.test": {"127.0.0.4"}, "letters.org.dbl.test": {"127.0.0.2"}}}
	b := links.Blocklist{Resolver: z, Lists: []links.List{{Zone: "ip.test", Addresses: true, Codes: map[byte]string{4: "exploited"}}, {Zone: "dbl.test"}, {Zone: "other.test", Addresses: true}}}
	m := verdicttest.Clean(t)
	want := []verdict.Finding{{Code: "client.listed", Score: 3, Detail: "192.0.2.1 is on ip.test: exploited"}}
	got, err := b.Scan(t.Context(), m)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if diff := cmp.Diff([]string{"1.2.0.192.ip.test.", "1.2.0.192.other.test."}, z.names()); diff != "" {
		t.Error(diff)
	}
	if got, err := b.ScanEnvelope(t.Context(), m); got != nil || err != nil {
		t.Errorf("asked again for a recipient: %v, %v", got, err)
	}
	m.Envelope.To = nil
	if got, err := b.ScanEnvelope(t.Context(), m); len(got) != 1 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	m.Origin.Addr = netip.MustParseAddrPort("10.0.0.1:25")
	if got, err := b.Scan(t.Context(), m); got != nil || err != nil {
		t.Errorf("a private address: %v, %v", got, err)
	}
	var none links.Blocklist
	if got, err := none.Scan(t.Context(), verdicttest.Clean(t)); got != nil || err != nil {
		t.Errorf("no lists: %v, %v", got, err)
	}
}

func TestBlocklistSuite(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(testing.TB, net.Addr) verdict.Scanner {
			z := &zone{answers: map[string][]string{"1.2.0.192.ip.test": {"127.0.0.2"}}}
			return links.Blocklist{Resolver: z, Lists: []links.List{{Zone: "ip.test", Addresses: true}}}
		},
		Hit: verdicttest.Clean,
	})
}
