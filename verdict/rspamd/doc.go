// Package rspamd is a verdict.Scanner that asks rspamd, by HTTP:
//
//	scanner := &rspamd.Scanner{URL: "http://127.0.0.1:11333"}
//
// The raw message goes to /checkv2 of a normal worker, with the envelope and the client that sent it first. What rspamd
// would do decides: "add header", "rewrite subject", "quarantine", "discard" and "reject" are Spam, "no action" and
// "greylist" are evidence only, and "soft reject" asks to try again later, which is an error. Actions changes
// that. Symbols give a class of their own to what rspamd has found out: by default that an anti-virus engine
// behind it found something (Malicious), and that such an engine could not tell, which rspamd itself scores with
// 0 and passes.
//
// Everything that is not a whole answer with a known action is an error, and never clean; so is a message that
// rspamd has skipped by its settings.
//
// The answer depends on the envelope and on what rspamd learns all the time. A verdict.Cache around it should be short and
// without ContentOnly.
//
// The protocol is that of https://rspamd.com/doc/developers/protocol.html.
package rspamd
