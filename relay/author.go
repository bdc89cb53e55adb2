package relay

import (
	"net/mail"

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
