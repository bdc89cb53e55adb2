package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay/store"
)

// Room in the file system of the state below which somebody should act.
const (
	littleRoom = 5 << 30
	noRoom     = 500 << 20
)

// space says how much room there is.
func (k *checker) space(dir string) []checked {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return one("state", dir, stateOK, "can be written", "")
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	detail := "can be written, " + byteCount(free) + " free"
	switch {
	case free < noRoom:
		return one("state", dir, stateFail, detail, "make room: without it mail that has to be kept is deferred with 451")
	case free < littleRoom:
		return one("state", dir, stateWarn, detail, "make room before it is full: mail that has to be kept is deferred with 451 then")
	}
	return one("state", dir, stateOK, detail, "")
}

// kept opens the store and looks at what is in it, and at the proofs of domains. It makes no database of its own,
// which might belong to the wrong user.
func (k *checker) kept(ctx context.Context) []checked {
	if !k.cfg.Keeps() {
		return nil
	}
	name := sqliteFile(k.cfg)
	if name == "" {
		name = "PostgreSQL"
	} else if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return append(one("store", name, stateOK, "will be made by postreeve serve", ""), k.ownership(ctx, &dnsverify.MemoryStore{})...)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*k.timeout)
	defer cancel()
	st, err := openStore(ctx, k.cfg, nil)
	if err != nil {
		advice := "the database and the place for bodies have to be there, and open to the user of the gateway"
		if errors.Is(err, store.ErrNewer) {
			advice = "run the version that wrote it, or a newer one"
		}
		return one("store", name, stateFail, plainStore(err), advice)
	}
	defer st.Close()
	out := []checked{}
	for _, p := range st.Check(ctx) {
		s := stateWarn
		if p.What == "database" || p.What == "bodies" {
			s = stateFail
		}
		out = append(out, one("store", p.What, s, p.Detail, "")...)
	}
	if len(out) == 0 {
		out = one("store", name, stateOK, "rows and bodies can be written and read", "")
	}
	out = append(out, k.queue(ctx, st)...)
	return append(out, k.ownership(ctx, claims{st})...)
}

// queueAge is how old a queued message is when somebody should look at its next hop.
const queueAge = time.Hour

// queue says which destinations have not taken their mail for long.
func (k *checker) queue(ctx context.Context, st *store.Store) []checked {
	list, err := st.QueuedMessages(ctx, store.Filter{Limit: mostCounted})
	if err != nil {
		return one("queue", "", stateFail, plainStore(err), "")
	}
	oldest, last, count := map[string]time.Time{}, map[string]string{}, map[string]int{}
	var names []string
	for _, q := range list {
		if q.State == store.StateAside {
			continue
		}
		if count[q.Domain]++; count[q.Domain] == 1 {
			names, oldest[q.Domain] = append(names, q.Domain), q.At
		}
		if q.Last != "" {
			last[q.Domain] = q.Last
		}
	}
	var out []checked
	for _, name := range names {
		age := time.Since(oldest[name])
		if age < queueAge {
			continue
		}
		detail := fmt.Sprintf("%s for %s", plural(count[name], "message"), brief(age.Round(time.Minute)))
		out = append(out, one("queue", name, stateWarn, strings.TrimSuffix(detail+": "+last[name], ": "), "look at its next hop; postreeve queue list --domain "+name)...)
	}
	if len(out) == 0 {
		out = one("queue", "messages", stateOK, plural(len(list), "message")+" on the way", "")
	}
	return out
}

// byteCount writes a size for people.
func byteCount(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
