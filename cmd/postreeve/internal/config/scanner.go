package config

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/postreeve/postreeve/verdict"
)

// Scanner is one scanner and the wrappers it wears.
type Scanner struct {
	Kind    string
	Name    string         // in reports, logs and metrics: that of its kind, or what as says
	Timeout time.Duration  // 0: the engine's
	OnError *verdict.Class // nil: the engine's
	Monitor bool
	MaxSize MaxSize
	Breaker Breaker
	Cache   Cache

	// Settings are those of its kind: *Attach, *Links, … nil for kinds that have none.
	Settings any
}

// MaxSize is the largest message that a scanner is asked about, in bytes. 0: any.
type MaxSize struct {
	Bytes int64
	Class verdict.Class // of what is larger
}

// Breaker says when a scanner that fails is left alone: with the defaults, unless it says otherwise. Scanners that
// are built in have none unless one is given.
type Breaker struct {
	Off      bool
	Failures int
	Pause    time.Duration
}

// Cache says how long answers are remembered.
type Cache struct {
	Age     time.Duration // 0: not at all
	Entries int
}

// ScannerNames are the built-in scanners, in the order in which they are reported.
var ScannerNames = [...]string{"structure", "mailauth", "attach", "links", "impostor", "teststring"}

// AdapterNames are the scanners that ask somebody else. None is used that is not listed.
var AdapterNames = [...]string{"blocklist", "clamd", "rspamd", "spamd", "icap", "milter", "webhook", "exec"}

// Adapter says whether the scanner asks somebody else.
func (s Scanner) Adapter() bool { return slices.Contains(AdapterNames[:], s.Kind) }

func scanners(dst *[]Scanner, base string) reader {
	return func(d *decoder, v value) {
		out := []Scanner{}
		for _, item := range d.items(v) {
			s := Scanner{}
			if _, ok := item.node.(ast.MapNode); ok {
				d.scanner(&s, item, base)
			} else if text(&s.Kind, scannerName)(d, item); s.Kind != "" {
				s.Settings = settingsOf(s.Kind)
				d.complete(s, item)
			}
			s.Name = cmp.Or(s.Name, s.Kind)
			for _, other := range out {
				if other.Name == s.Name && s.Name != "" {
					d.fail(item, "%s stands in the list already%s", s.Name, ifAdapter(s, ": as: gives one of them another name"))
				}
			}
			out = append(out, s)
		}
		*dst = out
	}
}

func ifAdapter(s Scanner, text string) string {
	if s.Adapter() {
		return text
	}
	return ""
}

// scanner reads the keys of a scanner, which depend on its name.
func (d *decoder) scanner(s *Scanner, v value, base string) {
	kind := peek(v, "name")
	fs := fields{
		"name":     text(&s.Kind, scannerName),
		"timeout":  duration(&s.Timeout),
		"on-error": scannerClass(&s.OnError),
		"monitor":  boolean(&s.Monitor),
		"max-size": maxSize(&s.MaxSize),
		"breaker":  breaker(&s.Breaker),
		"cache":    cache(&s.Cache),
	}
	if (Scanner{Kind: kind}).Adapter() {
		fs["as"] = text(&s.Name, label)
	}
	s.Settings = settingsOf(kind)
	if k, ok := s.Settings.(interface{ fields(base string) fields }); ok {
		for key, read := range k.fields(base) {
			fs[key] = read
		}
	}
	n := len(d.errs)
	d.mapping(v, fs)
	if d.lacks(v.path + ".name") {
		d.fail(v, "wants the name of a scanner: name: %s", ScannerNames[0])
	}
	if len(d.errs) == n {
		d.complete(*s, v)
	}
}

// complete says what a scanner cannot do without.
func (d *decoder) complete(s Scanner, v value) {
	if k, ok := s.Settings.(interface{ lacks() string }); ok {
		if what := k.lacks(); what != "" {
			d.fail(v, "%s wants %s", s.Kind, what)
		}
	}
}

// peek returns the text of one key of a mapping, or "".
func peek(v value, key string) string {
	m, ok := v.node.(ast.MapNode)
	if !ok {
		return ""
	}
	for it := m.MapRange(); it.Next(); {
		k, kok := it.Key().(*ast.StringNode)
		s, sok := it.Value().(*ast.StringNode)
		if kok && sok && k.Value == key {
			return s.Value
		}
	}
	return ""
}

func maxSize(dst *MaxSize) reader {
	return func(d *decoder, v value) {
		if _, ok := v.node.(ast.MapNode); ok {
			d.mapping(v, fields{"size": size(&dst.Bytes), "class": oneOf(&dst.Class, classes)})
			if d.lacks(v.path + ".size") {
				d.fail(v, "wants size, and what a larger message is: {size: 20MiB, class: unknown}")
			}
		} else {
			size(&dst.Bytes)(d, v)
		}
		dst.Bytes = max(dst.Bytes, 0) // none
	}
}

func breaker(dst *Breaker) reader {
	return func(d *decoder, v value) {
		if _, ok := none(v); ok {
			dst.Off = true
			return
		}
		d.mapping(v, fields{"failures": count(&dst.Failures), "pause": duration(&dst.Pause)})
		if dst.Failures < 0 {
			d.failKey(v.path+".failures", "wants a number; breaker: none asks a scanner however often it fails")
		}
	}
}

func cache(dst *Cache) reader {
	return func(d *decoder, v value) {
		if _, ok := none(v); ok {
			return
		}
		if _, ok := v.node.(ast.MapNode); !ok {
			duration(&dst.Age)(d, v)
			return
		}
		d.mapping(v, fields{"age": duration(&dst.Age), "entries": natural(&dst.Entries, 10_000_000)})
		if d.lacks(v.path + ".age") {
			d.fail(v, "wants age, how long an answer is good: {age: 10m}")
		}
	}
}

func scannerName(s string) (string, error) {
	all := slices.Concat(ScannerNames[:], AdapterNames[:])
	if !isOneOf(s, all...) {
		return "", errors.New(quote(s) + " is no scanner of this version: " + Suggest(s, all))
	}
	return s, nil
}

var classes = map[string]verdict.Class{
	"unknown": verdict.Unknown, "clean": verdict.Clean, "spam": verdict.Spam, "malicious": verdict.Malicious,
}

func scannerClass(dst **verdict.Class) reader {
	return func(d *decoder, v value) {
		var c verdict.Class
		oneOf(&c, classes)(d, v)
		*dst = &c
	}
}
