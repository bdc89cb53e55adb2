package script_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict/internal/script"
)

func TestZDump(t *testing.T) {
	for _, g := range strings.Fields(os.Getenv("DUMP")) {
		ms, _ := filepath.Glob(g)
		for _, m := range ms {
			data, e := os.ReadFile(m)
			if e != nil {
				continue
			}
			rep, err := script.Inspect(t.Context(), data, script.Limits{})
			j, _ := json.Marshal(rep)
			s := string(j)
			for _, k := range []string{"null", "false", "\"\"", "0"} {
				parts := strings.Split(s, ",")
				var out []string
				for _, p := range parts {
					if !strings.HasSuffix(p, ":"+k) {
						out = append(out, p)
					}
				}
				s = strings.Join(out, ",")
			}
			fmt.Println("==", filepath.Base(m), err, s[:min(len(s), 400)])
		}
	}
}
