package impostor

import (
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// mail is what the header of a message says, read in one pass. Values are those of the first field of a name.
type mail struct {
	m *verdict.Message

	froms     int // From fields
	from      mailboxes
	rawFrom   string
	fromText  string // decoded
	reply     mailboxes
	to        mailboxes // of To and Cc
	toText    string
	hasTo     bool
	subject   string // decoded
	rawSubj   string
	hasSubj   bool
	date      string
	hasDate   bool
	when      time.Time // of Date; zero if it cannot be read
	mime      bool      // has a MIME-Version
	msgID     string
	hasMsgID  bool
	inReply   string
	refs      string
	mailer    string
	listID    string
	listPost  string
	unsub     string
	priority  bool
	mimeOLE   bool
	threadIdx bool
	signed    bool     // has a DKIM-Signature
	signers   []string // the domains in those, as said
	post      bool     // of a discussion list
	auto      bool     // answers and reports of programs

	author domainName // of the first address in From
}

// mailboxes are the addresses of a field.
type mailboxes struct {
	list []mailbox // at most maxMailboxes
	odd  string    // what is wrong with the form, "" if nothing is
}

type mailbox struct {
	address string // "a@example.com"; as written
	domain  string // in lower case
}

const maxMailboxes = 50

// first returns the first address.
func (m mailboxes) first() mailbox {
	if len(m.list) == 0 {
		return mailbox{}
	}
	return m.list[0]
}

func readMail(m *verdict.Message) *mail {
	x := &mail{m: m}
	for f := range m.Header().All() {
		x.field(f)
	}
	x.author = parseDomain(x.from.first().domain)
	x.when = parseDate(x.date)
	x.post = x.post && x.listVouched()
	return x
}

// field takes in one field. Names are told apart by length first: most fields are none of these.
func (x *mail) field(f verdict.Field) {
	is := func(name string) bool { return strings.EqualFold(f.Name, name) }
	switch len(f.Name) {
	case 2:
		switch {
		case is("To"):
			x.hasTo = true
			x.toText = f.Value()
			x.addTo(x.toText)
		case is("Cc"):
			x.hasTo = true
			x.addTo(f.Value())
		}
	case 4:
		switch {
		case is("From"):
			if x.froms++; x.froms == 1 {
				x.rawFrom, x.fromText = f.Value(), f.Text()
				x.from = parseMailboxes(x.rawFrom)
			}
		case is("Date"):
			if !x.hasDate {
				x.date, x.hasDate = f.Value(), true
			}
		}
	case 7:
		switch {
		case is("Subject"):
			if !x.hasSubj {
				x.rawSubj, x.subject, x.hasSubj = f.Value(), f.Text(), true
			}
		case is("List-Id"):
			x.listID = f.Value()
		}
	case 8:
		switch {
		case is("Reply-To"):
			x.reply = parseMailboxes(f.Value())
		case is("X-Mailer"):
			x.mailer = f.Value()
		}
	default:
		x.longField(f, is)
	}
}

func (x *mail) longField(f verdict.Field, is func(string) bool) {
	switch len(f.Name) {
	case 9:
		switch {
		case is("List-Post"):
			x.listPost, x.post = f.Value(), true
		case is("X-MimeOLE"):
			x.mimeOLE = true
		}
	case 10:
		switch {
		case is("Message-ID"):
			if !x.hasMsgID {
				x.msgID, x.hasMsgID = f.Value(), true
			}
		case is("References"):
			x.refs = f.Value()
		case is("Precedence"):
			v := f.Value()
			x.post = x.post || strings.EqualFold(v, "list")
		case is("X-Priority"), is("Importance"):
			v := f.Value()
			x.priority = x.priority || strings.HasPrefix(v, "1") || strings.EqualFold(v, "high")
		}
	case 11:
		switch {
		case is("In-Reply-To"):
			x.inReply = f.Value()
		case is("X-BeenThere"):
			x.post = true
		}
	case 12:
		switch {
		case is("MIME-Version"):
			x.mime = true
		case is("Content-Type"):
			x.auto = x.auto || strings.HasPrefix(strings.ToLower(f.Value()), "multipart/report")
		case is("Mailing-List"):
			x.post = true
		case is("Thread-Index"):
			x.threadIdx = true
		}
	case 14:
		switch {
		case is("DKIM-Signature"):
			x.signed = true
			if d := signer(f.Value()); d != "" && len(x.signers) < maxSigners {
				x.signers = append(x.signers, d)
			}
		case is("X-Mailing-List"):
			x.post = true
		case is("Auto-Submitted"):
			x.auto = x.auto || !strings.EqualFold(f.Value(), "no")
		}
	case 16:
		if is("List-Unsubscribe") {
			x.unsub = f.Value()
		}
	}
}

// listVouched says whether a message may be of the list that it says: where somebody checked who sent it, it has to be
// proven for the domain of the list, or whoever adds a field could leave half of the rules behind.
func (x *mail) listVouched() bool {
	r := x.m.Auth
	if r.SPF.Result == "" && r.DKIM == nil {
		return true
	}
	is := func(result verdict.AuthResult, domain string) bool {
		org := parseDomain(domain).org
		return result == verdict.Pass && org != "" &&
			(strings.Contains(strings.ToLower(x.listPost), org) || strings.Contains(strings.ToLower(x.listID), org))
	}
	if is(r.SPF.Result, r.SPF.Domain) {
		return true
	}
	for _, d := range r.DKIM {
		if is(d.Result, d.Domain) {
			return true
		}
	}
	return false
}

// maxSigners is how many signatures are looked at.
const maxSigners = 4

// signer returns the domain that a DKIM-Signature says it is of (RFC 6376 section 3.5).
func signer(v string) string {
	for tag := range strings.SplitSeq(v, ";") {
		if name, value, ok := strings.Cut(tag, "="); ok && strings.TrimSpace(name) == "d" {
			return strings.ToLower(strings.TrimSpace(value))
		}
	}
	return ""
}

// aligned says whether the author's domain has signed: as it is proven where somebody checked, or else as the message says. It is no
// reason to believe anything, but services that write to customers do it.
func (x *mail) aligned() bool {
	if x.author.org == "" || x.author.isFreemail() {
		return false
	}
	if r := x.m.Auth; r.SPF.Result != "" || r.DKIM != nil {
		return slices.ContainsFunc(r.DKIM, func(d verdict.DKIMResult) bool {
			return d.Result == verdict.Pass && parseDomain(d.Domain).org == x.author.org
		})
	}
	return slices.ContainsFunc(x.signers, func(d string) bool { return parseDomain(d).org == x.author.org })
}

func (x *mail) addTo(v string) {
	boxes := parseMailboxes(v)
	if x.to.list == nil {
		x.to = boxes
		return
	}
	room := maxMailboxes - len(x.to.list)
	x.to.list = append(x.to.list, boxes.list[:min(room, len(boxes.list))]...)
}

// isMail says whether there is a header of a mail at all: not a file that somebody wants to have looked at.
func (x *mail) isMail() bool { return x.froms > 0 || x.hasDate || x.hasMsgID || x.hasSubj || x.hasTo }

// name returns the display name of the author as people see it: the decoded text of From in front of the
// address, or in a comment behind it.
func (x *mail) name() string { return displayName(x.fromText) }

func displayName(text string) string {
	text = strings.TrimSpace(text)
	if i := strings.LastIndexByte(text, '<'); i >= 0 {
		if name := strings.Trim(text[:i], "\"' \t,("); name != "" {
			return name
		}
		if j := strings.IndexByte(text[i:], '>'); j >= 0 {
			return strings.Trim(text[i+j+1:], "\"'() \t")
		}
		return ""
	}
	if i := strings.IndexByte(text, '('); i >= 0 {
		return strings.Trim(text[i:], "()\"' \t")
	}
	return ""
}

// recipients yields the addresses that the message is known to be for: those of the envelope, or else those in
// To and Cc.
func (x *mail) recipients(yield func(address string) bool) {
	if len(x.m.Envelope.To) > 0 {
		for _, r := range x.m.Envelope.To {
			if !yield(r.Address) {
				return
			}
		}
		return
	}
	for _, b := range x.to.list {
		if !yield(b.address) {
			return
		}
	}
}

// maxDate is how far a clock may be ahead.
const maxDate = 48 * time.Hour

// parseMailboxes reads an address list as mail programs do, with what is wrong with it. It never fails: an
// address is what stands in angle brackets, or else a word with an at sign.
func parseMailboxes(v string) (out mailboxes) {
	var (
		quoted, angle, closed bool
		depth                 int
		text                  = make([]byte, 0, 64) // of the mailbox, without quotes and comments
		addr                  = make([]byte, 0, 64)
		phrase                bool // something stands there
		quotedPart            bool
	)
	flush := func() {
		a := strings.TrimSpace(string(addr))
		if !closed {
			a = strings.TrimSpace(string(text))
			if i := strings.LastIndexAny(a, " \t"); i >= 0 && strings.ContainsRune(a[i:], '@') {
				a = a[i+1:]
				out.odd = "a name beside an address without angle brackets"
			}
		}
		at := strings.LastIndexByte(a, '@')
		switch {
		case at >= 0:
			if len(out.list) < maxMailboxes {
				out.list = append(out.list, mailbox{a, strings.ToLower(strings.TrimSpace(a[at+1:]))})
			}
		case phrase || quotedPart:
			if out.odd == "" && !closed && !strings.Contains(v, ":") && !isDaemon(string(text)) {
				out.odd = "a name without an address"
			}
		}
		text, addr = text[:0], addr[:0]
		angle, closed, phrase, quotedPart = false, false, false, false
	}
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case quoted:
			switch c {
			case '\\':
				i++
			case '"':
				quoted = false
			}
			if angle {
				addr = append(addr, c)
			}
		case depth > 0:
			switch c {
			case '\\':
				i++
			case '(':
				depth++
			case ')':
				depth--
			}
			if c == '@' {
				phrase = true
			}
		case c == '"':
			quoted, quotedPart = true, true
			if angle {
				addr = append(addr, c)
			}
		case c == '(' && !angle:
			depth++
		case c == '<' && !angle:
			if closed && out.odd == "" {
				out.odd = "two addresses for one name"
			}
			angle = true
			addr = addr[:0]
		case c == '<':
			out.odd = "angle brackets in an address"
			addr = addr[:0]
		case c == '>' && angle:
			angle, closed = false, true
		case angle:
			addr = append(addr, c)
		case c == ',', c == ';':
			flush()
		case c == ':':
			text = text[:0]
			phrase = false
		default:
			text = append(text, c)
			phrase = phrase || c != ' ' && c != '\t' && c != '.'
		}
	}
	if quoted || depth > 0 || angle {
		out.odd = "text that is not closed"
		closed = closed || angle
	}
	flush()
	if len(out.list) == 0 {
		if a := anyAddress(v); a.address != "" {
			out.list = append(out.list, a)
			out.odd = "an address where none belongs"
		}
	}
	return out
}

// isDaemon says whether a name is one that mail servers write to from.
func isDaemon(name string) bool {
	name = strings.ToLower(strings.TrimSpace(name))
	return strings.HasPrefix(name, "mailer-daemon") || strings.HasPrefix(name, "postmaster") || strings.HasPrefix(name, "mail delivery")
}

// anyAddress returns the first word with an at sign, wherever it stands.
func anyAddress(v string) mailbox {
	for _, w := range strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(" \t,;()<>\"[]", r) }) {
		if at := strings.LastIndexByte(w, '@'); at > 0 && at < len(w)-1 {
			return mailbox{w, strings.ToLower(w[at+1:])}
		}
	}
	return mailbox{}
}
