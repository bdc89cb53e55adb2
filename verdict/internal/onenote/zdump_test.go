package onenote_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict/internal/onenote"
)

func TestZDump(t *testing.T) {
	for _, g := range strings.Fields(os.Getenv("DUMP")) {
		ms, _ := filepath.Glob(g)
		for _, m := range ms {
			data, e := os.ReadFile(m)
			if e != nil {
				continue
			}
			rep, err := onenote.Inspect(t.Context(), bytes.NewReader(data), int64(len(data)), onenote.Limits{})
			fmt.Printf("== %s %v %q\n", m, err, rep.Names)
			for _, f := range rep.Files {
				r, _ := f.Open()
				b, err := io.ReadAll(r)
				fmt.Printf("  F %q %q %d %d %v %q\n", f.Name, f.Where, f.Size, len(b), err, b[:min(8, len(b))])
			}
		}
	}
}
