package teststring

import (
	"bytes"

	"github.com/postreeve/postreeve/verdict"
)

// set is a set of test strings, a bit for each by its index in kinds.
type set uint8

// kinds are the test strings. EICAR is not searched for, but compared with the beginning.
var kinds = [...]struct {
	text   string
	code   string
	class  verdict.Class
	detail string
}{
	{GTUBE, verdict.CodeTestGTUBE, verdict.Spam, "GTUBE, the generic test for unsolicited bulk e-mail"},
	{Clean, verdict.CodeTestClean, verdict.Clean, "Postreeve's test string for clean mail"},
	{Spam, verdict.CodeTestSpam, verdict.Spam, "Postreeve's test string for spam"},
	{Malicious, verdict.CodeTestMalicious, verdict.Malicious, "Postreeve's test string for malicious mail"},
	{Unknown, verdict.CodeTestUnknown, verdict.Unknown, "Postreeve's test string for mail nobody can tell"},
	{"", verdict.CodeTestEICAR, verdict.Malicious, "EICAR, the anti-malware test file"},
}

const (
	kindGTUBE   = 0
	kindOwn     = 1 // the first of four
	kindUnknown = 4
	kindEICAR   = 5

	longest  = 80  // no test string is longer
	eicarMax = 128 // bytes of a file that may still be EICAR
)

// search finds test strings in what is written to it. Nothing of it is kept but the edges of the writes.
type search struct {
	found set
	size  int64
	head  [eicarMax]byte // the first bytes
	carry [longest]byte  // the last bytes before the next write
	edge  [2 * longest]byte
	n     int // bytes in carry
}

func (s *search) reset() { s.found, s.size, s.n = 0, 0, 0 }

// Write looks at p, and at what lies across its border with the write before. It never fails.
func (s *search) Write(p []byte) (int, error) {
	if s.size < eicarMax {
		copy(s.head[s.size:], p)
	}
	s.size += int64(len(p))
	s.found |= find(p)
	if s.n > 0 {
		n := copy(s.edge[:], s.carry[:s.n])
		n += copy(s.edge[n:], p[:min(len(p), longest)])
		s.found |= find(s.edge[:n])
	}
	if len(p) >= longest {
		s.n = copy(s.carry[:], p[len(p)-longest:])
		return len(p), nil
	}
	keep := min(s.n, longest-len(p))
	copy(s.carry[:], s.carry[s.n-keep:s.n])
	s.n = keep + copy(s.carry[keep:], p)
	return len(p), nil
}

// all returns what was found, once everything has been written.
func (s *search) all() set {
	if s.size <= eicarMax && isEICAR(s.head[:s.size]) {
		return s.found | 1<<kindEICAR
	}
	return s.found
}

// find returns the strings in p. All have an asterisk near their beginning, and few bytes of real mail
// are asterisks, so that this runs as fast as memory can be searched for one byte.
func find(p []byte) (out set) {
	for i := 0; i < len(p); i++ {
		j := bytes.IndexByte(p[i:], '*')
		if j < 0 {
			return out
		}
		i += j
		out |= findAt(p, i)
		for i+1 < len(p) && p[i+1] == '*' { // none has two of them in a row
			i++
		}
	}
	return out
}

const (
	gtubeStar = len("XJS")
	ownStar   = len("POSTREEVE")
)

// findAt returns the string whose first asterisk is p[i].
func findAt(p []byte, i int) set {
	switch {
	case i >= gtubeStar && p[i-1] == GTUBE[gtubeStar-1]:
		if hasPrefix(p[i-gtubeStar:], GTUBE) {
			return 1 << kindGTUBE
		}
	case i >= ownStar && p[i-1] == ownPrefix[ownStar-1]:
		p = p[i-ownStar:]
		for k := kindOwn; k <= kindUnknown && hasPrefix(p, ownPrefix); k++ {
			if hasPrefix(p, kinds[k].text) {
				return 1 << k
			}
		}
	}
	return 0
}

func hasPrefix(p []byte, s string) bool { return len(p) >= len(s) && string(p[:len(s)]) == s }

// isEICAR says whether p, the whole of a file, is the test file: its text with nothing behind it but
// space, tab, LF, CR and Ctrl-Z.
func isEICAR(p []byte) bool {
	if len(p) == 0 || p[0] != 'X' {
		return false
	}
	for _, piece := range eicar() {
		if !hasPrefix(p, piece) {
			return false
		}
		p = p[len(piece):]
	}
	return len(bytes.Trim(p, " \t\r\n\x1a")) == 0
}
