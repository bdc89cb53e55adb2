package m365

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The objects of a tenant are structs whose fields have the names of the wire. A field with the tag
// m365:"read" is returned by the service and never written; one with m365:"-" is neither.

// load fills the struct that out points to from a row. What is absent stays nil or empty.
func load(r Row, out any) {
	v := reflect.ValueOf(out).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Tag.Get("m365") == "-" {
			continue
		}
		switch p := v.Field(i).Addr().Interface().(type) {
		case *string:
			*p, _ = r.Text(f.Name)
		case *[]string:
			*p = r.Strings(f.Name)
		case **bool:
			if b, ok := r.Bool(f.Name); ok {
				*p = &b
			}
		case **int:
			if n, ok := r.Int(f.Name); ok {
				*p = &n
			}
		case *time.Time:
			*p, _ = r.Time(f.Name)
		}
	}
	if f := v.FieldByName("Row"); f.IsValid() {
		f.Set(reflect.ValueOf(r))
	}
}

// loadAll makes an object of every row.
func loadAll[T any](rows []Row, tidy func(*T)) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		load(r, &out[i])
		if tidy != nil {
			tidy(&out[i])
		}
	}
	return out
}

// paramsOf collects the fields of a struct that say something.
func paramsOf(in any) Params {
	out := Params{}
	v := reflect.ValueOf(in)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Tag.Get("m365") != "" {
			continue
		}
		switch x := v.Field(i).Interface().(type) {
		case string:
			if x != "" {
				out[f.Name] = x
			}
		case []string:
			if len(x) > 0 {
				out[f.Name] = slices.Clone(x)
			}
		case *bool:
			if x != nil {
				out[f.Name] = *x
			}
		case *int:
			if x != nil {
				out[f.Name] = *x
			}
		}
	}
	return out
}

// plainDomain turns "smtp:*;1", as sender domains are read back, into "*".
func plainDomain(s string) string {
	if kind, rest, ok := strings.Cut(s, ":"); ok && strings.EqualFold(kind, "smtp") {
		s = rest
	}
	s, _, _ = strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(s))
}

// lastDot shortens the name of a .NET class.
func lastDot(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }

// parsePrefix reads an address or a network; an address is a network of one.
func parsePrefix(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil
}
