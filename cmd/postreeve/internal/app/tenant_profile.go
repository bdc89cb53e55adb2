package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

// maxProfile bounds a profile, as the packages that have them do.
const maxProfile = 1 << 20

// profileReader reads YAML, and JSON with it, into a value by the json tags of its type. It collects everything that
// is wrong with where it stands, so that a profile is mended in one go.
type profileReader struct {
	file string
	errs config.Errors
	keys map[string]place // of every key that was read, by path
}

type place struct{ line, column int }

// readProfile reads a profile strictly and has it checked. What is wrong with it is config.Errors.
func readProfile[T any](file string, check func(*T) error) (*T, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if len(data) > maxProfile {
		return nil, config.Errors{{File: file, Text: "larger than 1 MiB"}}
	}
	return parseProfile(file, data, check)
}

func parseProfile[T any](file string, data []byte, check func(*T) error) (*T, error) {
	r := &profileReader{file: file, keys: map[string]place{}}
	out := new(T)
	body := r.parse(data)
	if body == nil && len(r.errs) == 0 {
		r.fail(place{}, "", "is empty: a profile needs domains, mode and regions")
	}
	if body != nil && len(r.errs) == 0 {
		r.read(body, "", placeOf(body), reflect.ValueOf(out).Elem())
	}
	if len(r.errs) == 0 {
		r.judge(check(out))
	}
	if len(r.errs) > 0 {
		slices.SortStableFunc(r.errs, func(a, b *config.Error) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, r.errs
	}
	return out, nil
}

func (r *profileReader) fail(at place, key, format string, args ...any) {
	r.errs = append(r.errs, &config.Error{File: r.file, Line: at.line, Column: at.column, Key: key, Text: fmt.Sprintf(format, args...)})
}

// parse returns the one document of the file, nil if there is none or none that can be read.
func (r *profileReader) parse(data []byte) (body ast.Node) {
	defer func() {
		if recover() != nil { // of the parser, on bytes that are hardly YAML
			r.fail(place{}, "", "this is not YAML")
			body = nil
		}
	}()
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at, text := place{}, "this is not YAML"
		var ye yaml.Error
		if errors.As(err, &ye) {
			text = "not valid YAML: " + ye.GetMessage()
			if t := ye.GetToken(); t != nil && t.Position != nil {
				at = place{t.Position.Line, t.Position.Column}
			}
		}
		r.fail(at, "", "%s", show(text))
		return nil
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case body == nil:
			body = doc.Body
		default:
			r.fail(placeOf(doc.Body), "", "a second document in the same file: a profile is one")
		}
	}
	return body
}

// placeOf is where a node begins.
func placeOf(n ast.Node) place {
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 && !m.IsFlowStyle {
			return placeOf(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return placeOf(m.Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return place{}
	}
	p := n.GetToken().Position
	return place{p.Line, p.Column}
}

// read fills in one value.
func (r *profileReader) read(n ast.Node, path string, at place, into reflect.Value) {
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		r.read(n, path, at, into.Elem())
	case reflect.Struct:
		r.object(n, path, at, into)
	case reflect.Map:
		into.Set(reflect.MakeMap(into.Type()))
		for key, v := range r.entries(n, path, at) {
			item := reflect.New(into.Type().Elem()).Elem()
			r.read(v.node, v.path, v.at, item)
			into.SetMapIndex(reflect.ValueOf(key), item)
		}
	case reflect.Slice:
		r.list(n, path, at, into)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			r.fail(at, path, "wants true or false, got %s", nodeKind(n))
			return
		}
		into.SetBool(b.Value)
	case reflect.Int:
		i, ok := n.(*ast.IntegerNode)
		v, err := strconv.Atoi(fmt.Sprint(valueOf(i)))
		if !ok || err != nil {
			r.fail(at, path, "wants a number, got %s", nodeKind(n))
			return
		}
		into.SetInt(int64(v))
	case reflect.String:
		if s, ok := r.text(n, path, at); ok {
			into.SetString(s)
		}
	default:
		r.fail(at, path, "cannot stand in a file")
	}
}

func valueOf(i *ast.IntegerNode) any {
	if i == nil {
		return nil
	}
	return i.Value
}

// text reads a scalar that is text. Numbers are taken as they are written: ids are made of digits.
func (r *profileReader) text(n ast.Node, path string, at place) (string, bool) {
	var s string
	switch n := n.(type) {
	case *ast.StringNode:
		s = n.Value
	case *ast.LiteralNode:
		s = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode:
		s = n.GetToken().Value
	default:
		r.fail(at, path, "wants text, got %s", nodeKind(n))
		return "", false
	}
	if s == "" || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		r.fail(at, path, "wants text of printable characters, got %s", strconv.QuoteToGraphic(cut(s, 80)))
		return "", false
	}
	return s, true
}

func (r *profileReader) list(n ast.Node, path string, at place, into reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok { // one value stands for a list of one
		seq = &ast.SequenceNode{Values: []ast.Node{n}}
	}
	out := reflect.MakeSlice(into.Type(), len(seq.Values), len(seq.Values))
	for i, v := range seq.Values {
		where, p := placeOf(v), path
		if ok {
			p += "[" + strconv.Itoa(i) + "]"
		}
		if where == (place{}) {
			where = at
		}
		r.read(v, p, where, out.Index(i))
	}
	into.Set(out)
}

// object reads a mapping into a struct, with its keys and no others.
func (r *profileReader) object(n ast.Node, path string, at place, into reflect.Value) {
	index, valid := map[string]int{}, []string(nil)
	for i := range into.NumField() {
		name, _, _ := strings.Cut(into.Type().Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			index[name] = i
			valid = append(valid, name)
		}
	}
	for key, v := range r.entries(n, path, at) {
		i, ok := index[key]
		if !ok {
			r.fail(r.keys[v.path], v.path, "unknown key: %s", meant(key, valid))
			continue
		}
		r.read(v.node, v.path, v.at, into.Field(i))
	}
}

// entry is a value in a mapping.
type entry struct {
	node ast.Node
	path string
	at   place
}

// entries yields a mapping in order. Keys that stand there twice are reported.
func (r *profileReader) entries(n ast.Node, path string, at place) func(yield func(string, entry) bool) {
	return func(yield func(string, entry) bool) {
		m, ok := n.(ast.MapNode)
		if !ok {
			r.fail(at, path, "wants keys with values, got %s", nodeKind(n))
			return
		}
		seen := map[string]place{}
		for it := m.MapRange(); it.Next(); {
			where := placeOf(it.Key())
			switch it.Key().(type) {
			case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			default:
				r.fail(where, path, "a key has to be a plain word, this is %s", nodeKind(it.Key()))
				continue
			}
			key := it.Key().GetToken().Value
			p := show(key)
			if path != "" {
				p = path + "." + p
			}
			if first, twice := seen[key]; twice {
				r.fail(where, p, "the same key again: it stands in line %d already", first.line)
				continue
			}
			seen[key], r.keys[p] = where, where
			v := entry{it.Value(), p, placeOf(it.Value())}
			if _, null := v.node.(*ast.NullNode); null || v.at == (place{}) {
				v.at = where
			}
			if !yield(key, v) {
				return
			}
		}
	}
}

func nodeKind(n ast.Node) string {
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
		return "an anchor or alias, which a profile cannot have"
	case *ast.TagNode:
		return "a tag, which a profile cannot have"
	}
	return "something else"
}

// keyForm is the key that a message of a check begins with.
var keyForm = regexp.MustCompile(`^[a-z][A-Za-z0-9._-]*`)

// judge gives what a check says the places in the file.
func (r *profileReader) judge(err error) {
	if err == nil {
		return
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok && len(all.Unwrap()) > 0 {
		for _, e := range all.Unwrap() {
			r.judge(e)
		}
		return
	}
	_, text, ok := strings.Cut(err.Error(), ": profile: ")
	if !ok {
		text = err.Error()
	}
	var at place
	for key := keyForm.FindString(text); key != ""; key = key[:max(0, strings.LastIndexByte(key, '.'))] {
		if p, ok := r.keys[key]; ok {
			at = p
			break
		}
	}
	r.fail(at, "", "%s", text)
}

// meant says which word could have been meant, or what there is to choose from.
func meant(word string, valid []string) string {
	slices.Sort(valid)
	best, distance := "", max(2, len(word)/3)+1
	for _, v := range valid {
		if d := edits(strings.ToLower(word), v); d < distance {
			best, distance = v, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "use one of: " + strings.Join(valid, ", ")
}

// edits is the number of letters to add, drop or replace to make b of a.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 { // no key is that long
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, cost)
		}
	}
	return row[len(b)]
}
