package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"path/filepath"
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
	minFree    = 64 << 20 // of a store whose configuration does not say
)

// space says how much room there is.
func (k *checker) space(dir string) []checked {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return one("state", dir, stateOK, "can be written", "")
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	least := cmp.Or(k.cfg.Store.MinFree, minFree)
	detail := "can be written, " + byteCount(free) + " free"
	if least > 0 {
		detail += ", of which " + byteCount(least) + " stay free (min-free)"
	}
	switch {
	case free < least:
		return one("state", dir, stateFail, detail, "make room, or set min-free to less: mail that has to be kept is deferred with 451")
	case free < max(noRoom, 2*least):
		return one("state", dir, stateFail, detail, "make room: without it mail that has to be kept is deferred with 451")
	case free < max(littleRoom, 4*least):
		return one("state", dir, stateWarn, detail, "make room before it is full: mail that has to be kept is deferred with 451 then")
	}
	return one("state", dir, stateOK, detail, "")
}

// kept opens the store and looks at what is in it, and at the proofs of domains. It makes no database of its own,
// which might belong to the wrong user, and changes none: the gateway that runs may be of another version.
func (k *checker) kept(ctx context.Context) []checked {
	if !k.cfg.Keeps() {
		return nil
	}
	name := cmp.Or(sqliteFile(k.cfg), "PostgreSQL")
	ctx, cancel := context.WithTimeout(ctx, 2*k.timeout)
	defer cancel()
	st, err := openExisting(ctx, k.cfg, nil)
	switch {
	case errors.Is(err, store.ErrEmpty) && sqliteFile(k.cfg) != "":
		return append(one("store", name, stateOK, "will be made by postreeve serve", ""), k.ownership(ctx, &dnsverify.MemoryStore{})...)
	case errors.Is(err, store.ErrEmpty):
		return append(one("store", name, stateOK, "answers; its tables will be made by postreeve serve", ""), k.ownership(ctx, &dnsverify.MemoryStore{})...)
	case errors.Is(err, store.ErrOlder):
		return one("store", name, stateWarn, plainStore(err), "start the gateway of this version, which brings it up to date; until then the commands of this version do not open it")
	case errors.Is(err, store.ErrNewer):
		return one("store", name, stateFail, plainStore(err), "run the version that wrote it, or a newer one")
	case storeDisk(err) != "":
		return one("store", name, stateFail, plainStore(err), storeDisk(err))
	case errors.Is(err, fs.ErrPermission):
		return one("store", name, stateFail, plainStore(err), "run this as the user of the gateway")
	case notSQLite(err):
		return one("store", name, stateFail, plainStore(err), adviceCorrupt)
	case readOnly(err):
		return one("store", name, stateFail, plainStore(err), k.openUp("database"))
	case err != nil:
		return one("store", name, stateFail, plainStore(err), "the database and the place for bodies have to be there, and open to the user of the gateway")
	}
	defer st.Close()
	out := []checked{}
	for _, p := range st.Check(ctx) {
		s, advice := stateWarn, ""
		if p.What == "database" || p.What == "bodies" {
			s, advice = stateFail, k.openUp(p.What)
		}
		out = append(out, one("store", p.What, s, p.Detail, advice)...)
	}
	if len(out) == 0 {
		out = one("store", name, stateOK, "rows and bodies can be written and read", "")
	}
	out = append(out, k.queue(ctx, st)...)
	return append(out, k.ownership(ctx, claims{st})...)
}

// openUp says who has to be able to write where, for the database or the bodies.
func (k *checker) openUp(what string) string {
	dir, who := k.cfg.State, "the user of the gateway"
	if u, err := user.Current(); err == nil {
		who += " (this ran as " + u.Username + ")"
	}
	url := k.cfg.Store.Bodies.URL
	file, isDir := strings.CutPrefix(url, "file:")
	switch {
	case what == "database" && sqliteFile(k.cfg) == "":
		return "the server has to be no standby, and let the user in the URL write; postreeve serve uses the same"
	case what == "bodies" && isDir:
		dir = file
	case what == "bodies" && url != "":
		return "the keys of the gateway have to be allowed to write, read and delete in " + url
	case what == "bodies":
		dir = filepath.Join(dir, "bodies")
	}
	return dir + " and what is in it have to be writable for " + who + ", on a disk that is not read-only and not full"
}

// adviceCorrupt is for a database that is damaged.
const adviceCorrupt = "restore it from a backup, or move it away with its -wal and -shm: postreeve serve makes a new one then, which knows nothing of what was held and queued"

// notSQLite says whether a file is no database, or a damaged one.
func notSQLite(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "file is not a database") || strings.Contains(err.Error(), "database disk image is malformed"))
}

// readOnly says whether a database of a file cannot be written, or its directory, by this user or by nobody.
func readOnly(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "attempt to write a readonly database") || strings.Contains(err.Error(), "unable to open database file"))
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
	if len(out) > 0 {
		return out
	}
	n, err := st.Counts(ctx)
	if err != nil {
		return one("queue", "", stateFail, plainStore(err), "")
	}
	return one("queue", "messages", stateOK, plural(int(n.Queued), "message")+" on the way", "")
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
