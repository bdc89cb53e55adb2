package app

import (
	"context"
	"time"

	"github.com/postreeve/postreeve/relay"
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

// Relayed implements relay.Notifier.
func (k *keeper) Relayed(ctx context.Context, d *relay.Domain, m *verdict.Message, e verdict.Envelope, receipts []relay.Receipt) error {
	start := time.Now()
	st, err := k.store()
	if err == nil {
		err = st.Relayed(ctx, d, m, e, receipts)
	}
	k.counted("notice", err, start)
	return err
}
