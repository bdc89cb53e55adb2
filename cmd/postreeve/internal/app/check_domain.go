package app

import (
	"context"
	"os"
	"path/filepath"

	"github.com/postreeve/postreeve/dnsverify"
)

// ownership looks up which domains are proven. It asks no name server and makes nothing.
func (k *checker) ownership(ctx context.Context) []checked {
	store := &dnsverify.FileStore{Dir: filepath.Join(k.cfg.State, "domains")}
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
			out = append(out, one("domain", key.Domain, stateFail, err.Error(), "the state has to be readable for the user of the gateway")...)
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
	file := filepath.Join(store.Dir, "key")
	if fi, err := os.Stat(file); len(seen) > 0 && err == nil && k.cfg.Verification.Key.IsZero() && fi.Mode().Perm()&0o077 != 0 {
		out = append(out, one("domain", file, stateWarn, "others on this machine can read the key of the tokens", "chmod 600 "+file)...)
	}
	return out
}
