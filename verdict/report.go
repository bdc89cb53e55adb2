package verdict

import (
	"encoding/json"
	"math"
	"time"
)

// Report is what an engine has to say about one message: what it is, why, and who looked.
type Report struct {
	Class    Class
	Score    float64   // TotalScore of the findings
	Findings []Finding // in the order of the scanners, whatever the timing was
	Runs     []Run     // one for each scanner, in order: the coverage
	Auth     AuthResults
	Took     time.Duration
}

// Run says whether and how one scanner looked. "Found nothing" and "did not look" are different things.
type Run struct {
	Scanner string
	Outcome Outcome
	Monitor bool // it looked, or failed to, without a vote
	Took    time.Duration
	Err     error // why, when it failed
}

// Outcome is how the run of one scanner ended.
type Outcome string

const (
	Done     Outcome = "done"    // looked at the message; findings are complete
	Skipped  Outcome = "skipped" // was not asked, by a condition or because the answer was settled
	Failed   Outcome = "failed"  // returned an error or panicked: could not tell
	TimedOut Outcome = "timeout" // did not answer within its deadline or the engine's budget
)

// Failed returns the runs that failed or timed out.
func (r *Report) Failed() []Run {
	var out []Run
	for _, run := range r.Runs {
		if run.Outcome == Failed || run.Outcome == TimedOut {
			out = append(out, run)
		}
	}
	return out
}

// MarshalJSON writes class, score, findings, runs and took_ms. What is known about the sender is the message's to
// show.
func (r *Report) MarshalJSON() ([]byte, error) {
	out := struct {
		Class    Class     `json:"class"`
		Score    float64   `json:"score,omitempty"`
		Findings []Finding `json:"findings"`
		Runs     []Run     `json:"runs"`
		TookMS   float64   `json:"took_ms"`
	}{r.Class, r.Score, r.Findings, r.Runs, milliseconds(r.Took)}
	if out.Class > Malicious {
		out.Class = Unknown
	}
	return json.Marshal(out)
}

// MarshalJSON writes the finding with lower-case keys and its error as text. A class or score that is
// none, which an engine lets nobody report, is left out: one finding must not make a report unreadable.
func (f Finding) MarshalJSON() ([]byte, error) {
	if f.Class > Malicious {
		f.Class = Unknown
	}
	if math.IsNaN(f.Score) || math.IsInf(f.Score, 0) {
		f.Score = 0
	}
	out := struct {
		Scanner string  `json:"scanner"`
		Code    string  `json:"code"`
		Class   Class   `json:"class"`
		Score   float64 `json:"score,omitempty"`
		Detail  string  `json:"detail,omitempty"`
		Part    string  `json:"part,omitempty"`
		Error   string  `json:"error,omitempty"`
	}{f.Scanner, f.Code, f.Class, f.Score, f.Detail, f.Part, errorText(f.Err)}
	return json.Marshal(out)
}

// MarshalJSON writes the run with lower-case keys, its time in milliseconds and its error as text.
func (r Run) MarshalJSON() ([]byte, error) {
	out := struct {
		Scanner string  `json:"scanner"`
		Outcome Outcome `json:"outcome"`
		Monitor bool    `json:"monitor,omitempty"`
		TookMS  float64 `json:"took_ms"`
		Error   string  `json:"error,omitempty"`
	}{r.Scanner, r.Outcome, r.Monitor, milliseconds(r.Took), errorText(r.Err)}
	return json.Marshal(out)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
