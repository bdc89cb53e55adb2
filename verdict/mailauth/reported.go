package mailauth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// Reported is an Authentication-Results field that somebody wrote (RFC 8601 section 2.2). It proves nothing by
// itself: anybody can write one.
type Reported struct {
	// By is the authserv-id in lower case. It is empty where the writer gives none, as Exchange Online does.
	By      string
	Results []ReportedResult
}

// ReportedResult is one result in such a field.
type ReportedResult struct {
	Method string // "spf", lower case
	Result verdict.AuthResult
	Reason string
	// Properties are ptype.property and value: "smtp.mailfrom": "example.org". Of one that comes twice
	// the first counts.
	Properties map[string]string
}

var errReported = errors.New("mailauth: malformed Authentication-Results")

// Bounds of what is read of one field.
const (
	maxReported         = 64 << 10 // octets
	maxReportedResults  = 200
	maxReportedProperty = 50
)

// ParseAuthenticationResults reads the body of an Authentication-Results field, unfolded or not.
//
// It is strict about the order of tokens, since a reader that guesses can be led, and lenient where large
// operators are: no authserv-id, properties without type, words that belong to nothing.
func ParseAuthenticationResults(body string) (Reported, error) {
	var out Reported
	if len(body) > maxReported {
		return out, fmt.Errorf("%w: %d octets", errReported, len(body))
	}
	p := &reportedParser{s: body}
	for i := 0; ; i++ {
		end, err := p.segment(&out, i == 0)
		if err != nil {
			return Reported{}, err
		}
		if end {
			return out, nil
		}
		if len(out.Results) > maxReportedResults {
			return Reported{}, fmt.Errorf("%w: more than %d results", errReported, maxReportedResults)
		}
	}
}

// reportedParser splits a field into words, quoted strings and the separators ; = . /
type reportedParser struct {
	s string
	i int
}

func (p *reportedParser) fail(what string) error {
	return fmt.Errorf("%w: %s at octet %d", errReported, what, p.i)
}

// skip passes white space and comments, which nest.
func (p *reportedParser) skip() error {
	depth := 0
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			p.i++
		case depth == 0 && strings.IndexByte(fws, c) < 0:
			return nil
		}
	}
	p.i = min(p.i, len(p.s))
	if depth > 0 {
		return p.fail("a comment that does not end")
	}
	return nil
}

// take moves past c if it comes next.
func (p *reportedParser) take(c byte) (bool, error) {
	if err := p.skip(); err != nil {
		return false, err
	}
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true, nil
	}
	return false, nil
}

// word reads up to the next separator, or one of stop. It may be empty.
func (p *reportedParser) word(stop string) (string, error) {
	if err := p.skip(); err != nil {
		return "", err
	}
	start := p.i
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n;()\""+stop, p.s[p.i]) < 0 {
		if c := p.s[p.i]; c < ' ' || c == 0x7f {
			return "", p.fail("a control character")
		}
		p.i++
	}
	return p.s[start:p.i], nil
}

// value reads a word or a quoted string, or both without a gap, as in "a b"@example.org. It may be empty.
func (p *reportedParser) value() (string, error) {
	if err := p.skip(); err != nil {
		return "", err
	}
	if p.i < len(p.s) && p.s[p.i] == '=' {
		return "", p.fail("a second =")
	}
	var b strings.Builder
	for p.i < len(p.s) {
		if p.s[p.i] == '"' {
			if err := p.quoted(&b); err != nil {
				return "", err
			}
			continue
		}
		if strings.IndexByte(fws+";()", p.s[p.i]) >= 0 {
			break
		}
		w, err := p.word("")
		if err != nil {
			return "", err
		}
		b.WriteString(w)
	}
	return b.String(), nil
}

func (p *reportedParser) quotedString() (string, error) {
	var b strings.Builder
	err := p.quoted(&b)
	return b.String(), err
}

func (p *reportedParser) quoted(b *strings.Builder) error {
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; c {
		case '"':
			p.i++
			return nil
		case '\\':
			if p.i++; p.i < len(p.s) {
				b.WriteByte(p.s[p.i])
			}
		case '\r', '\n':
		default:
			b.WriteByte(c)
		}
	}
	p.i = min(p.i, len(p.s))
	return p.fail("a quoted string that does not end")
}

// end says whether a segment ends here, and whether the field does.
func (p *reportedParser) end() (segment, field bool, err error) {
	semicolon, err := p.take(';')
	if err != nil {
		return false, false, err
	}
	if semicolon {
		err = p.skip()
	}
	return semicolon || p.i >= len(p.s), p.i >= len(p.s), err
}

// segment reads up to the next semicolon.
func (p *reportedParser) segment(out *Reported, first bool) (last bool, err error) {
	stop := "=/"
	if !first {
		stop = "=/."
	}
	start := p.i
	name, err := p.word(stop)
	quoted := err == nil && first && name == "" && p.i < len(p.s) && p.s[p.i] == '"'
	if quoted {
		name, err = p.quotedString() // RFC 8601 section 2.2 allows a quoted authserv-id
	}
	if err != nil {
		return false, err
	}
	if !first && p.i < len(p.s) && p.s[p.i] == '.' {
		p.i = start // a host name, as Exchange Online repeats it before every result
		if _, err = p.word("=/"); err != nil {
			return false, err
		}
		ended, field, err := p.end()
		if err == nil && !ended {
			err = p.fail("no result")
		}
		return field, err
	}
	ended, field, err := p.end()
	switch {
	case err != nil:
		return false, err
	case ended && first && name == "" && !field:
		return false, p.fail("no authserv-id")
	case ended:
		if first {
			out.By = strings.ToLower(name)
		}
		return field, nil // a host without results, or a word that means nothing
	case name == "":
		return false, p.fail("no name")
	case quoted && p.s[p.i] == '=':
		return false, p.fail("a quoted method")
	}
	if c := p.s[p.i]; first && c != '=' {
		out.By = strings.ToLower(name)
		return p.version()
	}
	return p.result(out, name)
}

// version reads what may stand between the authserv-id and the first semicolon: a version, or properties.
func (p *reportedParser) version() (last bool, err error) {
	for {
		w, err := p.word("=/.")
		if err != nil {
			return false, err
		}
		if w == "" {
			return false, p.fail("no version")
		}
		eq, err := p.take('=')
		if err != nil {
			return false, err
		}
		if eq {
			if _, err := p.value(); err != nil {
				return false, err
			}
		}
		ended, field, err := p.end()
		if err != nil || ended {
			return field, err
		}
		if !eq {
			return false, p.fail("more than a version")
		}
	}
}

// result reads method [/ version] = result and what follows it.
func (p *reportedParser) result(out *Reported, method string) (last bool, err error) {
	slash, err := p.take('/')
	if err != nil {
		return false, err
	}
	if slash {
		v, err := p.word("=/.")
		if err != nil {
			return false, err
		}
		if v == "" || strings.Trim(v, "0123456789") != "" {
			return false, p.fail("a version that is no number")
		}
	}
	eq, err := p.take('=')
	if err != nil {
		return false, err
	}
	if !eq {
		return false, p.fail("no = behind the method")
	}
	v, err := p.value()
	if err != nil {
		return false, err
	}
	r := ReportedResult{Method: strings.ToLower(method), Result: verdict.AuthResult(strings.ToLower(v))}
	for {
		ended, field, err := p.end()
		if err != nil {
			return false, err
		}
		if ended {
			out.Results = append(out.Results, r)
			return field, nil
		}
		if err := p.property(&r); err != nil {
			return false, err
		}
	}
}

// property reads ptype.property=value, reason=value, a name without type, or a word that belongs to nothing.
func (p *reportedParser) property(r *ReportedResult) error {
	name, err := p.word("=/.")
	if err != nil {
		return err
	}
	if name == "" {
		return p.fail("no property")
	}
	dot, err := p.take('.')
	if err != nil {
		return err
	}
	if dot {
		w, err := p.word("=/.")
		if err != nil {
			return err
		}
		if w == "" {
			return p.fail("no property behind the dot")
		}
		name += "." + w
	}
	eq, err := p.take('=')
	if err != nil {
		return err
	}
	if !eq {
		if dot {
			return p.fail("no = behind the property")
		}
		return nil
	}
	v, err := p.value()
	if err != nil {
		return err
	}
	r.set(strings.ToLower(name), v)
	return nil
}

func (r *ReportedResult) set(name, v string) {
	if name == "reason" && r.Reason == "" {
		r.Reason = v
		return
	}
	if _, twice := r.Properties[name]; twice || len(r.Properties) >= maxReportedProperty {
		return
	}
	if r.Properties == nil {
		r.Properties = make(map[string]string)
	}
	r.Properties[name] = v
}
