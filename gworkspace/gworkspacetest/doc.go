// Package gworkspacetest is a Google Workspace tenant as an HTTP server, for tests of what checks one.
//
// [New] makes a tenant that speaks the parts of the Policy, Directory, Reports and Gmail APIs that package
// gworkspace uses, the token endpoint and signJwt of IAM Credentials. It is reached in memory by
// [Server.Transport], which also works in a bubble of testing/synctest, or on a loopback port after
// [Server.Start]. It behaves as the services do:
//
//   - Tokens: the signature, audience and times of an assertion are checked. Scopes have to be granted by
//     exact text; a wider one does not count. Suspended and unknown users cannot be acted as.
//   - Policy API: only for super administrators, 100 policies a page at most, pages that are empty and not the
//     last, values that only say what was set.
//   - Directory: users by any address, groups within groups, 200 members a page.
//   - Reports: one event name in a request, newest first, six months.
//   - Gmail: search by rfc822msgid, labels, trash, deletion with its own scope, quotas in units a minute for
//     each user and for all, users without Gmail.
//   - Errors in the envelope of the APIs, 429 and 5xx with and without Retry-After, replies that get lost.
//
// Faults are injected with [Server.Inject]. [Server.Misuse] tells what no client should do, such as a page
// size that is clamped.
package gworkspacetest
