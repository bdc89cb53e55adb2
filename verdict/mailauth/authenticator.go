package mailauth

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Authenticator evaluates SPF, DKIM, DMARC and ARC for messages.
//
// Fields must not change once it is in use; Authenticate may be called by many goroutines at once.
type Authenticator struct {
	// Resolver answers DNS questions. Nil means that there is no DNS: everything that needs it is temperror.
	Resolver Resolver
	// Hostname is our own name: the authserv-id of RFC 8601 and the receiver of SPF. It may be empty.
	Hostname string
	// SPF evaluates SPF. Nil means the SPF of this package.
	SPF SPFChecker
	// Timeout is the budget for one message. 0 means 20 s, what RFC 7208 section 4.6.4 asks for at least.
	// What is not known when it ends is temperror.
	Timeout time.Duration
	// MaxSignatures is how many DKIM signatures of a message are verified, from the top. 0 means 10.
	// The others are neutral.
	MaxSignatures int
	// TrustedSealers are domains whose ARC seals are believed: where a chain of them alone says that DMARC
	// passed at its beginning, a failure here asks for nothing (RFC 8617 section 7.2). Nil means none.
	TrustedSealers []string
}

func (a *Authenticator) resolver() Resolver {
	if a.Resolver == nil {
		return noDNS{}
	}
	return a.Resolver
}

type noDNS struct{}

func (noDNS) Lookup(context.Context, string, RecordType) ([]string, error) {
	return nil, fmt.Errorf("%w: no resolver", ErrTemporary)
}

// Authenticate evaluates a message. It is total: what could not be looked up, or not in time, is temperror,
// and what is malformed is permerror. Neither is ever a pass or a fail. It does not change the message.
//
// Of a message whose Origin has no address nobody can check SPF. Where DMARC would have failed for it, its
// Result is empty then: SPF might have passed.
func (a *Authenticator) Authenticate(ctx context.Context, m *verdict.Message) verdict.AuthResults {
	return a.evaluate(ctx, m, func(*verdict.AuthResults) {})
}

// AuthenticateBehind is Authenticate for a message from a trusted upstream, which writes its
// Authentication-Results under authservID, "" if it gives none. Its topmost field counts beside what we see
// ourselves: SPF if nobody told us the original client, and DKIM signatures that it saw pass, since it may
// have changed the message.
//
// An upstream that does not remove fields in its own name from what it receives must not be trusted.
func (a *Authenticator) AuthenticateBehind(ctx context.Context, m *verdict.Message, authservID string) verdict.AuthResults {
	return a.evaluate(ctx, m, func(out *verdict.AuthResults) { addReported(m, authservID, out) })
}

func (a *Authenticator) evaluate(ctx context.Context, m *verdict.Message, add func(*verdict.AuthResults)) verdict.AuthResults {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.Timeout, 20*time.Second))
	defer cancel()
	var (
		out    verdict.AuthResults
		who    = authorOf(m)
		walk   = newDMARCWalk(ctx, a.resolver())
		policy = dmarcPolicy{err: errPanicked}
		wg     sync.WaitGroup
	)
	out.SPF = verdict.SPFResult{Result: "temperror", Err: errPanicked}
	wg.Go(func() {
		defer contain()
		out.SPF = a.checkSPF(ctx, m)
	})
	if who.err == nil {
		wg.Go(func() {
			defer contain()
			policy = walk.discover(who.domain())
		})
	}
	out.DKIM, out.ARC = a.checkSignatures(ctx, m)
	wg.Wait()
	add(&out)
	out.DMARC = walk.evaluate(who, policy, identifiers(out))
	switch {
	case out.DMARC.Result != "fail":
	case out.SPF.Result == "":
		out.DMARC.Result, out.DMARC.Applied, out.DMARC.Err = "", "", nil
	case vouchedFor(m.Header(), out, a.TrustedSealers):
		out.ARC.Vouches, out.DMARC.Applied = true, "none"
	}
	return out
}

// authorOf reads the author. A header that could not be read to its end may have a second one.
func authorOf(m *verdict.Message) *author {
	who := readAuthor(m.Header())
	if err := m.Header().Err(); err != nil {
		who.err = fmt.Errorf("%w: %w", errFrom, err)
	}
	return who
}

// errPanicked stands where a checker or resolver of somebody else panicked. The other results are not
// affected.
var errPanicked = fmt.Errorf("%w: the check panicked", ErrTemporary)

// contain keeps a panic from ending the process. What it kept from being set says errPanicked.
func contain() { _ = recover() }

// checkSPF checks the origin: behind a trusted upstream the peer says nothing about the sender.
func (a *Authenticator) checkSPF(ctx context.Context, m *verdict.Message) verdict.SPFResult {
	addr := m.Origin.Addr.Addr()
	if !addr.IsValid() {
		return verdict.SPFResult{} // nobody told us, so nobody checked
	}
	checker := a.SPF
	if checker == nil {
		checker = SPF{Resolver: a.resolver(), Hostname: a.Hostname}
	}
	return checker.CheckSPF(ctx, addr, m.Origin.Helo, m.Envelope.From)
}

// checkSignatures verifies DKIM and ARC, which read the message together.
func (a *Authenticator) checkSignatures(ctx context.Context, m *verdict.Message) (dkim []verdict.DKIMResult, arc verdict.ARCResult) {
	arc = verdict.ARCResult{Result: "temperror", Err: errPanicked}
	defer contain()
	r, err := m.Open()
	if err != nil {
		return nil, verdict.ARCResult{Result: "temperror", Err: err}
	}
	defer r.Close()
	c, err := readHeader(m, r)
	if err != nil {
		return nil, verdict.ARCResult{Result: "permerror", Err: err}
	}
	sigs := c.parseDKIM(cmp.Or(a.MaxSignatures, 10), arrival(m))
	chain := c.parseARC()
	names, simple, relaxed := chain.keyNames(), false, false
	if len(names) > 0 {
		f := chain.newest().message.form
		simple, relaxed = !f.bodyRelaxed, f.bodyRelaxed
	}
	for _, s := range sigs {
		if s.result == "" {
			names = append(names, s.keyName())
			simple, relaxed = simple || !s.form.bodyRelaxed, relaxed || s.form.bodyRelaxed
		}
	}
	keys := make(map[string]fetchedKey)
	if len(names) > 0 {
		if err := c.readBody(ctx, r, simple, relaxed); err != nil {
			keys = nil
			chain = arcChain{}
			for i := range sigs {
				sigs[i].result = cmp.Or(sigs[i].result, "temperror")
				sigs[i].err = cmp.Or(sigs[i].err, err)
			}
			arc = verdict.ARCResult{Result: "temperror", Err: err}
		} else {
			keys = fetchKeys(ctx, a.resolver(), names)
		}
	}
	for i := range sigs {
		sigs[i].verify(c, keys[sigs[i].keyName()])
		dkim = append(dkim, sigs[i].outcome())
	}
	if keys != nil {
		arc = chain.verify(c, keys)
	}
	return dkim, arc
}

// arrival is the time that signatures are held against: that of the message, so that mail which is looked
// at again later gives the same results.
func arrival(m *verdict.Message) time.Time {
	if m.Received.IsZero() {
		return time.Now()
	}
	return m.Received
}

// parallelKeys is how many keys are looked up at once for one message.
const parallelKeys = 8

// fetchKeys looks up each of the names once, side by side.
func fetchKeys(ctx context.Context, r Resolver, names []string) map[string]fetchedKey {
	slices.Sort(names)
	names = slices.Compact(names)
	out := make(map[string]fetchedKey, len(names))
	if len(names) == 1 {
		out[names[0]] = fetchKey(ctx, r, names[0])
		return out
	}
	got := make([]fetchedKey, len(names))
	slots := make(chan struct{}, parallelKeys)
	var wg sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			defer contain()
			got[i] = fetchedKey{result: "temperror", err: errPanicked}
			got[i] = fetchKey(ctx, r, name)
		})
	}
	wg.Wait()
	for i, name := range names {
		out[name] = got[i]
	}
	return out
}

// identifiers are the domains that DMARC may align.
func identifiers(r verdict.AuthResults) []identifier {
	out := []identifier{{r.SPF.Domain, r.SPF.Result, func(r *dmarcRecord) bool { return r.strictSPF }}}
	for _, d := range r.DKIM {
		out = append(out, identifier{d.Domain, d.Result, func(r *dmarcRecord) bool { return r.strictDKIM }})
	}
	return out
}
