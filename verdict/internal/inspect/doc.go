// Package inspect has what the parsers of document formats beside it share: limits, a budget that holds
// them, the file that is found in a document, and the errors.
//
// A parser looks at content that somebody may have made to break it. So every one of them
//
//   - returns plain facts and judges nothing,
//   - returns its report also with an error: what was found up to there,
//   - never panics, and never works longer or keeps more than Limits and the context allow.
package inspect
