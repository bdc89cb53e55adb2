package dnsverify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// explainWrong says what the values at the right name are, if not the token.
func (c *check) explainWrong(ctx context.Context) *Problem {
	ch := c.v.Challenge
	p := &Problem{Code: RecordWrongValue, Name: c.res.Name, Found: showAll(c.raw)}
	for _, v := range c.raw {
		if ch.matches(v, ch.old(c.claim)) {
			p.Code = RecordOldToken
			return p
		}
		for _, o := range c.others {
			if ch.matches(v, slices.Concat(ch.live(o), ch.old(o))) {
				p.Code, p.Found = RecordOtherTenant, nil
				return p
			}
		}
	}
	for _, v := range c.raw {
		if why := c.mistake(v); why != "" {
			p.Detail = why
			return p
		}
	}
	// The token may be at another name while something else is at this one.
	if m := c.misplaced(ctx); m != nil {
		return m
	}
	return p
}

// mistake names the nearest mistake in a value, "" if there is none to be seen.
func (c *check) mistake(v string) string {
	ch := c.v.Challenge
	clean := tidy(v)
	switch {
	case clean != v && ch.matches(clean, c.tokens):
		return "The right token with " + blemish(v) + ": enter it without."
	case c.contains(clean):
		return "The right token with more text around it: enter only what is shown."
	case c.wrongDomain(clean) != "":
		return "The token is the one for " + c.wrongDomain(clean) + ", not for this domain."
	case ch.looksLikeToken(tokenOf(clean)):
		return "It looks like a token, but not like one for this account and domain: copy it anew."
	}
	for _, t := range c.tokens {
		if got := tokenOf(clean); len(got) >= 8 && strings.HasPrefix(t, asciiLower(got)) {
			return "The token is cut off at its end."
		}
	}
	return ""
}

func (c *check) contains(v string) bool {
	for _, t := range c.tokens {
		if strings.Contains(v, t) || c.v.Challenge.Form == TokenForm && strings.Contains(asciiLower(v), t) {
			return true
		}
	}
	return false
}

// wrongDomain returns the domain above this one for which the same tenant has that token.
func (c *check) wrongDomain(v string) string {
	for d := parent(c.claim.Domain); strings.Contains(d, "."); d = parent(d) {
		o := c.claim
		o.Domain = d
		if c.v.Challenge.matches(v, c.v.Challenge.live(o)) {
			return d
		}
	}
	return ""
}

// tidy takes away what copying adds: quotes, a final dot, blanks and invisible characters.
func tidy(v string) string {
	v = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, v)
	const quotes = "\"'`\u201c\u201d\u2018\u2019\u201e"
	v = strings.Trim(v, quotes+".;")
	if rest, ok := cutPrefixFold(v, "token="); ok {
		v = "token=" + strings.Trim(rest, quotes)
	}
	return v
}

func blemish(v string) string {
	switch {
	case strings.ContainsAny(v, "\"'`\u201c\u201d\u2018\u2019\u201e"):
		return "quotes stored in the value"
	case strings.ContainsFunc(v, func(r rune) bool { return r > '~' || r < ' ' }):
		return "invisible or foreign characters"
	case strings.Contains(v, " "):
		return "blanks in the value"
	}
	return "a final dot or sign"
}

// explainAbsent looks for the record where it should not be.
func (c *check) explainAbsent(ctx context.Context) *Problem {
	if p := c.misplaced(ctx); p != nil {
		return p
	}
	p := &Problem{Code: RecordAbsent, Name: c.res.Name}
	if ns := c.res.NameServers; len(ns) > 0 {
		p.Detail = "The zone that counts is the one on " + strings.Join(ns[:min(2, len(ns))], ", ") + "."
	}
	if c.res.Negative > 0 {
		p.Detail += fmt.Sprintf(" Resolvers that were asked may say so for %v after the record has been made; this check does not ask them first.",
			c.res.Negative)
	}
	return p
}

// misplaced looks for the token at the names where people put it by mistake.
func (c *check) misplaced(ctx context.Context) *Problem {
	if len(c.asks) == 0 {
		return nil
	}
	label := strings.TrimSuffix(c.res.Name, "."+c.claim.Domain)
	d, zone := c.claim.Domain, c.res.Zone
	places := []struct {
		name, why string
		code      Code
	}{
		{c.res.Name + "." + d, "", RecordDoubledName},
		{c.res.Name + "." + zone, "", RecordDoubledName},
		{d, "", RecordAtApex},
		{strings.TrimPrefix(label, "_") + "." + d, "It was made without the underscore at the beginning of its name.", RecordAbsent},
		{label + ".www." + d, "It was made below www.", RecordAbsent},
		{label + "." + zone, "It was made for " + zone + ", not for " + d + ".", RecordAbsent},
		{label + "." + parent(d), "It was made for " + parent(d) + ", not for " + d + ".", RecordAbsent},
	}
	found := make([]bool, len(places))
	seen := map[string]bool{c.res.Name: true}
	var todo []int
	for i, p := range places {
		if !seen[p.name] && len(p.name) <= maxName {
			seen[p.name] = true
			todo = append(todo, i)
		}
	}
	each(4, len(todo), func(i int) { found[todo[i]] = c.at(ctx, places[todo[i]].name) })
	if i := slices.Index(found, true); i >= 0 {
		return &Problem{Code: places[i].code, Name: places[i].name,
			Detail: strings.TrimSpace(places[i].why + " It belongs at " + c.res.Name + ".")}
	}
	return nil
}

// at says whether a live token stands at a name.
func (c *check) at(ctx context.Context, name string) bool {
	values, _, err := c.c.texts(ctx, name)
	return err == nil && slices.ContainsFunc(values, func(v string) bool {
		return c.v.Challenge.matches(v, c.tokens) || c.v.Challenge.matches(tidy(v), c.tokens)
	})
}
