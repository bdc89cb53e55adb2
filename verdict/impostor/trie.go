package impostor

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
)

// trie finds terms in folded text: all that begin at a word, in one walk.
//
// A node's children lie in a row behind each other in the order of their letters, so that a set of letters and
// the place of the first child are all a node has to hold.
type trie struct {
	nodes   []trieNode
	effects [][]effect // by term; index 0 is no term
	// jump has the node that three letters lead to; 0 if they lead nowhere, and jumpSlow if a term ends on the way.
	jump [1 << 15]uint16
}

const jumpSlow = 1<<16 - 1

type trieNode struct {
	letters uint32 // a bit for each letter that leads on, by letterIndex
	first   uint32 // index of the child of the lowest of them
	word    uint16 // term that ends here with the end of a word; 0 if none
	stem    uint16 // term that ends here even if the word goes on; 0 if none
}

// letterIndex maps the bytes of a folded text to 0 to 31.
var letterIndex = func() (t [256]uint8) {
	for i := range t {
		t[i] = 31 // nothing
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c] = c - 'a'
	}
	for i, c := range []byte{blank, digit, '$', '%', other} {
		t[c] = uint8(26 + i)
	}
	return t
}()

// begin returns the node to begin with at t[at], which begins a word, and how many letters it stands for. ok is
// false if no term begins there. Behind the last word of a text stands a blank.
func (t *trie) begin(text []byte, at int) (node *trieNode, letters int, ok bool) {
	if at+3 > len(text) {
		return &t.nodes[0], 0, true
	}
	switch n := t.jump[jumpIndex(text[at:])]; n {
	case 0:
		return nil, 0, false
	case jumpSlow:
		return &t.nodes[0], 0, true
	default:
		return &t.nodes[n], 3, true
	}
}

// child returns the node that the letter of bit leads to; there must be one.
func (n *trieNode) child(t *trie, bit uint32) *trieNode {
	return &t.nodes[n.first+uint32(bits.OnesCount32(n.letters&(bit-1)))]
}

// jumpIndex makes an index in trie.jump of the three letters that text begins with.
func jumpIndex(text []byte) int {
	return int(letterIndex[text[0]])<<10 | int(letterIndex[text[1]])<<5 | int(letterIndex[text[2]])
}

// makeJump fills in jump. The trie has fewer than jumpSlow nodes within three letters of the root, which come first.
func (t *trie) makeJump() {
	for i := range t.jump {
		node, n, slow := &t.nodes[0], uint16(0), false
		for _, shift := range []int{10, 5, 0} {
			c := i >> shift & 31
			slow = slow || c == 26 && node.word != 0 // the blank behind a term
			bit := uint32(1) << c
			if node.letters&bit == 0 {
				node = nil
				break
			}
			n = uint16(node.first) + uint16(bits.OnesCount32(node.letters&(bit-1)))
			node = &t.nodes[n]
			slow = slow || node.stem != 0
		}
		switch {
		case slow:
			t.jump[i] = jumpSlow
		case node != nil:
			t.jump[i] = n
		}
	}
}

// effect is what it means that a term was met.
type effect struct {
	kind   effectKind
	id     uint8 // topic or concept
	points uint8
	brand  uint16
}

type effectKind uint8

const (
	effectTopic effectKind = iota
	effectConcept
	effectBrand
)

// rawTerm is a folded term on its way into a trie.
type rawTerm struct {
	text   string
	stem   bool
	effect effect
}

// newTrie makes a trie of terms. Terms with one text become one with all their effects.
func newTrie(terms []rawTerm) *trie {
	slices.SortStableFunc(terms, func(a, b rawTerm) int { return cmp.Compare(a.text, b.text) })
	t := &trie{effects: make([][]effect, 1)}
	type job struct {
		node   int
		lo, hi int // terms below it
		depth  int
	}
	t.nodes = append(t.nodes, trieNode{})
	for queue := []job{{0, 0, len(terms), 0}}; len(queue) > 0; queue = queue[1:] {
		j := queue[0]
		for j.lo < j.hi && len(terms[j.lo].text) == j.depth {
			t.end(&t.nodes[j.node], terms[j.lo])
			j.lo++
		}
		groups := make(map[uint8]job)
		for lo := j.lo; lo < j.hi; {
			c := terms[lo].text[j.depth]
			hi := lo
			for hi < j.hi && terms[hi].text[j.depth] == c {
				hi++
			}
			groups[letterIndex[c]] = job{lo: lo, hi: hi, depth: j.depth + 1}
			lo = hi
		}
		t.nodes[j.node].first = uint32(len(t.nodes))
		for c := range uint8(32) {
			g, ok := groups[c]
			if !ok {
				continue
			}
			t.nodes[j.node].letters |= 1 << c
			g.node = len(t.nodes)
			t.nodes = append(t.nodes, trieNode{})
			queue = append(queue, g)
		}
	}
	t.makeJump()
	return t
}

func (t *trie) end(n *trieNode, r rawTerm) {
	place := &n.word
	if r.stem {
		place = &n.stem
	}
	if *place == 0 {
		*place = uint16(len(t.effects))
		t.effects = append(t.effects, nil)
	}
	for _, e := range t.effects[*place] {
		if e.kind == r.effect.kind && e.id == r.effect.id && e.brand == r.effect.brand {
			return // the first of two equal ones counts
		}
	}
	t.effects[*place] = append(t.effects[*place], r.effect)
}

// lexicon is the trie of all terms, concepts and brands, made when it is first needed.
var lexicon = sync.OnceValue(func() *trie {
	var all []rawTerm
	add := func(list string, e effect) {
		for _, text := range splitTerms(list) {
			stem := text[len(text)-1] == '*'
			folded := foldString(text)
			if folded != "" {
				all = append(all, rawTerm{folded, stem, e})
			}
		}
	}
	for _, t := range terms {
		add(t.list, effect{kind: effectTopic, id: uint8(t.topic), points: t.points})
	}
	for _, c := range slices.Concat(concepts, moreConcepts) {
		add(c.list, effect{kind: effectConcept, id: uint8(c.concept)})
	}
	for i, b := range brands {
		add(b.names, effect{kind: effectBrand, brand: uint16(i)})
	}
	return newTrie(all)
})
