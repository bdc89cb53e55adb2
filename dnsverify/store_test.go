package dnsverify_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

func TestStores(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		s := &dnsverify.MemoryStore{}
		dnstest.TestStore(t, func() dnsverify.Store { return s })
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		dnstest.TestStore(t, func() dnsverify.Store { return &dnsverify.FileStore{Dir: dir} })
		files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		if err != nil || len(files) != 6 {
			t.Errorf("files left after all saves: %q, want one for each of 4 entries and 2 locks", files)
		}
	})
}

// TestFileStoreDamage wants a damaged file reported by name, and the leavings of a crash ignored.
func TestFileStoreDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &dnsverify.FileStore{Dir: dir}
	e := dnsverify.Entry{Claim: dnsverify.Claim{Tenant: "a", Domain: "example.com"}, State: dnsverify.StateVerified}
	if err := s.Save(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "example.com", "0123.json.new"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Domain(t.Context(), "example.com"); err != nil || len(l) != 1 || l[0].State != dnsverify.StateVerified {
		t.Fatalf("beside a leftover: %+v, %v", l, err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "example.com", "*.json"))
	// A write that fails leaves the entry as it was.
	if err := os.Mkdir(files[0]+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	e.Version, e.State = 1, dnsverify.StateRevoked
	if err := s.Save(t.Context(), e); err == nil || errors.Is(err, dnsverify.ErrStale) {
		t.Errorf("Save that cannot write: %v", err)
	}
	if l, err := s.List(t.Context()); err != nil || len(l) != 1 || l[0].State != dnsverify.StateVerified {
		t.Errorf("after a write that failed: %+v, %v", l, err)
	}
	if err := os.WriteFile(files[0], []byte(`{"tenant":"b"`), 0o600); err != nil {
		t.Fatal(err)
	}
	other := dnsverify.Entry{Claim: dnsverify.Claim{Tenant: "a", Domain: "example.org"}, State: dnsverify.StatePending}
	if err := s.Save(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if l, err := s.List(t.Context()); err == nil || !strings.Contains(err.Error(), files[0]) || len(l) != 1 || l[0].Domain != "example.org" {
		t.Errorf("damaged file: %+v, %v, want its name and the other domain", l, err)
	}
	// JSON cannot hold such a tenant: the file would be about another claim, and the domain unreadable for all.
	other.Tenant = "\xff"
	if err := s.Save(t.Context(), other); err == nil || errors.Is(err, dnsverify.ErrStale) {
		t.Errorf("a tenant that is no text: %v", err)
	}
	if l, err := s.Domain(t.Context(), "example.org"); err != nil || len(l) != 1 {
		t.Errorf("after a tenant that is no text: %+v, %v", l, err)
	}
	for _, d := range []string{"../example.com", "a/../b.com", "Example.com"} {
		if _, err := s.Domain(t.Context(), d); err == nil {
			t.Errorf("Domain(%q) succeeded", d)
		}
	}
}
