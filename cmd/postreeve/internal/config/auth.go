package config

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/postreeve/postreeve/relay"
)

// Auth says how the senders of messages are found out. The zero value does it if the scanner mailauth is used.
type Auth struct {
	Off            bool          // nothing is looked up, and nothing said to the next hop
	Name           string        // in which results are reported (authserv-id); empty: the hostname
	Timeout        time.Duration // for one message; 0: a third of timeouts.judge, 20 s at most
	TrustedSealers []string      // domains whose ARC seals are believed

	given bool
}

// SealKey is a key that seals messages (ARC).
type SealKey struct {
	Domain, Selector string    // its record is at <Selector>._domainkey.<Domain>
	File             string    // PEM
	From             time.Time // when its turn begins; zero: from the beginning
}

// Authenticates says whether senders are found out.
func (c *Config) Authenticates() bool {
	asked := c.Scanners == nil || slices.ContainsFunc(c.Scanners, func(s Scanner) bool { return s.Kind == "mailauth" })
	return !c.Auth.Off && (asked || c.Auth.given || len(c.ARC) > 0)
}

func auth(dst *Auth) reader {
	return func(d *decoder, v value) {
		dst.given = true
		if _, ok := none(v); ok {
			dst.Off = true
			return
		}
		if _, ok := v.node.(ast.MapNode); !ok {
			d.fail(v, "wants keys with values, or none")
			return
		}
		d.mapping(v, fields{
			"name":            text(&dst.Name, hostname),
			"timeout":         duration(&dst.Timeout),
			"trusted-sealers": texts(&dst.TrustedSealers, hostname),
		})
	}
}

func sealKeys(dst *[]SealKey, base string) reader {
	return func(d *decoder, v value) {
		seen := map[string]bool{}
		for _, item := range d.items(v) {
			k := SealKey{}
			d.mapping(item, fields{
				"domain":   text(&k.Domain, hostname),
				"selector": text(&k.Selector, hostnameOrLabel),
				"key":      text(&k.File, path(base)),
				"from":     text(&k.From, moment),
			})
			for _, key := range []string{"domain", "selector", "key"} {
				if d.lacks(item.path + "." + key) {
					d.fail(item, "wants domain, selector and key (postreeve dkim-key makes one); %s is missing", key)
					break
				}
			}
			if name := k.Selector + "._domainkey." + k.Domain; seen[name] && k.Selector != "" {
				d.fail(item, "%s stands in the list already", name)
			} else {
				seen[name] = true
			}
			*dst = append(*dst, k)
		}
		if len(*dst) == 0 {
			d.fail(v, "the list is empty: it wants at least one key, or leave arc out")
		}
	}
}

// hostnameOrLabel accepts a selector: labels as in host names, digits alone too.
func hostnameOrLabel(s string) (string, error) {
	name, err := hostname("x" + s)
	if err != nil || len(s) > 63 {
		return "", errors.New(quote(s) + " is no selector, as in s2026a: letters, digits, hyphens and dots")
	}
	return name[1:], nil
}

// moment accepts a day, which begins in UTC, or a point in time.
func moment(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is no day or time, as in 2026-09-01 or 2026-09-01T06:00:00Z", quote(s))
}

// authentication judges the keys about senders together.
func (d *decoder) authentication(c *Config) {
	if c.Auth.Off && len(c.ARC) > 0 {
		d.failKey("arc", "seals what was found out about senders, and auth: none finds out nothing: take one of them out")
	}
	if judge := c.Timeouts.Judge; judge > 0 && c.Auth.Timeout >= judge || judge == 0 && c.Auth.Timeout >= time.Minute {
		d.failKey("auth.timeout", "has to be shorter than timeouts.judge (1m by default), of which it is a part")
	}
	began := len(c.ARC) == 0 || slices.ContainsFunc(c.ARC, func(k SealKey) bool { return k.From.IsZero() })
	if !began {
		d.warn("arc", "no key begins at once (each has from): until the first of these days nothing is sealed")
	}
	if c.Auth.Off && slices.ContainsFunc(c.Scanners, func(s Scanner) bool { return s.Kind == "mailauth" }) {
		d.warn("auth", "none: the scanner mailauth sees only what is odd about From")
	}
	for _, dom := range c.Domains {
		p := dom.Policy
		switch {
		case p.HonourDMARC && !c.Authenticates():
			d.failKey(dom.path+".policy.dmarc", "honour needs to know who sent a message: use the scanner mailauth, or set auth")
		case len(p.Allow) > 0 && !c.Authenticates() && slices.ContainsFunc(p.Allow, senderByName):
			d.warn(dom.path+".policy.allow", "names let nobody in while nobody finds out who sent a message: use the scanner mailauth, or set auth")
		}
	}
}

func senderByName(s relay.Sender) bool { return s.Address != "" }
