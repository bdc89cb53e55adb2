package app

import (
	"context"

	"github.com/postreeve/postreeve/dnsverify"
)

// ownership looks up which domains are proven. It asks no name server and makes nothing.
func (k *checker) ownership(ctx context.Context, store dnsverify.Store) []checked {
	var out []checked
	proven, seen := 0, map[dnsverify.Key]bool{}
	for _, d := range k.cfg.Domains {
		key := dnsverify.Key{Tenant: d.Tenant, Domain: d.Claim(), Region: k.cfg.Verification.Region}
		if d.Waived || seen[key] {
			continue
		}
		seen[key] = true
		all, err := store.Domain(ctx, key.Domain)
		if err != nil {
			out = append(out, one("domain", key.Domain, stateFail, err.Error(), "restore it from a backup, or remove the domain and add it again")...)
			continue
		}
		e, ok := find(all, key)
		command := " -c " + k.cfg.File + " " + key.Domain
		switch {
		case !ok || !e.Serves() && e.State != dnsverify.StatePending:
			out = append(out, one("domain", key.Domain, stateWarn, "its ownership is not proven: its recipients are deferred with 451 4.7.1", "postreeve domain add"+command)...)
		case !e.Serves():
			out = append(out, one("domain", key.Domain, stateWarn, "its ownership is not proven yet: its recipients are deferred with 451 4.7.1", "postreeve domain verify"+command)...)
		case e.State != dnsverify.StateVerified:
			out = append(out, one("domain", key.Domain, stateWarn, "its mail is taken, but the proof is "+string(e.State)+" since "+moment(e.Since), "postreeve domain show"+command)...)
		default:
			proven++
		}
	}
	if proven > 0 {
		out = append(out, one("domain", plural(proven, "domain"), stateOK, "proven", "")...)
	}
	return out
}
