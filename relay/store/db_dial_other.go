//go:build !linux

package store

import (
	"syscall"
	"time"
)

// userTimeout is not to be had here: keepalives and our own deadlines have to do.
func userTimeout(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
