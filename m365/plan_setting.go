package m365

import (
	"fmt"
	"strings"
)

// A setting is one state of the tenant that a profile asks for. Plan, Apply, Verify, Offboard, Script and
// Runbook all work on the list of them that [Profile.settings] gives, in the order in which they are made.
type setting struct {
	id     string
	kind   kind
	name   string // of the object
	title  string
	fields []field
	// made is what a new object gets beyond its fields.
	made []field
	// of is the id of the setting that makes the object, when this one is only its switch.
	of    string
	place int    // the priority that a new rule gets
	seed  string // the rows of the baseline that it stands for

	why, risk, wait, check, undo string
	needs                        []string
	console                      Console
	// blocked, if set, says why the setting has to wait for a person.
	blocked string
}

// A field is what one property of an object shall be.
type field struct {
	name   string
	form   form
	want   any
	shared bool // a list that others write too: only our members count
	secret bool
}

// markText is what stands in the comment of an object of ours.
func (p *Profile) markText(id string) string {
	return fmt.Sprintf("%s id=%s v=1. Made and kept by %s; change it there.", p.mark(), id, p.product())
}

// marked returns the id that our mark in a comment carries.
func (p *Profile) marked(comment string) (id string, ok bool) {
	words := strings.Fields(comment)
	for i := range len(words) - 1 {
		if id, ok := strings.CutPrefix(words[i+1], "id="); ok && words[i] == p.mark() && id != "" {
			return id, true
		}
	}
	return "", false
}

// byID returns the one of that id.
func byID(all []*setting, id string) *setting {
	for _, s := range all {
		if s.id == id {
			return s
		}
	}
	return nil
}

func text(name string, v string) field  { return field{name: name, form: formText, want: v} }
func exact(name string, v string) field { return field{name: name, form: formExact, want: v} }
func flag(name string, v bool) field    { return field{name: name, form: formBool, want: v} }
func number(name string, v int) field   { return field{name: name, form: formInt, want: v} }
func words(name string, v ...string) field {
	return field{name: name, form: formSet, want: v}
}
func networks(name string, v []string) field {
	return field{name: name, form: formIPs, want: normIPs(v)}
}
func patterns(name string, v ...string) field {
	return field{name: name, form: formSecret, want: formSecret.set(v)}
}
func size(name string, bytes int) field { return field{name: name, form: formSize, want: bytes} }
func hidden(name string, v string) field {
	return field{name: name, form: formHidden, want: v, secret: true}
}
func hiddenSet(name string, v []string) field {
	return field{name: name, form: formSecret, want: formSecret.set(v), secret: true}
}
func sharedNetworks(name string, v []string) field {
	return field{name: name, form: formIPs, want: normIPs(v), shared: true}
}

// normal is the wanted value in the form in which it is compared.
func (f field) normal() any {
	if list, ok := f.want.([]string); ok {
		return f.form.set(list)
	}
	return f.want
}

// param is the wanted value as a cmdlet takes it.
func (f field) param() any {
	if n, ok := f.want.(int); ok && f.form == formSize {
		return sizeText(n)
	}
	return f.want
}

// empty says whether nothing is wanted, which a New leaves out and a Set has to clear.
func (f field) empty() bool {
	switch v := f.want.(type) {
	case string:
		return v == ""
	case []string:
		return len(v) == 0
	}
	return false
}

// maker is the id of the setting whose object it is.
func (s *setting) maker() string { return first(s.of, s.id) }
