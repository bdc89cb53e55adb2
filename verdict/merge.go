package verdict

// Merge decides what a message is, given what all scanners found. It must not depend on anything but
// its arguments, so that the answer is the same whatever the timing was.
type Merge func(m *Message, findings []Finding) Class

// Highest is the merge of an engine that has none of its own: the highest class among the findings,
// Clean if there is none. A scanner that could not tell (Err set, Class Unknown) makes the message
// Unknown, unless another finding makes it Malicious: what failed might have found worse than spam.
func Highest(_ *Message, findings []Finding) Class {
	class, blind := Clean, false
	for _, f := range findings {
		class = max(class, f.Class)
		blind = blind || f.Err != nil && f.Class == Unknown
	}
	if blind && class < Malicious {
		return Unknown
	}
	return class
}
