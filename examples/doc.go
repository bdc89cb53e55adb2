// Package examples holds programs that embed Postreeve, each in less than 60 lines:
//
//   - scanner: a gateway with a scanner of its own
//   - httpservice: messages judged over HTTP, without a gateway
//   - outbound: mail from this machine to several next hops
//
// Its tests build and run them.
package examples
