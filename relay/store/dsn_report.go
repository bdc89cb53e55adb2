package store

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postreeve/postreeve/relay"
)

// report is the text of a notice: for people, for programs (RFC 3464) and the header of the message (RFC 6522), which RFC
// 6522 section 3 leaves to us and only a sender gets whom somebody vouches for. Only the header is returned, whatever RET
// asked for: a large or harmful body is not carried back. It has nothing but ASCII and short lines, unless an address is
// internationalised (RFC 6533).
type report struct {
	q              Queued
	list           []fate
	at             time.Time
	id, host, from string
	action         string
	head           []byte
	utf8           bool
	b              bytes.Buffer
}

// words are what a report says to people: its subject, and what happened.
func (r *report) words() (subject, text string) {
	switch r.action {
	case actionDelayed:
		return "Delayed mail (still being retried)",
			"Your message has not been delivered yet to the recipients below. You need not send it again: it is tried until " + r.q.Expires.Format(time.RFC1123Z) + "."
	case actionRelayed:
		return "Relayed mail (no notice of delivery will come)",
			"You asked to be told when your message is delivered. For the recipients below it went on to a server that sends no such notices, so that this is all that can be said."
	}
	return "Undelivered mail returned to sender", "Your message could not be delivered to the recipients below. It will not be tried again."
}

// needsUTF8 says whether an address in it is not ASCII, of a message for which SMTPUTF8 was asked.
func (r *report) needsUTF8() bool {
	if !r.q.envelope.UTF8 {
		return false
	}
	foreign := !ascii(r.q.envelope.From)
	for _, f := range r.list {
		foreign = foreign || !ascii(f.to.Address) || !ascii(f.to.Original)
	}
	return foreign
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= utf8.RuneSelf })
}

// field writes a field, none without a value.
func (r *report) field(name, value string) {
	if value == "" {
		return
	}
	if !r.utf8 {
		value = escaped(value)
	}
	r.b.WriteString(name + ": " + oneLine(value) + "\r\n")
}

// escaped writes what is not ASCII as RFC 6533 section 3 does in addresses of ASCII.
func escaped(s string) string {
	if ascii(s) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if c < utf8.RuneSelf {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, "\\x{%X}", c)
		}
	}
	return b.String()
}

// begin begins a part.
func (r *report) begin(boundary, kind, encoding string) {
	r.b.WriteString("\r\n--" + boundary + "\r\nContent-Type: " + kind + "\r\n")
	if encoding != "" {
		r.b.WriteString("Content-Transfer-Encoding: " + encoding + "\r\n")
	}
	r.b.WriteString("\r\n")
}

func (r *report) bytes() []byte {
	boundary := "=_" + rand.Text()
	subject, text := r.words()
	r.field("Date", r.at.Format(time.RFC1123Z))
	r.field("From", "Mail Delivery System <"+r.from+">")
	r.field("To", "<"+r.q.envelope.From+">")
	r.field("Subject", mime.QEncoding.Encode("utf-8", subject))
	r.field("Message-ID", "<"+r.id+"@"+r.host+">")
	r.field("Auto-Submitted", "auto-replied")
	r.field("MIME-Version", "1.0")
	r.field("Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	r.b.WriteString("\r\nThis is a MIME message about the delivery of another one.\r\n")
	r.people(boundary, text)
	r.programs(boundary)
	if r.q.vouched {
		r.header(boundary)
	}
	r.b.WriteString("\r\n--" + boundary + "--\r\n")
	return r.b.Bytes()
}

// people writes the part for people.
func (r *report) people(boundary, text string) {
	r.begin(boundary, "text/plain; charset=utf-8", "quoted-printable")
	var b strings.Builder
	fmt.Fprintf(&b, "This is the mail gateway at %s.\r\n\r\n%s\r\n\r\n", r.host, text)
	for _, f := range r.list {
		fmt.Fprintf(&b, "<%s>: %s\r\n", oneLine(f.to.Address), oneLine(f.said()))
	}
	r.quoted([]byte(b.String()), false)
}

// quoted writes text, or bytes of which the ends of lines are not all CRLF.
func (r *report) quoted(text []byte, binary bool) {
	w := quotedprintable.NewWriter(&r.b)
	w.Binary = binary
	_, _ = w.Write(text) // into memory
	_ = w.Close()
}

// programs writes the fields of RFC 3464 or RFC 6533.
func (r *report) programs(boundary string) {
	if r.utf8 {
		r.begin(boundary, "message/global-delivery-status", "8bit")
	} else {
		r.begin(boundary, "message/delivery-status", "")
	}
	r.field("Reporting-MTA", "dns; "+r.host)
	r.field("Original-Envelope-Id", r.q.envelope.ID)
	r.field("Arrival-Date", r.q.At.Format(time.RFC1123Z))
	for _, f := range r.list {
		r.b.WriteString("\r\n")
		kind := "rfc822; "
		if r.utf8 && !ascii(f.to.Address) {
			kind = "utf-8; "
		}
		r.field("Original-Recipient", f.to.Original)
		r.field("Final-Recipient", kind+f.to.Address)
		r.field("Action", r.action)
		r.field("Status", status(f.reply, r.action))
		if host := remoteMTA(f.host); host != "" {
			r.field("Remote-MTA", "dns; "+host)
			r.field("Diagnostic-Code", "smtp; "+said(f.reply))
		}
		r.field("Last-Attempt-Date", r.at.Format(time.RFC1123Z))
		if r.action == actionDelayed {
			r.field("Will-Retry-Until", r.q.Expires.Format(time.RFC1123Z))
		}
	}
}

// header writes the header of the message. What is not clean there is encoded (RFC 6522 section 4; RFC 6532 section
// 3.5 allows it for the other type).
func (r *report) header(boundary string) {
	kind := "text/rfc822-headers"
	if r.utf8 {
		kind = "message/global-headers"
	}
	short, bare, eight := true, false, false
	for line := range bytes.Lines(r.head) {
		text, whole := bytes.CutSuffix(line, []byte("\r\n"))
		short = short && len(text) <= 998
		bare = bare || !whole || bytes.ContainsAny(text, "\x00\r\n")
		eight = eight || !ascii(string(text))
	}
	switch {
	case short && !bare && !eight:
		r.begin(boundary, kind, "")
	case short && !bare && r.utf8 && utf8.Valid(r.head):
		r.begin(boundary, kind, "8bit")
	default:
		r.begin(boundary, kind, "quoted-printable")
		r.quoted(r.head, bare)
		return
	}
	r.b.Write(r.head)
}

// remoteMTA is the name of a host, or its address as a literal, without the port and what else stands in Receipt.Host:
// "mx.ex.net [192.0.2.1:25]", "[2001:db8::1]:25", "mx.ex.net:25".
func remoteMTA(host string) string {
	host, _, _ = strings.Cut(strings.TrimSpace(host), " ")
	if a, err := netip.ParseAddrPort(host); err == nil {
		return literal(a.Addr())
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return literal(a)
	}
	host, _, _ = strings.Cut(host, ":")
	if strings.Trim(host, "[]") == "" {
		return ""
	}
	return host
}

// literal is an address as RFC 5321 section 4.1.3 writes it.
func literal(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// status is the code of RFC 3463 that fits the action.
func status(r *relay.Reply, action string) string {
	e := r.Enhanced
	class := map[string]int{actionFailed: 5, actionDelayed: 4, actionRelayed: 2}[action]
	if e == (relay.EnhancedCode{}) || e[0] != class {
		return fmt.Sprintf("%d.0.0", class)
	}
	return e.String()
}

// oneLine keeps what others wrote from becoming fields of ours.
func oneLine(s string) string {
	return text(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?")), 900)
}
