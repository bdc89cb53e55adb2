package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// trail has who did what to an object, the last first.
func trail(t *testing.T, s *store.Store, object string) (out []string) {
	t.Helper()
	acts, err := s.Audit(t.Context(), store.ActFilter{Object: object, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range acts {
		out = append(out, a.Who+": "+a.What+": "+a.Detail)
	}
	return out
}

// Whoever changes a record stands in the audit trail; what the gateway does of its own accord does if it adds or removes.
func TestRecordAudit(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		c.Node = "n1"
		s := open(t, c)
		ctx := store.As(t.Context(), "ann")
		r := store.Record{Kind: "domain", ID: "ex.net", Value: `{"secret":"x"}`}
		var err error
		put := func(as bool) {
			t.Helper()
			use := t.Context()
			if as {
				use = ctx
			}
			if r.Revision, err = s.PutRecord(use, r); err != nil {
				t.Fatal(err)
			}
			if err := s.Exec(t.Context(), "UPDATE audit SET at = at - 1000"); err != nil { // apart in time
				t.Fatal(err)
			}
		}
		put(true)
		put(false)
		put(true)
		if _, err := s.PutRecord(ctx, store.Record{Kind: "domain", ID: "ex.net", Revision: 1}); !errors.Is(err, store.ErrConflict) {
			t.Error(err)
		}
		if err := s.DeleteRecord(ctx, "domain", "ex.net", r.Revision); err != nil {
			t.Fatal(err)
		}
		if err := s.Exec(t.Context(), "UPDATE audit SET at = at - 1000"); err != nil {
			t.Fatal(err)
		}
		r.Revision = 0
		put(false)
		if err := s.DeleteRecord(t.Context(), "domain", "ex.net", 1); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"node n1: domain.delete: revision 1", "node n1: domain.add: revision 1", "ann: domain.delete: revision 3",
			"ann: domain.change: revision 3", "ann: domain.add: revision 1",
		}
		if diff := cmp.Diff(want, trail(t, s, "ex.net")); diff != "" {
			t.Error(diff)
		}
	})
}

// To whom something was released, that it was again, and who got to see the bytes, is written down.
func TestQuarantineAudit(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net", "c@ex.net", "d@ex.net"), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ExportHeld(t.Context(), "m1", ""); err == nil {
			t.Error("shown to nobody")
		}
		if got := read(t, func() (verdict.Source, error) { return s.ExportHeld(t.Context(), "m1", "ann") }); got != mail {
			t.Errorf("%q", got)
		}
		apart := func() {
			t.Helper()
			if err := s.Exec(t.Context(), "UPDATE audit SET at = at - 1000"); err != nil {
				t.Fatal(err)
			}
		}
		apart()
		if _, err := s.Release(t.Context(), store.Release{ID: "m1", Who: "ann", Recipients: []string{"B@ex.net", "d@ex.net"}, Deliver: deliverBy(&hop{})}); err != nil {
			t.Fatal(err)
		}
		apart()
		if err := s.Exec(t.Context(), "UPDATE held_recipient SET state = 'uncertain' WHERE n = 1"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Release(t.Context(), store.Release{ID: "m1", Who: "bob", Again: true, Deliver: deliverBy(&hop{})}); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"bob: quarantine.release: 1 of 3 recipients, again where it is not known whether they have it: c@ex.net",
			"ann: quarantine.release: 2 of 3 recipients: b@ex.net, d@ex.net",
			fmt.Sprintf("ann: quarantine.export: %d bytes as they came in", len(mail)),
		}
		if diff := cmp.Diff(want, trail(t, s, "m1")); diff != "" {
			t.Error(diff)
		}
	})
}

// The trail is read in pages, and by who did what to what.
func TestAuditFilter(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		start := time.Now().Add(-time.Hour)
		for i, a := range []struct{ who, what, object string }{
			{"ann", "queue.retry", "all"}, {"Bob_1", "quarantine.release", "m1"}, {"bobx1", "quarantine.delete", "m2"}, {"ann", "quarantine.release", "m2"},
		} { // the two in the middle at the same time
			if err := s.Exec(t.Context(), "INSERT INTO audit (id, at, who, what, object, detail) VALUES (?, ?, ?, ?, ?, '')",
				fmt.Sprint("id", i), start.Add(time.Duration((i+1)/2)*time.Minute).UnixMilli(), a.who, a.what, a.object); err != nil {
				t.Fatal(err)
			}
		}
		for name, c := range map[string]struct {
			filter store.ActFilter
			want   string
		}{
			"all": {store.ActFilter{}, "id3 id2 id1 id0"}, "object": {store.ActFilter{Object: "m2"}, "id3 id2"}, "a part of an object": {store.ActFilter{Object: "m"}, ""},
			"who": {store.ActFilter{Who: "bOB"}, "id2 id1"}, "no wildcard": {store.ActFilter{Who: "bob_"}, "id1"}, "what": {store.ActFilter{What: "Release"}, "id3 id1"},
			"since": {store.ActFilter{Since: start.Add(2 * time.Minute)}, "id3"}, "until": {store.ActFilter{Until: start.Add(time.Minute)}, "id0"},
			"first page": {store.ActFilter{Limit: 2}, "id3 id2"}, "next page": {store.ActFilter{Limit: 2, Before: "id2"}, "id1 id0"}, "no such line": {store.ActFilter{Before: "x"}, ""},
			"all together": {store.ActFilter{Object: "m2", Who: "bob", What: "quarantine", Since: start, Until: start.Add(time.Hour), Before: "id3", Limit: 5}, "id2"},
		} {
			acts, err := s.Audit(t.Context(), c.filter)
			var got []string
			for _, a := range acts {
				got = append(got, a.ID)
			}
			if strings.Join(got, " ") != c.want || err != nil {
				t.Errorf("%s: %q, want %q: %v", name, got, c.want, err)
			}
		}
	})
}
