package app

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay/store"
)

// takeOver brings claims, their key and plans of cutovers, which were files in the state directory once, into the
// store. It does so once, stays away from what is in the store already, and leaves the files as they are.
func takeOver(ctx context.Context, c *config.Config, st *store.Store) error {
	dir := filepath.Join(c.State, "domains")
	if c.State == "" {
		return nil
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	const what = "files of domains"
	if _, err := st.Record(ctx, kindMigration, what); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := takeClaims(ctx, st, dir); err != nil {
		return err
	}
	if err := takePlans(ctx, st, filepath.Join(c.State, "cutover")); err != nil {
		return err
	}
	return fresh(putRecord(ctx, st, kindMigration, what, time.Now().UTC()))
}

// fresh passes over a record that is there already.
func fresh(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

func takeClaims(ctx context.Context, st *store.Store, dir string) error {
	file := config.Secret{File: filepath.Join(dir, "key")}
	if key, err := file.Read(); err == nil {
		if err := fresh(putRecord(ctx, st, kindSecret, tokenSecret, key)); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all, err := (&dnsverify.FileStore{Dir: dir}).List(ctx)
	if err != nil {
		return err
	}
	for len(all) > 0 { // in the order of domains
		n := 1
		for n < len(all) && all[n].Domain == all[0].Domain {
			n++
		}
		if err := fresh(putRecord(ctx, st, kindDomain, all[0].Domain, claimsRow{all[:n]})); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func takePlans(ctx context.Context, st *store.Store, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := fresh(putRecord(ctx, st, kindCutover, strings.TrimSuffix(filepath.Base(f), ".json"), json.RawMessage(data))); err != nil {
			return err
		}
	}
	return nil
}
