package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// maxProfile bounds a profile, as the packages that have them do.
const maxProfile = 1 << 20

// LoadProfile reads the profile of a tenant strictly, from YAML or JSON by the json tags of its type, and has it
// checked. What is wrong with it is Errors, all of it at once.
func LoadProfile[T any](file string, check func(*T) error) (*T, error) {
	data, err := readFile("profile", file, maxProfile)
	if err != nil {
		return nil, err
	}
	return ParseProfile(file, data, check)
}

// ParseProfile is LoadProfile for the content of a file. The name stands in errors.
func ParseProfile[T any](file string, data []byte, check func(*T) error) (*T, error) {
	d := &decoder{file: file, keys: map[string]position{}, meant: map[string]bool{}}
	out := new(T)
	body := d.parse(data)
	if body == nil && len(d.errs) == 0 {
		d.failAt(position{}, "", "is empty: a profile needs domains, mode and regions")
	}
	if body != nil && len(d.errs) == 0 {
		d.fill(value{body, "", at(body)}, reflect.ValueOf(out).Elem())
	}
	if len(d.errs) == 0 {
		d.judge(check(out))
	}
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	return out, nil
}

// fill reads one value by its type.
func (d *decoder) fill(v value, into reflect.Value) {
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.fill(v, into.Elem())
	case reflect.Struct:
		fs, set := fields{}, func(i int) reader { return func(d *decoder, v value) { d.fill(v, into.Field(i)) } }
		for i := range into.NumField() {
			name, _, _ := strings.Cut(into.Type().Field(i).Tag.Get("json"), ",")
			if name != "" && name != "-" {
				fs[name] = set(i)
			}
		}
		d.mapping(v, fs)
	case reflect.Map:
		into.Set(reflect.MakeMap(into.Type()))
		for key, item := range d.entries(v) {
			e := reflect.New(into.Type().Elem()).Elem()
			d.fill(item, e)
			into.SetMapIndex(reflect.ValueOf(key), e)
		}
	case reflect.Slice:
		items := d.items(v)
		into.Set(reflect.MakeSlice(into.Type(), len(items), len(items)))
		for i, item := range items {
			d.fill(item, into.Index(i))
		}
	case reflect.Bool:
		var b bool
		boolean(&b)(d, v)
		into.SetBool(b)
	case reflect.Int:
		d.fillInt(v, into)
	case reflect.String:
		d.fillText(v, into)
	default:
		d.fail(v, "cannot stand in a file")
	}
}

func (d *decoder) fillInt(v value, into reflect.Value) {
	n, ok := v.node.(*ast.IntegerNode)
	if !ok {
		d.fail(v, "wants a number, got %s", kind(v.node))
		return
	}
	i, err := strconv.Atoi(fmt.Sprint(n.Value))
	if err != nil {
		d.fail(v, "wants a number, got one that is out of all proportion")
		return
	}
	into.SetInt(int64(i))
}

// fillText takes numbers as they are written: ids are made of digits.
func (d *decoder) fillText(v value, into reflect.Value) {
	switch n := v.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		into.SetString(n.GetToken().Value)
	default:
		if s, ok := d.text(v); ok {
			into.SetString(s)
		}
	}
}

// keyForm is the key that a message of a check begins with.
var keyForm = regexp.MustCompile(`^[a-z][A-Za-z0-9._-]*`)

// judge gives what a check says the places in the file.
func (d *decoder) judge(err error) {
	if err == nil {
		return
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok && len(all.Unwrap()) > 0 {
		for _, e := range all.Unwrap() {
			d.judge(e)
		}
		return
	}
	_, text, ok := strings.Cut(err.Error(), ": profile: ")
	if !ok {
		text = err.Error()
	}
	var where position
	for key := keyForm.FindString(text); key != ""; key = key[:max(0, strings.LastIndexByte(key, '.'))] {
		if p, ok := d.keys[key]; ok {
			where = p
			break
		}
	}
	d.failAt(where, "", "%s", text)
}
