package peertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFigureEngines prints what becomes of the labelled corpus without and with rspamd and ClamAV beside the built-in
// scanners, as its files are: with what receiving servers wrote into them.
func TestFigureEngines(t *testing.T) {
	figures(t)
	needEngine(t, "rspamd")
	needEngine(t, "clamd")
	corpus := "../../../../shared/corpus"
	labels := labelled(t, corpus)
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	http, _, _ := rspamd(t)
	clam, _ := clamd(t, clamav(t, ""))
	for _, c := range []struct{ name, scanners string }{
		{"built-in", ""},
		{"built-in, rspamd, clamd", fmt.Sprintf("scanners: [structure, mailauth, attach, links, impostor, teststring, {name: rspamd, url: \"http://%s\"}, {name: clamd, address: \"unix:%s\"}]\n", http, clam)},
		{"rspamd", fmt.Sprintf("scanners: [{name: rspamd, url: \"http://%s\"}]\n", http)},
	} {
		file := filepath.Join(t.TempDir(), "postreeve.yaml")
		text := "hostname: mx.gw.example\nlisten: [\"127.0.0.1:2525\"]\ndomains:\n  ex.net: {next-hop: \"127.0.0.1:2599\", verification: waived}\n" + c.scanners
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		cmd := exec.Command(bin, "scan", "--no-dns", "--json", "-c", file, corpus)
		out, err := cmd.Output() // its code is about what was found
		if len(out) == 0 {
			t.Fatal(err)
		}
		report(t, c.name, out, labels, time.Since(start))
	}
}

// labelled reads which file of the corpus is what.
func labelled(t *testing.T, corpus string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpus, "labels.tsv"))
	if err != nil {
		t.Skip("there is no corpus beside the module")
	}
	out := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) >= 2 {
			out[f[0]], _, _ = strings.Cut(f[1], ":")
		}
	}
	return out
}

func report(t *testing.T, name string, out []byte, labels map[string]string, took time.Duration) {
	t.Helper()
	count, failed, all := make(map[string]map[string]int), make(map[string]int), 0
	for line := range bytes.Lines(out) {
		var r struct {
			Path, Class string
			Findings    []struct{ Scanner, Code, Error string }
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		_, path, _ := strings.Cut(r.Path, "/corpus/")
		path, _, _ = strings.Cut(path, "#")
		label := labels[path]
		if count[label] == nil {
			count[label] = make(map[string]int)
		}
		count[label][r.Class]++
		all++
		for _, f := range r.Findings {
			if f.Error != "" {
				failed[f.Scanner]++
			}
		}
	}
	t.Logf("%s: %d messages in %v, could not tell: %v", name, all, took.Round(time.Second), failed)
	for _, label := range slices.Sorted(maps.Keys(count)) {
		t.Logf("  %-18s %v", label, count[label])
	}
}
