package teststring

import (
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// GTUBE is the generic test for unsolicited bulk e-mail: a message with it is spam.
const GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// Postreeve's own test strings. Each makes a message what its name says: a scanner that meets Unknown
// returns an error.
const (
	Clean     = ownPrefix + "7QK2.XW9MD4*CLEAN-VERDICT-STANDARD-TEST-EMAIL*C.61P"
	Spam      = ownPrefix + "N4VJ.R8TBH3*SPAM-VERDICT-STANDARD-TEST-EMAIL*C.72L"
	Malicious = ownPrefix + "Z6GF.K2YUC5*MALICIOUS-VERDICT-STANDARD-TEST-EMAIL*C.83T"
	Unknown   = ownPrefix + "B9HS.P5DXA7*UNKNOWN-VERDICT-STANDARD-TEST-EMAIL*C.94R"
)

const ownPrefix = "POSTREEVE*" + "TEST*"

// EICAR returns the anti-malware test file: 68 bytes, which every virus scanner calls malware when a
// file begins with them and goes on with nothing but white space, up to 128 bytes in all.
func EICAR() string { return strings.Join(eicar(), "") }

// eicar returns the pieces, which are joined at run time only.
func eicar() []string {
	return []string{`X5O!P%@AP[4\PZX54(P^)7CC)7}`, `$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!`, `$H+H*`}
}

// Sample returns the text that makes a message with it of the given class: one of the four strings of
// Postreeve. It is empty for a value that is no class.
func Sample(c verdict.Class) string {
	switch c {
	case verdict.Clean:
		return Clean
	case verdict.Spam:
		return Spam
	case verdict.Malicious:
		return Malicious
	case verdict.Unknown:
		return Unknown
	}
	return ""
}
