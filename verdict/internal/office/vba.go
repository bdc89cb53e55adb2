package office

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
)

const (
	maxCode = 64 << 10 // bytes of source that are kept of a module
	maxDir  = 4 << 20
)

// module is what the directory of a project says about one module.
type module struct {
	name   string
	stream string
	offset int64
}

// project reads the VBA project in the storage at path.
func (in *inspector) project(o *oleFile, path string) error {
	byName := map[string]*cfb.Entry{}
	for _, e := range o.vba[path] {
		byName[strings.ToLower(e.Name)] = e
	}
	dir, cache := byName["dir"], byName["_vba_project"]
	if dir == nil && cache == nil {
		return nil
	}
	in.rep.Project = true
	before := len(in.rep.Macros)
	var modules []module
	if dir != nil {
		list, err := in.directory(o, dir)
		if err = in.note(o.at(dir), err); err != nil {
			return err
		}
		modules = list
	}
	for _, m := range modules {
		e := byName[strings.ToLower(m.stream)]
		if e == nil {
			continue
		}
		delete(byName, strings.ToLower(m.stream))
		if err := in.module(o, e, m); err != nil {
			return err
		}
	}
	// A directory that lies does not keep Office from reading what it has compiled.
	for _, e := range o.vba[path] {
		name := strings.ToLower(e.Name)
		if byName[name] == nil || name == "dir" || strings.HasPrefix(name, "_") {
			continue
		}
		if err := in.module(o, e, module{name: e.Name, offset: -1}); err != nil {
			return err
		}
	}
	return in.stomped(o, cache, before)
}

// directory reads the stream that lists the modules (MS-OVBA section 2.3.4.2).
func (in *inspector) directory(o *oleFile, e *cfb.Entry) ([]module, error) {
	packed, err := o.small(in, e, maxDir)
	if err != nil {
		return nil, err
	}
	b, err := decompress(in.b, packed, maxDir)
	if err != nil {
		return nil, err
	}
	defer in.b.Keep(-int64(len(b)))
	var out []module
	c := cursor{p: b}
	for len(c.p) >= 6 {
		if err := in.b.Object(); err != nil {
			return out, err
		}
		id, size := c.u16(), c.u32()
		if id == 0x0009 {
			size = 6 // PROJECTVERSION says 4
		}
		data := c.take(int(min(size, maxDir)))
		if c.bad {
			return out, fmt.Errorf("%w: directory of a VBA project is cut off", ErrFormat)
		}
		if id == 0x0019 {
			if len(out) >= in.b.Limits.Files {
				return out, fmt.Errorf("%w: more than %d modules", ErrLimit, in.b.Limits.Files)
			}
			out = append(out, module{name: latin1(data), offset: -1})
		}
		if len(out) == 0 {
			continue
		}
		m := &out[len(out)-1]
		switch id {
		case 0x0047:
			m.name = wide(data)
		case 0x001A:
			m.stream = latin1(data)
		case 0x0032:
			m.stream = wide(data)
		case 0x0031:
			f := cursor{p: data}
			m.offset = int64(f.u32())
		}
	}
	return out, nil
}

// module reads the source of a module. With an offset below zero the source is looked for.
func (in *inspector) module(o *oleFile, e *cfb.Entry, m module) error {
	packed, err := in.b.ReadAll(o.Open(e), e.Size)
	defer in.b.Keep(-int64(len(packed)))
	if err != nil && err != io.ErrUnexpectedEOF {
		return err
	}
	if m.offset < 0 || m.offset >= int64(len(packed)) || packed[m.offset] != 1 {
		if m.offset = findSource(packed); m.offset < 0 {
			return nil
		}
	}
	code, err := decompress(in.b, packed[m.offset:], maxDir)
	defer in.b.Keep(-int64(len(code)))
	if err = in.note(o.at(e), err); err != nil {
		return err
	}
	return in.source(VBA, m.name, code)
}

// findSource looks for the beginning of compressed source: it always starts with "Attribut", in a
// chunk whose first token is a literal.
func findSource(b []byte) int64 {
	i := bytes.Index(b, []byte("\x00Attribut"))
	if i < 3 || b[i-3] != 1 {
		return -1
	}
	return int64(i - 3)
}

// source adds a macro whose code is there.
func (in *inspector) source(lang Language, name string, code []byte) error {
	m := Macro{Lang: lang, Name: cut(name)}
	err := readCode(in.b, &m, code)
	if err != nil {
		return err
	}
	text := latin1(code[:min(len(code), maxCode)])
	if err := in.b.Keep(int64(len(text))); err != nil {
		return err
	}
	m.Code = text
	return add(in, &in.rep.Macros, m)
}

// stomped adds what the compiled form of a project tells if the source tells nothing: the program runs
// the compiled form, and the source may have been taken away.
func (in *inspector) stomped(o *oleFile, cache *cfb.Entry, before int) error {
	if cache == nil {
		return nil
	}
	for _, m := range in.rep.Macros[min(before, len(in.rep.Macros)):] {
		if m.HasCode {
			return nil
		}
	}
	b, err := o.small(in, cache, 1<<20)
	if err != nil {
		return in.note(o.at(cache), err)
	}
	m := Macro{Lang: VBA, Name: cache.Name}
	if err := readWords(in.b, &m, b); err != nil {
		return err
	}
	if len(m.AutoExec) == 0 {
		return nil
	}
	m.HasCode = true
	return add(in, &in.rep.Macros, m)
}

// activeMime unpacks the form in which Word keeps a VBA project in one XML file or web archive.
func (in *inspector) activeMime(r io.Reader, where string) error {
	head, err := in.b.ReadAll(r, 0)
	if err != nil {
		return err
	}
	for _, off := range []int{0x32, 0x22A} {
		if len(head) < off+2 || head[off] != 'x' {
			continue
		}
		b, err := in.inflate(bytes.NewReader(head[off:]), 0)
		if err != nil && len(b) == 0 {
			continue
		}
		return in.ole(bytes.NewReader(b), int64(len(b)), where, 1)
	}
	return fmt.Errorf("%w: ActiveMime without content", ErrFormat)
}
