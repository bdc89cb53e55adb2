package relay

import (
	"context"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// NextHop is where mail goes when it may go on.
//
// Deliver hands one message to all recipients of the envelope. It either returns an error, and then no
// recipient has got the message as far as anybody can know, or one receipt for each recipient in the
// order of the envelope. A NextHop may be used by many goroutines at once. It must stop when ctx ends.
//
// An error or a receipt that is not a *Reply of class 5 is temporary: see Temporary. When a connection
// is lost after the end of the data and before the reply, nobody knows whether the hop has the message;
// that is a temporary error too, since a message twice is better than none.
//
// A Server has one reply for all recipients of a message. A hop that may take it for some of them and not
// for others should be an AllOrNone, or those that it took it for get it again.
type NextHop interface {
	Deliver(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]Receipt, error)
}

// NextHopFunc makes a NextHop of a function.
type NextHopFunc func(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]Receipt, error)

// Deliver calls f.
func (f NextHopFunc) Deliver(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]Receipt, error) {
	return f(ctx, e, body)
}

// Receipt says what became of one recipient.
type Receipt struct {
	Recipient string // the address, as in the envelope
	Host      string // who answered, for the log; empty if that is not known
	// Reply is the next hop's answer: class 2 if it took responsibility for this recipient, else why not.
	// Nil is not an acceptance.
	Reply *Reply
	// DSN says that who answered has DSN (RFC 3461) and was given what the envelope has of it, so that it tells the
	// sender of what becomes of the message. False where that is not known.
	DSN bool
}

// Accepted says whether the next hop took responsibility for this recipient.
func (r Receipt) Accepted() bool { return r.Reply != nil && r.Reply.Code/100 == 2 }

// Relayed says whether the sender is to be told that the message for this recipient was relayed to a server that says
// nothing of its delivery: it was accepted, to has NOTIFY=SUCCESS, and who accepted it has no DSN (RFC 3461 section
// 5.2.2).
func (r Receipt) Relayed(to verdict.Recipient) bool {
	return r.Accepted() && !r.DSN && slices.ContainsFunc(to.Notify, func(n string) bool { return strings.EqualFold(n, "SUCCESS") })
}
