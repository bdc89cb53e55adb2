package m365test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/postreeve/postreeve/m365"
)

type signature map[string]argument

type argument struct {
	kind     string
	required bool
	members  []string
}

// signatures are the cmdlets of the service. They are read from the table that package m365 publishes, and
// not through its checks: what those let through by mistake is bound here as the service would.
var signatures = sync.OnceValue(func() map[string]signature {
	out := map[string]signature{}
	for line := range strings.Lines(m365.Schema()) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		sig := signature{}
		for _, f := range fields[1:] {
			name, rest, _ := strings.Cut(f, ":")
			kind, members, enum := strings.Cut(rest, "=")
			a := argument{kind: strings.TrimSuffix(kind, "!"), required: strings.HasSuffix(kind, "!")}
			if enum {
				a.members = strings.Split(members, "|")
			}
			sig[name] = a
		}
		out[fields[0]] = sig
	}
	return out
})

// edit is an Add/Remove hash table; unset clears.
type (
	edit  struct{ add, remove []string }
	unset struct{}
)

// bind turns JSON into arguments, in the way of the service: unknown names fail with an error that names
// none, members of an enumeration are found by prefix.
func (s *Server) bind(name string, sig signature, params map[string]any) (map[string]any, *exception) {
	out := map[string]any{}
	for k, a := range sig {
		if _, ok := params[k]; a.required && !ok {
			return nil, throw("System.Management.Automation.ParameterBindingException",
				"Cannot process command because of one or more missing mandatory parameters: %s.", k)
		}
	}
	for _, k := range slices.Sorted(keys(params)) {
		a, ok := sig[k]
		if !ok {
			s.abuse("%s has no parameter %s", name, k)
			return nil, throw("System.Management.Automation.ParameterBindingException",
				"Parameter set cannot be resolved using the specified named parameters.")
		}
		v, ex := s.value(k, a, params[k])
		if ex != nil {
			return nil, ex
		}
		if v != nil {
			out[k] = v
		}
	}
	if strings.HasPrefix(name, "Get-") && out["Identity"] != nil {
		s.abuse("%s by identity: one that does not exist returns every object", name)
	}
	return out, nil
}

func keys(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// value binds one argument. nil: the service takes no notice of it.
func (s *Server) value(k string, a argument, v any) (any, *exception) {
	cannot := throw("System.Management.Automation.ParameterBindingArgumentTransformationException",
		"Cannot bind parameter '%s' to the target. Cannot convert value %q.", k, fmt.Sprint(v))
	switch v := v.(type) {
	case nil:
		if a.kind == "int" || a.kind == "bool" {
			return nil, cannot
		}
		return s.cleared("null"), nil
	case bool:
		if a.kind == "bool" {
			return v, nil
		}
	case float64:
		if a.kind == "int" && v == math.Trunc(v) {
			return int(v), nil
		}
	case string:
		return bindText(k, a, v, cannot)
	case []any:
		if a.kind != "list" && a.kind != "multi" {
			return nil, cannot
		}
		if len(v) == 0 {
			return s.cleared("array"), nil
		}
		return bindList(a, v, cannot)
	case map[string]any:
		if v["@odata.type"] != "#Exchange.GenericHashTable" || a.kind != "multi" && len(v) > 1 {
			return nil, cannot
		}
		if len(v) == 1 {
			return s.cleared("table"), nil
		}
		return bindEdit(a, v, cannot)
	}
	return nil, cannot
}

// cleared gives the argument that clears, if form is the one that does so in this tenant.
func (s *Server) cleared(form string) any {
	want := s.cfg.EmptyForm
	if want == "" {
		want = "table"
	}
	if form == want {
		return unset{}
	}
	return nil
}

func bindText(k string, a argument, v string, cannot *exception) (any, *exception) {
	switch a.kind {
	case "int":
		n, err := strconv.Atoi(v)
		if err != nil {
			return nil, cannot
		}
		return n, nil
	case "bool":
		return nil, cannot
	case "list", "multi":
		return []string{v}, nil
	}
	if a.members == nil {
		return v, nil
	}
	var hit []string
	for _, m := range a.members {
		if strings.EqualFold(m, v) {
			return m, nil
		}
		if v != "" && len(m) >= len(v) && strings.EqualFold(m[:len(v)], v) {
			hit = append(hit, m)
		}
	}
	if len(hit) == 1 {
		return hit[0], nil
	}
	return nil, throw("System.Management.Automation.ParameterBindingArgumentTransformationException",
		"Cannot bind parameter '%s'. Unable to match the identifier name %s to a valid enumerator name. Specify one of the following enumerator names and try again: %s",
		k, v, strings.Join(a.members, ", "))
}

func bindList(a argument, v []any, cannot *exception) (any, *exception) {
	var out []string
	for _, x := range v {
		x, ok := x.(string)
		if !ok {
			return nil, cannot
		}
		got, ex := bindText("", argument{kind: "string", members: a.members}, x, cannot)
		if ex != nil {
			return nil, ex
		}
		out = append(out, got.(string))
	}
	return out, nil
}

func bindEdit(a argument, v map[string]any, cannot *exception) (any, *exception) {
	var e edit
	for k, x := range v {
		if k == "@odata.type" {
			continue
		}
		if one, ok := x.(string); ok {
			x = []any{one}
		}
		l, ok := x.([]any)
		if !ok {
			return nil, cannot
		}
		got, ex := bindList(a, l, cannot)
		if ex != nil {
			return nil, ex
		}
		list, _ := got.([]string)
		switch strings.ToLower(k) {
		case "add":
			e.add = list
		case "remove":
			e.remove = list
		default:
			return nil, cannot
		}
	}
	return e, nil
}

// merged is the list that an argument makes of the one that is there; changed is false when it is the same.
func merged(have []string, v any) (out []string, changed bool) {
	switch v := v.(type) {
	case []string:
		out = slices.Clone(v)
	case unset:
		out = []string{}
	case edit:
		out = slices.Clone(have)
		for _, x := range v.add {
			if !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
		out = slices.DeleteFunc(out, func(x string) bool { return slices.Contains(v.remove, x) })
	}
	if out == nil {
		out = []string{}
	}
	return out, !slices.Equal(out, have)
}

// assign sets the fields that the arguments name, and says whether anything changed.
func assign(o Object, args map[string]any) bool {
	changed := false
	for k, v := range args {
		switch k {
		case "Identity", "Confirm", "WhatIf", "Force", "Ids":
			continue
		}
		have, isList := o[k].([]string)
		_, editing := v.(edit)
		list, listed := v.([]string)
		switch {
		case isList || editing || listed && o[k] == nil:
			got, diff := merged(have, v)
			if listed && o[k] == nil {
				got, diff = slices.Clone(list), true
			}
			o[k], changed = got, changed || diff
		case v == any(unset{}):
			changed = changed || o[k] != nil
			o[k] = nil
		default:
			changed = changed || o[k] != v
			o[k] = v
		}
	}
	return changed
}
