package store

import (
	"encoding/json"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/postreeve/postreeve/verdict"
)

// envelopeRow is an envelope as it is kept. Its form is never changed.
type envelopeRow struct {
	From       string         `json:"from"`
	To         []recipientRow `json:"to"`
	Body       string         `json:"body,omitempty"`
	UTF8       bool           `json:"utf8,omitempty"`
	RequireTLS bool           `json:"require_tls,omitempty"`
	Return     string         `json:"return,omitempty"`
	ID         string         `json:"id,omitempty"`

	// Of queued messages alone.
	Vouched bool   `json:"vouched,omitempty"` // see vouched
	Own     bool   `json:"own,omitempty"`     // it is a notice of ours
	About   string `json:"about,omitempty"`   // the id of the message that a notice is about
}

type recipientRow struct {
	Address  string   `json:"address"`
	Notify   []string `json:"notify,omitempty"`
	Original string   `json:"original,omitempty"`
}

func packEnvelope(e verdict.Envelope) string { return pack(rowOf(e)) }

func rowOf(e verdict.Envelope) envelopeRow {
	r := envelopeRow{From: e.From, Body: e.Body, UTF8: e.UTF8, RequireTLS: e.RequireTLS, Return: e.Return, ID: e.ID}
	for _, to := range e.To {
		r.To = append(r.To, recipientRow{to.Address, to.Notify, to.Original})
	}
	return r
}

func unpackEnvelope(text string) (verdict.Envelope, error) {
	r, err := unpackRow(text)
	return r.envelope(), err
}

func unpackRow(text string) (r envelopeRow, err error) {
	err = json.Unmarshal([]byte(text), &r)
	return r, err
}

func (r envelopeRow) envelope() verdict.Envelope {
	e := verdict.Envelope{From: r.From, Body: r.Body, UTF8: r.UTF8, RequireTLS: r.RequireTLS, Return: r.Return, ID: r.ID}
	for _, to := range r.To {
		e.To = append(e.To, verdict.Recipient{Address: to.Address, Notify: to.Notify, Original: to.Original})
	}
	return e
}

// pack writes what is known to be writable.
func pack(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null" // no value that is kept can fail: no channels, functions or NaN
	}
	return string(b)
}

// text is what can stand in a row: PostgreSQL takes no NUL and nothing that is not UTF-8.
func text(s string, most int) string {
	if len(s) > most {
		s = s[:most]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// address is an address as it is searched for.
func address(s string) string { return strings.ToLower(text(s, 512)) }

func addrText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.Addr().Unmap().String()
}

// headline is what lists show of a message.
type headline struct{ author, subject, messageID string }

func headlineOf(m *verdict.Message) headline {
	h := m.Header()
	return headline{text(h.Text("From"), 512), text(h.Text("Subject"), 512), text(strings.TrimSpace(h.Get("Message-ID")), 998)}
}
