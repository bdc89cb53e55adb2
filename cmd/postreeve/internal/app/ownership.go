package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
)

// ownership is what proving domains takes, made from a configuration.
type ownership struct {
	cfg      *config.Config
	store    *dnsverify.FileStore
	client   *dnsverify.Client
	verifier *dnsverify.Verifier
	own      dnsverify.Own
}

// errNoState is for commands; serve is told by the configuration.
var errNoState = errors.New("the state of domains needs a directory: set state: in the configuration")

// newOwnership makes the directory and the key if they are not there.
func newOwnership(c *config.Config, log *slog.Logger) (*ownership, error) {
	if c.State == "" {
		return nil, errNoState
	}
	o := &ownership{cfg: c, store: &dnsverify.FileStore{Dir: filepath.Join(c.State, "domains")}, client: newClient(c, log), own: ourselves(c)}
	if err := os.MkdirAll(o.store.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	key, err := tokenKey(c, o.store)
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

// tokenKey reads the key, or makes one where there is none and no claim that was made with one.
func tokenKey(c *config.Config, store *dnsverify.FileStore) (string, error) {
	if ref := c.Verification.Key; !ref.IsZero() {
		return ref.Read()
	}
	file := config.Secret{File: filepath.Join(store.Dir, "key")}
	if _, err := os.Stat(file.File); errors.Is(err, fs.ErrNotExist) {
		all, err := store.List(context.Background())
		if err != nil {
			return "", err
		}
		if len(all) > 0 {
			return "", fmt.Errorf("%s is missing, and %s with it: restore the file from a backup, since a new key means new records for everybody", file.File, plural(len(all), "claim was made"))
		}
		if err := makeKey(file.File); err != nil {
			return "", fmt.Errorf("making the key of the tokens: %w", err)
		}
	}
	return file.Read()
}

// makeKey writes a key of 32 random bytes in hex. If another process is faster its key stays.
func makeKey(name string) error {
	var key [32]byte
	rand.Read(key[:]) // never fails
	f, err := os.CreateTemp(filepath.Dir(name), ".key-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(hex.EncodeToString(key[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// monitor returns a monitor of the store. The logger may be nil.
func (o *ownership) monitor(log *slog.Logger) *dnsverify.Monitor {
	v := o.cfg.Verification
	return &dnsverify.Monitor{Checker: o.verifier, Store: o.store, Every: v.Interval, Confirm: v.Confirm, Logger: log}
}

// settings are what of a configuration changes the proof of domains.
func settings(c *config.Config) any { return []any{c.Verification, c.DNS, c.State} }

// required says whether a domain has to be proven.
func required(c *config.Config) bool {
	return slices.ContainsFunc(c.Domains, func(d *config.Domain) bool { return !d.Waived })
}
