package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

// unreadable says why secrets of a tenant cannot be used, in the order of the references.
func unreadable(refs []config.Secret) []error {
	var out []error
	for _, r := range refs {
		if _, err := r.Read(); err != nil {
			out = append(out, err)
		}
	}
	return out
}

// tenantTokens says nothing if all is well. While one of two can be read mail goes on, and that the other one is not there
// is how it is while none is being replaced.
func (k *checker) tenantTokens() []checked {
	var out []checked
	for _, d := range k.cfg.Domains {
		bad := unreadable(d.TenantTokens)
		for _, err := range bad {
			if len(bad) < len(d.TenantTokens) && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			line := one("secret", d.Name+" tenant-token", stateFail, err.Error(), "make the token readable for the user that runs the gateway: without one what comes with "+d.Upstream.Proof.Header+" is deferred with 451")
			if len(bad) < len(d.TenantTokens) {
				line[0].State, line[0].Advice = stateWarn, "mail goes on with the other one: make it readable for the user that runs the gateway, or take it out of tenant-token if nothing is being replaced"
			}
			out = append(out, line...)
		}
	}
	return out
}

// warnTenantTokens says whose mail is deferred since no secret of the tenant can be read, and which secret is
// there and cannot be read.
func (s *setup) warnTenantTokens(log *slog.Logger) {
	var names []string
	for _, d := range s.config.Domains {
		bad := unreadable(d.TenantTokens)
		if len(bad) > 0 && len(bad) == len(d.TenantTokens) {
			names = append(names, d.Name)
			continue
		}
		for _, err := range bad {
			if !errors.Is(err, fs.ErrNotExist) {
				log.Warn("one of two secrets in tenant-token cannot be read", "domain", d.Name, "error", err)
			}
		}
	}
	slices.Sort(names)
	if len(names) > 0 {
		log.Warn("no secret in tenant-token can be read: mail that comes with one is deferred with 451 until one can; see postreeve check",
			"domains", len(names), "first", strings.Join(names[:min(len(names), 10)], " "))
	}
}
