package impostor

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/postreeve/postreeve/verdict"
)

// Scanner looks for impostors. The zero value is ready for use: it knows brands, wording and the habits of bulk
// senders, and the domains of the recipients in the envelope. It may be used by many goroutines at once.
type Scanner struct {
	// People are those whose names others may want to use. Nil means none.
	People []Person
	// Domains are the organisation's own: mail that claims to be from there has to prove it, and others must not
	// look like them. The domains of the recipients in the envelope are added, but for those that give mailboxes to anybody.
	// Nil means only these.
	Domains []string
	// Contacts say whom a recipient knows. Nil means that nobody is called new.
	Contacts Contacts
}

// Person is somebody whose name others may want to use.
type Person struct {
	// Name as people write it: "Ann Example". A name of one word is not looked for.
	Name string
	// Addresses are where the person writes from. Mail from Scanner.Domains is not called foreign either.
	Addresses []string
}

// Name returns "impostor".
func (Scanner) Name() string { return "impostor" }

// readings of the text and of the author's name are used again: each has room for what a long message makes.
var readings = sync.Pool{New: func() any { return new([2]reading) }}

// Scan implements verdict.Scanner. The error is that of ctx, of reading the message (verdict.ErrTooComplex, or
// that of its source), or of Contacts; what was found up to there stands beside it.
func (s Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := m.Header().Err(); err != nil {
		return nil, err
	}
	room := readings.Get().(*[2]reading)
	defer readings.Put(room)
	x := &scan{Scanner: s, mail: readMail(m), text: &room[0], name: &room[1]}
	var err error
	if x.body, err = readBody(m); err != nil {
		return nil, fmt.Errorf("impostor: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x.read()
	if x.isMail() {
		x.identity()
		x.habits()
	}
	x.wording()
	x.form()
	return x.found, x.contacts(ctx)
}

// scan is the work on one message.
type scan struct {
	Scanner
	*mail
	body  *body
	text  *reading // subject and texts
	name  *reading // of the author
	own   []domainName
	found []verdict.Finding
}

// add makes a finding. Each code is found once.
func (x *scan) add(code, format string, args ...any) {
	x.addScaled(code, 1, format, args...)
}

// addScaled makes a finding with a part or a multiple of the weight of its code.
func (x *scan) addScaled(code string, part float64, format string, args ...any) {
	f := verdict.Found(code)
	f.Score = math.Round(f.Score*part*100) / 100
	f.Detail = clip(fmt.Sprintf(format, args...))
	x.found = append(x.found, f)
}

// has says whether a code was found.
func (x *scan) has(code string) bool {
	for _, f := range x.found {
		if f.Code == code {
			return true
		}
	}
	return false
}

// clip shortens a text that the sender chose.
func clip(s string) string {
	const most = 160
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// read folds the texts and finds the terms in them.
func (x *scan) read() {
	t := x.text
	t.clear()
	t.add(x.subject)
	t.gap()
	subject := len(t.text)
	for _, s := range x.body.plain {
		unquoted(s, t.add)
		t.gap()
	}
	for _, s := range x.body.html {
		t.add(s)
		t.gap()
	}
	t.match(subject)
	if t.alien >= enoughAlien {
		t.scripts(slices.Concat([]string{x.subject}, x.body.plain, x.body.html)...)
	}
	x.name.clear()
	name := x.mail.name()
	x.name.add(name)
	x.name.gap()
	if split := splitHumps(name); split != name {
		x.name.add(split)
		x.name.gap()
	}
	x.name.match(0)
}

// splitHumps puts a blank before each capital behind a small letter, and before the last of several in front of one:
// "ParcelServiceUK" is three words.
func splitHumps(s string) string {
	var out []byte
	for i := range len(s) {
		if i > 0 && isUpper(s[i]) && (isLetter(s[i-1]) || i+1 < len(s) && isUpper(s[i-1]) && isLetter(s[i+1])) {
			if out == nil {
				out = append(make([]byte, 0, len(s)+8), s[:i]...)
			}
			out = append(out, blank)
		}
		if out != nil {
			out = append(out, s[i])
		}
	}
	if out == nil {
		return s
	}
	return string(out)
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
