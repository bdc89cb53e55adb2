package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// What events of a message say about notices to its sender.
const (
	StateNotice  = "notice"   // one is queued
	StateTold    = "told"     // the server of the sender has it
	StateNotTold = "not told" // there is none, or it could not be delivered
)

// aboutNotice is what the end of a notice says about the message; what is not here says nothing.
var aboutNotice = map[string]string{StateDelivered: StateTold, StateFailed: StateNotTold, StateDropped: StateNotTold}

// telling is what the sender of a message is told of one attempt.
type telling struct {
	notices []*notice
	silent  []string // why there is not another one
}

// relayed is what is to be told of those who have the message, whoever else delivers it now.
func (l telling) relayed() telling {
	for _, n := range l.notices {
		if n.action == actionRelayed {
			return telling{notices: []*notice{n}}
		}
	}
	return telling{}
}

// without are the bodies of notices that are not in other.
func (l telling) without(other telling) (keys []string) {
	for _, n := range l.notices {
		if !slices.Contains(other.notices, n) {
			keys = append(keys, n.body)
		}
	}
	return keys
}

// insert writes the notices, and into the ledger that they are there, or why not.
func (l telling) insert(ctx context.Context, t *tx, q Queued, now time.Time) error {
	event := func(what, detail string) error {
		return t.put(ctx, insertEvent, q.ID, millis(now), what, "", text(detail, 512))
	}
	for _, n := range l.notices {
		if err := n.insert(ctx, t); err != nil {
			return err
		}
		if err := event(StateNotice, fmt.Sprintf("%s to %s is queued: %s, %d of %d recipients", n.id, n.envelope.To[0].Address, n.action, len(n.list), len(q.envelope.To))); err != nil {
			return err
		}
	}
	for _, why := range l.silent {
		if err := event(StateNotTold, why); err != nil {
			return err
		}
	}
	return nil
}

// settleTime bounds what has to be read and stored to make a notice.
const settleTime = 2 * time.Minute

// tell makes the notices to the sender that there are to be made, and stores their bodies. About a notice there is none.
func (s *Store) tell(ctx context.Context, q Queued, o *outcome, now time.Time) telling {
	var out telling
	if q.own || len(o.dead)+len(o.relayed) == 0 {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	head := sync.OnceValue(func() []byte { return s.headOf(ctx, q) })
	if len(o.dead) > 0 {
		list, why := q.tellable(actionFailed, o.dead)
		if why != "" {
			out.silent = append(out.silent, actionFailed+": "+why)
		} else if n := s.notice(q, head, list, actionFailed, now); s.putNotice(ctx, n) == nil {
			out.notices = append(out.notices, n)
		} else { // who was refused is asked for again, until there is room for the notice
			for _, i := range o.deadAt {
				o.wait(i, o.states[i].detail)
			}
		}
	}
	if len(o.relayed) > 0 {
		out.relay(ctx, s, q, head, o.relayed, now)
	}
	return out
}

// relay adds the notice that a message was relayed to some, or why there is none.
func (l *telling) relay(ctx context.Context, s *Store, q Queued, head func() []byte, list []fate, now time.Time) {
	n, why, err := s.relayNotice(ctx, q, head, list, now)
	switch {
	case errors.Is(err, ErrFull):
		why = "there is no room for the notice: " + err.Error()
	case err != nil:
		why = "the notice could not be stored"
	}
	if why != "" {
		l.silent = append(l.silent, actionRelayed+": "+why)
		return
	}
	l.notices = append(l.notices, n)
}

// relayNotice makes the notice that a message was relayed to some, and stores its body; or it says why nobody is told.
func (s *Store) relayNotice(ctx context.Context, q Queued, head func() []byte, list []fate, now time.Time) (n *notice, why string, err error) {
	if list, why = q.tellable(actionRelayed, list); why != "" {
		return nil, why, nil
	}
	n = s.notice(q, head, list, actionRelayed, now)
	if err = firstError(ctx.Err(), s.noticeRoom(ctx, n)); err == nil {
		err = s.putNotice(ctx, n)
	}
	return n, "", err
}

// noticeShare is the part of what may be queued that notices may take which nobody has to get. They can be asked for with
// every message, and wait as long as their senders' servers do not answer: that must not end in mail being refused.
const noticeShare = 8

// noticeRoom says whether there is room for a notice that nobody has to get.
func (s *Store) noticeRoom(ctx context.Context, n *notice) error {
	size := n.source.Size()
	if err := s.room.take(size, 1); err != nil {
		return err
	}
	if err := s.noticeBytes.take(ctx, size); err != nil {
		return err
	}
	return s.queuedBytes.take(ctx, size)
}

// putNotice stores the body of a notice.
func (s *Store) putNotice(ctx context.Context, n *notice) error {
	err := s.bodies.Put(ctx, n.body, n.source)
	if err != nil {
		s.config.Log.Error("a notice to a sender cannot be stored", "id", n.about, "action", n.action, "error", err)
	}
	return err
}

// said logs what a sender is told, when that is written, and has it leave.
func (s *Store) said(q Queued, l telling, now time.Time) {
	for _, n := range l.notices {
		s.config.Log.Info("a notice to the sender is queued", "id", q.ID, "notice", n.id, "action", n.action)
		s.stir(n.lane(), now)
	}
	for _, why := range l.silent {
		s.config.Log.Info("the sender is not told", "id", q.ID, "why", why)
	}
}

// Relayed tells the sender of a message that was delivered at once, to a hop without DSN, that it was relayed, if SPF, DKIM
// or DMARC vouched for the address and there is room: see noticeShare. Why a sender is not told stands in the log alone,
// for that client waits. It implements relay.Notifier, for stores that run with a way for notices: see RunConfig.Bounces.
func (s *Store) Relayed(ctx context.Context, _ *relay.Domain, m *verdict.Message, e verdict.Envelope, receipts []relay.Receipt) error {
	if len(receipts) != len(e.To) {
		return fmt.Errorf("store: notice: %d receipts for %d recipients", len(receipts), len(e.To))
	}
	q := Queued{ID: m.ID, At: m.Received, envelope: e, vouched: vouched(m, e.From)}
	list := relayed(e, receipts)
	if len(list) == 0 {
		return nil
	}
	now := time.Now()
	n, why, err := s.relayNotice(ctx, q, func() []byte { return headerOf(m) }, list, now)
	if err != nil {
		return fmt.Errorf("store: notice: %w", err)
	}
	if why != "" {
		s.said(q, telling{silent: []string{actionRelayed + ": " + why}}, now)
		return nil
	}
	told := telling{notices: []*notice{n}}
	err = s.committer.commit(ctx, func(ctx context.Context, t *tx) error { return told.insert(ctx, t, q, now) })
	if err != nil {
		s.discard(ctx, n.body, err)
		return fmt.Errorf("store: notice: %w", err)
	}
	s.said(q, told, now)
	return nil
}

// relayed are those whose sender asked for a notice of delivery that only we can send.
func relayed(e verdict.Envelope, receipts []relay.Receipt) []fate {
	var out []fate
	for i, r := range receipts {
		if r.Relayed(e.To[i]) {
			out = append(out, fate{e.To[i], r.Reply, r.Host})
		}
	}
	return out
}
