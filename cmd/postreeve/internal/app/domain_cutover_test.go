package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// TestDomainCutoverUnknown: no plan sends mail to a gateway that would refuse it.
func TestDomainCutoverUnknown(t *testing.T) {
	t.Parallel()
	l := newLab(t, dnstest.Records{"@": {"300 MX 10 mail"}, "sub": {"300 MX 10 mail"}, "mail": {"A 127.0.0.1"}}, "  .ex.net: {next-hop: \"127.0.0.1:2599\"}\n")
	l.add(t)
	if got := l.do(t, 3, "cutover", "ex.net", "--hop", "127.0.0.1:2599"); got.out != "" || !strings.Contains(got.err, "ex.net is not in ") {
		t.Errorf("only names below it are taken: %+v", got)
	}
	l.do(t, 0, "add", "sub.ex.net")
	l.do(t, 0, "cutover", "sub.ex.net", "--hop", "127.0.0.1:2599")
	l.add(t, "--tenant", "other")
	replace(t, l.file, strings.Replace(read(t, l.file), "  .ex.net:", "  ex.net:", 1))
	if got := l.do(t, 3, "cutover", "ex.net", "--tenant", "other"); got.out != "" || !strings.Contains(got.err, "belongs to tenant default") {
		t.Errorf("another tenant: %+v", got)
	}
	l.do(t, 0, "cutover", "ex.net")
	replace(t, l.file, strings.Replace(read(t, l.file), "  ex.net:", "  ex.org:", 1))
	l.do(t, 3, "cutover", "ex.net", "--check")
	l.do(t, 0, "cutover", "ex.net", "--back") // the way back is open all the same
	state := filepath.Join(l.dir, "state")
	change(t, state, "domain", "ex.net", strings.ReplaceAll(recordOf(t, state, "domain", "ex.net"), `"state":"pending"`, `"state":"conflict"`))
	if got := l.do(t, 3, "cutover", "ex.net", "--back"); !strings.Contains(got.err, "two tenants") {
		t.Errorf("a conflict: %+v", got)
	}
	l.do(t, 0, "remove", "--force", "sub.ex.net")
	replace(t, l.file, strings.Replace(read(t, l.file), "  ex.org:", "  .ex.net:", 1))
	if got := l.do(t, 3, "cutover", "sub.ex.net", "--again"); !strings.Contains(got.err, "was given up") {
		t.Errorf("given up: %+v", got)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
