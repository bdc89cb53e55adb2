package verdict_test

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
)

func TestCodes(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z]+(\.[a-z0-9-]+)+$`)
	seen := map[string]bool{}
	for _, c := range verdict.Codes() {
		if !form.MatchString(c.Code) || seen[c.Code] || c.Meaning == "" || c.Reason == "" || c.Class > verdict.Malicious || c.Score < -5 || c.Score > 10 {
			t.Errorf("%+v", c)
		}
		seen[c.Code] = true
		want := verdict.Finding{Code: c.Code, Class: c.Class, Score: c.Score}
		if diff := cmp.Diff(want, verdict.Found(c.Code)); diff != "" {
			t.Error(diff)
		}
	}
	if f := verdict.Found("nobody.knows"); f.Class != verdict.Unknown || f.Score != 0 {
		t.Errorf("%+v", f)
	}
}

func TestWeigh(t *testing.T) {
	t.Parallel()
	at := func(code string, score float64, class verdict.Class) verdict.Finding {
		return verdict.Finding{Scanner: "s", Code: code, Score: score, Class: class}
	}
	blind := verdict.Finding{Scanner: "b", Code: "b.failed", Err: errDisk}
	for _, c := range []struct {
		name  string
		merge verdict.Weigh
		in    []verdict.Finding
		score float64
		want  verdict.Class
	}{
		{"nothing", verdict.Weigh{}, nil, 0, verdict.Clean},
		{"a little", verdict.Weigh{}, []verdict.Finding{at("a.b", 4.9, 0)}, 4.9, verdict.Clean},
		{"adds up", verdict.Weigh{}, []verdict.Finding{at("a.b", 2.5, 0), at("a.c", 2.5, 0)}, 5, verdict.Spam},
		{"one kind counts once", verdict.Weigh{}, []verdict.Finding{at("a.b", 3, 0), at("a.b", 2, 0), at("a.b", 3, 0)}, 3, verdict.Clean},
		{"good evidence", verdict.Weigh{}, []verdict.Finding{at("a.b", 6, 0), at("a.c", -2, 0)}, 4, verdict.Clean},
		{"good evidence lowers no class", verdict.Weigh{}, []verdict.Finding{at("a.b", 0, verdict.Spam), at("a.c", -9, 0)}, -9, verdict.Spam},
		{"strong decides", verdict.Weigh{}, []verdict.Finding{at("a.b", 0, verdict.Malicious)}, 0, verdict.Malicious},
		{"never malicious by score", verdict.Weigh{}, []verdict.Finding{at("a.b", 1000, 0)}, 1000, verdict.Spam},
		{"malicious by score", verdict.Weigh{Malicious: 12}, []verdict.Finding{at("a.b", 6, 0), at("a.c", 6, 0)}, 12, verdict.Malicious},
		{"own threshold", verdict.Weigh{Spam: 2}, []verdict.Finding{at("a.b", 2, 0)}, 2, verdict.Spam},
		{"never by score", verdict.Weigh{Spam: -1}, []verdict.Finding{at("a.b", 100, 0)}, 100, verdict.Clean},
		{"blind", verdict.Weigh{}, []verdict.Finding{at("a.b", 6, 0), blind}, 6, verdict.Unknown},
		{"blind, and malicious", verdict.Weigh{}, []verdict.Finding{at("a.b", 0, verdict.Malicious), blind}, 0, verdict.Malicious},
		{"tenths add up exactly", verdict.Weigh{Spam: 0.3}, []verdict.Finding{at("a.b", 0.1, 0), at("a.c", 0.2, 0)}, 0.3, verdict.Spam},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := c.merge.Merge(nil, c.in); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if got := verdict.TotalScore(c.in); got != c.score {
				t.Errorf("score %v, want %v", got, c.score)
			}
		})
	}
}

func TestMemo(t *testing.T) {
	t.Parallel()
	type key string
	m := verdict.NewMessage(verdict.Bytes("Subject: x\r\n\r\n"))
	made := 0
	build := func() any { made++; return made }
	for range 3 {
		if got := m.Memo(key("a"), build); got != 1 {
			t.Errorf("got %v", got)
		}
	}
	if got := m.Memo(key("b"), build); got != 2 {
		t.Errorf("got %v", got)
	}
}
