package tnef_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict/internal/tnef"
)

func TestZDump(t *testing.T) {
	for _, g := range strings.Fields(os.Getenv("DUMP")) {
		ms, _ := filepath.Glob(g)
		for _, m := range ms {
			data, e := os.ReadFile(m)
			if e != nil {
				continue
			}
			rep, err := tnef.Inspect(t.Context(), bytes.NewReader(data), int64(len(data)), tnef.Limits{})
			fmt.Printf("== %s %v class=%q subject=%q\n", m, err, rep.Class, rep.Subject)
			for _, f := range rep.Files {
				r, _ := f.Open()
				b, err := io.ReadAll(r)
				fmt.Printf("  F %q %q %d %d %v %q\n", f.Name, f.Where, f.Size, len(b), err, b[:min(8, len(b))])
			}
			for _, f := range rep.Bodies {
				fmt.Printf("  B %q %q %d %q\n", f.Type, f.Where, len(f.Text), f.Text[:min(40, len(f.Text))])
			}
		}
	}
}
