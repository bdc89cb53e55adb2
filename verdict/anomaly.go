package verdict

import (
	"fmt"
	"iter"
	"strings"
)

// Anomaly is something in the form of a message that two readers could understand differently.
// Many are innocent: a scanner weighs them, see Structure.
type Anomaly struct {
	Code   string // one of Codes, "header." or "mime." something
	Part   string // Path of the part
	Detail string // for people. It may quote the message: whoever shows it escapes it
}

const (
	headerDuplicate   = "header.duplicate"
	headerRepeated    = "header.repeated"
	headerNoColon     = "header.no-colon"
	headerBadName     = "header.bad-name"
	headerSpaceColon  = "header.space-colon"
	headerBlankFold   = "header.blank-fold"
	headerFoldFirst   = "header.fold-first"
	headerMbox        = "header.mbox"
	headerNoEnd       = "header.no-end"
	headerNul         = "header.nul"
	headerBareCR      = "header.bare-cr"
	header8bit        = "header.8bit"
	headerHidden      = "header.hidden-control"
	mimeType          = "mime.type"
	mimeParams        = "mime.params"
	mimeParamTwice    = "mime.param-duplicate"
	mimeNoBoundary    = "mime.no-boundary"
	mimeBoundary      = "mime.boundary"
	mimeBoundaryForm  = "mime.boundary-form"
	mimeBoundaryStart = "mime.boundary-prefix"
	mimeBoundaryAgain = "mime.boundary-reused"
	mimeDelimiter     = "mime.delimiter"
	mimeNoEnd         = "mime.no-end"
	mimeNoParts       = "mime.no-parts"
	mimeAfterEnd      = "mime.after-end"
	mimeHiddenPart    = "mime.hidden-part"
	mimeMultiEncoding = "mime.multipart-encoding"
	mimeMsgEncoding   = "mime.message-encoding"
	mimeEncoding      = "mime.encoding"
	mimeEncodingForm  = "mime.encoding-form"
	mimeBase64Junk    = "mime.base64-junk"
	mimeBase64Padding = "mime.base64-padding"
	mimeBase64Length  = "mime.base64-length"
	mimeQPEscape      = "mime.qp-escape"
	mimeUU            = "mime.uuencode"
	mimeUULine        = "mime.uu-line"
	mimeFilename      = "mime.filename"
	mimeFilenameType  = "mime.filename-type"
	mimeCharset       = "mime.charset"
	mimePartial       = "mime.partial"
	mimeExternal      = "mime.external-body"
	mimeNul           = "mime.nul"
	mimeBareCR        = "mime.bare-cr"
	mimeLines         = "mime.lines"
	mimeLongLine      = "mime.long-line"
	mimeUnread        = "mime.unreadable"
	mimeMore          = "mime.more"
)

// anomalyTable is the one list of codes. A code is never renamed and never given another meaning.
var anomalyTable = []Code{
	{headerDuplicate, "a field that may stand once stands several times with different values", "readers take the first or the last", Unknown, 1},
	{headerRepeated, "a field that may stand once is repeated with the same value", "strict readers refuse it", Unknown, 0},
	{headerNoColon, "a line in a header section without a colon", "some readers skip it, for some the body begins there", Unknown, 0.5},
	{headerBadName, "a field name with blanks, control or 8 bit bytes", "some readers skip it, some take it, for some the body begins there", Unknown, 0.5},
	{headerSpaceColon, "a blank before the colon of a field", "some readers do not know the field then", Unknown, 0.5},
	{headerBlankFold, "a continuation line of nothing but blanks", "some readers take it for the end of the header section", Unknown, 0.5},
	{headerFoldFirst, "a header section that begins with a continuation line", "some readers drop it, for some the body begins there", Unknown, 0.5},
	{headerMbox, "an mbox line before the header section", "some readers take it for the end of the header section", Unknown, 0},
	{headerNoEnd, "no empty line between header section and body", "readers differ in where the body begins", Unknown, 0.5},
	{headerNul, "a NUL byte in a header section", "readers stop there, or leave it out", Unknown, 1.5},
	{headerBareCR, "a CR without LF in a header section", "for some readers a new field begins there", Unknown, 1.5},
	{header8bit, "raw 8 bit bytes in a header section that are not UTF-8", "readers guess the charset", Unknown, 0},
	{headerHidden, "an encoded word that hides CR, LF or NUL", "a reader that decodes before it parses sees another header", Unknown, 2},
	{mimeType, "a Content-Type that is no type/subtype", "readers fall back to different types", Unknown, 0},
	{mimeParams, "parameters of a MIME field that do not follow the grammar", "readers recover differently", Unknown, 0},
	{mimeParamTwice, "a parameter given several times with different values", "readers take the first or the last", Unknown, 1},
	{mimeNoBoundary, "a multipart without boundary parameter", "readers show it as text, or guess a boundary", Unknown, 0.5},
	{mimeBoundary, "a boundary parameter that can be read in several ways", "readers cut the message at different lines", Unknown, 2},
	{mimeBoundaryForm, "a boundary that is empty, too long or has bytes that it may not have", "readers ignore or cut it", Unknown, 0.5},
	{mimeBoundaryStart, "a boundary that begins with the boundary of an enclosing multipart", "readers that compare beginnings close the wrong part", Unknown, 0},
	{mimeBoundaryAgain, "a boundary that an enclosing multipart uses too", "readers differ in which multipart goes on", Unknown, 1},
	{mimeDelimiter, "a line that begins with a delimiter but does not end there", "some readers begin a part, some do not", Unknown, 1},
	{mimeNoEnd, "a multipart without final delimiter", "strict readers drop the last part", Unknown, 0},
	{mimeNoParts, "a multipart without any part", "readers show nothing, or all of it as text", Unknown, 0.5},
	{mimeAfterEnd, "a part behind the final delimiter of its multipart", "most readers do not show it", Unknown, 1.5},
	{mimeHiddenPart, "text outside of the parts of a multipart that looks like a part", "some readers show it, some do not", Unknown, 0.5},
	{mimeMultiEncoding, "a multipart with an encoding that changes its content", "some readers decode it first, most ignore the encoding", Unknown, 1},
	{mimeMsgEncoding, "an attached message with an encoding that changes its content", "some readers do not look into it", Unknown, 0},
	{mimeEncoding, "an unknown Content-Transfer-Encoding", "readers guess, or treat it as bytes", Unknown, 0.5},
	{mimeEncodingForm, "a Content-Transfer-Encoding with comment or other trimmings", "some readers do not know the encoding then", Unknown, 0.5},
	{mimeBase64Junk, "bytes in base64 content that do not belong there", "readers skip them, or stop there", Unknown, 0.5},
	{mimeBase64Padding, "base64 padding in the middle of the content", "readers stop there, or go on", Unknown, 0.5},
	{mimeBase64Length, "base64 content that does not end at a whole byte, or lacks padding", "readers drop or keep the last bytes", Unknown, 0},
	{mimeQPEscape, "quoted-printable content with a bad escape", "readers keep or drop it", Unknown, 0},
	{mimeUU, "a uuencoded file in a text part", "some readers show it as an attachment, some as text", Unknown, 0.5},
	{mimeUULine, "uuencoded content with a line that does not fit", "readers drop it, or stop there", Unknown, 0},
	{mimeFilename, "several different file names for one part", "readers show different names", Unknown, 0},
	{mimeFilenameType, "file names with different extensions for one part", "readers open it as different types", Unknown, 2},
	{mimeCharset, "an unknown charset", "readers guess another one", Unknown, 0},
	{mimePartial, "a piece of a message (message/partial)", "readers may put it together, and then it is a whole that nobody scanned", Unknown, 2},
	{mimeExternal, "content that lies elsewhere (message/external-body)", "readers may fetch what nobody scanned", Unknown, 1},
	{mimeNul, "a NUL byte in a body", "some readers stop there", Unknown, 0},
	{mimeBareCR, "a CR without LF in a body", "some readers end the line there", Unknown, 0},
	{mimeLines, "line ends of both kinds, CRLF and LF alone", "readers differ in what a line is", Unknown, 0},
	{mimeLongLine, "a line of more than 998 bytes", "servers on the way cut it", Unknown, 0},
	{mimeUnread, "content that cannot be read again", "the rest of the message was not looked at for anomalies", Unknown, 0},
	{mimeMore, "more anomalies than are kept", "see Limits.Anomalies", Unknown, 0.5},
}

// anomalyList keeps anomalies up to a limit, and one that says that there were more.
type anomalyList struct {
	kept  []Anomaly
	limit int
}

func (l *anomalyList) add(code, part, format string, args ...any) {
	switch {
	case len(l.kept) < l.limit:
		l.kept = append(l.kept, Anomaly{code, part, fmt.Sprintf(format, args...)})
	case len(l.kept) == l.limit:
		l.kept = append(l.kept, Anomaly{mimeMore, "", fmt.Sprintf("more than %d anomalies", l.limit)})
	}
}

// full says that adding changes nothing any more.
func (l *anomalyList) full() bool { return len(l.kept) > l.limit }

// quote makes a short quotation of s for a detail.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q (%d bytes)", strings.ToValidUTF8(s[:most], "")+"…", len(s))
	}
	return fmt.Sprintf("%q", s)
}

// singletons may stand once in a header section (RFC 5322 section 3.6, RFC 2045, RFC 2183). Those from
// index partSingletons on are looked at in parts too.
var singletons = [...]string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID", "Content-Description",
}

const partSingletons = 11

// twice yields the singletons that stand more than once in h: name, all values, and whether they differ.
func twice(h Header, message bool) iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		if h.Len() < 2 {
			return
		}
		var count [len(singletons)]int
		for i := range h.Len() {
			p := h.s.fields[i]
			if k := singleton(h.s.raw[p.start:p.name]); k >= 0 {
				count[k]++
			}
		}
		for k, n := range count {
			if n < 2 || !message && k < partSingletons {
				continue
			}
			if !yield(singletons[k], h.Values(singletons[k])) {
				return
			}
		}
	}
}

func singleton(name string) int {
	if len(name) < 2 {
		return -1
	}
	switch name[0] | 0x20 { // most fields are none of them
	case 'f', 's', 'r', 't', 'c', 'b', 'd', 'm', 'i':
	default:
		return -1
	}
	for k, s := range singletons {
		if len(s) == len(name) && strings.EqualFold(s, name) {
			return k
		}
	}
	return -1
}
