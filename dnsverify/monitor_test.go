package dnsverify_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
)

// oracle is a Checker that says what it is told to, by tenant.
type oracle struct {
	mu     sync.Mutex
	says   map[string]dnsverify.Result
	checks int
}

func (o *oracle) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.checks
}

func (o *oracle) set(tenant string, s dnsverify.Status, ns ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.says == nil {
		o.says = map[string]dnsverify.Result{}
	}
	r := dnsverify.Result{Status: s, NameServers: ns}
	if s != dnsverify.Verified {
		r.Problem = &dnsverify.Problem{Code: dnsverify.RecordAbsent}
	}
	o.says[tenant] = r
}

func (o *oracle) Verify(ctx context.Context, cl dnsverify.Claim, _ ...dnsverify.Claim) (*dnsverify.Result, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.checks++
	r := o.says[cl.Tenant]
	r.Domain, r.Tenant = cl.Domain, cl.Tenant
	return &r, nil
}

// watch is a monitor that runs in a bubble of time.
type watch struct {
	*testing.T
	oracle  *oracle
	store   *dnsverify.MemoryStore
	monitor *dnsverify.Monitor
	keyA    dnsverify.Key
	keyB    dnsverify.Key
	changes []string
}

// inBubble runs f with a monitor that runs beside it.
func inBubble(t *testing.T, f func(w *watch)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &watch{T: t, oracle: &oracle{}, store: &dnsverify.MemoryStore{}}
		w.keyA, w.keyB = dnsverify.Key{Tenant: "a", Domain: "example.com"}, dnsverify.Key{Tenant: "b", Domain: "example.com"}
		var mu sync.Mutex
		w.monitor = &dnsverify.Monitor{Checker: w.oracle, Store: w.store, Changed: func(before, after dnsverify.Entry, _ *dnsverify.Result) {
			mu.Lock()
			defer mu.Unlock()
			w.changes = append(w.changes, after.Tenant+":"+string(after.State))
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := w.monitor.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
		})
		f(w)
		cancel()
		wg.Wait()
	})
}

func (w *watch) add(tenant string) {
	w.Helper()
	if _, err := w.monitor.Add(w.Context(), dnsverify.Claim{Tenant: tenant, Domain: "example.com"}); err != nil {
		w.Fatal(err)
	}
}

func (w *watch) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *watch) entry(k dnsverify.Key) dnsverify.Entry {
	w.Helper()
	all, err := w.store.Domain(w.Context(), k.Domain)
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range all {
		if e.Key() == k {
			return e
		}
	}
	w.Fatalf("no entry %+v", k)
	return dnsverify.Entry{}
}

func (w *watch) want(k dnsverify.Key, s dnsverify.State, serves bool) {
	w.Helper()
	if e := w.entry(k); e.State != s || e.Serves() != serves {
		w.Fatalf("%s: state %s, serves %v; want %s, %v\n%+v", k.Tenant, e.State, e.Serves(), s, serves, e)
	}
}

// proven brings tenant a to verified.
func (w *watch) proven() {
	w.Helper()
	w.oracle.set("a", dnsverify.Verified, "ns1", "ns2")
	w.add("a")
	w.sleep(3 * time.Minute)
	w.want(w.keyA, dnsverify.StateVerified, true)
}

func TestMonitor(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		name string
		run  func(w *watch)
	}{
		{"two matches 30 s apart prove a domain", func(w *watch) {
			w.oracle.set("a", dnsverify.Verified)
			w.add("a")
			if _, _, err := w.monitor.Check(w.Context(), w.keyA); err != nil {
				w.Fatal(err)
			}
			w.want(w.keyA, dnsverify.StatePending, false)
			w.sleep(29 * time.Second)
			w.want(w.keyA, dnsverify.StatePending, false)
			w.sleep(time.Minute)
			w.want(w.keyA, dnsverify.StateVerified, true)
			if w.entry(w.keyA).Proof == nil {
				w.Error("no evidence was kept")
			}
		}},
		{"a first match that Run saw is confirmed 30 s later", func(w *watch) {
			w.oracle.set("a", dnsverify.Absent)
			w.add("a")
			w.sleep(2 * time.Minute)
			w.oracle.set("a", dnsverify.Verified)
			seen := time.Time{} // of the first match
			for range 3600 {
				w.sleep(time.Second)
				e := w.entry(w.keyA)
				if seen.IsZero() && time.Until(e.Next) <= 31*time.Second && !e.Next.IsZero() && w.oracle.count() > 2 {
					seen = time.Now()
				}
				if e.State == dnsverify.StateVerified {
					break
				}
			}
			w.want(w.keyA, dnsverify.StateVerified, true)
			if took := time.Since(seen); seen.IsZero() || took > 40*time.Second {
				w.Errorf("confirmed %v after the first match", took)
			}
		}},
		{"a match and then a miss prove nothing", func(w *watch) {
			w.oracle.set("a", dnsverify.Verified)
			w.add("a")
			if _, _, err := w.monitor.Check(w.Context(), w.keyA); err != nil {
				w.Fatal(err)
			}
			w.oracle.set("a", dnsverify.Partial)
			w.sleep(time.Hour)
			w.want(w.keyA, dnsverify.StatePending, false)
		}},
		{"a claim that is never proven expires after 72 hours", func(w *watch) {
			w.oracle.set("a", dnsverify.Absent)
			w.add("a")
			w.sleep(71 * time.Hour)
			w.want(w.keyA, dnsverify.StatePending, false)
			if n := w.oracle.count(); n < 60 || n > 120 {
				w.Errorf("%d checks in 71 hours, want about one an hour after the first", n)
			}
			w.sleep(3 * time.Hour)
			w.want(w.keyA, dnsverify.StateExpired, false)
			w.add("a")
			w.want(w.keyA, dnsverify.StatePending, false)
			if e := w.entry(w.keyA); e.Epoch != 0 {
				w.Errorf("epoch %d after starting again, want the same token", e.Epoch)
			}
		}},
		{"errors alone never change a state", func(w *watch) {
			w.proven()
			w.oracle.set("a", dnsverify.Failed)
			before := w.oracle.count()
			w.sleep(60 * day)
			w.want(w.keyA, dnsverify.StateVerified, true)
			if n := w.oracle.count() - before; n < 25 || n > 45 {
				w.Errorf("%d checks in 60 days of errors, want about one in two days", n)
			}
		}},
		{"errors do not expire a pending claim", func(w *watch) {
			w.oracle.set("a", dnsverify.Failed)
			w.add("a")
			w.sleep(30 * day)
			w.want(w.keyA, dnsverify.StatePending, false)
			if n := w.oracle.count(); n < 650 || n > 800 {
				w.Errorf("%d checks in 30 days, want about one an hour", n)
			}
		}},
		{"a record that is gone puts a domain at risk, and back", func(w *watch) {
			w.proven()
			w.oracle.set("a", dnsverify.Absent)
			w.sleep(30 * time.Hour)
			w.want(w.keyA, dnsverify.StateAtRisk, true)
			w.oracle.set("a", dnsverify.Verified, "ns1", "ns2")
			w.sleep(10 * time.Hour)
			w.want(w.keyA, dnsverify.StateVerified, true)
			if e := w.entry(w.keyA); e.Misses != 0 || !e.FirstMiss.IsZero() {
				w.Errorf("misses are remembered after a match: %+v", e)
			}
		}},
		{"after 7 days it lapses, and mail still goes on", func(w *watch) {
			w.proven()
			w.oracle.set("a", dnsverify.Wrong)
			w.sleep(7 * day)
			w.want(w.keyA, dnsverify.StateAtRisk, true)
			w.sleep(2 * day)
			w.want(w.keyA, dnsverify.StateLapsed, true)
			w.oracle.set("a", dnsverify.Verified)
			w.sleep(3 * day)
			w.want(w.keyA, dnsverify.StateLapsed, true)
		}},
		{"a lapsed claim needs a new token, and serves meanwhile", func(w *watch) {
			w.proven()
			w.oracle.set("a", dnsverify.Absent)
			w.sleep(10 * day)
			w.want(w.keyA, dnsverify.StateLapsed, true)
			w.add("a")
			if e := w.entry(w.keyA); e.Epoch != 1 || e.Spent != 1 {
				w.Errorf("epoch %d, spent %d; want a new token and the old one spent", e.Epoch, e.Spent)
			}
			w.want(w.keyA, dnsverify.StatePending, true)
			w.sleep(4 * day)
			w.want(w.keyA, dnsverify.StatePending, true)
			w.oracle.set("a", dnsverify.Verified)
			w.sleep(3 * time.Hour)
			w.want(w.keyA, dnsverify.StateVerified, true)
		}},
		{"a partial answer changes nothing for a proven domain", func(w *watch) {
			w.proven()
			w.oracle.set("a", dnsverify.Partial)
			w.sleep(20 * day)
			w.want(w.keyA, dnsverify.StateVerified, true)
		}},
		{"two tenants: conflict, and the first keeps the mail", func(w *watch) {
			w.proven()
			w.oracle.set("b", dnsverify.Verified)
			w.add("b")
			w.sleep(5 * time.Minute)
			w.want(w.keyB, dnsverify.StateConflict, false)
			w.sleep(2 * day)
			w.want(w.keyA, dnsverify.StateConflict, true)
			if !w.entry(w.keyA).Frozen() {
				w.Error("changes are allowed in a conflict")
			}
		}},
		{"conflict ends when the newcomer's record goes", func(w *watch) {
			w.proven()
			w.oracle.set("b", dnsverify.Verified)
			w.add("b")
			w.sleep(2 * day)
			w.oracle.set("b", dnsverify.Absent)
			w.sleep(2 * day)
			w.want(w.keyA, dnsverify.StateVerified, true)
			w.want(w.keyB, dnsverify.StatePending, false)
		}},
		{"conflict ends when the first tenant's record stays away", func(w *watch) {
			w.proven()
			w.oracle.set("b", dnsverify.Verified)
			w.add("b")
			w.sleep(2 * day)
			w.oracle.set("a", dnsverify.Absent)
			w.sleep(2 * day)
			w.want(w.keyA, dnsverify.StateConflict, true)
			w.sleep(2 * day)
			w.want(w.keyA, dnsverify.StateLapsed, false)
			w.want(w.keyB, dnsverify.StateVerified, true)
		}},
		{"of two claims proven at once one is the first", func(w *watch) {
			w.oracle.set("a", dnsverify.Verified)
			w.oracle.set("b", dnsverify.Verified)
			w.add("a")
			w.add("b")
			w.sleep(10 * time.Minute)
			a, b := w.entry(w.keyA), w.entry(w.keyB)
			if a.Serves() == b.Serves() {
				w.Errorf("a serves: %v, b serves: %v; want one of them", a.Serves(), b.Serves())
			}
		}},
		{"two holders, left by two processes: the first keeps it", func(w *watch) {
			w.oracle.set("a", dnsverify.Verified)
			w.oracle.set("b", dnsverify.Verified)
			for i, k := range []dnsverify.Key{w.keyB, w.keyA} {
				e := dnsverify.Entry{Claim: dnsverify.Claim{Tenant: k.Tenant, Domain: k.Domain}, State: dnsverify.StateVerified, Holder: true,
					Next: time.Now(), Proof: &dnsverify.Evidence{At: time.Now().Add(time.Duration(i) * time.Second)}}
				if err := w.store.Save(w.Context(), e); err != nil {
					w.Fatal(err)
				}
			}
			w.sleep(2 * day)
			w.want(w.keyB, dnsverify.StateConflict, true)
			w.want(w.keyA, dnsverify.StateConflict, false)
		}},
		{"a lapsed tenant yields to one that proves the domain", func(w *watch) {
			w.proven()
			w.oracle.set("a", dnsverify.Absent)
			w.sleep(10 * day)
			w.want(w.keyA, dnsverify.StateLapsed, true)
			w.oracle.set("b", dnsverify.Verified)
			w.add("b")
			w.sleep(5 * time.Minute)
			w.want(w.keyB, dnsverify.StateVerified, true)
			w.want(w.keyA, dnsverify.StateLapsed, false)
		}},
		{"conflict is decided by hand", func(w *watch) {
			w.proven()
			w.oracle.set("b", dnsverify.Verified)
			w.add("b")
			w.sleep(2 * day)
			if _, err := w.monitor.Resolve(w.Context(), w.keyB); err != nil {
				w.Fatal(err)
			}
			w.want(w.keyA, dnsverify.StateRevoked, false)
			w.want(w.keyB, dnsverify.StateVerified, true)
			w.sleep(3 * day)
			w.want(w.keyB, dnsverify.StateVerified, true)
		}},
		{"revoked: the token is spent for ever", func(w *watch) {
			w.proven()
			old := w.entry(w.keyA).Claim
			if _, err := w.monitor.Revoke(w.Context(), w.keyA); err != nil {
				w.Fatal(err)
			}
			before := w.oracle.count()
			w.sleep(5 * day)
			w.want(w.keyA, dnsverify.StateRevoked, false)
			if w.oracle.count() != before {
				w.Error("a revoked claim is still checked")
			}
			ch := &dnsverify.Challenge{Key: make([]byte, 16)}
			if _, err := ch.Record(w.entry(w.keyA).Claim); err == nil {
				w.Error("a spent token is still given out")
			}
			w.add("a")
			first, _ := ch.Record(old)
			again, err := ch.Record(w.entry(w.keyA).Claim)
			if err != nil || again.Value == first.Value {
				w.Errorf("record after revoking %q, %v; before %q", again.Value, err, first.Value)
			}
		}},
		{"renew: both tokens count until the new one is there", func(w *watch) {
			w.proven()
			e, err := w.monitor.Renew(w.Context(), w.keyA)
			if err != nil || e.Epoch != 1 || e.Spent != 0 || e.State != dnsverify.StateVerified {
				w.Fatalf("after Renew: %+v, %v", e, err)
			}
			w.sleep(2 * day)
			if e := w.entry(w.keyA); e.Spent != 1 {
				w.Errorf("spent %d after the new token was seen everywhere, want 1", e.Spent)
			}
		}},
		{"hurry: hourly while the MX records change", func(w *watch) {
			w.proven()
			before := w.oracle.count()
			if _, err := w.monitor.Hurry(w.Context(), w.keyA, time.Now().Add(day)); err != nil {
				w.Fatal(err)
			}
			w.sleep(day)
			if n := w.oracle.count() - before; n < 22 || n > 26 {
				w.Errorf("%d checks in the day of the change, want 24", n)
			}
		}},
		{"other name servers: looked at again at once", func(w *watch) {
			w.proven()
			w.sleep(2 * day)
			w.oracle.set("a", dnsverify.Verified, "ns9")
			before := w.oracle.count()
			w.sleep(36 * time.Hour)
			if n := w.oracle.count() - before; n < 2 || n > 4 {
				w.Errorf("%d checks after the name servers changed, want one more than daily", n)
			}
		}},
		{"checking by hand is bounded", func(w *watch) {
			w.oracle.set("a", dnsverify.Absent)
			w.add("a")
			if _, _, err := w.monitor.Check(w.Context(), w.keyA); err != nil {
				w.Fatal(err)
			}
			_, _, err := w.monitor.Check(w.Context(), w.keyA)
			var p *dnsverify.Problem
			if !errors.As(err, &p) || p.Wait <= 0 || p.Wait > 10*time.Second {
				w.Errorf("second check at once: %v, want a wait", err)
			}
		}},
		{"adding twice changes nothing", func(w *watch) {
			w.proven()
			w.add("a")
			w.want(w.keyA, dnsverify.StateVerified, true)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, tt.run)
		})
	}
}

// TestMonitorLog wants one record per check, with the state and without the token.
func TestMonitorLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zone.Set(owner, w.token())
	var b strings.Builder
	m := &dnsverify.Monitor{Checker: w.verifier, Store: &dnsverify.MemoryStore{}, Logger: slog.New(slog.NewTextHandler(&b, nil))}
	e, err := m.Add(t.Context(), w.claim)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Check(t.Context(), e.Key()); err != nil {
		t.Fatal(err)
	}
	log := b.String()
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "domain=example.com") || !strings.Contains(log, "status=verified") ||
		!strings.Contains(log, "state=pending") || strings.Contains(log, strings.TrimPrefix(w.value(w.claim), "token=")) {
		t.Errorf("log: %s", log)
	}
}

func TestMonitorMisuse(t *testing.T) {
	t.Parallel()
	m := &dnsverify.Monitor{Checker: &oracle{}, Store: &dnsverify.MemoryStore{}}
	for _, cl := range []dnsverify.Claim{{Tenant: "a", Domain: "Example.com"}, {Tenant: "a", Domain: "co.uk"}, {Domain: "example.com"}} {
		if _, err := m.Add(t.Context(), cl); err == nil {
			t.Errorf("Add(%+v) succeeded", cl)
		}
	}
	if _, err := m.Renew(t.Context(), dnsverify.Key{Tenant: "x", Domain: "example.com"}); !errors.Is(err, dnsverify.ErrNotFound) {
		t.Errorf("Renew of an unknown claim: %v", err)
	}
	if err := new(dnsverify.Monitor).Run(t.Context()); err == nil {
		t.Error("an empty Monitor runs")
	}
}

// partStore is a store in which one domain cannot be read.
type partStore struct{ dnsverify.MemoryStore }

func (s *partStore) List(ctx context.Context) ([]dnsverify.Entry, error) {
	all, _ := s.MemoryStore.List(ctx)
	return all, errors.New("one is damaged")
}

// TestMonitorPart: a domain that cannot be read keeps none of the others from being checked.
func TestMonitorPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{}
		o.set("a", dnsverify.Absent)
		m := &dnsverify.Monitor{Checker: o, Store: &partStore{}}
		if _, err := m.Add(t.Context(), dnsverify.Claim{Tenant: "a", Domain: "example.com"}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := m.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: %v", err)
		}
		if n := o.count(); n < 3 || n > 6 { // at once, and after 1, 2, and 4 minutes
			t.Errorf("%d checks in ten minutes", n)
		}
	})
}

// TestSweep: a caller with jobs of its own checks what is due, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{}
		o.set("a", dnsverify.Verified, "192.0.2.1")
		m := &dnsverify.Monitor{Checker: o, Store: &dnsverify.MemoryStore{}}
		if next := time.Until(m.Sweep(t.Context())); next != time.Minute || o.count() != 0 {
			t.Errorf("nothing to do: next in %v after %d checks", next, o.count())
		}
		k := dnsverify.Key{Tenant: "a", Domain: "example.com"}
		if _, err := m.Add(t.Context(), dnsverify.Claim{Tenant: k.Tenant, Domain: k.Domain}); err != nil {
			t.Fatal(err)
		}
		if next := time.Until(m.Sweep(t.Context())); next != 30*time.Second || o.count() != 1 {
			t.Errorf("the first match: next in %v after %d checks", next, o.count())
		}
		if m.Sweep(t.Context()); o.count() != 1 {
			t.Error("checked before it was due")
		}
		time.Sleep(30 * time.Second)
		if next := time.Until(m.Sweep(t.Context())); next != time.Minute || o.count() != 2 {
			t.Errorf("confirmed: next in %v after %d checks", next, o.count())
		}
		all, err := m.Store.Domain(t.Context(), k.Domain)
		if err != nil || len(all) != 1 || all[0].State != dnsverify.StateVerified {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{}
		o.set("a", dnsverify.Absent)
		start, cl := time.Now(), dnsverify.Claim{Tenant: "a", Domain: "example.com"}
		var waits []time.Duration
		r, err := dnsverify.Wait(t.Context(), o, cl, dnsverify.Backoff{Jitter: -1}, 0, func(r *dnsverify.Result, next time.Duration) {
			if waits = append(waits, next); len(waits) == 4 {
				o.set("a", dnsverify.Verified)
			}
		})
		if err != nil || r.Status != dnsverify.Verified {
			t.Fatalf("Wait: %+v, %v", r, err)
		}
		if got := time.Since(start); got != 15*time.Minute+30*time.Second { // 1+2+4+8 minutes and 30 s
			t.Errorf("verified after %v with waits %v, want 15m30s", got, waits)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		o.set("a", dnsverify.Partial)
		if r, err := dnsverify.Wait(ctx, o, cl, dnsverify.Backoff{}, 0, nil); !errors.Is(err, context.DeadlineExceeded) || r.Status != dnsverify.Partial {
			t.Errorf("Wait until the deadline: %+v, %v", r, err)
		}
	})
}
