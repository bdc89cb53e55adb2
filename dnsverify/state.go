package dnsverify

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// State is where a claim stands over time.
type State string

const (
	StatePending  State = "pending"  // the token was issued and not seen yet, or not twice
	StateVerified State = "verified" // proven, and looked at again every day
	StateAtRisk   State = "at_risk"  // servers with authority said that the record is gone; mail goes on
	StateLapsed   State = "lapsed"   // it stayed away for days; mail goes on until the operator decides
	StateExpired  State = "expired"  // never proven within 72 hours
	StateConflict State = "conflict" // two tenants proved the same domain; the first keeps the mail
	StateRevoked  State = "revoked"  // given up; its tokens are spent for ever
)

// Key names a claim in a Store.
type Key struct{ Tenant, Domain, Region string }

// Key returns the key of a claim.
func (c Claim) Key() Key { return Key{c.Tenant, c.Domain, c.Region} }

// Entry is what is remembered of one claim. All times are UTC; a zero time means never.
type Entry struct {
	Claim
	State  State     `json:"state"`
	Since  time.Time `json:"since"`  // of the state
	Issued time.Time `json:"issued"` // of the token; a pending claim expires 72 hours later
	Last   time.Time `json:"last"`   // check
	Next   time.Time `json:"next"`   // check; zero if none is planned
	// Holder says that mail for the domain is this tenant's.
	Holder bool `json:"holder,omitempty"`
	// Hurry is until when there are hourly checks, because the MX records are being changed.
	Hurry time.Time `json:"hurry,omitzero"`

	Status      Status    `json:"status,omitempty"` // of the last check
	Code        Code      `json:"code,omitempty"`   // of its problem
	Checks      int       `json:"checks,omitempty"` // while pending
	Matches     int       `json:"matches,omitempty"`
	FirstMatch  time.Time `json:"first_match,omitzero"`
	Misses      int       `json:"misses,omitempty"` // since the last match, only those with authority
	FirstMiss   time.Time `json:"first_miss,omitzero"`
	Errors      int       `json:"errors,omitempty"` // in a row
	NameServers []string  `json:"name_servers,omitempty"`
	Proof       *Evidence `json:"proof,omitempty"` // of the check that proved it

	// Version counts the changes. A Store uses it to refuse a change to what has changed since.
	Version uint64 `json:"version"`
}

// Serves says whether mail for the domain is to be taken for this tenant: proven once, and neither given up nor
// held by another. A record that is gone does not change that by itself.
func (e Entry) Serves() bool {
	return e.Holder && e.State != StateRevoked && e.State != StateExpired
}

// Frozen says that changes to the domain have to wait until a conflict is decided.
func (e Entry) Frozen() bool { return e.State == StateConflict }

// Store keeps entries. It may be used by many goroutines at once.
type Store interface {
	// Domain returns all entries of one domain, in the order of tenant and region. None is no error.
	Domain(ctx context.Context, domain string) ([]Entry, error)
	// Save writes an entry durably. The entry's Version must be that of the entry stored (0 if there is none);
	// it is stored with the next one. Otherwise nothing is changed and the error is ErrStale.
	Save(ctx context.Context, e Entry) error
	// List returns all entries in the order of domain, tenant and region. Beside an error it may return those that
	// could be read.
	List(ctx context.Context) ([]Entry, error)
}

// ErrStale says that an entry was changed by somebody else since it was read.
var ErrStale = errors.New("dnsverify: the entry has changed since it was read: read it again")

// ErrNotFound says that there is no entry for a claim.
var ErrNotFound = errors.New("dnsverify: there is no such claim: add it first")

// MemoryStore is a Store that forgets when the process ends. The zero value is ready for use.
type MemoryStore struct {
	mu      sync.Mutex
	domains map[string][]Entry
}

// Domain implements Store.
func (s *MemoryStore) Domain(_ context.Context, domain string) ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.domains[domain]), nil
}

// Save implements Store.
func (s *MemoryStore) Save(_ context.Context, e Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.domains == nil {
		s.domains = map[string][]Entry{}
	}
	list := s.domains[e.Domain]
	i, found := slices.BinarySearchFunc(list, e, compareEntries)
	switch {
	case found && list[i].Version != e.Version, !found && e.Version != 0:
		return ErrStale
	case !found:
		list = slices.Insert(list, i, Entry{})
	}
	e.Version++
	list[i] = e
	s.domains[e.Domain] = list
	return nil
}

// List implements Store.
func (s *MemoryStore) List(context.Context) ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Entry
	for _, list := range s.domains {
		out = append(out, list...)
	}
	slices.SortFunc(out, compareEntries)
	return out, nil
}

func compareEntries(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Region, b.Region))
}
