package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay/store"
)

// proofs knows which domains are proven while the gateway runs, and has them checked again on schedule. What
// it knows is a picture of the store that is a second old at most: no mail waits for a database.
type proofs struct {
	log *slog.Logger
	cur atomic.Pointer[picture]

	monitor atomic.Pointer[dnsverify.Monitor] // nil: no domain has to be proven

	mu   sync.Mutex // one follow at a time
	was  any        // settings that the goroutines run with; nil: none run
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// picture is the store at one moment. It does not change.
type picture struct {
	domains map[string][]dnsverify.Entry
	seen    map[string]int64  // revisions of the records
	broken  map[string]string // what was wrong with a record
}

func newProofs(log *slog.Logger) *proofs {
	p := &proofs{log: log}
	p.cur.Store(&picture{})
	return p
}

// follow has the domains of a configuration watched until ctx ends. It returns when the first picture is there.
func (p *proofs) follow(ctx context.Context, c *config.Config, st *store.Store) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !required(c) {
		p.halt()
		return nil
	}
	if st == nil { // the configuration has one since a moment ago, and only a restart opens it
		return errors.New("domains that have to be proven need a store, which is opened when the gateway is started again")
	}
	if p.was != nil && reflect.DeepEqual(p.was, settings(c)) {
		return nil
	}
	o, err := newOwnership(ctx, c, st, nil)
	if err != nil {
		return err
	}
	p.halt()
	ctx, cancel := context.WithCancel(ctx)
	p.was, p.stop = settings(c), cancel
	_ = p.look(ctx, st)
	states := p.count()
	p.log.Info("domains are watched", "verified", states[string(dnsverify.StateVerified)], "pending", states[string(dnsverify.StatePending)],
		"at_risk", states[string(dnsverify.StateAtRisk)], "lapsed", states[string(dnsverify.StateLapsed)], "conflict", states[string(dnsverify.StateConflict)])
	p.monitor.Store(o.monitor(p.log))
	p.wg.Go(func() {
		st.Watch(ctx, kindDomain, func(ctx context.Context) {
			for p.look(ctx, st) != nil {
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Second):
				}
			}
		})
	})
	return nil
}

// halt ends the goroutines. The picture stays.
func (p *proofs) halt() {
	if p.stop != nil {
		p.stop()
	}
	p.wg.Wait()
	p.monitor.Store(nil)
	p.was, p.stop = nil, nil
}

// verifyEvery is how often domains that are due to be checked are looked for.
const verifyEvery = 30 * time.Second

// task has the domains checked that are due, by one node of a fleet.
func (p *proofs) task() store.Task {
	return store.Task{Name: "re-verify", Every: verifyEvery, Do: p.sweep, Limit: 5 * time.Minute}
}

// sweep checks what is due, and what will be until the next sweep: a first match is confirmed soon after.
func (p *proofs) sweep(ctx context.Context) error {
	for until := time.Now().Add(verifyEvery); ; {
		m := p.monitor.Load()
		if m == nil {
			return nil
		}
		next := m.Sweep(ctx)
		if next.After(until) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(time.Until(next), time.Second)):
		}
	}
}

// close ends everything.
func (p *proofs) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halt()
}

// look takes a new picture. What cannot be read stays as it was known: a database that fails takes no mail away.
func (p *proofs) look(ctx context.Context, st *store.Store) error {
	old := p.cur.Load()
	all, err := st.Records(ctx, kindDomain)
	if err != nil {
		if old.broken["."] == "" && ctx.Err() == nil {
			p.log.Error("the state of domains cannot be read, what was known stays in force", "error", err)
		}
		p.unread(err)
		return err
	}
	now := &picture{domains: map[string][]dnsverify.Entry{}, seen: map[string]int64{}, broken: map[string]string{}}
	for _, r := range all {
		p.lookAt(r, old, now)
	}
	p.cur.Store(now)
	if old.domains != nil { // what is there at the start is no change
		p.tell(old, now)
	}
	return nil
}

// unread notes that the store cannot be read.
func (p *proofs) unread(err error) {
	old := p.cur.Load()
	p.cur.Store(&picture{domains: old.domains, seen: old.seen, broken: map[string]string{".": err.Error()}})
}

func (p *proofs) lookAt(r store.Record, old, now *picture) {
	if seen, ok := old.seen[r.ID]; ok && seen == r.Revision {
		now.domains[r.ID], now.seen[r.ID] = old.domains[r.ID], seen
		return
	}
	list, err := readClaims(r)
	if err != nil {
		now.domains[r.ID], now.broken[r.ID] = old.domains[r.ID], err.Error()
		if old.broken[r.ID] != err.Error() {
			p.log.Error("the state of a domain cannot be read, what was known stays in force", "domain", show(r.ID), "error", err)
		}
		return
	}
	now.domains[r.ID], now.seen[r.ID] = list, r.Revision
}

// tell logs what has changed, whoever changed it.
func (p *proofs) tell(old, now *picture) {
	for _, domain := range slices.Sorted(maps.Keys(now.domains)) {
		for _, e := range now.domains[domain] {
			was, _ := find(old.domains[domain], e.Key())
			if was.State == e.State && was.Serves() == e.Serves() {
				continue
			}
			level := slog.LevelInfo
			if e.State != dnsverify.StateVerified && e.State != dnsverify.StatePending {
				level = slog.LevelWarn
			}
			p.log.Log(context.Background(), level, "state of a domain", "domain", e.Domain, "tenant", show(e.Tenant), "state", string(e.State),
				"before", string(was.State), "mail", e.Serves(), "code", string(e.Code), "next", e.Next)
		}
	}
}

func find(list []dnsverify.Entry, k dnsverify.Key) (dnsverify.Entry, bool) {
	i := slices.IndexFunc(list, func(e dnsverify.Entry) bool { return e.Key() == k })
	if i < 0 {
		return dnsverify.Entry{}, false
	}
	return list[i], true
}

// refuses says why mail for a domain is not taken, "" if it is.
func (p *proofs) refuses(k dnsverify.Key) string {
	now := p.cur.Load()
	e, ok := find(now.domains[k.Domain], k)
	unread := cmp.Or(now.broken[k.Domain], now.broken["."])
	switch {
	case !ok && unread != "":
		return fmt.Sprintf("whether it is proven cannot be read (%s): see the log", show(unread))
	case !ok:
		return fmt.Sprintf("its ownership was never proven: run postreeve domain add %s, or if you know that it is yours, say verification: waived in the configuration", k.Domain)
	case e.Serves():
		return ""
	case e.State == dnsverify.StateConflict:
		return "another tenant has proven it: see postreeve domain show " + k.Domain
	}
	command := "add"
	if e.State == dnsverify.StatePending {
		command = "verify"
	}
	return fmt.Sprintf("its ownership is not proven (%s): run postreeve domain %s %s", e.State, command, k.Domain)
}

// count returns the number of claims in each state.
func (p *proofs) count() map[string]int {
	out := map[string]int{}
	for _, s := range []dnsverify.State{dnsverify.StatePending, dnsverify.StateVerified, dnsverify.StateAtRisk, dnsverify.StateLapsed,
		dnsverify.StateExpired, dnsverify.StateConflict, dnsverify.StateRevoked} {
		out[string(s)] = 0
	}
	for _, list := range p.cur.Load().domains {
		for _, e := range list {
			out[string(e.State)]++
		}
	}
	return out
}
