package app

import (
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// keptFlags are what all commands about kept mail take.
type keptFlags struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"The configuration."`
	JSON   bool   `help:"Print an object a line."`
}

// open opens the store of the configuration.
func (f keptFlags) open(e *env) (*config.Config, *store.Store, error) {
	cfg, err := config.Load(f.Config)
	if err != nil {
		return nil, nil, err
	}
	st, err := openKept(e, cfg)
	return cfg, st, err
}

// asFlag names who acts.
type asFlag struct {
	As string `placeholder:"NAME" help:"Who does it, for the audit trail; by default the user."`
}

// filterFlags choose messages of a list.
type filterFlags struct {
	Domain string `placeholder:"NAME" help:"Of this domain of the configuration."`
	From   string `placeholder:"TEXT" help:"Sender, or a part of it."`
	To     string `placeholder:"TEXT" help:"Recipient, or a part of it."`
	pageFlags
}

// pageFlags choose the part of a list that is printed.
type pageFlags struct {
	Since  string `placeholder:"WHEN" help:"Not older: 2h, 7d, 2026-01-31, or a time as in RFC 3339."`
	Until  string `placeholder:"WHEN" help:"Older than that."`
	Limit  int    `default:"100" help:"At most so many, up to 10000."`
	Before string `placeholder:"ID" help:"Those that come after this one in the list: the next page."`
}

// span is what --since and --until say, or a word about what is wrong with the flags.
func (f pageFlags) span() (since, until time.Time, wrong string) {
	if f.Limit < 1 || f.Limit > 10000 {
		return since, until, "--limit wants a number from 1 to 10000"
	}
	for _, t := range []struct {
		flag, text string
		dst        *time.Time
	}{{"since", f.Since, &since}, {"until", f.Until, &until}} {
		if t.text == "" {
			continue
		}
		when, ok := parseWhen(t.text, time.Now())
		if !ok {
			return since, until, "--" + t.flag + " wants how long ago, as in 2h or 7d, or a day, as in 2026-01-31, or a time, as in 2026-01-31T12:00:00Z"
		}
		*t.dst = when
	}
	return since, until, ""
}

// headFlags choose by what only some lists know.
type headFlags struct {
	Subject   string `placeholder:"TEXT" help:"A part of the subject."`
	MessageID string `placeholder:"ID" help:"The Message-ID."`
	Class     string `placeholder:"CLASS" help:"clean, spam, malicious or unknown."`
}

// filter makes a filter of the flags, or says what is wrong.
func (f filterFlags) filter(e *env, h headFlags, action string) (store.Filter, error) {
	out := store.Filter{
		Domain: strings.ToLower(f.Domain), Sender: f.From, Recipient: f.To, Before: f.Before, Limit: f.Limit,
		Subject: h.Subject, MessageID: h.MessageID, Class: h.Class, Action: action,
	}
	wrong := func(format string, args ...any) (store.Filter, error) {
		return out, usage(e, format, args...)
	}
	var bad string
	if out.Since, out.Until, bad = f.span(); bad != "" {
		return wrong("%s", bad)
	}
	var class verdict.Class
	if h.Class != "" && class.UnmarshalText([]byte(h.Class)) != nil {
		return wrong("--class wants clean, spam, malicious or unknown")
	}
	var act relay.Action
	if action != "" && act.UnmarshalText([]byte(action)) != nil {
		return wrong("--action wants deliver, tag, defer, hold or reject")
	}
	return out, nil
}

// parseWhen reads a moment: how long ago, a day (UTC), or a time.
func parseWhen(s string, now time.Time) (time.Time, bool) {
	if d, ok := config.ParseDays(s); ok {
		return now.Add(-d), true
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04", time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// more says that a list goes on.
func (f pageFlags) more(e *env, n int, last string) {
	if n == f.Limit {
		e.err.printf("There may be more: --before %s\n", show(last))
	}
}

// stamp of a row, short and in UTC.
func rowTime(t time.Time) string { return t.UTC().Format("01-02 15:04:05") }

// bracket writes a reverse-path: the empty one is that of notices.
func bracket(address string) string { return "<" + address + ">" }

// several shows the first of a list.
func several(list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return cut(list[0], 40)
	}
	return cut(list[0], 32) + " +" + plural(len(list)-1, "other")
}
