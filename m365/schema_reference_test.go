package m365_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/m365"
)

// The table of cmdlets says the same as the reference pages it was condensed from: every parameter, what must be
// there, and what kind it is.
func TestSchemaMatchesReference(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "shared", "reference", "exchange-cmdlets.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the reference is not beside the module")
	}
	if err != nil {
		t.Fatal(err)
	}
	type parameter struct {
		Cloud, Required bool
		Type            string
		Values          []string
	}
	var reference map[string]map[string]parameter
	if err := json.Unmarshal(raw, &reference); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(m365.Schema()) {
		fields := strings.Fields(line)
		want, ok := reference[fields[0]]
		if !ok {
			t.Logf("%s is not in the reference", fields[0])
			continue
		}
		for name, p := range want {
			if p.Required && p.Cloud && !slices.Contains([]string{"ServiceId", "ShortenEventScopeDefault"}, name) && !strings.Contains(line, " "+name+":") {
				t.Errorf("%s: the table lacks %s, which must be there", fields[0], name)
			}
		}
		for _, f := range fields[1:] {
			name, rest, _ := strings.Cut(f, ":")
			kind, members, _ := strings.Cut(rest, "=")
			p, ok := want[name]
			if !ok {
				t.Errorf("%s has no parameter %s", fields[0], name)
				continue
			}
			if !p.Cloud {
				t.Errorf("%s: %s exists on premises only", fields[0], name)
			}
			if fields[0] == "New-ServicePrincipal" && name == "ServiceId" {
				continue // the former name of ObjectId, which stands for it
			}
			if p.Required != strings.HasSuffix(kind, "!") {
				t.Errorf("%s: %s is required: %v in the reference, %v in the table", fields[0], name, p.Required, !p.Required)
			}
			for m := range strings.SplitSeq(members, "|") {
				if len(p.Values) > 0 && members != "" && !slices.ContainsFunc(p.Values, func(v string) bool { return strings.EqualFold(strings.TrimSpace(v), m) }) {
					t.Errorf("%s: %s has no member %s, but %q", fields[0], name, m, p.Values)
				}
			}
			if got := kindOfType(p.Type); got != "" && !slices.Contains(strings.Split(got, " "), strings.TrimSuffix(kind, "!")) {
				t.Errorf("%s: %s is a %s, the table says %s", fields[0], name, p.Type, kind)
			}
		}
	}
}

// kindOfType is the kind, or the kinds, that stand for a .NET type. Empty: a name of its own, passed as text.
func kindOfType(s string) string {
	switch {
	case strings.HasSuffix(s, "[]"):
		return "list multi"
	case strings.HasPrefix(s, "MultiValuedProperty"):
		return "multi list"
	case s == "Boolean", s == "SwitchParameter":
		return "bool"
	case s == "Int32", s == "UInt32", s == "SclValue":
		return "int string"
	case s == "String":
		return "string"
	}
	return ""
}
