package remote

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"

	"github.com/postreeve/postreeve/verdict"
)

// Answer is what a webhook or a program says about a message. Only Class is required.
type Answer struct {
	Class    *verdict.Class `json:"class"`
	Detail   string         `json:"detail,omitempty"`
	Findings []Item         `json:"findings,omitempty"`
}

// Item is one finding in an Answer.
type Item struct {
	Code   string        `json:"code"`
	Class  verdict.Class `json:"class"`
	Score  float64       `json:"score,omitempty"`
	Detail string        `json:"detail,omitempty"`
	Part   string        `json:"part,omitempty"`
}

// The bounds of an Answer.
const (
	MaxAnswer = 1 << 20 // bytes
	maxItems  = 1000
	maxDetail = 500
	maxScore  = 100
)

var codeForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,30}(\.[a-z0-9][a-z0-9_-]{0,30}){0,2}$`)

// ReadAnswer makes findings of an answer in JSON. Codes are put behind noun: "fraud.invoice" of a webhook
// is "webhook.fraud.invoice", and the class of the whole is noun.verdict. An answer that is not whole,
// names no class or holds something senseless is an error; so is one that says that it could not tell.
func ReadAnswer(noun string, b []byte) ([]verdict.Finding, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	var a Answer
	if err := dec.Decode(&a); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows the JSON object", ErrAnswer)
	}
	if a.Class == nil {
		return nil, fmt.Errorf("%w: it has no class", ErrAnswer)
	}
	if len(a.Findings) > maxItems {
		return nil, fmt.Errorf("%w: %d findings", ErrAnswer, len(a.Findings))
	}
	var out []verdict.Finding
	for _, i := range a.Findings {
		if !codeForm.MatchString(i.Code) {
			return nil, fmt.Errorf("%w: code %.40q; want noun.detail in lower case", ErrAnswer, i.Code)
		}
		if math.Abs(i.Score) > maxScore {
			return nil, fmt.Errorf("%w: %s has the score %g", ErrAnswer, i.Code, i.Score)
		}
		out = append(out, verdict.Finding{Code: noun + "." + i.Code, Class: i.Class, Score: i.Score,
			Detail: Excerpt(i.Detail, maxDetail), Part: Excerpt(i.Part, maxDetail)})
	}
	detail := Excerpt(a.Detail, maxDetail)
	switch *a.Class {
	case verdict.Unknown:
		return out, fmt.Errorf("it could not tell: %s", detail)
	case verdict.Spam, verdict.Malicious:
		out = append(out, verdict.Finding{Code: noun + ".verdict", Class: *a.Class, Detail: detail})
	}
	return out, nil
}
