package impostor

import (
	"context"
	"fmt"
	"strings"
)

// Contacts say whom a recipient has had mail from. Implementations may be used by many goroutines at once.
type Contacts interface {
	// Seen says whether the recipient has had mail from the sender. Both are addresses as written. An error means that
	// it could not tell; Scan then returns it.
	Seen(ctx context.Context, recipient, sender string) (bool, error)
}

// contacts looks whether all recipients of the envelope hear of the sender for the first time.
func (x *scan) contacts(ctx context.Context) error {
	sender := x.from.first().address
	if x.Contacts == nil || sender == "" || len(x.m.Envelope.To) == 0 {
		return nil
	}
	for _, r := range x.m.Envelope.To {
		seen, err := x.Contacts.Seen(ctx, r.Address, sender)
		if err != nil {
			return fmt.Errorf("impostor: looking up contacts: %w", err)
		}
		if seen {
			return nil
		}
	}
	x.add("impostor.first-contact", "%s has not written before", sender)
	return nil
}

// plainAddress is how addresses are compared: without case and without the part behind a plus sign.
func plainAddress(a string) string {
	a = strings.ToLower(strings.TrimSpace(a))
	local, domain, ok := strings.Cut(a, "@")
	if !ok {
		return a
	}
	local, _, _ = strings.Cut(local, "+")
	return local + "@" + domain
}
