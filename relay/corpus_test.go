package relay_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// corpus finds the folder of real messages beside the module, or skips the test.
func corpus(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not inside a module")
		}
	}
	dir = filepath.Join(dir, "..", "shared", "corpus")
	if _, err := os.Stat(filepath.Join(dir, "labels.tsv")); err != nil {
		t.Skip("no corpus of real messages beside the module: ", err)
	}
	return dir
}

// labelled yields the files of the corpus that have one of the labels.
func labelled(t *testing.T, dir string, labels ...string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "labels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(line, "\t"); len(f) >= 2 && slices.Contains(labels, f[1]) {
			out = append(out, filepath.Join(dir, f[0]))
		}
	}
	return out
}

// unfit says why a message must be refused, judged by rules written down here once more: bare CR, bare
// LF, NUL, lines over 64 KiB. Empty: it must pass.
func unfit(data []byte) string {
	for i, c := range data {
		switch {
		case c == 0:
			return "NUL"
		case c == '\n' && (i == 0 || data[i-1] != '\r'):
			return "bare LF"
		case c == '\r' && (i+1 == len(data) || data[i+1] != '\n'):
			return "bare CR"
		}
	}
	for line := range bytes.Lines(data) {
		if len(line) > 64<<10 {
			return "line too long"
		}
	}
	return ""
}

// Every message of the corpus goes through server, relay and client and arrives with the same bytes, or is
// refused with the reason. Most files have LF line ends; a second turn sends them with CRLF, as clients do.
func TestCorpusByteIdentity(t *testing.T) {
	t.Parallel()
	files := labelled(t, corpus(t), "ham", "spam", "phish", "parser")
	for _, hop := range []string{"CHUNKING", "no CHUNKING"} {
		t.Run("hop with "+hop, func(t *testing.T) {
			t.Parallel()
			sink := &relaytest.Sink{}
			if hop == "no CHUNKING" {
				sink.Without = []string{"CHUNKING"}
			}
			addr := serve(t, sink, func(s *relay.Server) {
				s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{verdict.Nothing}}
				s.Limits.Errors = -1
				s.Headers.Prefix = "X-Nothing-In-The-Corpus-Begins-Like-This"
			})
			c := greeted(t, addr)
			count := map[string]int{}
			taken := 0
			for _, file := range files {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				mended := bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
				for turn, data := range map[string][]byte{"as it is": raw, "with CRLF": mended} {
					for _, way := range []string{"DATA", "BDAT"} {
						why := unfit(data)
						reply := c.submit(data, way)
						count[turn+", "+way+": "+outcome(why)]++
						if why != "" {
							if !strings.HasPrefix(reply, "554 5.6.0") || !strings.Contains(reply, why) {
								t.Errorf("%s %s by %s: %q, want it refused for %s", file, turn, way, reply, why)
							}
							continue
						}
						if !strings.HasPrefix(reply, "250") {
							t.Errorf("%s %s by %s: %q", file, turn, way, reply)
							continue
						}
						taken++
						c.same(file, data, sink)
					}
				}
			}
			if got := len(sink.Messages()); got != taken {
				t.Errorf("%d messages at the next hop, want %d", got, taken)
			}
			for _, k := range slices.Sorted(maps.Keys(count)) {
				t.Logf("%-40s %5d", k, count[k])
			}
		})
	}
}

func outcome(why string) string {
	if why == "" {
		return "passes unchanged"
	}
	return "refused, " + why
}

// submit sends one message by DATA or by BDAT, in two chunks that are cut anywhere.
func (c *client) submit(data []byte, way string) string {
	c.t.Helper()
	c.say("MAIL FROM:<a@ex.org>", "250")
	c.say("RCPT TO:<b@ex.net>", "250")
	if way == "BDAT" {
		cut := len(data) / 3
		c.send(fmt.Sprintf("BDAT %d\r\n%s", cut, data[:cut]))
		first := c.expect("")
		c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(data)-cut, data[cut:]))
		last := c.expect("")
		if !strings.HasPrefix(first, "250") {
			return first
		}
		return last
	}
	c.say("DATA", "354")
	stuffed := bytes.ReplaceAll(data, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(data, []byte(".")) {
		stuffed = append([]byte("."), stuffed...)
	}
	if !bytes.HasSuffix(stuffed, []byte("\r\n")) && len(stuffed) > 0 {
		stuffed = append(stuffed, "\r\n"...)
	}
	c.send(string(stuffed) + ".\r\n")
	return c.expect("")
}

// same compares what the sink took last with what was sent.
func (c *client) same(file string, data []byte, sink *relaytest.Sink) {
	c.t.Helper()
	all := sink.Messages()
	got := all[len(all)-1].Data
	for _, end := range []string{"", "\r\n"} { // DATA cannot but end the last line
		if body, ok := bytes.CutSuffix(got, append(slices.Clone(data), end...)); ok && sha256.Sum256(got[len(body):len(body)+len(data)]) == sha256.Sum256(data) {
			for line := range bytes.Lines(body) {
				if !bytes.HasPrefix(line, []byte("Received: ")) && !bytes.HasPrefix(line, []byte("X-Nothing-In-The-Corpus-Begins-Like-This-")) {
					c.t.Errorf("%s: an undeclared line on top: %q", file, line)
				}
			}
			return
		}
	}
	c.t.Errorf("%s has changed on its way", file)
}
