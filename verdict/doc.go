// Package verdict says what a message is: clean, spam or malicious, and why.
//
// A [Message] is the raw bytes of a mail with its envelope and the client it came from. It can be
// opened any number of times; its header ([Header]) and its parts ([Part]) are parsed once, lazily,
// within [Limits], and what two readers could understand differently is an [Anomaly] and never guessed
// away. A [Scanner] looks at a message and returns what it found. An [Engine] asks its scanners side by
// side, each under a deadline and all under one budget, merges their findings and returns a [Report]:
//
//	bytes ── Message ── Engine.Judge ── Scanner, Scanner, … ── Merge ── Report{Class, Findings, Runs}
//
// Judging is total. A scanner that fails, panics or does not answer is a finding; it never makes a
// message clean. A message that nobody looked at is [Unknown]. The answer does not depend on which
// scanner was faster. What is done with a message is not decided here: that is package relay.
//
// Scanners are varied by wrapping them, not by flags: [Deadline], [OnError], [MonitorOnly], [When].
// The authors of scanners test them with package verdicttest, three lines for the whole suite.
//
// The package follows RFC 5322 (messages), RFC 2045 to 2049 and 2231 (MIME), RFC 6532 (UTF-8 in header
// fields). It needs nothing but the standard library.
package verdict
