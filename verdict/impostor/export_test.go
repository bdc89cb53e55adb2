package impostor

// For tests of the parsers.
var (
	FoldString  = foldString
	IsRandom    = isRandom
	PhoneNumber = phoneNumber
	SplitHumps  = splitHumps
	ParseDate   = parseDate
)

// Mailboxes returns the addresses in the value of a field, and what is wrong with it.
func Mailboxes(v string) (addresses []string, odd string) {
	m := parseMailboxes(v)
	for _, b := range m.list {
		addresses = append(addresses, b.address)
	}
	return addresses, m.odd
}

// Resembles says how a domain is like another.
func Resembles(domain, own string) (string, bool) {
	return parseDomain(domain).resembles(parseDomain(own))
}

// Bogus says whether a domain cannot be.
func Bogus(domain string) bool { return parseDomain(domain).bogus }

// SameName says whether a display name is a person's.
func SameName(shown, name string) bool {
	return sameName(words(shown), words(name))
}

// Brands returns all names in the table, and the domains of each.
func Brands() (names, domains [][]string) {
	for _, b := range brands {
		names = append(names, splitTerms(b.names))
	}
	return names, brandsByIndex().domains
}

// Terms returns all terms of all topics, by code.
func Terms() map[string][]string {
	out := make(map[string][]string)
	for _, t := range terms {
		out[topicCodes[t.topic]] = append(out[topicCodes[t.topic]], splitTerms(t.list)...)
	}
	for _, t := range scriptTerms {
		for _, term := range splitTerms(t.list) {
			out[topicCodes[t.topic]] = append(out[topicCodes[t.topic]], scriptMark+term)
		}
	}
	return out
}

// scriptMark stands before terms that are not folded.
const scriptMark = "="

// Codes returns the codes of all topics.
func Codes() []string { return topicCodes[:] }
