package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
)

// looks is the time between two looks at the directory, for what other processes change.
const looks = time.Second

// proofs knows which domains are proven while the gateway runs, and has them checked again on schedule. What
// it knows is a picture of the store that is at most a little older than looks: no mail waits for a disk.
type proofs struct {
	log *slog.Logger
	cur atomic.Pointer[picture]

	mu   sync.Mutex // one follow at a time
	dir  string     // state directory, as it was at the start
	was  any        // settings that the goroutines run with; nil: none run
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// picture is the store at one moment. It does not change.
type picture struct {
	domains map[string][]dnsverify.Entry
	seen    map[string]time.Time // when a directory was changed last; zero: it has to be read again
	broken  map[string]string    // what was wrong with a directory
}

func newProofs(log *slog.Logger) *proofs {
	p := &proofs{log: log}
	p.cur.Store(&picture{})
	return p
}

// follow has the domains of a configuration watched until ctx ends. It returns when the first picture is there.
func (p *proofs) follow(ctx context.Context, c *config.Config) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !required(c) {
		p.halt()
		return nil
	}
	mine := *c // only a restart changes the directory
	mine.State = cmp.Or(p.dir, c.State)
	if p.was != nil && reflect.DeepEqual(p.was, settings(&mine)) {
		return nil
	}
	o, err := newOwnership(&mine, nil)
	if err != nil {
		return err
	}
	p.halt()
	ctx, cancel := context.WithCancel(ctx)
	p.dir, p.was, p.stop = mine.State, settings(&mine), cancel
	p.look(ctx, o.store)
	states := p.count()
	p.log.Info("domains are watched", "verified", states[string(dnsverify.StateVerified)], "pending", states[string(dnsverify.StatePending)],
		"at_risk", states[string(dnsverify.StateAtRisk)], "lapsed", states[string(dnsverify.StateLapsed)], "conflict", states[string(dnsverify.StateConflict)])
	p.wg.Go(func() {
		if err := o.monitor(p.log).Run(ctx); ctx.Err() == nil {
			p.log.Error("domains are not checked any more", "err", err)
		}
	})
	p.wg.Go(func() {
		tick := time.NewTicker(looks)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.look(ctx, o.store)
			}
		}
	})
	return nil
}

// halt ends the goroutines. The picture stays.
func (p *proofs) halt() {
	if p.stop != nil {
		p.stop()
	}
	p.wg.Wait()
	p.was, p.stop = nil, nil
}

// close ends everything.
func (p *proofs) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halt()
}

// look takes a new picture. A directory that cannot be read keeps what was known of it: a disk that fails takes
// no mail away.
func (p *proofs) look(ctx context.Context, store *dnsverify.FileStore) {
	old := p.cur.Load()
	dirs, err := os.ReadDir(store.Dir)
	if err != nil {
		if old.broken["."] != err.Error() {
			p.log.Error("the state of domains cannot be read, what was known stays in force", "err", err)
		}
		p.cur.Store(&picture{domains: old.domains, seen: old.seen, broken: map[string]string{".": err.Error()}})
		return
	}
	now := &picture{domains: map[string][]dnsverify.Entry{}, seen: map[string]time.Time{}, broken: map[string]string{}}
	for _, d := range dirs {
		if d.IsDir() {
			p.lookAt(ctx, store, d.Name(), old, now)
		}
	}
	p.cur.Store(now)
	if old.domains != nil { // what is there at the start is no change
		p.tell(old, now)
	}
}

func (p *proofs) lookAt(ctx context.Context, store *dnsverify.FileStore, domain string, old, now *picture) {
	fi, err := os.Stat(filepath.Join(store.Dir, domain))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil && fi.ModTime().Equal(old.seen[domain]) {
		now.domains[domain], now.seen[domain] = old.domains[domain], old.seen[domain]
		return
	}
	begun := time.Now()
	var list []dnsverify.Entry
	if err == nil {
		list, err = store.Domain(ctx, domain)
	}
	if err != nil {
		now.domains[domain], now.broken[domain] = old.domains[domain], err.Error()
		if old.broken[domain] != err.Error() {
			p.log.Error("the state of a domain cannot be read, what was known stays in force", "domain", show(domain), "err", err)
		}
		return
	}
	now.domains[domain] = list
	if begun.Sub(fi.ModTime()) > 2*looks { // clocks of file systems are coarse: what is new is read once more
		now.seen[domain] = fi.ModTime()
	}
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
		return fmt.Sprintf("whether it is proven cannot be read (%s): its state has to be readable for the user of the gateway", show(unread))
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
