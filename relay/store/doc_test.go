package store_test

import (
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// A store is what a server needs to keep mail.
var (
	_ relay.Releaser = (*store.Store)(nil)
	_ relay.Queue    = (*store.Store)(nil)
	_ relay.Ledger   = (*store.Store)(nil)
)
