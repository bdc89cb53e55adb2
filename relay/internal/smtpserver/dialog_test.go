package smtpserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/relay/internal/dialogtest"
)

func TestDialogs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/dialogs/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dialogs: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, variant := range []string{"", "-- bytes\n"} {
				d, err := dialogtest.Parse(variant + string(text))
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := d.Settings["whole"]; ok && variant != "" {
					continue // what matters is that octets arrive together
				}
				delete(d.Settings, "whole")
				bubble(t, func(t *testing.T) { play(t, d) })
			}
		})
	}
}

func play(t *testing.T, d *dialogtest.Dialog) {
	l := dialogtest.Listen()
	s := configured(t, d.Settings, l)
	r := start(t, s)
	r.Client = l.Client
	if err := d.Run(t.Context(), r.Dial); err != nil {
		t.Error(err)
	}
	r.end()
	if err := d.Check(r.rec.Messages()); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("log of the server:\n%s", r.log)
	}
}
