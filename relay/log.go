package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// mostReasons is how many findings one record names.
const mostReasons = 20

// because names the findings, for the log: those that weigh most first.
func because(fs []verdict.Finding) error {
	fs = slices.Clone(fs)
	slices.SortStableFunc(fs, func(a, b verdict.Finding) int {
		return cmp.Or(cmp.Compare(b.Class, a.Class), cmp.Compare(b.Score, a.Score))
	})
	var b strings.Builder
	for i, f := range fs {
		if i == mostReasons {
			fmt.Fprintf(&b, " and %d more", len(fs)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if f.Scanner != "" {
			b.WriteString(f.Scanner + " ")
		}
		b.WriteString(f.Code)
	}
	return errors.New(b.String())
}

// logRefused says that a recipient was refused.
func (s *session) logRefused(to string, r *Reply) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("id", s.tx.id), slog.Any("peer", s.conn.addr()), slog.String("domain", verdict.Domain(to)),
		slog.Int("code", r.Code), slog.String("reply", r.short()),
	}
	if r.Err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", r.Err))
	}
	log := s.srv.log()
	log.LogAttrs(s.ctx, level, "recipient refused", attrs...)
	log.LogAttrs(s.ctx, slog.LevelDebug, "envelope", slog.String("id", s.tx.id), slog.String("from", s.tx.envelope.From), slog.String("refused", to))
}

// logRefused says that a message was not received to its end, or not as a message.
func (s *Server) logRefused(ctx context.Context, tx *transaction, conn connection, err error) {
	s.log().LogAttrs(ctx, slog.LevelInfo, "message not received", slog.String("id", tx.id),
		slog.String("domain", tx.domain.Name), slog.Any("peer", conn.addr()), slog.Any("error", err))
	s.logEnvelope(ctx, conn, tx.id, tx.envelope, "")
}

// logEnvelope writes what tells one message from others for people: addresses, at debug level only.
func (s *Server) logEnvelope(ctx context.Context, conn connection, id string, e verdict.Envelope, messageID string) {
	log := s.log()
	if !log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	to := e.Addresses()
	if len(to) > mostReasons {
		to = append(to[:mostReasons:mostReasons], fmt.Sprintf("and %d more", len(e.To)-mostReasons))
	}
	log.LogAttrs(ctx, slog.LevelDebug, "envelope", slog.String("id", id), slog.String("from", e.From),
		slog.Any("to", to), slog.String("message_id", messageID), slog.String("helo", conn.peer().Helo))
}

// logDone writes the one record about a message that was received.
func (s *Server) logDone(ctx context.Context, conn connection, m *verdict.Message, o *Outcome) {
	level := slog.LevelInfo
	if o.Reply.Err != nil {
		level = slog.LevelWarn
	}
	log := s.log()
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("id", o.ID), slog.String("domain", o.Domain), slog.Any("peer", conn.addr()),
		slog.Int("recipients", o.Recipients), slog.Int64("size", o.Size),
		slog.String("class", o.Class.String()), slog.String("action", o.Action.String()),
		slog.Int("code", o.Reply.Code), slog.String("reply", o.Reply.short()),
	}
	if o.Hop != "" {
		attrs = append(attrs, slog.String("hop", o.Hop))
	}
	if checked(o.Auth) {
		attrs = append(attrs, slog.String("auth", authWord(o.Auth)), ms("authenticated_ms", o.Authenticated))
	}
	if o.Unsealed != nil {
		attrs = append(attrs, slog.Any("unsealed", o.Unsealed))
	}
	attrs = append(attrs, ms("judged_ms", o.Judged), ms("delivered_ms", o.Delivered), ms("took_ms", o.Took))
	if o.Held != "" {
		attrs = append(attrs, slog.String("held", o.Held))
	}
	if o.Queued {
		attrs = append(attrs, slog.Bool("queued", true))
	}
	if o.Report != nil && len(o.Report.Findings) > 0 && o.Class != verdict.Clean {
		attrs = append(attrs, slog.Any("findings", because(o.Report.Findings)), slog.Float64("score", o.Report.Score))
		for _, run := range o.Report.Failed() {
			attrs = append(attrs, slog.Any("failed."+run.Scanner, run.Err))
		}
	}
	if o.Reply.Err != nil {
		attrs = append(attrs, slog.Any("error", o.Reply.Err))
	}
	log.LogAttrs(ctx, level, "message", attrs...)
	s.logEnvelope(ctx, conn, o.ID, m.Envelope, m.Header().Get("Message-ID"))
}

// ms is a time in milliseconds, the same in every format of the log.
func ms(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Microseconds())/1000)
}
