package office

import (
	"encoding/binary"
	"iter"
)

// macroFunctions are the functions of macro sheets that reach outside of the workbook or change what
// runs, by their number (Ftab, MS-XLS section 2.5.198.17).
var macroFunctions = map[uint16]string{
	53: "GOTO", 54: "HALT", 110: "EXEC", 132: "FOPEN", 136: "FREAD", 137: "FWRITELN", 138: "FWRITE",
	149: "REGISTER", 150: "CALL", 166: "FILES", 175: "INITIATE", 176: "REQUEST", 177: "POKE", 178: "EXECUTE",
	186: "GET.WORKSPACE", 188: "GET.DOCUMENT", 236: "CREATE.OBJECT", 257: "EVALUATE", 267: "REGISTER.ID",
}

// macroCommands are the same for commands, which have numbers of their own (Cetab, section 2.5.198.4).
var macroCommands = map[uint16]string{17: "RUN", 96: "FORMULA"}

// macroWords are those whose name in a formula as text is worth a look, as in macro sheets of OOXML.
var macroWords = set("exec call register run fopen fwrite fwriteln formula files get.workspace initiate execute poke evaluate" +
	" register.id create.object formula.fill set.value goto halt alert send.keys directories urldownloadtofilea shellexecutea char")

// formulaFunctions gives the names of functions that a formula calls (MS-XLS section 2.5.198). It stops at
// what it does not know.
func formulaFunctions(p []byte, version int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(p) > 0 {
			op := p[0]
			if op >= 0x40 {
				op = op&0x1F | 0x20 // the classes of a token differ in these bits
			}
			switch op {
			case 0x21, 0x22:
				at := 1
				if op == 0x22 {
					at = 2
				}
				if len(p) < at+2 {
					return
				}
				number, table := binary.LittleEndian.Uint16(p[at:]), macroFunctions
				if op == 0x22 && number&0x8000 != 0 {
					table = macroCommands
				}
				if name := table[number&^0x8000]; name != "" && !yield(name) {
					return
				}
			}
			n := tokenSize(op, p, version)
			if n <= 0 || n > len(p) {
				return
			}
			p = p[n:]
		}
	}
}

// tokenSize is the size of a token with its first byte, 0 if it is not known.
func tokenSize(op byte, p []byte, version int) int {
	v8 := version >= 8
	pick := func(eight, five int) int {
		if v8 {
			return eight
		}
		return five
	}
	switch {
	case op >= 0x03 && op <= 0x16:
		return 1
	}
	switch op {
	case 0x01, 0x02:
		return 5
	case 0x17: // string
		if len(p) < 3 {
			return 0
		}
		if v8 && p[2]&1 != 0 {
			return 3 + 2*int(p[1])
		}
		return pick(3, 2) + int(p[1])
	case 0x19: // attribute
		if len(p) < 4 {
			return 0
		}
		if p[1]&4 != 0 { // jump table
			return 4 + 2*(int(binary.LittleEndian.Uint16(p[2:]))+1)
		}
		return 4
	case 0x1C, 0x1D:
		return 2
	case 0x1E:
		return 3
	case 0x1F:
		return 9
	case 0x20:
		return 8
	case 0x21:
		return 3
	case 0x22:
		return 4
	case 0x23:
		return pick(5, 15)
	case 0x24, 0x2C:
		return pick(5, 4)
	case 0x25, 0x2D:
		return pick(9, 7)
	case 0x26, 0x27, 0x28:
		return 7
	case 0x29:
		return 3
	case 0x2A:
		return pick(5, 4)
	case 0x2B:
		return pick(9, 7)
	case 0x39:
		return pick(7, 25)
	case 0x3A, 0x3C:
		return pick(7, 18)
	case 0x3B, 0x3D:
		return pick(11, 21)
	}
	return 0
}
