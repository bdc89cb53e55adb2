// Package remote has what scanners share that ask an engine elsewhere: connections that end with a
// context and are read within a bound, messages that are handed to a library for the time of one scan,
// answers in JSON, and text that is made safe for a protocol of lines.
//
// It keeps three promises for all of them. Nothing waits longer than the context. Nothing is read of a
// message when the scan has returned. And what an engine says is never read without a bound.
package remote
