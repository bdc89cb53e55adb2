package m365

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// schemaText holds every parameter of every cmdlet this package calls, one cmdlet a line:
//
//	Cmdlet Name:kind[!][=Member|Member] ...
//
// where kind is string, bool, int, list (of strings) or multi (a list that can also be edited), and ! marks
// what must be there. It is condensed from the reference pages of Microsoft's office-docs-powershell
// repository (CC BY 4.0), without what exists on premises only.
//
//go:embed schema.txt
var schemaText string

// Schema returns the table of cmdlets and parameters that calls are checked against, one cmdlet a line.
func Schema() string { return schemaText }

type schema map[string]cmdlet

type cmdlet map[string]parameter

type parameter struct {
	kind     string
	required bool
	members  []string // of an enumeration; nil: none, or not listed
}

// cmdletSchema parses the table once. It is not changed after that.
var cmdletSchema = sync.OnceValues(func() (schema, error) { return parseSchema(schemaText) })

func parseSchema(text string) (schema, error) {
	out := schema{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		c := cmdlet{}
		for _, f := range fields[1:] {
			name, rest, ok := strings.Cut(f, ":")
			kind, members, enum := strings.Cut(rest, "=")
			p := parameter{kind: strings.TrimSuffix(kind, "!"), required: strings.HasSuffix(kind, "!")}
			if !ok || !slices.Contains([]string{"string", "bool", "int", "list", "multi"}, p.kind) {
				return nil, fmt.Errorf("m365: schema of %s: %q is no parameter", fields[0], f)
			}
			if enum {
				p.members = strings.Split(members, "|")
			}
			c[name] = p
		}
		out[fields[0]] = c
	}
	return out, nil
}

// check refuses what the service would refuse, and what it would take for something else: it binds enum
// members by prefix, and a parameter name it does not know by an error that names none.
func (s schema) check(call Call) error {
	c, ok := s[call.Cmdlet]
	if !ok {
		return badCall(call, "this package does not call such a cmdlet")
	}
	for name, p := range c {
		if _, ok := call.Params[name]; p.required && !ok {
			return badCall(call, "parameter "+name+" is missing")
		}
	}
	for _, name := range slices.Sorted(keysOf(call.Params)) {
		p, ok := c[name]
		if !ok {
			return badCall(call, fmt.Sprintf("there is no parameter %s%s", name, c.hint(name)))
		}
		if msg := p.check(call.Params[name]); msg != "" {
			return badCall(call, name+": "+msg)
		}
		if msg := limit(call.Cmdlet, name, call.Params[name]); msg != "" {
			return badCall(call, name+": "+msg)
		}
	}
	if _, ok := c["WhatIf"]; call.WhatIf && !ok {
		return badCall(call, "a reading cmdlet has no WhatIf")
	}
	return nil
}

func keysOf(p Params) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range p {
			if !yield(k) {
				return
			}
		}
	}
}

func badCall(call Call, msg string) error {
	return &Error{Cmdlet: call.Cmdlet, Object: oneLine(call.object(), 100), Kind: ErrInvalid, Message: msg}
}

// hint names the parameter that was probably meant.
func (c cmdlet) hint(name string) string {
	for k := range c {
		if strings.EqualFold(k, name) || strings.EqualFold(k+"s", name) || strings.EqualFold(k, name+"s") {
			return ": is it " + k + "?"
		}
	}
	return ""
}

func (p parameter) check(v any) string {
	switch v := v.(type) {
	case string:
		if p.kind == "bool" || p.kind == "int" {
			return "want a " + p.kind
		}
		return p.checkText(v)
	case bool:
		if p.kind != "bool" {
			return "want no truth value"
		}
	case int:
		if p.kind != "int" {
			return "want no number"
		}
	case []string:
		if p.kind != "list" && p.kind != "multi" {
			return "want no list"
		}
		if len(v) == 0 {
			return "an empty list is written as Empty"
		}
		return p.checkAll(v)
	case Edit:
		if p.kind != "multi" {
			return "this list can only be replaced"
		}
		if len(v.Add)+len(v.Remove) == 0 {
			return "nothing to add and nothing to remove"
		}
		return p.checkAll(slices.Concat(v.Add, v.Remove))
	case Empty:
		if p.kind == "bool" || p.kind == "int" || p.kind == "string" && v != EmptyNull {
			return "this cannot be cleared like this"
		}
		if !slices.Contains([]Empty{"", EmptyTable, EmptyArray, EmptyNull}, v) {
			return "unknown form of an empty list"
		}
	default:
		return fmt.Sprintf("a %T is no value of a parameter", v)
	}
	return ""
}

func (p parameter) checkAll(all []string) string {
	for _, s := range all {
		if s == "" {
			return "an empty member"
		}
		if msg := p.checkText(s); msg != "" {
			return msg
		}
	}
	return ""
}

func (p parameter) checkText(s string) string {
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, notPrintable):
		return "control characters are not allowed"
	case len(s) > 8192:
		return "longer than 8192 bytes"
	case p.members != nil && !slices.Contains(p.members, s):
		return fmt.Sprintf("%q is none of %s", s, strings.Join(p.members, ", "))
	}
	return ""
}

// The limits of the service, from its description and the cmdlet pages.
const (
	maxName         = 64
	maxComments     = 1024
	maxAdminDisplay = 255
	maxFilterIPs    = 1273
)

// limit checks what the kind of a parameter does not say.
func limit(cmdlet, name string, v any) string {
	switch name {
	case "Name", "DisplayName":
		s, _ := v.(string)
		if strings.HasSuffix(cmdlet, "Connector") || strings.HasSuffix(cmdlet, "TransportRule") || strings.HasSuffix(cmdlet, "RoleGroup") {
			return atMost(s, maxName)
		}
	case "Comment", "Comments":
		s, _ := v.(string)
		return atMost(s, maxComments)
	case "AdminDisplayName":
		s, _ := v.(string)
		return atMost(s, maxAdminDisplay)
	case "Identity":
		if s, ok := v.(string); ok && strings.TrimSpace(s) == "" {
			return "an empty identity may mean every object"
		}
	case "Priority":
		if n, ok := v.(int); ok && n < 0 {
			return "counts from 0"
		}
	case "SetSCL", "ExceptIfSCLOver", "SCLOver":
		if n, ok := v.(int); ok && (n < -1 || n > 9) {
			return "from -1 to 9"
		}
	case "IPAllowList", "IPBlockList":
		return addresses(v, maxFilterIPs, true)
	case "SenderIPAddresses":
		return addresses(v, maxFilterIPs, false)
	case "SetHeaderName", "RemoveHeader", "ExceptIfHeaderContainsMessageHeader", "ExceptIfHeaderMatchesMessageHeader",
		"HeaderContainsMessageHeader", "HeaderMatchesMessageHeader":
		s, ok := v.(string)
		if ok && (s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' })) {
			return "no name of a header field"
		}
	}
	return ""
}

func atMost(s string, n int) string {
	if c := utf8.RuneCountInString(s); c > n {
		return fmt.Sprintf("%d characters, %d at most", c, n)
	}
	return ""
}

// addresses checks what goes into an IP list: IPv4 alone, or with a mask from /24 to /32; where the service
// takes it, also a range of at most 256 addresses.
func addresses(v any, most int, ranges bool) string {
	var all []string
	switch v := v.(type) {
	case string:
		all = []string{v}
	case []string:
		all = v
	case Edit:
		all = v.Add // what is to go may be whatever someone put there
	}
	if len(all) > most {
		return fmt.Sprintf("%d entries, %d at most", len(all), most)
	}
	for _, s := range all {
		if msg := address(s, ranges); msg != "" {
			return fmt.Sprintf("%q: %s", s, msg)
		}
	}
	return ""
}

func address(s string, ranges bool) string {
	if from, to, ok := strings.Cut(s, "-"); ok && ranges {
		a, err1 := netip.ParseAddr(from)
		b, err2 := netip.ParseAddr(to)
		if err1 != nil || err2 != nil || !a.Is4() || !b.Is4() || b.Less(a) {
			return "no range of IPv4 addresses"
		}
		x, y := a.As4(), b.As4()
		if binary.BigEndian.Uint32(y[:])-binary.BigEndian.Uint32(x[:]) >= 256 {
			return "a range has 256 addresses at most"
		}
		return ""
	}
	if !strings.Contains(s, "/") {
		if a, err := netip.ParseAddr(s); err != nil || !a.Is4() {
			return "no IPv4 address"
		}
		return ""
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return "no IPv4 network"
	}
	if p.Bits() < 24 {
		return "the mask must be from /24 to /32"
	}
	return ""
}
