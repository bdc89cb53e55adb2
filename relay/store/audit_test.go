package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// trail has who did what to an object, the last first.
func trail(t *testing.T, s *store.Store, object string) (out []string) {
	t.Helper()
	acts, err := s.Audit(t.Context(), object, 100)
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
