package relay

import (
	"net/mail"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// author returns the one address in From, or "" if there is none or more than one: what several
// readers could understand differently proves nothing.
func author(m *verdict.Message) string {
	froms := m.Header().Values("From")
	if len(froms) != 1 {
		return ""
	}
	list, err := mail.ParseAddressList(froms[0])
	if err != nil || len(list) != 1 {
		return ""
	}
	return list[0].Address
}

// named is a set of addresses and of their domains with all domains above, in lower case.
type named map[string]struct{}

// senders returns whom a message names as its sender, whoever reads it: the reverse-path, and everything in
// any From that could be an address.
func senders(m *verdict.Message) named {
	n := named{}
	n.add(m.Envelope.From)
	for f := range m.Header().All() {
		name, value := lenient(f)
		if !strings.EqualFold(name, "From") {
			continue
		}
		if list, err := mail.ParseAddressList(value); err == nil {
			for _, a := range list {
				n.add(a.Address)
			}
			continue
		}
		for word := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(" \t\r\n<>(),;:", r) }) {
			n.add(word)
		}
	}
	return n
}

func (n named) add(address string) {
	address = strings.ToLower(strings.TrimSuffix(address, "."))
	domain := verdict.Domain(address)
	if domain == "" || len(domain) > 255 {
		return
	}
	n[address] = struct{}{}
	for ok := true; ok; _, domain, ok = strings.Cut(domain, ".") {
		n[domain] = struct{}{}
	}
}
