package app

import (
	"context"
	"log/slog"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// NewClaims is the dnsverify.Store that keeps its entries in a store.
func NewClaims(st *store.Store) dnsverify.Store { return claims{st} }

// NewKeeper is what a server has of a store.
func NewKeeper(st *store.Store) interface {
	relay.Notifier
	relay.Ledger
} {
	k := &keeper{}
	k.cur.Store(st)
	return k
}

// Await waits for a store.
func Await(ctx context.Context, log *slog.Logger, why error, take func() error) {
	await(ctx, log, why, take)
}
