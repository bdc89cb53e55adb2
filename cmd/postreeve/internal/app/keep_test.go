package app_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// opened opens the store of a gateway that may be running.
func opened(t testing.TB, state string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: state})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// recordOf reads a record. It is empty if there is none.
func recordOf(t testing.TB, state, kind, id string) string {
	t.Helper()
	st := opened(t, state)
	defer st.Close()
	r, err := st.Record(t.Context(), kind, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return r.Value
}

// change writes a record anew, or removes it if the value is empty.
func change(t testing.TB, state, kind, id, value string) {
	t.Helper()
	st := opened(t, state)
	defer st.Close()
	r, err := st.Record(t.Context(), kind, id)
	if err == nil && value == "" {
		err = st.DeleteRecord(t.Context(), kind, id, r.Revision)
	} else if err == nil {
		r.Value = value
		_, err = st.PutRecord(t.Context(), r)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestClaims holds the store of domains against the contract of dnsverify.
func TestClaims(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dnstest.TestStore(t, func() dnsverify.Store {
		st := opened(t, dir)
		t.Cleanup(func() { st.Close() })
		return app.NewClaims(st)
	})
}

// TestTakeOver: what was kept in files once is in the store, once.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, exNet)
	state := filepath.Join(l.dir, "state")
	old := &dnsverify.FileStore{Dir: filepath.Join(state, "domains")}
	for _, d := range []string{old.Dir, filepath.Join(state, "cutover")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, text := range map[string]string{"domains/key": key + "\n", "cutover/ex.net.json": "{}"} {
		if err := os.WriteFile(filepath.Join(state, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tenant := range []string{"default", "other"} {
		claim := dnsverify.Claim{Tenant: tenant, Domain: "ex.net"}
		if err := old.Save(t.Context(), dnsverify.Entry{Claim: claim, State: dnsverify.StateVerified, Holder: tenant == "default"}); err != nil {
			t.Fatal(err)
		}
	}
	type row struct{ Domain, Tenant, State, Mail string }
	want := []row{{"ex.net", "default", "verified", "taken"}, {"ex.net", "other", "verified", "not configured"}}
	for range 2 {
		if diff := cmp.Diff(want, lines[row](t, l.do(t, 0, "list", "--json").out)); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		// What happens to the files now is nothing to the store.
		if err := old.Save(t.Context(), dnsverify.Entry{Claim: dnsverify.Claim{Tenant: "third", Domain: "ex.org"}, State: dnsverify.StatePending}); err != nil && !errors.Is(err, dnsverify.ErrStale) {
			t.Fatal(err)
		}
	}
	if got := recordOf(t, state, "secret", "tokens"); got != `"`+key+`"` {
		t.Errorf("the key: %s", got)
	}
	if got := recordOf(t, state, "cutover", "ex.net"); got != "{}" {
		t.Errorf("the plan: %s", got)
	}
}

// TestStoreFails: a store that cannot be written defers what has to be kept, and nothing else.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	state := filepath.Join(t.TempDir(), "state")
	s := serve(t, configFor(sink.Start(t), "state: "+state+"\nmetrics: \"127.0.0.1:0\""))
	send := func(body string) string {
		err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", body)))
		if err == nil {
			return "250"
		}
		return strings.ReplaceAll(err.Error(), `"`, "")
	}
	if got := send(teststring.Malicious); got != "250" {
		t.Fatal(got)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(state, "postreeve.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin() // the one writer, which is not the gateway
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := send("hello"); got != "250" {
			t.Errorf("mail that needs no store: %s", got)
		}
	}
	if got := send(teststring.Malicious); !strings.HasPrefix(got, "451 4.3.0") {
		t.Errorf("mail that has to be held: %s", got)
	}
	_, url, _ := strings.Cut(strings.TrimSpace(s.out.String()), "metrics on ")
	text := fetch(t, url)
	for _, want := range []string{`postreeve_store_writes_total{op="ledger",result="failed"}`, `postreeve_store_writes_total{op="hold",result="failed"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store to work again", func() bool { return send(teststring.Malicious) == "250" })
	if n := len(sink.Messages()); n != 3 {
		t.Errorf("%d messages at the next hop, want 3", n)
	}
	s.end(t)
}

// TestQuota: a quarantine that is full defers what would be held.
func TestQuota(t *testing.T) {
	t.Parallel()
	s := serve(t, configFor((&relaytest.Sink{}).Start(t), "state: "+filepath.Join(t.TempDir(), "state")+"\nquota: {held: 10B}"))
	err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", teststring.Malicious)))
	if err == nil || !strings.HasPrefix(err.Error(), `451 "4.3.0`) {
		t.Errorf("a full quarantine: %v", err)
	}
	if err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", "hello"))); err != nil {
		t.Error(err)
	}
	s.end(t)
}

// ownDNS has a check ask no name server of the machine.
func ownDNS(t testing.TB) string { return "\nauth: none\ndns: {servers: [\"" + zone(t, nil) + "\"]}" }

// TestCheckStore: what check says about what is kept.
func TestCheckStore(t *testing.T) {
	t.Parallel()
	state, own := filepath.Join(t.TempDir(), "state"), ownDNS(t)
	s := serve(t, configFor((&relaytest.Sink{}).Start(t), "state: "+state+own))
	look := func(file string) map[string]checkRow {
		out := map[string]checkRow{}
		for _, r := range lines[checkRow](t, run(t, "", "check", "-c", file, "--json", "--timeout", "30s").out) {
			out[r.Check] = r
		}
		return out
	}
	if got := look(s.file); got["store"].State != "ok" || got["queue"].State != "ok" || !strings.Contains(got["state"].Detail, "free") {
		t.Errorf("check of a running gateway: %+v", got)
	}
	s.end(t)
	bodies := filepath.Join(state, "bodies")
	for _, day := range []int{-1, 0, 1} { // a file where the directory of the day would be: it stops root too
		dir := filepath.Join(bodies, time.Now().UTC().AddDate(0, 0, day).Format("20060102"))
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		replace(t, dir, "")
	}
	if got := look(s.file)["store"]; got.State != "FAIL" || !strings.Contains(got.Advice, bodies+" and what is in it have to be writable for the user of the gateway") {
		t.Errorf("check of bodies that cannot be written: %+v", got)
	}
	fresh := filepath.Join(t.TempDir(), "c.yaml")
	replace(t, fresh, configFor(closed, "state: "+filepath.Join(t.TempDir(), "state")+own))
	if got := look(fresh)["store"]; got.State != "ok" || !strings.Contains(got.Detail, "will be made") {
		t.Errorf("check before the first start: %+v", got)
	}
	replace(t, fresh, configFor(closed, "database: \"postgres://u@127.0.0.1:1/x?connect_timeout=1\"\nbodies: \"file:"+t.TempDir()+"\""+own))
	if got := look(fresh)["store"]; got.State != "FAIL" || !strings.Contains(got.Detail, "does not answer") {
		t.Errorf("check of a database that is not there: %+v", got)
	}
}

// TestTenantTokens: a gateway that can read no secret of a tenant says so when it starts.
func TestTenantTokens(t *testing.T) {
	t.Parallel()
	const refs = `connection: gworkspace, upstream: {tenant-token: ["file:%s", "file:missing"]}`
	secret := filepath.Join(write(t, map[string]string{"t": "0123456789abcdef0123456789\n"}), "t")
	for file, want := range map[string]bool{"missing-too": true, secret: false} {
		yaml := configFor((&relaytest.Sink{}).Start(t), "state: "+filepath.Join(t.TempDir(), "state"))
		yaml = strings.Replace(yaml, "verification: waived", "verification: waived, "+fmt.Sprintf(refs, file), 1)
		s := serve(t, yaml)
		s.end(t)
		if got := strings.Contains(s.log.String(), "no secret in tenant-token can be read"); got != want {
			t.Errorf("%s: told %v, want %v:\n%s", file, got, want, s.log)
		}
	}
}

// TestOtherVersions: commands leave a database of another version as it is, and say what to do.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	s := serve(t, configFor((&relaytest.Sink{}).Start(t), "state: "+state+ownDNS(t)))
	s.end(t)
	st := opened(t, state)
	st.Close()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(state, "postreeve.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	schema := func() (v string) {
		t.Helper()
		if err := db.QueryRow("SELECT value FROM meta WHERE name = 'schema'").Scan(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for version, want := range map[string]struct{ check, text string }{
		"1":    {"warn", "start the gateway of this version"},
		"1000": {"FAIL", "or a newer one"},
	} {
		if _, err := db.Exec("UPDATE meta SET value = ? WHERE name = 'schema'", version); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"quarantine", "list"}, {"queue", "retry", "--all"}, {"message", "explain", "x"}, {"domain", "list"}} {
			got := run(t, "", append([]string{args[0], args[1], "-c", s.file}, args[2:]...)...)
			if got.code != 1 || !strings.Contains(got.err, want.text) {
				t.Errorf("%q with schema %s: %+v, want %q", args, version, got, want.text)
			}
		}
		found := false
		for _, r := range lines[checkRow](t, run(t, "", "check", "-c", s.file, "--json", "--timeout", "30s").out) {
			found = found || r.Check == "store" && r.State == want.check && strings.Contains(r.Advice, want.text)
		}
		if !found {
			t.Errorf("check with schema %s does not say %s %q", version, want.check, want.text)
		}
		if got := schema(); got != version {
			t.Errorf("schema %s is %s now", version, got)
		}
	}
}

// TestReadsDoNotWait: looking at what is kept writes nothing, so that it does not wait for who writes.
func TestReadsDoNotWait(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	s := serve(t, configFor((&relaytest.Sink{}).Start(t), "state: "+state))
	if err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", teststring.Malicious))); err != nil {
		t.Fatal(err)
	}
	s.end(t)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(state, "postreeve.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin() // the one writer
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	look := func(args ...string) result {
		t.Helper()
		start := time.Now()
		got := s.kept(t, 0, args...)
		if took := time.Since(start); took >= 10*time.Second { // whoever waits for the writer waits for 10 s
			t.Errorf("%q took %v", args, took)
		}
		return got
	}
	list := lines[heldRow](t, look("quarantine", "list", "--json").out)
	if len(list) != 1 {
		t.Fatalf("list: %+v", list)
	}
	look("quarantine", "show", list[0].ID)
	look("queue", "list")
	look("message", "explain", list[0].ID)
}

// TestMinFree: mail that has to be kept is deferred when less than min-free would stay free, and check says so.
func TestMinFree(t *testing.T) {
	t.Parallel()
	s := serve(t, configFor((&relaytest.Sink{}).Start(t), "state: "+filepath.Join(t.TempDir(), "state")+"\nmin-free: 1000000GiB"+ownDNS(t)))
	err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", teststring.Malicious)))
	if err == nil || !strings.HasPrefix(err.Error(), `451 "4.3.0`) {
		t.Errorf("a full disk: %v", err)
	}
	if err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", "hello"))); err != nil {
		t.Error(err)
	}
	text := run(t, "", "check", "-c", s.file, "--json", "--timeout", "30s").out
	for _, want := range []string{"of which 976.6 TiB stay free (min-free)", "set min-free to less"} {
		if !strings.Contains(text, want) {
			t.Errorf("check lacks %q:\n%s", want, text)
		}
	}
	s.end(t)
}
