package verdict_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
)

func TestFindingJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   verdict.Finding
		want string
	}{
		{"nothing", verdict.Finding{}, `{"scanner":"","code":"","class":"unknown"}`},
		{"everything", verdict.Finding{Scanner: "s", Code: "a.b", Class: verdict.Spam, Score: 1.5, Detail: "<&\n", Part: "1.2 x.zip", Err: errors.New("no")},
			`{"scanner":"s","code":"a.b","class":"spam","score":1.5,"detail":"\u003c\u0026\n","part":"1.2 x.zip","error":"no"}`},
		{"no class", verdict.Finding{Code: "a.b", Class: 9}, `{"scanner":"","code":"a.b","class":"unknown"}`},
		{"no number", verdict.Finding{Code: "a.b", Score: math.NaN()}, `{"scanner":"","code":"a.b","class":"unknown"}`},
		{"infinite", verdict.Finding{Code: "a.b", Score: math.Inf(-1)}, `{"scanner":"","code":"a.b","class":"unknown"}`},
		{"no text", verdict.Finding{Code: "a.b", Detail: "\xff"}, `{"scanner":"","code":"a.b","class":"unknown","detail":"\ufffd"}`},
	} {
		got, err := json.Marshal(tt.in)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v\nwant %s", tt.name, got, err, tt.want)
		}
	}
}

func TestRunJSON(t *testing.T) {
	t.Parallel()
	for want, in := range map[string]verdict.Run{
		`{"scanner":"s","outcome":"done","took_ms":1.5}`:                                {Scanner: "s", Outcome: verdict.Done, Took: 1500 * time.Microsecond},
		`{"scanner":"s","outcome":"failed","monitor":true,"took_ms":0,"error":"no \""}`: {Scanner: "s", Outcome: verdict.Failed, Monitor: true, Err: errors.New(`no "`)},
	} {
		if got, err := json.Marshal(in); err != nil || string(got) != want {
			t.Errorf("%s, %v\nwant %s", got, err, want)
		}
	}
}

func TestReportFailed(t *testing.T) {
	t.Parallel()
	r := &verdict.Report{Runs: []verdict.Run{
		{Scanner: "a", Outcome: verdict.Done}, {Scanner: "b", Outcome: verdict.Failed},
		{Scanner: "c", Outcome: verdict.Skipped}, {Scanner: "d", Outcome: verdict.TimedOut},
	}}
	var got []string
	for _, run := range r.Failed() {
		got = append(got, run.Scanner)
	}
	if d := cmp.Diff([]string{"b", "d"}, got); d != "" {
		t.Error(d)
	}
}

// A finding that no reader of a report could make sense of is a failure of its scanner.
func TestJudgeDisarms(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]verdict.Finding{
		"no class":  {Code: "a.b", Class: 77},
		"no number": {Code: "a.b", Class: verdict.Clean, Score: math.NaN()},
		"infinite":  {Code: "a.b", Class: verdict.Spam, Score: math.Inf(1)},
	} {
		bad := verdict.Func("bad", func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
			return []verdict.Finding{f}, nil
		})
		r := (&verdict.Engine{Scanners: []verdict.Scanner{bad}}).Judge(t.Context(), verdict.NewMessage(mail))
		if r.Class != verdict.Unknown || len(r.Findings) != 1 || r.Findings[0].Err == nil {
			t.Errorf("%s: %v %+v", name, r.Class, r.Findings)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r = (&verdict.Engine{Scanners: []verdict.Scanner{verdict.MonitorOnly(bad), verdict.Nothing}}).Judge(t.Context(), verdict.NewMessage(mail))
		if r.Class != verdict.Clean {
			t.Errorf("%s, monitored: %v", name, r.Class)
		}
	}
}

func TestJudgeBadMerge(t *testing.T) {
	t.Parallel()
	for name, merge := range map[string]verdict.Merge{
		"panics":   func(*verdict.Message, []verdict.Finding) verdict.Class { panic("ouch") },
		"no class": func(*verdict.Message, []verdict.Finding) verdict.Class { return 200 },
	} {
		e := &verdict.Engine{Scanners: []verdict.Scanner{envelopeScanner{verdict.Nothing}}, Merge: merge}
		for way, judge := range map[string]func(context.Context, *verdict.Message) *verdict.Report{"judge": e.Judge, "envelope": e.JudgeEnvelope} {
			r := judge(t.Context(), verdict.NewMessage(mail))
			if r.Class != verdict.Unknown || len(r.Findings) != 1 || r.Findings[0].Err == nil {
				t.Errorf("%s, %s: %v %+v", name, way, r.Class, r.Findings)
			}
		}
	}
}

// When the time is over before a scanner begins, nobody looks, however fast it would have been.
func TestJudgeEndedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	asked := verdict.Func("asked", func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
		t.Error("asked")
		return nil, nil
	})
	r := (&verdict.Engine{Scanners: []verdict.Scanner{asked}}).Judge(ctx, verdict.NewMessage(mail))
	if r.Class != verdict.Unknown || len(r.Failed()) != 1 || !errors.Is(r.Runs[0].Err, context.Canceled) {
		t.Errorf("%v %+v", r.Class, r.Runs)
	}
}

// A scanner that ends its goroutine has failed at that moment, and does not count as running for ever.
func TestJudgeGoexit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &verdict.Engine{Scanners: []verdict.Scanner{verdict.Func("ends", func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
			runtime.Goexit()
			return nil, nil
		})}}
		start := time.Now()
		for range 100 {
			r := e.Judge(t.Context(), verdict.NewMessage(mail))
			if r.Class != verdict.Unknown || r.Runs[0].Outcome != verdict.Failed {
				t.Fatalf("%v %+v", r.Class, r.Runs)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v for nobody", took)
		}
	})
}
