package verdict

import (
	"context"
	"fmt"
	"strings"
)

// Structure is a Scanner that reports the anomalies of a message as evidence: each is a finding with
// its code, of class Unknown, which makes no message bad by itself. The first of each code that is
// rarely innocent has a small score (see Codes).
//
// A message that could not be taken apart is one that it could not tell: it returns the error of
// Message.Parts, ErrTooComplex as a rule, beside what it found up to there. The zero value is ready for use.
type Structure struct{}

// Name returns "structure".
func (Structure) Name() string { return "structure" }

// Scan implements Scanner.
func (Structure) Scan(ctx context.Context, m *Message) ([]Finding, error) {
	names := make(map[string]string)
	var failed error
	for p, err := range m.Parts() {
		if err != nil {
			failed = err
			break
		}
		names[p.Path] = strings.TrimSpace(p.Path + " " + p.Filename)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []Finding
	scored := make(map[string]bool)
	for _, a := range m.Anomalies() {
		f := Found(a.Code)
		f.Detail, f.Part = a.Detail, names[a.Part]
		if scored[a.Code] {
			f.Score = 0
		}
		scored[a.Code] = true
		if a.Code == mimeUnread && failed == nil {
			failed = fmt.Errorf("verdict: looking for anomalies: %s", a.Detail)
		}
		out = append(out, f)
	}
	return out, failed
}
