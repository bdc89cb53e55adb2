package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/ics"
	"github.com/postreeve/postreeve/verdict/internal/inspect"
	"github.com/postreeve/postreeve/verdict/internal/tnef"
)

// isMail says whether the content is a message: one that is called or declared so, or that begins like
// one.
func isMail(it *item, c *content, kind, ext string) bool {
	if !strings.HasPrefix(kind, "text/") && kind != "application/octet-stream" {
		return false
	}
	if ext == "eml" || ext == "mht" || ext == "mhtml" || it.declared == "message/rfc822" {
		return true
	}
	head := string(c.head[:min(len(c.head), 100)])
	for _, p := range []string{"Received: ", "Return-Path: ", "MIME-Version: ", "Delivered-To: ", "From: ", "Message-ID: ", "Date: ", "Subject: ", "To: ", "Content-Type: "} {
		if strings.HasPrefix(head, p) {
			return p == "Content-Type: " || bytes.Contains(c.head[:min(len(c.head), 8<<10)], []byte("\nContent-Type:"))
		}
	}
	return false
}

// mail looks at the attachments of a message that is no part of the one that is judged.
func (x *scan) mail(it *item, c *content) error {
	var src verdict.Source = verdict.Bytes(c.head)
	if c.spool != nil {
		src = c.spool
	}
	m := verdict.NewMessage(src)
	m.Limits = x.message.Limits
	for p, err := range m.Parts() {
		if err != nil {
			return x.settle(it, fmt.Errorf("%w: %w", inspect.ErrLimit, err), true)
		}
		if p.IsContainer() || isBody(p) {
			continue
		}
		if err := x.budget.entry(x.ctx); err != nil {
			return err
		}
		if err := x.part(p, it.label+"!", it.depth+1); err != nil {
			return err
		}
	}
	return nil
}

// tnef looks at the attachments in the "winmail.dat" of Outlook, and at its text if that is RTF.
func (x *scan) tnef(it *item, c *content) error {
	ctx, cancel, lim := x.bounded()
	defer cancel()
	rep, err := tnef.Inspect(ctx, gate{c.at, x}, c.size, lim)
	files := slices.Clone(rep.Files)
	for i := range rep.Bodies {
		if b := &rep.Bodies[i]; b.Type == "application/rtf" {
			files = append(files, fileOf("text.rtf", b.Text))
		}
	}
	if err := x.embedded(it, files, ""); err != nil {
		return err
	}
	return x.settle(it, err, true)
}

// calendar looks at what is in an invitation.
func (x *scan) calendar(it *item, c *content) error {
	ctx, cancel, lim := x.bounded()
	defer cancel()
	rep, err := ics.Inspect(ctx, c.text(1<<20), lim)
	for i := range rep.Items {
		if slices.Contains(rep.Items[i].Alarms, "PROCEDURE") {
			x.found(codeCalendar, it.label, "an alarm that starts a program")
		}
	}
	if err := x.embedded(it, rep.Files, ""); err != nil {
		return err
	}
	return x.settle(it, err, false)
}

// bounded returns a context and limits with what is left of the budget.
func (x *scan) bounded() (context.Context, context.CancelFunc, inspect.Limits) {
	ctx, cancel := context.WithDeadline(x.ctx, x.budget.until)
	return ctx, cancel, inspect.Limits{
		Bytes: max(1<<20, min(64<<20, x.budget.limits.Output-x.budget.out)),
		Files: max(1, x.budget.limits.Entries-x.budget.entries),
	}
}

// settle turns the error of a parser into a finding. Content that is not of the format after all is not
// unscannable for that: programs that show it refuse it too. broken says that it is.
func (x *scan) settle(it *item, err error, broken bool) error {
	switch {
	case err == nil:
		return nil
	case x.ctx.Err() != nil:
		return x.ctx.Err()
	case errors.Is(err, inspect.ErrEncrypted), errors.Is(err, inspect.ErrFormat) && !broken:
		return nil
	}
	x.unread(codeUnread, it.label, err)
	return nil
}
