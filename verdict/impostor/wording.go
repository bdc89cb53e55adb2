package impostor

import (
	"net/netip"
	"strings"
)

// wording reports the topics of a message.
func (x *scan) wording() {
	aligned := x.aligned()
	for t := range topics {
		x.text.points[t] += min(x.name.points[t], enoughPoints) // what the author calls himself
		s := x.text.strength(t)
		if s == 0 {
			continue
		}
		switch {
		case aligned && serviceTopics[t]:
			s = min(s, 1)
		case freeTopics[t] && x.author.isFreemail() && !x.post:
			s *= 1.4
		}
		x.addScaled(topicCodes[t], s, "%s", x.text.examples[t])
	}
	x.telephone()
}

// serviceTopics are those of honest services too: what they say so plainly that it has many points is no stronger sign, if the
// author's domain has signed it.
var serviceTopics = [topics]bool{
	topicCredentials: true, topicSuspension: true, topicPayment: true, topicStorage: true, topicParcel: true, topicPrize: true, topicCrypto: true,
	topicFinance: true, topicInvoice: true, topicPromotion: true, topicBulk: true, topicUrgency: true,
}

// freeTopics are those of letters that no company writes from a mailbox that anybody can have.
var freeTopics = [topics]bool{
	topicGiftCard: true, topicTask: true, topicBank: true, topicInvoice: true, topicSuspension: true, topicPayment: true, topicPrize: true,
	topicAdvance: true, topicFinance: true, topicWork: true,
}

// lures are topics of messages that want something of those who know a brand.
var lures = [...]topic{
	topicCredentials, topicSuspension, topicPayment, topicStorage, topicParcel, topicPrize, topicCrypto, topicInvoice, topicAuthority,
}

// lured says whether the text is of a topic that needs somebody's trust.
func (x *scan) lured() bool {
	for _, t := range lures {
		if x.text.strength(t) > 0 {
			return true
		}
	}
	return false
}

// telephone looks for a number to call about a charge or an account in danger, in the name of somebody who writes from elsewhere.
// Programs that look at links find nothing in such letters.
func (x *scan) telephone() {
	if x.post || x.inReply != "" || x.refs != "" || x.aligned() {
		return
	}
	if x.text.strength(topicInvoice) < 0.5 && x.text.strength(topicSuspension) < 0.5 && x.text.strength(topicPayment) < 0.5 {
		return
	}
	if !x.author.isFreemail() && !x.has("impostor.brand-name") && !x.has("impostor.brand-text") {
		return
	}
	for _, texts := range [][]string{{x.subject}, x.body.plain, x.body.html} {
		for _, s := range texts {
			if n := phoneNumber(s); n != "" {
				x.add("text.telephone", "%s", n)
				return
			}
		}
	}
}

// phoneNumber returns the first telephone number in a text that has the form that people give them: ten to fourteen digits in
// groups. "" if there is none.
func phoneNumber(s string) string {
	const between = " ()-.+\u00a0\u2010\u2011\u2013"
	for i := 0; i < len(s); {
		if !isDigit(s[i]) && s[i] != '+' && s[i] != '(' {
			i++
			continue
		}
		digits, groups, end, j := 0, 0, i, i
		for j < len(s) {
			if isDigit(s[j]) {
				if j == i || !isDigit(s[j-1]) {
					groups++
				}
				digits++
				j++
				end = j
				continue
			}
			n := 0
			for _, r := range between {
				if strings.HasPrefix(s[j:], string(r)) {
					n = len(string(r))
				}
			}
			if n == 0 || j-end > 3 {
				break
			}
			j += n
		}
		if digits >= 10 && digits <= 14 && groups >= 3 && (end == len(s) || !isASCIILetter(s[end])) && !otherNumber(s[i:end]) {
			return s[i:end]
		}
		i = max(j, i+1)
	}
	return ""
}

// otherNumber says whether a number in groups is a date, or the address of a machine.
func otherNumber(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return len(s) > 7 && (s[:2] == "20" || s[:2] == "19") && (s[4] == '-' || s[4] == '.') && s[7] == s[4]
}
