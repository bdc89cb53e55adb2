package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/postreeve/postreeve/dnsverify"
)

// plans are the ways of one domain to the gateway and back, as they are kept in the state directory. The set of
// MX records from before the gateway stands in the first of them.
type plans struct {
	In   *dnsverify.Plan `json:"in,omitempty"`
	Back *dnsverify.Plan `json:"back,omitempty"`

	file string
}

func loadPlans(state string, k dnsverify.Key) (*plans, error) {
	p := &plans{file: filepath.Join(state, "cutover", k.Domain+".json")}
	data, err := os.ReadFile(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, p)
	}
	if err != nil {
		return nil, fmt.Errorf("the plan of the cutover cannot be read: restore it from a backup, since the old MX records stand in it: %w", err)
	}
	if p.In != nil && p.In.Claim.Key() != k {
		return nil, fmt.Errorf("%s is the plan of tenant %s: let them finish or move the file away", p.file, p.In.Claim.Tenant)
	}
	return p, nil
}

// save writes aside, syncs, and puts the file in its place.
func (p *plans) save() error {
	dir := filepath.Dir(p.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	data, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".plan-*")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), p.file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("state: %w", err), os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
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
