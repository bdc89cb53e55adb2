// Package archtest holds the directions of imports: see the package documentation of the module.
package archtest

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/postreeve/postreeve/"

// forbidden says what a package and the packages below it must not depend on, directly or not. A name
// without a dot in its first element is of this module or of the standard library.
var forbidden = []struct {
	pkg  string
	deps []string
	why  string
}{
	{"verdict", []string{"relay", "dnsverify", "m365", "gworkspace", "cmd", "net/http"}, "a classifier knows nothing of delivery"},
	{"relay", []string{"dnsverify", "m365", "gworkspace", "cmd"}, "the relay knows only verdict"},
	{"dnsverify", []string{"verdict", "relay", "m365", "gworkspace", "cmd"}, "dnsverify stands alone"},
	{"m365", []string{"verdict", "relay", "dnsverify", "gworkspace", "cmd"}, "m365 stands alone"},
	{"gworkspace", []string{"verdict", "relay", "dnsverify", "m365", "cmd"}, "gworkspace stands alone"},
}

// light are packages that an importer must get without anything heavy, and whose own dependencies
// outside the standard library are listed in full.
var light = map[string][]string{
	"verdict": {},
	"relay":   {"github.com/emersion/go-sasl", "github.com/emersion/go-smtp", "golang.org/x/sync", "golang.org/x/sys"},
}

type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	Doc        string
	GoFiles    []string
}

func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps,Doc,GoFiles", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	return all
}

func under(path, parent string) bool { return path == parent || strings.HasPrefix(path, parent+"/") }

func TestImports(t *testing.T) {
	t.Parallel()
	all := list(t)
	seen := 0
	for _, p := range all {
		ours, ok := strings.CutPrefix(p.ImportPath, module)
		if !ok {
			continue
		}
		seen++
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package documentation", ours)
		}
		for _, rule := range forbidden {
			if !under(ours, rule.pkg) {
				continue
			}
			for _, dep := range p.Deps {
				dep, inside := strings.CutPrefix(dep, module)
				for _, bad := range rule.deps {
					if strings.Contains(bad, "/") && !inside && dep == bad && ours == rule.pkg || inside && under(dep, bad) {
						t.Errorf("%s depends on %s: %s", ours, dep, rule.why)
					}
				}
			}
		}
		for _, dep := range p.Imports {
			if child, ok := strings.CutPrefix(dep, p.ImportPath+"/"); ok && !strings.HasPrefix(child, "internal/") && !strings.HasPrefix(ours, "cmd/") {
				t.Errorf("%s imports its own subpackage %s: parents know nothing of their children", ours, child)
			}
		}
	}
	if seen < 5 {
		t.Errorf("go list shows %d packages of this module, so this test has looked at nothing", seen)
	}
}

func TestLightPackages(t *testing.T) {
	t.Parallel()
	all := list(t)
	for name, allowed := range light {
		p, ok := all[module+name]
		if !ok {
			t.Errorf("no package %s", name)
			continue
		}
	deps:
		for _, dep := range p.Deps {
			if d, ok := all[dep]; ok && d.Standard || strings.HasPrefix(dep, module) || strings.HasPrefix(dep, "vendor/") {
				continue
			}
			for _, a := range allowed {
				if under(dep, a) {
					continue deps
				}
			}
			t.Errorf("who imports %s links %s, which is not on its list", name, dep)
		}
	}
}
