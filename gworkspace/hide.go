package gworkspace

import (
	"slices"
	"strings"
)

// hiddenSecret stands for a secret that was read somewhere, such as in an entry of the audit log.
const hiddenSecret = "(a secret)"

// A hider takes the secrets that are known out of what was read, before it is shown.
type hider []string

// hider knows the secrets of the profile and those that the gateway is set to.
func (t *Tenant) hider() hider {
	var h hider
	add := func(s *Secrets) {
		if s == nil {
			return
		}
		for _, list := range [][]string{s.Loop, s.Tenant} {
			for _, v := range list {
				if len(v) >= 8 { // what is shorter stands in ordinary words too
					h = append(h, v)
				}
			}
		}
	}
	add(t.Secrets)
	for _, g := range t.Gateway {
		add(g.Secrets)
	}
	return h
}

// text replaces the secrets, also the beginning of one where long text was cut.
func (h hider) text(s string) string {
	for _, v := range h {
		s = strings.ReplaceAll(s, v, hiddenSecret)
		rest, ok := strings.CutSuffix(s, "...")
		for n := len(v) - 1; ok && n >= 6; n-- {
			if strings.HasSuffix(rest, v[:n]) {
				s = rest[:len(rest)-n] + hiddenSecret + "..."
				break
			}
		}
	}
	return s
}

func (h hider) all(texts ...*string) {
	for _, s := range texts {
		*s = h.text(*s)
	}
}

// value is text for what was found, if it is one.
func (h hider) value(v *any) {
	if s, ok := (*v).(string); ok {
		*v = h.text(s)
	}
}

func (h hider) list(all []string) {
	for i := range all {
		all[i] = h.text(all[i])
	}
}

// changes hides in entries of the log.
func (h hider) changes(all []Change) {
	for i := range all {
		c := &all[i]
		h.all(&c.Who, &c.Event, &c.Setting, &c.Name, &c.Text, &c.Unit)
	}
}

func (h hider) problems(all []Problem) {
	for i := range all {
		h.all(&all[i].Object, &all[i].Text, &all[i].Do)
	}
}

func (h hider) probes(all []Probe) {
	for i := range all {
		p := &all[i]
		h.all(&p.Detail, &p.Do)
		h.list(p.Labels)
		p.Passages = slices.Clone(p.Passages) // they are of the witness
		for j := range p.Passages {
			h.all(&p.Passages[j].Hop, &p.Passages[j].Reply)
		}
	}
}

// findings hides in all that the checks say.
func (h hider) findings(f *findings) {
	for i := range f.checks {
		c := &f.checks[i]
		h.all(&c.Object, &c.Unit, &c.From, &c.Note)
	}
	for i := range f.drift {
		d := &f.drift[i]
		h.all(&d.Object, &d.Name, &d.Note, &d.Unit)
		h.value(&d.Wanted)
		h.value(&d.Found)
	}
	h.problems(f.problems)
	h.list(f.notes)
}
