package m365

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// form is the kind of value a field has: how it is read, compared and shown.
type form uint8

const (
	formText   form = iota // compared without regard to case
	formExact              // compared byte by byte
	formBool               // absent is false
	formInt                // absent is nil
	formSet                // words, in no order, without regard to case
	formIPs                // addresses and networks, in no order
	formScope              // sender domains: smtp:*;1 is *
	formSize               // bytes
	formHidden             // exact, and secret
	formSecret             // a set of secrets
)

// normal returns the value of a row in normal form: string, bool, int, []string, or nil for an absent number.
func (k form) normal(r Row, name string) any {
	switch k {
	case formBool:
		b, _ := r.Bool(name)
		return b
	case formInt:
		if n, ok := r.Int(name); ok {
			return n
		}
		return nil
	case formSize:
		if n, ok := r.Size(name); ok {
			return int(min(n, 1<<31-1))
		}
		return nil
	case formSet, formIPs, formScope, formSecret:
		return k.set(r.Strings(name))
	case formText:
		s, _ := r.Text(name)
		return strings.TrimSpace(s)
	}
	s, _ := r.Text(name)
	return s
}

// set brings a list into normal form.
func (k form) set(list []string) []string {
	switch k {
	case formIPs:
		return normIPs(list)
	case formScope:
		out := make([]string, len(list))
		for i, s := range list {
			out[i] = plainDomain(s)
		}
		return normWords(out)
	case formSecret:
		out := slices.Clone(list)
		slices.Sort(out)
		return slices.Compact(out)
	}
	return normWords(list)
}

// equal compares two values in normal form.
func (k form) equal(a, b any) bool {
	switch a := a.(type) {
	case []string:
		b, _ := b.([]string)
		return slices.Equal(a, b)
	case string:
		b, _ := b.(string)
		if k == formText {
			return strings.EqualFold(a, b)
		}
		return a == b
	}
	return a == b
}

// normWords lowers, sorts and dedupes. It never returns nil, so that JSON shows an empty list.
func normWords(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		if s = strings.ToLower(strings.TrimSpace(s)); s != "" {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// normIPs writes networks with their host bits gone and single addresses without a mask. What is neither,
// such as a range, stays as it is.
func normIPs(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, normIP(s))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func normIP(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	if from, to, ok := strings.Cut(s, "-"); ok && strings.TrimSpace(from) == strings.TrimSpace(to) {
		return normIP(strings.TrimSpace(from))
	}
	px, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return strings.ToLower(s)
	case px.IsSingleIP():
		return px.Addr().Unmap().String()
	}
	return px.Masked().String()
}

// normInfrastructure is the sending side of a spoof pair. The service takes a single address and a /24 and is
// not documented to keep the difference, so both stand for the network.
func normInfrastructure(s string) string {
	if px, err := netip.ParsePrefix(s); err == nil && px.Addr().Is4() {
		return netip.PrefixFrom(px.Addr(), 24).Masked().String()
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return netip.PrefixFrom(a, 24).Masked().String()
	}
	return strings.ToLower(strings.TrimSpace(s))
}

// inAny says whether an address is in one of the networks.
func inAny(addr string, networks []string) bool {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	for _, n := range networks {
		if px, err := netip.ParsePrefix(n); err == nil && px.Contains(a.Unmap()) || n == a.Unmap().String() {
			return true
		}
	}
	return false
}

// sizeText writes bytes as cmdlets take them.
func sizeText(n int) string {
	if n%1024 == 0 {
		return strconv.Itoa(n/1024) + "KB"
	}
	return strconv.Itoa(n) + "B"
}
