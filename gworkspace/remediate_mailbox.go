package gworkspace

import (
	"context"
	"errors"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// box is a mailbox with the targets that are to be looked for in it, by their index.
type box struct {
	mailbox string
	targets []int
}

// owner is whom an address belongs to.
type owner struct {
	mailboxes []string
	skipped   string // why there is no mailbox to look into
	err       error
}

// resolve finds the mailboxes of all recipients: the user with that address, or all members of the group. A
// recipient that is neither has its outcome at once. A message that reached a mailbox in two ways is looked
// for once.
func (c *Client) resolve(ctx context.Context, targets []Target, workers int) ([]box, []Remediation, error) {
	owners := map[string]*owner{}
	for _, t := range targets {
		owners[strings.ToLower(t.Recipient)] = &owner{}
	}
	var eg errgroup.Group
	eg.SetLimit(workers)
	var mu sync.Mutex
	for address := range owners {
		eg.Go(func() error {
			o := c.owner(ctx, address)
			mu.Lock()
			defer mu.Unlock()
			*owners[address] = o
			return nil
		})
	}
	_ = eg.Wait() // every address has its own error
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	var boxes []box
	var early []Remediation
	type wanted struct{ mailbox, message, ours string }
	seen := map[wanted]bool{}
	at := map[string]int{}
	for i, t := range targets {
		o := owners[strings.ToLower(t.Recipient)]
		switch {
		case o.err != nil:
			early = append(early, Remediation{Target: t, State: MailFailed, Err: o.err, Reason: oneLine(o.err.Error(), 500)})
			continue
		case len(o.mailboxes) == 0:
			early = append(early, Remediation{Target: t, State: MailSkipped, Reason: o.skipped})
		}
		for _, m := range o.mailboxes {
			n, ok := at[m]
			if !ok {
				n = len(boxes)
				at[m] = n
				boxes = append(boxes, box{mailbox: m})
			}
			same := wanted{m, t.MessageID, t.OurID}
			if !seen[same] {
				seen[same] = true
				boxes[n].targets = append(boxes[n].targets, i)
			}
		}
	}
	return boxes, early, nil
}

// stranger says whether the directory knows no such user. Groups may have members outside of the tenant, for whom
// a token is refused in the same words as for a scope that is missing.
func (c *Client) stranger(ctx context.Context, mailbox string) bool {
	u, err := c.user(ctx, mailbox)
	return err == nil && u == nil || errors.Is(err, ErrForbidden)
}

// owner looks an address up, as a user first.
func (c *Client) owner(ctx context.Context, address string) owner {
	u, err := c.user(ctx, address)
	switch {
	case err != nil:
		return owner{err: err}
	case u != nil && u.Suspended:
		return owner{skipped: "the user is suspended: nobody can act as it"}
	case u != nil && u.IsMailboxSetup != nil && !*u.IsMailboxSetup:
		return owner{skipped: "the user has no Gmail"}
	case u != nil:
		return owner{mailboxes: []string{strings.ToLower(u.PrimaryEmail)}}
	}
	members, err := c.members(ctx, address)
	switch {
	case err != nil:
		return owner{err: err}
	case members == nil:
		return owner{skipped: "no user and no group has this address"}
	case len(members) == 0:
		return owner{skipped: "the group has no members in the tenant"}
	}
	return owner{mailboxes: members}
}
