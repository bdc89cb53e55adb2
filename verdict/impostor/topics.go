package impostor

import (
	"math"
	"strings"
)

// topic is something that fraud and spam write about.
type topic uint8

const (
	topicCredentials topic = iota
	topicSuspension
	topicPayment
	topicStorage
	topicParcel
	topicPrize
	topicGiftCard
	topicExtortion
	topicAdvance
	topicCrypto
	topicGambling
	topicDating
	topicHealth
	topicFinance
	topicWork
	topicBulk
	topicPromotion
	topicInvoice
	topicBank
	topicUrgency
	topicAuthority
	topicTask
	topicGoods
	topicGreeting
	topics // how many
)

// topicCodes are the codes of verdict.Codes, by topic.
var topicCodes = [topics]string{
	topicCredentials: "wording.credentials",
	topicSuspension:  "wording.suspension",
	topicPayment:     "wording.payment-failed",
	topicStorage:     "wording.storage",
	topicParcel:      "wording.parcel",
	topicPrize:       "wording.prize",
	topicGiftCard:    "wording.gift-card",
	topicExtortion:   "wording.extortion",
	topicAdvance:     "wording.advance-fee",
	topicCrypto:      "wording.crypto",
	topicGambling:    "wording.gambling",
	topicDating:      "wording.dating",
	topicHealth:      "wording.health",
	topicFinance:     "wording.finance",
	topicWork:        "wording.work",
	topicBulk:        "wording.bulk",
	topicPromotion:   "wording.promotion",
	topicInvoice:     "wording.invoice",
	topicBank:        "wording.bank-change",
	topicUrgency:     "wording.urgency",
	topicAuthority:   "wording.authority",
	topicTask:        "wording.task",
	topicGoods:       "wording.goods",
	topicGreeting:    "wording.greeting",
}

// A topic is met when its terms have enoughPoints. With fullPoints it has the weight of its code, with fewer or
// more points a part or a multiple of it.
const (
	enoughPoints = 4
	fullPoints   = 8
	mostStrength = 1.5
)

// usualWords is the length of a text up to which points count in full. In a longer one, words of any topic are
// bound to be found.
const usualWords = 400

// concept is a set of words that mean the same in several languages.
type concept uint8

// pair is two concepts that mean something when they stand near each other, in either order.
type pair struct {
	a, b   concept
	within int // words
	topic  topic
	points uint8
}

// pairsOf has the pairs of each concept, by index in pairs.
var pairsOf = func() (out [conceptCount][]uint8) {
	for i, p := range pairs {
		out[p.a] = append(out[p.a], uint8(i))
		out[p.b] = append(out[p.b], uint8(i))
	}
	return out
}()

// reading is what the terms of a text say. It is used again for other texts.
type reading struct {
	folded
	points    [topics]int
	oddHits   [topics]int // terms of odd words
	oddBrands int         // brands of odd words
	words     int
	subject   int // words of the subject, which are the first

	seen     []bool // by term: each counts once
	paired   [len(pairs)]bool
	last     [conceptCount]int32 // word at which a concept was last met, from 1
	brandsIn []brandHit
	examples [topics]string
}

// brandHit says where a brand was met.
type brandHit struct {
	brand     uint16
	inSubject bool
	times     int
	first     int // word
}

func (r *reading) clear() {
	r.reset()
	r.points, r.oddHits = [topics]int{}, [topics]int{}
	r.words, r.subject, r.oddBrands = 0, 0, 0
	clear(r.seen)
	r.paired = [len(pairs)]bool{}
	r.last = [conceptCount]int32{}
	r.brandsIn = r.brandsIn[:0]
	r.examples = [topics]string{}
}

// match finds all terms in the folded text. The first subject bytes of it are the subject.
func (r *reading) match(subject int) {
	t := lexicon()
	if len(r.seen) != len(t.effects) {
		r.seen = make([]bool, len(t.effects))
	}
	odd := 0
	for w, start := range r.starts {
		at := int(start)
		if at < subject {
			r.subject = w + 1
		}
		node, letters, ok := t.begin(r.text, at)
		if !ok {
			continue
		}
		r.words = w + 1
		for odd < len(r.odd) && r.odd[odd].end <= at {
			odd++
		}
		r.walk(t, node, at, at+letters, odd, at < subject)
	}
	r.words = len(r.starts)
}

// walk finds the terms that begin at at. The letters up to i have led to node.
func (r *reading) walk(t *trie, node *trieNode, at, i, odd int, subject bool) {
	for ; i < len(r.text); i++ {
		c := r.text[i]
		if c == blank && node.word != 0 {
			r.hit(t, node.word, at, i, odd, subject)
		}
		bit := uint32(1) << letterIndex[c]
		if node.letters&bit == 0 {
			return
		}
		if node = node.child(t, bit); node.stem != 0 {
			r.hit(t, node.stem, at, i+1, odd, subject)
		}
	}
}

// hit takes note of a term. next is the index of the first odd word that does not end in front of it.
func (r *reading) hit(t *trie, term uint16, start, end, next int, subject bool) {
	odd := next < len(r.odd) && r.odd[next].start < end
	text := r.text[start:end]
	first := !r.seen[term]
	r.seen[term] = true
	for _, e := range t.effects[term] {
		switch e.kind {
		case effectConcept:
			r.meet(concept(e.id))
		case effectBrand:
			r.meetBrand(e.brand, subject)
			if odd && !brands[e.brand].common {
				r.oddBrands++
			}
		case effectTopic:
			if first {
				r.count(topic(e.id), int(e.points), text)
			}
			if odd {
				r.oddHits[e.id]++
			}
		}
	}
}

func (r *reading) count(t topic, points int, text []byte) {
	r.points[t] += points
	if len(r.examples[t]) < 60 {
		r.examples[t] = strings.TrimPrefix(r.examples[t]+", "+string(text), ", ")
	}
}

// meet takes note of a concept, and of the pairs that it completes.
func (r *reading) meet(c concept) {
	r.last[c] = int32(r.words)
	for _, i := range pairsOf[c] {
		p := pairs[i]
		with := p.a
		if with == c {
			with = p.b
		}
		if r.paired[i] || r.last[with] == 0 || r.words-int(r.last[with]) > p.within {
			continue
		}
		if p.a == p.b && int(r.last[with]) == r.words {
			continue
		}
		r.paired[i] = true
		r.count(p.topic, int(p.points), []byte(conceptNames[p.a]+"…"+conceptNames[p.b]))
	}
}

func (r *reading) meetBrand(b uint16, subject bool) {
	for i := range r.brandsIn {
		if r.brandsIn[i].brand == b {
			r.brandsIn[i].times++
			return
		}
	}
	if len(r.brandsIn) < 32 {
		r.brandsIn = append(r.brandsIn, brandHit{brand: b, inSubject: subject, times: 1, first: r.words})
	}
}

// strength returns which part of its weight a topic has: 0 if it is not met.
func (r *reading) strength(t topic) float64 {
	points := float64(r.points[t])
	if r.words > usualWords {
		points /= math.Sqrt(float64(r.words) / usualWords)
	}
	if points < enoughPoints {
		return 0
	}
	return min(points/fullPoints, mostStrength)
}

// splitTerms cuts a list at its bars and line ends.
func splitTerms(list string) []string {
	out := strings.FieldsFunc(list, func(r rune) bool { return r == '|' || r == '\n' })
	n := 0
	for _, s := range out {
		if s = strings.TrimSpace(s); s != "" {
			out[n] = s
			n++
		}
	}
	return out[:n]
}
