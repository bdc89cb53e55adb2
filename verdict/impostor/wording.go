package impostor

// wording reports the topics of a message.
func (x *scan) wording() {
	for t := range topics {
		x.text.points[t] += min(x.name.points[t], enoughPoints) // what the author calls himself
		if s := x.text.strength(t); s > 0 {
			x.addScaled(topicCodes[t], s, "%s", x.text.examples[t])
		}
	}
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
