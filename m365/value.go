package m365

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Params are the parameters of a cmdlet by name. A value is a string, bool, int or []string, an [Edit] of a
// list, or an [Empty] that clears one. [Client.Invoke] refuses anything else, and every name, kind and
// enum member that the cmdlet does not have.
type Params map[string]any

// An Edit adds members to a multi-valued property and removes others, and leaves the rest alone.
type Edit struct {
	Add    []string `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
}

// Empty clears a multi-valued property. The service takes one of three forms, which one is not documented
// for each parameter: [Client.Clear] tries them.
type Empty string

// The forms of an empty list on the wire. The zero value stands for EmptyTable.
const (
	EmptyTable Empty = "table" // {"@odata.type":"#Exchange.GenericHashTable"}
	EmptyArray Empty = "array" // []
	EmptyNull  Empty = "null"  // null
)

const hashTable = "#Exchange.GenericHashTable"

// wire returns the value as the service takes it.
func wire(v any) any {
	switch v := v.(type) {
	case Edit:
		out := map[string]any{"@odata.type": hashTable}
		if len(v.Add) > 0 {
			out["Add"] = v.Add
		}
		if len(v.Remove) > 0 {
			out["Remove"] = v.Remove
		}
		return out
	case Empty:
		switch v {
		case EmptyArray:
			return []string{}
		case EmptyNull:
			return nil
		}
		return map[string]any{"@odata.type": hashTable}
	}
	return v
}

// A Row is one object as the service returned it: a field that is not there is not a field that is false.
// The side-car keys of the wire ("Priority@data.type") are gone.
type Row map[string]json.RawMessage

// Has says whether the service returned the field with a value other than null.
func (r Row) Has(field string) bool {
	v, ok := r[field]
	return ok && !isNull(v)
}

// Text returns a scalar as text: numbers and booleans as they stand in JSON. False: absent, null or no scalar.
func (r Row) Text(field string) (string, bool) {
	v := bytes.TrimSpace(r[field])
	if len(v) == 0 || isNull(v) || v[0] == '{' || v[0] == '[' {
		return "", false
	}
	if v[0] != '"' {
		return string(v), true
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return "", false
	}
	return s, true
}

// Strings returns a multi-valued field, which the service sends as an array, as a bare string or as null.
func (r Row) Strings(field string) []string {
	if s, ok := r.Text(field); ok {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	var raw []json.RawMessage
	if json.Unmarshal(r[field], &raw) != nil {
		return nil
	}
	var out []string
	for _, v := range raw {
		if s, ok := (Row{"": v}).Text(""); ok {
			out = append(out, s)
		}
	}
	return out
}

// Bool returns a truth value; ok is false when the field is absent, null or none. "True" as text counts.
func (r Row) Bool(field string) (value, ok bool) {
	s, ok := r.Text(field)
	switch {
	case !ok:
		return false, false
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

// Int returns a whole number, sent as a number or as text.
func (r Row) Int(field string) (int, bool) {
	s, ok := r.Text(field)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(s))
	return n, err == nil
}

// Time returns a moment: ISO 8601 with up to seven digits of a second, UTC when no zone is given.
func (r Row) Time(field string) (time.Time, bool) {
	s, ok := r.Text(field)
	if !ok {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.9999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// Size returns a size in bytes: "39.06 MB (40,960,000 bytes)", "40000KB" or a plain number.
func (r Row) Size(field string) (int64, bool) {
	s, ok := r.Text(field)
	if !ok {
		return 0, false
	}
	return ParseSize(s)
}

// ParseSize reads a size as cmdlets take and return it. The number in parentheses is exact and wins.
func ParseSize(s string) (int64, bool) {
	if _, in, ok := strings.Cut(s, "("); ok {
		in, _, _ = strings.Cut(in, " bytes")
		n, err := strconv.ParseInt(strings.ReplaceAll(in, ",", ""), 10, 64)
		return n, err == nil && n >= 0
	}
	s = strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(s), " ", ""))
	shift := 0
	for unit, by := range map[string]int{"KB": 10, "MB": 20, "GB": 30, "TB": 40} {
		if strings.HasSuffix(s, unit) {
			s, shift = strings.TrimSuffix(s, unit), by
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(s, "B"), 10, 64)
	if err != nil || n < 0 || n > (1<<62)>>shift {
		return 0, false
	}
	return n << shift, true
}

// Fields lists the names of the fields, sorted.
func (r Row) Fields() []string { return slices.Sorted(maps.Keys(r)) }

func isNull(v json.RawMessage) bool { return string(bytes.TrimSpace(v)) == "null" }
