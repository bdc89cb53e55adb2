package tnef

import (
	"encoding/binary"
	"fmt"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

const (
	lzfuHeader       = 16
	lzfuCompressed   = 0x75465A4C // "LZFu"
	lzfuUncompressed = 0x414C454D // "MELA"
	lzfuWindow       = 4096
)

// lzfuPrefix is what the window begins with (MS-OXRTFCP section 2.2.2.1).
const lzfuPrefix = "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor " +
	"MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"

// decompressRTF decompresses RTF (MS-OXRTFCP). What it returns is spent and kept. Data that is cut off
// gives what there is.
func decompressRTF(b *inspect.Budget, p []byte) ([]byte, error) {
	if len(p) < lzfuHeader {
		return nil, fmt.Errorf("%w: compressed RTF without its header", ErrFormat)
	}
	raw := int64(binary.LittleEndian.Uint32(p[4:]))
	kind := binary.LittleEndian.Uint32(p[8:])
	p = p[lzfuHeader:]
	switch kind {
	case lzfuUncompressed:
		p = p[:min(int64(len(p)), raw)]
		out := append([]byte(nil), p...)
		if err := b.Keep(int64(len(out))); err != nil {
			return nil, err
		}
		return out, b.Spend(int64(len(out)))
	case lzfuCompressed:
	default:
		return nil, fmt.Errorf("%w: compressed RTF of an unknown kind", ErrFormat)
	}
	var window [lzfuWindow]byte
	at := copy(window[:], lzfuPrefix)
	var out []byte
	put := func(c byte) {
		window[at] = c
		at = (at + 1) % lzfuWindow
		out = append(out, c)
	}
	counted := 0
	for len(p) > 0 {
		flags := p[0]
		p = p[1:]
		for range 8 {
			if flags&1 == 0 {
				if len(p) < 1 {
					break
				}
				put(p[0])
				p = p[1:]
			} else {
				if len(p) < 2 {
					p = nil
					break
				}
				token := binary.BigEndian.Uint16(p)
				p = p[2:]
				from, n := int(token>>4), int(token&0xF)+2
				if from == at {
					p = nil // the mark of the end
					break
				}
				for range n {
					put(window[from])
					from = (from + 1) % lzfuWindow
				}
			}
			flags >>= 1
		}
		if len(out)-counted > 16<<10 || len(p) == 0 {
			n := int64(len(out) - counted)
			counted = len(out)
			if err := b.Keep(n); err != nil {
				return nil, err
			}
			if err := b.Spend(n); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
