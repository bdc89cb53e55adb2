package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay/store"
)

// Kinds of records.
const (
	kindDomain    = "domain"    // by domain: all claims of it
	kindCutover   = "cutover"   // by domain: plans
	kindSecret    = "secret"    // tokenSecret
	kindMigration = "migration" // what was taken over from files, once
)

// claims is a dnsverify.Store in the records of a store: one record for each domain.
type claims struct{ st *store.Store }

// claimsRow is the value of a record.
type claimsRow struct {
	Entries []dnsverify.Entry `json:"entries"`
}

func readClaims(r store.Record) ([]dnsverify.Entry, error) {
	var row claimsRow
	err := json.Unmarshal([]byte(r.Value), &row)
	if err == nil && slices.ContainsFunc(row.Entries, func(e dnsverify.Entry) bool { return e.Domain != r.ID || e.Version == 0 }) {
		err = errors.New("it is about another domain")
	}
	if err != nil {
		return nil, fmt.Errorf("the record of the domain %s is damaged: restore it from a backup: %w", show(r.ID), err)
	}
	return row.Entries, nil
}

// Domain implements dnsverify.Store.
func (c claims) Domain(ctx context.Context, domain string) ([]dnsverify.Entry, error) {
	r, err := c.st.Record(ctx, kindDomain, domain)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readClaims(r)
}

// Save implements dnsverify.Store.
func (c claims) Save(ctx context.Context, e dnsverify.Entry) error {
	for {
		r, err := c.st.Record(ctx, kindDomain, e.Domain)
		var list []dnsverify.Entry
		switch {
		case errors.Is(err, store.ErrNotFound):
			r = store.Record{Kind: kindDomain, ID: e.Domain}
		case err != nil:
			return err
		default:
			if list, err = readClaims(r); err != nil {
				return err
			}
		}
		i, found := slices.BinarySearchFunc(list, e, compareClaims)
		if found && list[i].Version != e.Version || !found && e.Version != 0 {
			return dnsverify.ErrStale
		}
		next := e
		next.Version++
		if found {
			list[i] = next
		} else {
			list = slices.Insert(list, i, next)
		}
		value, err := json.Marshal(claimsRow{list})
		if err != nil {
			return err
		}
		r.Value = string(value)
		if _, err = c.st.PutRecord(ctx, r); !errors.Is(err, store.ErrConflict) { // else of another tenant perhaps
			return err
		}
	}
}

// List implements dnsverify.Store. A record that cannot be read does not hide the others.
func (c claims) List(ctx context.Context) ([]dnsverify.Entry, error) {
	all, err := c.st.Records(ctx, kindDomain)
	if err != nil {
		return nil, err
	}
	var out []dnsverify.Entry
	var bad []error
	for _, r := range all {
		list, err := readClaims(r)
		if err != nil {
			bad = append(bad, err)
		}
		out = append(out, list...)
	}
	slices.SortStableFunc(out, func(a, b dnsverify.Entry) int { return strings.Compare(a.Domain, b.Domain) })
	return out, errors.Join(bad...)
}

func compareClaims(a, b dnsverify.Entry) int {
	if n := strings.Compare(a.Tenant, b.Tenant); n != 0 {
		return n
	}
	return strings.Compare(a.Region, b.Region)
}
