package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay/store"
)

// plans are the ways of one domain to the gateway and back, as they are kept in the store. The set of MX records
// from before the gateway stands in the first of them.
type plans struct {
	In   *dnsverify.Plan `json:"in,omitempty"`
	Back *dnsverify.Plan `json:"back,omitempty"`

	record store.Record
}

func loadPlans(ctx context.Context, st *store.Store, k dnsverify.Key) (*plans, error) {
	r, err := st.Record(ctx, kindCutover, k.Domain)
	if errors.Is(err, store.ErrNotFound) {
		return &plans{record: store.Record{Kind: kindCutover, ID: k.Domain}}, nil
	}
	if err != nil {
		return nil, err
	}
	p := &plans{record: r}
	if err := json.Unmarshal([]byte(r.Value), p); err != nil {
		return nil, fmt.Errorf("the plan of the cutover cannot be read: restore it from a backup, since the old MX records stand in it: %w", err)
	}
	if p.In != nil && p.In.Claim.Key() != k {
		return nil, fmt.Errorf("there is a plan of tenant %s for %s: let them finish", p.In.Claim.Tenant, k.Domain)
	}
	return p, nil
}

// save writes the plans, unless somebody else has changed them since they were read.
func (p *plans) save(ctx context.Context, st *store.Store) error {
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if string(value) == p.record.Value {
		return nil
	}
	p.record.Value = string(value)
	_, err = st.PutRecord(ctx, p.record)
	if errors.Is(err, store.ErrConflict) {
		return errors.New("somebody else has changed the plan at the same time: look at it again")
	}
	return err
}

// adopt gives a plan the claim as it is now: its token may have been renewed since the plan was made.
func adopt(p *dnsverify.Plan, cl dnsverify.Claim, r dnsverify.Record) {
	if p == nil || p.Claim == cl {
		return
	}
	old := p.Record.ZoneLine()
	p.Claim, p.Record = cl, r
	for i := range p.Steps {
		for _, lines := range [][]string{p.Steps[i].Add, p.Steps[i].Remove} {
			for j := range lines {
				if lines[j] == old {
					lines[j] = r.ZoneLine()
				}
			}
		}
	}
}
