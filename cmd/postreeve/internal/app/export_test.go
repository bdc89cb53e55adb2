package app

import (
	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay/store"
)

// NewClaims is the dnsverify.Store that keeps its entries in a store.
func NewClaims(st *store.Store) dnsverify.Store { return claims{st} }
