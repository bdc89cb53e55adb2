package smtpserver

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

// param is one parameter of MAIL or RCPT.
type param struct {
	key   string // in upper case
	value string
	given bool // there was a value
}

var (
	errParam     = &smtp.SMTPError{Code: 501, EnhancedCode: enhanced{5, 5, 4}, Message: "Malformed parameter"}
	errDuplicate = &smtp.SMTPError{Code: 501, EnhancedCode: enhanced{5, 5, 4}, Message: "Parameter given twice"}
	errUnknown   = &smtp.SMTPError{Code: 555, EnhancedCode: enhanced{5, 5, 4}, Message: "Parameter not recognized"}
	errBinary    = &smtp.SMTPError{Code: 504, EnhancedCode: enhanced{5, 5, 4}, Message: "BINARYMIME is not implemented"}
	errSize      = &smtp.SMTPError{Code: 552, EnhancedCode: enhanced{5, 3, 4}, Message: "Message too large"}
)

// parseParams takes the parameters behind a path apart (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
func parseParams(s string) ([]param, error) {
	var out []param
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' }) {
		p := param{}
		p.key, p.value, p.given = strings.Cut(word, "=")
		p.key = strings.ToUpper(p.key)
		if !validKey(p.key) || p.given && !validValue(p.value) {
			return nil, errParam
		}
		if slices.ContainsFunc(out, func(o param) bool { return o.key == p.key }) {
			return nil, errDuplicate
		}
		out = append(out, p)
	}
	return out, nil
}

func validKey(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && (s[i] != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

func validValue(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == '=' || s[i] == 0x7f {
			return false
		}
	}
	return s != "" && utf8.ValidString(s)
}

// mailOptions judges the parameters of MAIL.
func (c *Conn) mailOptions(params []param) (*smtp.MailOptions, error) {
	o := new(smtp.MailOptions)
	for _, p := range params {
		if err := c.mailOption(o, p); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (c *Conn) mailOption(o *smtp.MailOptions, p param) (err error) {
	switch {
	case p.key == "SIZE":
		o.Size, err = c.size(p.value)
	case p.key == "BODY":
		o.Body, err = bodyType(p.value)
	case p.key == "SMTPUTF8" && c.server.SMTPUTF8:
		o.UTF8 = true
		err = flag(p)
	case p.key == "REQUIRETLS" && c.server.RequireTLS && c.tls != nil:
		o.RequireTLS = true
		err = flag(p)
	case p.key == "RET" && c.server.DSN:
		o.Return = smtp.DSNReturn(strings.ToUpper(p.value))
		if o.Return != smtp.DSNReturnFull && o.Return != smtp.DSNReturnHeaders {
			err = errParam
		}
	case p.key == "ENVID" && c.server.DSN:
		id, ok := smtpwire.DecodeXtext(p.value)
		if !ok || id == "" || !isASCII(id) || !printable(id) {
			err = errParam
		}
		o.EnvelopeID = id
	default:
		err = errUnknown
	}
	return err
}

// flag refuses a value where there must be none.
func flag(p param) error {
	if p.given {
		return errParam
	}
	return nil
}

// size judges SIZE (RFC 1870 section 6).
func (c *Conn) size(s string) (int64, error) {
	if s == "" || len(s) > 20 || strings.Trim(s, "0123456789") != "" {
		return 0, errParam
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		n = math.MaxInt64
	}
	if n > c.server.maxMessageBytes() {
		return 0, errSize
	}
	return n, nil
}

func bodyType(s string) (smtp.BodyType, error) {
	switch t := smtp.BodyType(strings.ToUpper(s)); t {
	case smtp.Body7Bit, smtp.Body8BitMIME:
		return t, nil
	case smtp.BodyBinaryMIME:
		return "", errBinary
	}
	return "", errParam
}

// rcptOptions judges the parameters of RCPT.
func (c *Conn) rcptOptions(params []param) (*smtp.RcptOptions, error) {
	o := new(smtp.RcptOptions)
	for _, p := range params {
		var err error
		switch {
		case p.key == "NOTIFY" && c.server.DSN:
			o.Notify, err = notify(p.value)
		case p.key == "ORCPT" && c.server.DSN:
			o.OriginalRecipientType, o.OriginalRecipient, err = originalRecipient(p.value, c.utf8)
		default:
			err = errUnknown
		}
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

// notify judges NOTIFY (RFC 3461 section 4.1): NEVER stands alone, nothing stands twice.
func notify(s string) ([]smtp.DSNNotify, error) {
	var out []smtp.DSNNotify
	for word := range strings.SplitSeq(strings.ToUpper(s), ",") {
		n := smtp.DSNNotify(word)
		switch n {
		case smtp.DSNNotifyNever, smtp.DSNNotifySuccess, smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed:
		default:
			return nil, errParam
		}
		if slices.Contains(out, n) || len(out) > 0 && (n == smtp.DSNNotifyNever || out[0] == smtp.DSNNotifyNever) {
			return nil, errParam
		}
		out = append(out, n)
	}
	return out, nil
}

// originalRecipient judges ORCPT (RFC 3461 section 4.2, RFC 6533 section 3).
func originalRecipient(s string, utf8 bool) (smtp.DSNAddressType, string, error) {
	kind, raw, ok := strings.Cut(s, ";")
	if !ok || !validKey(kind) {
		return "", "", errParam
	}
	t := smtp.DSNAddressType(strings.ToUpper(kind))
	var address string
	if t == smtp.DSNAddressTypeUTF8 {
		address, ok = decodeUnitext(raw)
		ok = ok && (utf8 || isASCII(raw))
	} else {
		address, ok = smtpwire.DecodeXtext(raw)
		ok = ok && isASCII(address)
	}
	if !ok || address == "" || !printable(address) {
		return "", "", errParam
	}
	return t, address, nil
}

// decodeUnitext decodes the form of an address with \x{HEX} in it (RFC 6533 section 3).
func decodeUnitext(s string) (string, bool) {
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, `\`)
		if strings.ContainsAny(plain, "+=") {
			return "", false
		}
		b.WriteString(plain)
		if !found {
			return b.String(), true
		}
		digits, after, ok := strings.Cut(strings.TrimPrefix(rest, "x{"), "}")
		n, err := strconv.ParseUint(digits, 16, 32)
		if !ok || !strings.HasPrefix(rest, "x{") || err != nil || len(digits) < 2 || len(digits) > 6 || !utf8.ValidRune(rune(n)) {
			return "", false
		}
		b.WriteRune(rune(n))
		s = after
	}
}
