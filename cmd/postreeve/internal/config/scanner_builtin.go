package config

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/postreeve/postreeve/verdict/attach"
	"github.com/postreeve/postreeve/verdict/impostor"
	"github.com/postreeve/postreeve/verdict/links"
)

// settingsOf returns the settings of a kind of scanner with nothing set; nil if it has none.
func settingsOf(kind string) any {
	switch kind {
	case "attach":
		return &Attach{}
	case "links":
		return &Links{}
	case "impostor":
		return &Impostor{}
	case "blocklist":
		return &Blocklist{}
	case "clamd":
		return &Clamd{}
	case "rspamd":
		return &Rspamd{}
	case "spamd":
		return &Spamd{}
	case "icap":
		return &ICAP{}
	case "milter":
		return &Milter{}
	case "webhook":
		return &Webhook{}
	case "exec":
		return &Exec{}
	}
	return nil
}

// Protect says what others may want to imitate.
type Protect struct {
	Domains []string // beside those whose mail is taken
	People  []impostor.Person
}

// Protected are all domains that others may want to look like.
func (c *Config) Protected() []string {
	var out []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	for _, d := range c.Domains {
		add(d.Claim())
	}
	for _, name := range c.Protect.Domains {
		add(name)
	}
	return out
}

func protect(dst *Protect) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{
			"domains": texts(&dst.Domains, hostname),
			"people": func(d *decoder, v value) {
				for _, item := range d.items(v) {
					p := impostor.Person{}
					d.mapping(item, fields{"name": text(&p.Name, personName), "addresses": texts(&p.Addresses, mailbox)})
					if d.lacks(item.path + ".name") {
						d.fail(item, "wants name, as in {name: Ann Example, addresses: [ann@ex.net]}")
					}
					dst.People = append(dst.People, p)
				}
			},
		})
	}
}

func personName(s string) (string, error) {
	if len(strings.Fields(s)) < 2 || len(s) > 200 {
		return "", errors.New(quote(s) + ": wants a name of two words or more, as in Ann Example: one word is the name of too many")
	}
	return s, nil
}

// Attach has the settings of the scanner attach.
type Attach struct {
	Limits    attach.Limits
	Passwords []string // tried on encrypted archives
}

func (a *Attach) fields(string) fields {
	return fields{
		"depth":     natural(&a.Limits.Depth, 100),
		"entries":   natural(&a.Limits.Entries, 1_000_000),
		"output":    limit(&a.Limits.Output),
		"ratio":     func(d *decoder, v value) { n := 0; natural(&n, 1_000_000)(d, v); a.Limits.Ratio = int64(n) },
		"time":      duration(&a.Limits.Time),
		"memory":    limit(&a.Limits.Memory),
		"passwords": texts(&a.Passwords, password),
	}
}

func password(s string) (string, error) {
	if len(s) > 100 {
		return "", errors.New("wants at most 100 bytes")
	}
	return s, nil
}

// limit reads a size that there has to be.
func limit(dst *int64) reader {
	return func(d *decoder, v value) {
		size(dst)(d, v)
		if *dst < 0 {
			*dst = 0
			d.fail(v, "has to have a limit: this is about content that is made to have none")
		}
	}
}

// Links has the settings of the scanner links.
type Links struct {
	Limits links.Limits
	Lists  []List
	Brands []links.Brand // nil: those that are built in
}

func (l *Links) fields(base string) fields {
	return fields{
		"links":        natural(&l.Limits.Links, 100_000),
		"pictures":     natural(&l.Limits.Pictures, 1000),
		"picture-time": duration(&l.Limits.PictureTime),
		"questions":    natural(&l.Limits.Questions, 1000),
		"dns-time":     duration(&l.Limits.DNSTime),
		"lists":        lists(&l.Lists, base, false),
		"brands":       brands(&l.Brands),
	}
}

func brands(dst *[]links.Brand) reader {
	return func(d *decoder, v value) {
		out := []links.Brand{}
		for _, item := range d.items(v) {
			b := links.Brand{}
			d.mapping(item, fields{
				"name": text(&b.Name, password), "words": texts(&b.Words, label), "domains": some(&b.Domains, hostname),
				"common": boolean(&b.Common), "social": boolean(&b.Social),
			})
			if d.lacks(item.path+".name") || d.lacks(item.path+".domains") {
				d.fail(item, "wants name and domains, as in {name: Example Bank, domains: [examplebank.com]}")
			}
			out = append(out, b)
		}
		*dst = out
	}
}

// Blocklist has the settings of the scanner blocklist.
type Blocklist struct {
	Lists []List
	Time  time.Duration
}

func (b *Blocklist) fields(base string) fields {
	return fields{"lists": lists(&b.Lists, base, true), "time": duration(&b.Time)}
}

func (b *Blocklist) lacks() string {
	if len(b.Lists) == 0 {
		return "lists, as in lists: [{zone: zen.example.org}]; read their rules of use first"
	}
	return ""
}

// List is a list that is asked over DNS.
type List struct {
	links.List
	Key Secret // stands before the zone, for lists that want one
}

func lists(dst *[]List, base string, addresses bool) reader {
	return func(d *decoder, v value) {
		for _, item := range d.items(v) {
			l := List{}
			l.Addresses = addresses
			fs := fields{
				"zone": text(&l.Zone, hostname), "key": secret(&l.Key, base), "codes": listCodes(&l.Codes), "mask": boolean(&l.Mask),
				"score": threshold(&l.Score),
			}
			if !addresses {
				fs["hosts"], fs["addresses"] = boolean(&l.Hosts), boolean(&l.Addresses)
			}
			d.mapping(item, fs)
			if d.lacks(item.path + ".zone") {
				d.fail(item, "wants zone, the name under which the list is asked")
			}
			*dst = append(*dst, l)
		}
	}
}

// listCodes reads which answers are hits: {2: spam, 4: phishing}.
func listCodes(dst *map[byte]string) reader {
	return numbersOf(dst, func(s *string) reader { return text(s, password) }, "wants the last byte of 127.0.0.x, from 0 to 255")
}

// Impostor has the settings of the scanner impostor.
type Impostor struct {
	Contacts int // days for which senders are remembered; 0: nobody is, and nobody is called new
}

func (i *Impostor) fields(string) fields {
	return fields{"contacts": natural(&i.Contacts, 3650)}
}

// entriesOf reads a mapping with keys of the user's choice.
func entriesOf[T any](dst *map[string]T, read func(dst *T) reader) reader {
	return func(d *decoder, v value) {
		*dst = map[string]T{}
		if _, ok := v.node.(ast.MapNode); !ok {
			d.fail(v, "wants keys with values, got %s", kind(v.node))
			return
		}
		for key, item := range d.entries(v) {
			var got T
			read(&got)(d, item)
			(*dst)[key] = got
		}
	}
}

// numbersOf is for keys that are numbers from 0 to 255. Of another one it says what it wants.
func numbersOf[N byte | int, T any](dst *map[N]T, read func(dst *T) reader, wants string) reader {
	return func(d *decoder, v value) {
		*dst = map[N]T{}
		for key, item := range d.entries(v) {
			n, err := strconv.ParseUint(key, 10, 8)
			if err != nil {
				d.failAt(d.keys[item.path], item.path, "%s", wants)
				continue
			}
			var got T
			read(&got)(d, item)
			(*dst)[N(n)] = got
		}
	}
}
