package inspecttest

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

const (
	sector     = 512
	mini       = 64
	endOfChain = 0xFFFFFFFE
	free       = 0xFFFFFFFF
	fatSector  = 0xFFFFFFFD
)

// CFB builds a compound file (MS-CFB) of paths and contents of streams in turn. A path with slashes makes
// storages. It may have up to 109 sectors of table, which is about 7 MB.
func CFB(pairs ...string) string {
	b := &cfbBuilder{ids: map[string]int{"": 0}}
	b.entries = append(b.entries, cfbEntry{name: "Root Entry", kind: 5})
	for i := 0; i+1 < len(pairs); i += 2 {
		b.add(strings.TrimPrefix(pairs[i], "/"), pairs[i+1])
	}
	return b.build()
}

type cfbEntry struct {
	name        string
	kind        byte
	start, size uint32
	children    []int
}

type cfbBuilder struct {
	entries []cfbEntry
	ids     map[string]int
	mini    []byte
	miniFAT []uint32
	body    []byte
	fat     []uint32
}

func (b *cfbBuilder) add(path, data string) {
	dir, name := "", path
	for {
		head, rest, ok := strings.Cut(name, "/")
		if !ok {
			break
		}
		path := strings.TrimPrefix(dir+"/"+head, "/")
		if _, ok := b.ids[path]; !ok {
			b.ids[path] = len(b.entries)
			b.entries[b.ids[dir]].children = append(b.entries[b.ids[dir]].children, len(b.entries))
			b.entries = append(b.entries, cfbEntry{name: head, kind: 1})
		}
		dir, name = path, rest
	}
	e := cfbEntry{name: name, kind: 2, size: uint32(len(data))}
	if len(data) < 4096 {
		e.start = b.chainMini(data)
	} else {
		e.start = b.chain([]byte(data))
	}
	b.entries[b.ids[dir]].children = append(b.entries[b.ids[dir]].children, len(b.entries))
	b.entries = append(b.entries, e)
}

func (b *cfbBuilder) chainMini(s string) uint32 {
	if s == "" {
		return endOfChain
	}
	start := uint32(len(b.miniFAT))
	n := (len(s) + mini - 1) / mini
	b.miniFAT = chained(b.miniFAT, n)
	b.mini = append(b.mini, s...)
	b.mini = append(b.mini, make([]byte, n*mini-len(s))...)
	return start
}

func (b *cfbBuilder) chain(p []byte) uint32 {
	if len(p) == 0 {
		return endOfChain
	}
	start := uint32(len(b.fat))
	n := (len(p) + sector - 1) / sector
	b.fat = chained(b.fat, n)
	b.body = append(b.body, p...)
	b.body = append(b.body, make([]byte, n*sector-len(p))...)
	return start
}

// chained is a table with a chain of n sectors behind what is in it.
func chained(table []uint32, n int) []uint32 {
	for range n - 1 {
		table = append(table, uint32(len(table))+1)
	}
	return append(table, endOfChain)
}

func (b *cfbBuilder) build() string {
	b.entries[0].start = b.chain(b.mini)
	b.entries[0].size = uint32(len(b.mini))
	for len(b.miniFAT)%(sector/4) != 0 {
		b.miniFAT = append(b.miniFAT, free)
	}
	miniFAT := b.chain(words(b.miniFAT))
	var dir []byte
	for i := range b.entries {
		dir = append(dir, b.entry(i)...)
	}
	for len(dir)%sector != 0 {
		dir = append(dir, make([]byte, 128)...)
	}
	directory := b.chain(dir)
	n := 0
	for (len(b.fat)+n+sector/4-1)/(sector/4) > n {
		n++
	}
	if n > 109 {
		panic("inspecttest: compound file too large")
	}
	head := make([]byte, sector)
	copy(head, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1")
	le := binary.LittleEndian
	le.PutUint16(head[24:], 0x3E)
	le.PutUint16(head[26:], 3)
	le.PutUint16(head[28:], 0xFFFE)
	le.PutUint16(head[30:], 9)
	le.PutUint16(head[32:], 6)
	le.PutUint32(head[44:], uint32(n))
	le.PutUint32(head[48:], directory)
	le.PutUint32(head[56:], 4096)
	le.PutUint32(head[60:], miniFAT)
	le.PutUint32(head[64:], uint32(len(b.miniFAT)/(sector/4)))
	le.PutUint32(head[68:], endOfChain)
	for i := range 109 {
		v := uint32(free)
		if i < n {
			v = uint32(len(b.fat))
			b.fat = append(b.fat, fatSector)
		}
		le.PutUint32(head[76+4*i:], v)
	}
	for len(b.fat) < n*sector/4 {
		b.fat = append(b.fat, free)
	}
	return string(head) + string(b.body) + string(words(b.fat))
}

// entry writes an entry. Its children are a list: each is the right one of the one before.
func (b *cfbBuilder) entry(id int) []byte {
	e := &b.entries[id]
	p := make([]byte, 128)
	units := utf16.Encode([]rune(e.name))
	for i, u := range units {
		binary.LittleEndian.PutUint16(p[2*i:], u)
	}
	le := binary.LittleEndian
	le.PutUint16(p[64:], uint16(2*len(units)+2))
	p[66], p[67] = e.kind, 1
	le.PutUint32(p[68:], free)
	le.PutUint32(p[72:], free)
	le.PutUint32(p[76:], free)
	if len(e.children) > 0 {
		le.PutUint32(p[76:], uint32(e.children[0]))
	}
	for i := range b.entries {
		c := b.entries[i].children
		if k := slices.Index(c, id); k >= 0 && k+1 < len(c) {
			le.PutUint32(p[72:], uint32(c[k+1]))
		}
	}
	le.PutUint32(p[116:], e.start)
	le.PutUint32(p[120:], e.size)
	return p
}

func words(list []uint32) []byte {
	var out []byte
	for _, v := range list {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	return out
}

// Zip builds a zip file of names and contents in turn.
func Zip(pairs ...string) string {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for i := 0; i+1 < len(pairs); i += 2 {
		w, err := z.Create(pairs[i])
		if err == nil {
			_, err = w.Write([]byte(pairs[i+1]))
		}
		if err != nil {
			panic(fmt.Sprintf("inspecttest: %v", err))
		}
	}
	if err := z.Close(); err != nil {
		panic(fmt.Sprintf("inspecttest: %v", err))
	}
	return buf.String()
}

// Wide encodes text in UTF-16.
func Wide(s string) string {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return string(out)
}
