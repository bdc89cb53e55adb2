package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay/store"
)

// ownership is what proving domains takes, made from a configuration.
type ownership struct {
	cfg      *config.Config
	records  *store.Store
	store    dnsverify.Store
	client   *dnsverify.Client
	verifier *dnsverify.Verifier
	own      dnsverify.Own
}

// errNoState is for commands; serve is told by the configuration.
var errNoState = errors.New("the state of domains needs a place: set state: in the configuration to a directory, or database")

// newOwnership makes the key if there is none. What was kept in files before is taken over.
func newOwnership(ctx context.Context, c *config.Config, st *store.Store, log *slog.Logger) (*ownership, error) {
	o := &ownership{cfg: c, records: st, store: claims{st}, client: newClient(c, log), own: ourselves(c)}
	if err := takeOver(ctx, c, st); err != nil {
		return nil, fmt.Errorf("taking the state of domains over from files: %w", err)
	}
	key, err := tokenKey(ctx, c, st)
	if err != nil {
		return nil, err
	}
	o.verifier = &dnsverify.Verifier{Client: o.client, Challenge: &dnsverify.Challenge{
		Key: []byte(key), Brand: c.Verification.Brand, PerRegion: c.Verification.Region != "", Names: c.Names(),
	}}
	return o, nil
}

// newClient asks the name servers of the Internet, or of a lab.
func newClient(c *config.Config, log *slog.Logger) *dnsverify.Client {
	client := &dnsverify.Client{Roots: c.DNS.Roots, Port: uint16(c.DNS.Port), TrustAD: c.DNS.TrustAD, Logger: log}
	for _, s := range c.DNS.Servers {
		if a, err := netip.ParseAddrPort(s); err == nil { // the configuration takes nothing else
			client.Resolvers = append(client.Resolvers, a)
		}
	}
	if c.DNS.AllowPrivate {
		client.Allow = func(netip.Addr) bool { return true }
	}
	return client
}

// ourselves are the names of the gateway, and those of its addresses that tell it apart.
func ourselves(c *config.Config) dnsverify.Own {
	own := dnsverify.Own{Hosts: slices.Clone(c.Verification.MX)}
	if !slices.Contains(own.Hosts, c.Hostname) {
		own.Hosts = append(own.Hosts, c.Hostname)
	}
	for _, l := range c.Listen {
		host, _, _ := net.SplitHostPort(l)
		for _, s := range ownAddrs(host) {
			if a, err := netip.ParseAddr(s); err == nil && dnsverify.Public(a) {
				own.Addrs = append(own.Addrs, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	return own
}

// tokenSecret is the id of the record with the key of the tokens.
const tokenSecret = "tokens"

// tokenKey reads the key, or makes one where there is none and no claim that was made with one.
func tokenKey(ctx context.Context, c *config.Config, st *store.Store) (string, error) {
	if ref := c.Verification.Key; !ref.IsZero() {
		return ref.Read()
	}
	for {
		r, err := st.Record(ctx, kindSecret, tokenSecret)
		if err == nil {
			var key string
			if err = json.Unmarshal([]byte(r.Value), &key); err != nil || len(key) < 16 {
				return "", errors.New("the key of the tokens in the database is damaged: restore it from a backup")
			}
			return key, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
		all, err := claims{st}.List(ctx)
		if err != nil {
			return "", err
		}
		if len(all) > 0 {
			return "", fmt.Errorf("the key of the tokens is missing in the database, and %s with it: restore it from a backup, since a new key means new records for everybody", plural(len(all), "claim was made"))
		}
		var key [32]byte
		rand.Read(key[:]) // never fails
		err = putRecord(ctx, st, kindSecret, tokenSecret, hex.EncodeToString(key[:]))
		if err != nil && !errors.Is(err, store.ErrConflict) { // else another process was faster, and its key counts
			return "", fmt.Errorf("making the key of the tokens: %w", err)
		}
	}
}

// putRecord writes a new record.
func putRecord(ctx context.Context, st *store.Store, kind, id string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = st.PutRecord(ctx, store.Record{Kind: kind, ID: id, Value: string(value)})
	return err
}

// monitor returns a monitor of the store. The logger may be nil.
func (o *ownership) monitor(log *slog.Logger) *dnsverify.Monitor {
	v := o.cfg.Verification
	return &dnsverify.Monitor{Checker: o.verifier, Store: o.store, Every: v.Interval, Confirm: v.Confirm, Logger: log}
}

// settings are what of a configuration changes the proof of domains.
func settings(c *config.Config) any { return []any{c.Verification, c.DNS} }

// required says whether a domain has to be proven.
func required(c *config.Config) bool {
	return slices.ContainsFunc(c.Domains, func(d *config.Domain) bool { return !d.Waived })
}
