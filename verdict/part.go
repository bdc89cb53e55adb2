package verdict

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"sync"
)

// Part is one part of a message: a leaf with content, or a container of other parts. It may be used by
// many goroutines at once, as long as the message may be.
//
// Multiparts and attached messages (message/rfc822, message/global) are walked, the latter also behind
// base64 or quoted-printable. Files that are uuencoded in the text of an unencoded text part are parts
// below it, with the Encoding "x-uuencode". Other containers, like archives or TNEF, are leaves here.
//
// Where readers could differ a part is seen by as many of them as possible: a multipart is cut at all
// boundaries that one of its Content-Type fields gives, behind its final delimiter too. Each such doubt
// is an Anomaly.
type Part struct {
	// Path is the part specifier of IMAP (RFC 3501 section 6.4.5): "1", "2.1". A multipart that is the
	// body of the message has the empty path; one that is the body of the attached message "2" has
	// "2.TEXT". A uuencoded file in part "1" is "1.uu1".
	Path string
	// Depth is the number of parts around it; 0 for the root.
	Depth int
	// Parent is the part around it; nil for the root.
	Parent *Part
	// Header is that of the part; for the root of a message, attached or not, that of the message.
	Header Header
	// Declared is type and subtype of Content-Type in lower case. If there is none or it is unusable,
	// it is the default of RFC 2045 section 5.2 and RFC 2046 section 5.1.5.
	Declared string
	// Params are the parameters of Content-Type by their names in lower case, put together and decoded
	// (RFC 2231); of several with one name the first. Nil if there are none.
	Params map[string]string
	// Filename is the name that most readers would show, decoded, without CR, LF and NUL. It is not a
	// safe path. Empty if there is none. Names has all that could be shown.
	Filename string
	// Disposition is the type of Content-Disposition (RFC 2183) in lower case, or empty.
	Disposition string
	// ContentID is Content-ID (RFC 2045 section 7) without its angle brackets, or empty.
	ContentID string
	// Encoding is Content-Transfer-Encoding in lower case, without comments; "x-uuencode" for all its
	// names. Empty if there is none. An unknown one is treated like "binary".
	Encoding string

	stream    mimeStream
	off, n    int64 // of the undecoded content in stream
	message   bool  // root of a message
	container bool
	children  int // below a uuencoded text
	textLimit int64

	mu   sync.Mutex
	memo partMemo
}

// Encodings that have a meaning here.
const (
	encBase64 = "base64"
	encQuoted = "quoted-printable"
	encUU     = "x-uuencode"
)

// IsContainer says whether the part consists of other parts, and has no content for people of its own:
// a multipart in which parts were found, or an attached message that was walked.
func (p *Part) IsContainer() bool { return p.container }

// Names returns every name that some reader could show for the part, without doubles, the one in
// Filename first: from Content-Disposition and Content-Type, repeated fields and parameters included,
// decoded by RFC 2231 and RFC 2047 and as they stand there, cut at a blank if they were not quoted.
// CR, LF and NUL are replaced by U+FFFD. There are at most 32.
func (p *Part) Names() []string {
	const most = 32
	var out []string
	add := func(name string) {
		if name = controls.Replace(strings.ToValidUTF8(name, "\uFFFD")); name != "" && len(out) < most && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	add(p.Filename)
	for v, name := range p.nameFields() {
		if text, ok := v.extended(name); ok {
			add(text)
		}
		for _, q := range v.all(name) {
			text, _ := decodeWords(q.value)
			add(text)
			add(q.value)
			add(q.token)
		}
	}
	return out
}

// nameFields yields the fields that can hold a file name, with the name of the parameter.
func (p *Part) nameFields() func(yield func(mimeValue, string) bool) {
	return func(yield func(mimeValue, string) bool) {
		for f := range p.Header.named("Content-Disposition") {
			if !yield(parseValue(f.Value()), "filename") {
				return
			}
		}
		for f := range p.Header.named("Content-Type") {
			if !yield(parseValue(f.Value()), "name") {
				return
			}
		}
	}
}

// filenames returns the decoded names of v, the one that counts first.
func filenames(v mimeValue, name string) []string {
	var out []string
	if text, ok := v.extended(name); ok {
		out = append(out, controls.Replace(text))
	}
	for _, q := range v.all(name) {
		text, _ := decodeWords(q.value)
		out = append(out, text)
	}
	return out
}

func extension(name string) string {
	return strings.ToLower(path.Ext(strings.TrimRight(name, " .")))
}

// describe fills in what the header of the part says. default type is that of a part without one.
func (p *Part) describe(defaultType string) (ctype mimeValue, cdisp mimeValue) {
	p.Declared = defaultType
	if f, ok := p.Header.find("Content-Type"); ok {
		ctype = parseValue(f.Value())
		p.Params = ctype.asMap()
		p.Declared = declaredType(ctype.kind, defaultType)
	}
	var names []string
	if f, ok := p.Header.find("Content-Disposition"); ok {
		cdisp = parseValue(f.Value())
		p.Disposition = cdisp.kind
		names = filenames(cdisp, "filename")
	}
	for _, n := range append(names, filenames(ctype, "name")...) {
		p.Filename = cmp.Or(p.Filename, n)
	}
	p.ContentID = strings.Trim(p.Header.Get("Content-ID"), " \t<>")
	p.Encoding, _ = encodingName(p.Header.Get("Content-Transfer-Encoding"))
	return ctype, cdisp
}

// declaredType returns the type, or the default if it is no type/subtype (RFC 2045 section 5.2).
func declaredType(kind, defaultType string) string {
	t, sub, ok := strings.Cut(kind, "/")
	if !ok || t == "" || sub == "" {
		return defaultType
	}
	return kind
}

// encodingName returns the encoding that most readers would find in a Content-Transfer-Encoding, and
// whether it stood there in a form that others would not understand.
func encodingName(value string) (name string, odd bool) {
	if value == "" {
		return "", false
	}
	s := skipComments(value)
	s = strings.Trim(s, " \t\"';")
	if i := strings.IndexAny(s, " \t;("); i >= 0 {
		s = s[:i]
	}
	odd = len(s) != len(value)
	switch name = strings.ToLower(s); name {
	case "uuencode", "x-uue", "uue", "x-uu":
		name = encUU
	case "8bits", "7bits", "8-bit", "7-bit":
		name, odd = name[:1]+"bit", true
	}
	return name, odd
}

func knownEncoding(name string) bool {
	switch name {
	case "", "7bit", "8bit", "binary", encBase64, encQuoted, encUU:
		return true
	}
	return false
}

// isMessage says whether the content of the type is a message (RFC 2046 section 5.2.1, RFC 6532 section 3.7).
func isMessage(declared string) bool {
	return declared == "message/rfc822" || declared == "message/global"
}
