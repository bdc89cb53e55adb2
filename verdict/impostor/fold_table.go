package impostor

// letterKind says what a letter is that is read as a Latin one.
type letterKind uint8

const (
	kindAccent  letterKind = iota // a Latin letter with an accent, or a ligature
	kindForeign                   // of another script, drawn like a Latin one
	kindStyled                    // a Latin letter in a form that is no writing: mathematical, framed, small capital
)

// likeness is what a letter is read as.
type likeness struct {
	base, second byte // 0: none
	kind         letterKind
}

// styledRanges are alphabets of styled letters in a row.
var styledRanges = [...]rune{
	0xFF21, 0xFF41, // full width
	0x249C, 0x24B6, 0x24D0, // in parentheses, circled
	0x1F110, 0x1F130, 0x1F150, 0x1F170, // in parentheses, squared, circled
}

// foldLetter returns what r is read as; base is 0 if it is no letter that is taken for a Latin one.
func foldLetter(r rune) likeness {
	switch {
	case r < 0xC0:
		return likeness{}
	case r < 0x250:
		return foldLatin(r)
	case r >= 0x370 && r < 0x588:
		return likeness{base: letterAt(foreign, r-0x370), kind: kindForeign}
	case r >= 0x1E00 && r < 0x1F00:
		return likeness{base: letterAt(latinMore, r-0x1E00)}
	case r >= 0x1D400 && r <= 0x1D6A3: // 13 alphabets of 52 letters
		return likeness{base: 'a' + byte((r-0x1D400)%26), kind: kindStyled}
	}
	for _, first := range styledRanges {
		if r >= first && r < first+26 {
			return likeness{base: 'a' + byte(r-first), kind: kindStyled}
		}
	}
	if c, ok := styled[r]; ok {
		return likeness{base: c, kind: kindStyled}
	}
	return likeness{}
}

func foldLatin(r rune) likeness {
	switch r {
	case 'ß':
		return likeness{base: 's', second: 's'}
	case 'æ', 'Æ':
		return likeness{base: 'a', second: 'e'}
	case 'œ', 'Œ':
		return likeness{base: 'o', second: 'e'}
	}
	return likeness{base: letterAt(latin, r-0xC0)}
}

// letterAt returns the letter at i of a table in which a dot is none.
func letterAt(table string, i rune) byte {
	if c := table[i]; c != '.' {
		return c
	}
	return 0
}

// latin has the base letters of U+00C0 to U+024F.
const latin = "" +
	"aaaaaa.ceeeeiiiidnooooo.ouuuuyp.aaaaaa.ceeeeiiiidnooooo.ouuuuypyaaaaaaccccccccddddeeeeeeeeeegggggggg" +
	"hhhhiiiiiiiiiiiijjkkkllllllllllnnnnnn.nnoooooo..rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzsbb.....c" +
	"c.d.......f...i.kkl..n.ooo..pp.....ttttuu.vyyzz.........l...dddlllnnnaaiioouuuuuuuuuueaaaa..ggggkkoo" +
	"oo..jdddgg..nnaa....aaaaeeeeiiiioooorrrruuuusstt..hh.d..zzaaeeooooooooyylntj........................"

// latinMore has the base letters of U+1E00 to U+1EFF.
const latinMore = "" +
	"aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooooooopppprrrrrrrrssss" +
	"ssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwyas....aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeeeeeeeeeee" +
	"iiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy......"

// foreign has the Latin letters that the Greek, Cyrillic and Armenian ones of U+0370 to U+0587 are taken for: the
// part of the confusables of UTS 39 that is met in mail, and some that are merely read so, like a Cyrillic
// small ghe for an r.
const foreign = "" +
	".................................ab..ezh.ik.mn.o.p..ty.x....aeni.aby.ezn.ik..v.o.ps.tu.x.wiuouw....." +
	".....q...f....................cj............ee...siij.......a.br.e..uuk.mhonpcty.x..w...b..ra.br.e.." +
	"uuk.mhonpcty.x..w...b..ree...siij.......ww................oovv............................ff......kk" +
	"..kkkkhhhh....ccttyyyyxx......hh....l..............laaaa..ee..............oooo................ff...." +
	"dd..........gg............qqww.................................................s.....o...........w.." +
	".tq.........h....j..n....u...g..po.."

// styled are letters of phonetic alphabets, small capitals, superscripts and the like, and what they are read as.
var styled = func() map[rune]byte {
	m, pairs := make(map[rune]byte), []rune(styledPairs)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = byte(pairs[i+1])
	}
	return m
}()

const styledPairs = "" +
	"ɐaɑaɓbɔcɗdɛeɠgɡgɢgɦhɨiɩiɪiɭlɯwɱmɲnɴnɵoɾrʀrʂsʈtʋvʏyʐzʙbʜhʟlᎢt" +
	"ᎪaᎫjᎬeᎳwᎷmᎻhᏀgᏃzᏒrᏙvᏚsᏞlᏟcᏢpᏦkᏴbᴀaᴄcᴅdᴇeᴊjᴋkᴍmᴏoᴘpᴛtᴜuᴠvᴡwᴢz" +
	"ᴬaᴮbᴰdᴱeᴳgᴴhᴵiᴶjᴷkᴸlᴹmᴺnᴼoᴾpᴿrᵀtᵁuᵂwᵃaᵇbᵈdᵉeᵍgᵏkᵐmᵒoᵖpᵗtᵘuᵛv" +
	"ᵢiᵣrᵤuᵥvⁱiⁿnₐaₑeₒoₓxₕhₖkₗlₘmₙnₚpₛsₜtℂcℊgℋhℌhℍhℎhℐiℑiℒlℓlℕnℙp" +
	"ℚqℛrℜrℝrℤzℨzKkÅaℬbℭcℯeℰeℱfℳmℴoℹiⅅdⅆdⅇeⅈiⅉjꓐbꓑpꓓdꓔtꓖgꓗkꓙjꓚcꓜz" +
	"ꓝfꓟmꓠnꓡlꓢsꓣrꓦvꓧhꓪwꓫxꓬyꓮaꓰeꓲiꓳoꓴuꜰfꜱsꞯq"
