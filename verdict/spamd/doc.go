// Package spamd is a verdict.Scanner that asks SpamAssassin's daemon:
//
//	scanner := &spamd.Scanner{Address: "127.0.0.1:783"}
//
// A score above SpamAssassin's own threshold is "spamd.spam", Spam; a score below it is "spamd.score", evidence only.
// SpamAssassin learns from Received fields who the client was, and the message has none of this gateway yet: the adapter puts
// one on top of what it sends, with the client that sent the message first, and a Return-Path.
//
// Everything that is not a whole answer is an error, and never clean. spamd reads a message into memory and takes
// seconds for large ones: put verdict.MaxSize around the scanner, with a few hundred kilobytes.
//
// The protocol is SPAMC/1.5, as the file spamd/PROTOCOL of SpamAssassin describes it.
package spamd
