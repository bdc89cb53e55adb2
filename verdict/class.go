package verdict

import "fmt"

// Class is what a message is. The classes are ordered: a merge that takes the highest one is safe.
//
// The zero value is Unknown, which means that nobody could tell. It is never treated as Clean: what
// becomes of such a message is the recipient's policy, and the default is to defer it.
type Class uint8

const (
	Unknown   Class = iota // nobody could tell
	Clean                  // looked at, nothing held against it
	Spam                   // unwanted, harmless enough to be delivered with a mark
	Malicious              // harmful: phishing, fraud, malware
)

var classNames = [...]string{Unknown: "unknown", Clean: "clean", Spam: "spam", Malicious: "malicious"}

// String returns the name of the class in lower case, as configuration and JSON spell it.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// MarshalText returns the name of the class. A value that is no class is an error.
func (c Class) MarshalText() ([]byte, error) {
	if int(c) >= len(classNames) {
		return nil, fmt.Errorf("verdict: %d is not a class", uint8(c))
	}
	return []byte(classNames[c]), nil
}

// UnmarshalText accepts the four names in lower case.
func (c *Class) UnmarshalText(text []byte) error {
	for i, n := range classNames {
		if n == string(text) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("verdict: %q is not a class (unknown, clean, spam, malicious)", text)
}
