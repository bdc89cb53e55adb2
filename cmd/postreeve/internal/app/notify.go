package app

import (
	"context"
	"errors"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// notifier is the keeper if it can tell senders anything. Without it DSN is not announced: who is not told by us must
// be told by the client.
func (k *keeper) notifier() relay.Notifier {
	if !k.tells {
		return nil
	}
	return k
}

// Relayed implements relay.Notifier. A store that is ill is left alone as it is for the ledger: the hop has the message, and
// its client is not to wait with each one until that is found out again.
func (k *keeper) Relayed(ctx context.Context, d *relay.Domain, m *verdict.Message, e verdict.Envelope, receipts []relay.Receipt) error {
	start := time.Now()
	st, err := k.store()
	switch {
	case err != nil:
	case k.before(&k.away, &k.mute):
		err = errStoreRests
	default:
		if err = st.Relayed(ctx, d, m, e, receipts); err != nil && !errors.Is(err, store.ErrFull) { // there may be room for others
			k.rest(&k.mute)
		}
	}
	k.counted("notice", err, start)
	return err
}
