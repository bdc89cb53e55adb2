// Package htmldoc reads the HTML of mail the way a person sees it: what text is shown, what text is
// there but hidden, and where links, forms and images go.
//
//	text ── tokens (golang.org/x/net/html) ── open elements with their style ── Document
//
// It makes no tree and fetches nothing. Reading is total: there is no HTML that it refuses, and what lies
// behind a limit is told by Document.Truncated. Work and memory are bounded by [Limits], and both grow
// no faster than the text.
//
// [Of] reads a part of a message once for all scanners. Facts only: that a newsletter hides the line that
// stands in the list of messages is a fact, and what it means is for scanners to say.
package htmldoc
