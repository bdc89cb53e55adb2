package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder walks a YAML document and collects everything that is wrong with it.
type decoder struct {
	file     string
	errs     Errors
	warnings Errors
	keys     map[string]position // of every key that was read, by path
	meant    map[string]bool     // paths that were written in another way, as far as one can guess
}

type position struct{ line, column int }

// value is one node of the document, with its path and where it stands.
type value struct {
	node ast.Node
	path string
	pos  position
}

// reader takes a value into the configuration.
type reader func(d *decoder, v value)

// fields are the keys that a mapping may have.
type fields map[string]reader

func (d *decoder) fail(v value, format string, args ...any) { d.failAt(v.pos, v.path, format, args...) }

func (d *decoder) failAt(pos position, path, format string, args ...any) {
	d.errs = append(d.errs, &Error{d.file, pos.line, pos.column, path, fmt.Sprintf(format, args...)})
}

// failKey reports something wrong with a key that was read, or with the mapping around it if it was not.
func (d *decoder) failKey(path, format string, args ...any) {
	at := path
	for at != "" {
		if pos, ok := d.keys[at]; ok {
			d.failAt(pos, path, format, args...)
			return
		}
		at = at[:max(0, strings.LastIndexByte(at, '.'))]
	}
	d.errs = append(d.errs, &Error{File: d.file, Key: path, Text: fmt.Sprintf(format, args...)})
}

func (d *decoder) has(path string) bool {
	_, ok := d.keys[path]
	return ok
}

// lacks says whether a key is missing and no misspelling of it has been reported.
func (d *decoder) lacks(path string) bool { return !d.has(path) && !d.meant[path] }

// parse reads the one document of a file. It returns nil if there is none, or none that can be read.
func (d *decoder) parse(data []byte) (body ast.Node) {
	defer func() {
		if recover() != nil { // of the parser, on bytes that are hardly YAML
			d.errs = append(d.errs, &Error{File: d.file, Text: "this is not YAML"})
			body = nil
		}
	}()
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case body == nil:
			body = doc.Body
		default:
			pos := at(doc.Body)
			d.failAt(pos, "", "a second document in the same file: put everything into one")
			return body
		}
	}
	return body
}

func (d *decoder) syntax(err error) {
	var pos position
	text := "this is not YAML"
	var ye yaml.Error
	if errors.As(err, &ye) {
		text = "not valid YAML: " + ye.GetMessage()
		if t := ye.GetToken(); t != nil && t.Position != nil {
			pos = position{t.Position.Line, t.Position.Column}
		}
	}
	d.failAt(pos, "", "%s", strings.Trim(quote(text), `"`))
}

// at is where a node begins.
func at(n ast.Node) position {
	var t *token.Token
	switch m := n.(type) {
	case nil:
		return position{}
	case *ast.MappingNode:
		if len(m.Values) > 0 && !m.IsFlowStyle {
			return at(m.Values[0].Key)
		}
		t = m.GetToken()
	case *ast.MappingValueNode:
		return at(m.Key)
	default:
		t = n.GetToken()
	}
	if t == nil || t.Position == nil {
		return position{}
	}
	return position{t.Position.Line, t.Position.Column}
}

// mapping reads a mapping with the given keys and no others.
func (d *decoder) mapping(v value, fs fields) {
	for key, item := range d.entries(v) {
		read, ok := fs[key]
		if !ok {
			valid := slices.Collect(maps.Keys(fs))
			d.failAt(d.keys[item.path], item.path, "unknown key: %s", Suggest(key, valid))
			d.meant[join(v.path, nearest(key, valid))] = true
			continue
		}
		read(d, item)
	}
}

// entries yields the entries of a mapping in order. A key that stands there twice is reported and left out.
func (d *decoder) entries(v value) func(yield func(key string, item value) bool) {
	return func(yield func(string, value) bool) {
		m, ok := v.node.(ast.MapNode)
		if !ok {
			d.fail(v, "wants keys with values, got %s", kind(v.node))
			return
		}
		seen := map[string]position{}
		for it := m.MapRange(); it.Next(); {
			key, pos, ok := d.key(v, it.Key())
			if !ok {
				continue
			}
			path := join(v.path, key)
			if first, ok := seen[key]; ok {
				d.failAt(pos, path, "the same key again: it stands in line %d already", first.line)
				continue
			}
			seen[key], d.keys[path] = pos, pos
			item := value{it.Value(), path, at(it.Value())}
			if _, null := it.Value().(*ast.NullNode); null || item.node == nil || item.pos.line == 0 {
				item.pos = pos
			}
			if !yield(key, item) {
				return
			}
		}
	}
}

func (d *decoder) key(v value, k ast.MapKeyNode) (key string, pos position, ok bool) {
	pos = at(k)
	switch n := k.(type) {
	case *ast.StringNode:
		return n.Value, pos, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return k.GetToken().Value, pos, true
	}
	d.failAt(pos, v.path, "a key has to be a plain word, this is %s", kind(k))
	return "", pos, false
}

// items returns the items of a list. A single value that is no list stands for a list of one.
func (d *decoder) items(v value) []value {
	seq, ok := v.node.(*ast.SequenceNode)
	if !ok {
		return []value{v}
	}
	out := make([]value, len(seq.Values))
	for i, n := range seq.Values {
		out[i] = value{n, v.path + "[" + strconv.Itoa(i) + "]", at(n)}
		if out[i].pos.line == 0 {
			out[i].pos = v.pos
		}
	}
	return out
}

func join(path, key string) string {
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' }) || key == "" {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// kind says in plain words what a node is.
func kind(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "keys with values"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias, which this file cannot have"
	case *ast.TagNode:
		return "a tag, which this file cannot have"
	}
	return "something else"
}
