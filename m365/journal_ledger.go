package m365

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A ledger is what the journal says about the tenant: what is ours, what was there before, and what we wrote
// last.
type ledger struct {
	tenant  string // GUID of the organization
	open    bool   // something of ours may stand in the tenant
	plan    string // that was begun and not ended
	objects map[string]made
	added   map[string][]string       // by setting: members of shared lists that are ours
	first   map[string]map[string]any // by setting and field: the value before our first write
	last    map[string]map[string]any // and the one we wrote last
	kinds   map[string]kind           // of settings that were written and not undone
	// wideSpoof: the service said that two addresses of one /24 are the same infrastructure.
	wideSpoof bool
}

// made is an object of ours.
type made struct {
	Guid string
	Kind kind
	Name string
}

func newLedger() *ledger {
	return &ledger{objects: map[string]made{}, added: map[string][]string{}, first: map[string]map[string]any{},
		last: map[string]map[string]any{}, kinds: map[string]kind{}}
}

// readLedger replays the journal of a directory.
func readLedger(dir string) (*ledger, error) {
	records, err := readRecords(dir)
	if err != nil {
		return nil, err
	}
	l := newLedger()
	for _, r := range records {
		l.replay(r)
	}
	return l, nil
}

func (l *ledger) replay(r record) {
	switch r.What {
	case whatBegin:
		l.tenant, l.plan, l.open = first(r.Tenant, l.tenant), r.Plan, l.open || r.Direction == string(Onboard)
	case whatEnd:
		l.plan = ""
	case whatClosed:
		tenant := l.tenant
		*l = *newLedger()
		l.tenant = tenant
	case whatUndone:
		delete(l.objects, r.Setting)
		delete(l.added, r.Setting)
		delete(l.first, r.Setting)
		delete(l.last, r.Setting)
		delete(l.kinds, r.Setting)
	case whatWide:
		l.wideSpoof = true
	case whatWrite:
		l.write(r)
	case whatFailed:
		// It was said that these become ours; the service refused.
		l.added[r.Setting] = without(l.added[r.Setting], r.Adds)
	case whatWrote:
		l.added[r.Setting] = without(l.added[r.Setting], r.Drops)
	case whatStands:
		if r.Guid != "" {
			l.objects[r.Setting] = made{r.Guid, r.Kind, r.Object}
		}
	}
}

// write takes an announced write as made: whether it was, the tenant tells.
func (l *ledger) write(r record) {
	if r.Setting == "" || strings.HasPrefix(r.Setting, "vendor.") {
		return // of another product: nothing of it comes back
	}
	l.kinds[r.Setting] = r.Kind
	l.added[r.Setting] = append(without(l.added[r.Setting], r.Adds), r.Adds...)
	for name, v := range r.Values {
		if l.first[r.Setting] == nil {
			l.first[r.Setting], l.last[r.Setting] = map[string]any{}, map[string]any{}
		}
		if _, ok := l.first[r.Setting][name]; !ok {
			l.first[r.Setting][name] = fromJSON(r.Before[name])
		}
		l.last[r.Setting][name] = fromJSON(v)
	}
}

// changedSince says whether somebody changed a value after we wrote it.
func (l *ledger) changedSince(s *setting, f field, have any) bool {
	last, ok := l.last[s.id][f.name]
	return ok && !f.secret && !f.form.equal(have, last)
}

// knows says whether the journal has ever heard of a kind.
func (l *ledger) knows(k kind) bool {
	for _, got := range l.kinds {
		if got == k {
			return true
		}
	}
	return false
}

// fromJSON brings a decoded value back to the form that is compared.
func fromJSON(v any) any {
	switch v := v.(type) {
	case float64:
		return int(v)
	case []any:
		out := make([]string, 0, len(v))
		for _, x := range v {
			out = append(out, fmt.Sprint(x))
		}
		slices.Sort(out)
		return out
	}
	return v
}

// A snapshot is what stood in the tenant before the first change. Offboard restores from the journal, which
// has the same values field by field; this is for people, and for the day the journal is lost.
type snapshot struct {
	Tenant       string                     `json:"tenant"`
	Organization map[string]json.RawMessage `json:"organization"`
	Connection   Row                        `json:"connection-filter"`
	Content      Row                        `json:"anti-spam-policy"`
	Spoof        []SpoofItem                `json:"spoof-pairs"`
	Sealers      []string                   `json:"arc-sealers"`
	Rules        []named                    `json:"rules"`
	Inbound      []named                    `json:"inbound-connectors"`
	Outbound     []named                    `json:"outbound-connectors"`
}

type named struct {
	Name     string `json:"name"`
	Guid     string `json:"guid"`
	Priority int    `json:"priority"`
	State    string `json:"state,omitempty"`
}

// snapshotOf takes the picture. Of rules and connectors only names and order are kept: none of them is
// changed, and they may hold secrets of others.
func snapshotOf(o *observation) snapshot {
	s := snapshot{Tenant: o.org.Guid, Connection: stable(o.connection().Row), Content: stable(o.antispam().Row),
		Sealers: o.arc.ArcTrustedSealers, Organization: map[string]json.RawMessage{}}
	for _, f := range []string{"RejectDirectSend", "IsDehydrated"} {
		if o.org.Row.Has(f) {
			s.Organization[f] = o.org.Row[f]
		}
	}
	for _, p := range o.spoof {
		p.Row = nil
		s.Spoof = append(s.Spoof, p)
	}
	for k, to := range map[kind]*[]named{kindRule: &s.Rules, kindInbound: &s.Inbound, kindOutbound: &s.Outbound} {
		for _, x := range o.objects(k) {
			state, _ := x.row.Text("State")
			*to = append(*to, named{x.name, x.guid, x.priority, state})
		}
	}
	return s
}
