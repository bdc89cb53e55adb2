package ics_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict/internal/ics"
)

func TestZDump(t *testing.T) {
	for _, g := range strings.Fields(os.Getenv("DUMP")) {
		ms, _ := filepath.Glob(g)
		for _, m := range ms {
			data, e := os.ReadFile(m)
			if e != nil {
				continue
			}
			rep, err := ics.Inspect(t.Context(), data, ics.Limits{})
			j, _ := json.Marshal(rep)
			s := string(j)
			fmt.Println("==", m[25:], err, len(rep.Items), s[:min(len(s), 300)])
		}
	}
}
