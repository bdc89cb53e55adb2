// Package peertest runs the binary between real peers: Postfix before and behind it, swaks, smtp-source
// and smtp-sink, haproxy. Its tests are skipped where a peer is not installed, with a word on how to get
// it; with POSTREEVE_PEERS=required in the environment they fail instead. Postfix needs root.
package peertest
