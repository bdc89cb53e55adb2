package rspamd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const (
	codeAction = "rspamd.action"
	codeSymbol = "rspamd.symbol"
	codeBlind  = "rspamd.blind"

	shownSymbols = 10 // in the detail of the action
	maxFindings  = 1000
	maxText      = 200
)

// answer is what /checkv2 says.
type answer struct {
	Skipped  *bool             `json:"is_skipped"`
	Score    *float64          `json:"score"`
	Required *float64          `json:"required_score"`
	Action   *string           `json:"action"`
	Symbols  map[string]symbol `json:"symbols"`
	Messages map[string]any    `json:"messages"`
}

type symbol struct {
	Score   float64 `json:"score"`
	Options []any   `json:"options"`
}

// DefaultSymbols are the classes of symbols of a Scanner that has none: what anti-virus engines behind rspamd have
// found, by the names of its modules antivirus and external_services, and that they could not tell.
func DefaultSymbols() map[string]verdict.Class {
	return map[string]verdict.Class{
		"*_VIRUS":      verdict.Malicious,
		"ICAP_VIRUS":   verdict.Malicious,
		"EICAR":        verdict.Malicious,
		"*_VIRUS_FAIL": verdict.Unknown,
		"ICAP_FAIL":    verdict.Unknown,
		"*_AV_FAIL":    verdict.Unknown,
	}
}

// actions are what rspamd may ask for. That it wants to be asked again is no class.
var actions = map[string]verdict.Class{
	"no action": verdict.Unknown, "greylist": verdict.Unknown,
	"add header": verdict.Spam, "rewrite subject": verdict.Spam, "quarantine": verdict.Spam, "discard": verdict.Spam, "reject": verdict.Spam,
}

// read makes findings of an answer.
func (s *Scanner) read(b []byte) ([]verdict.Finding, error) {
	var a answer
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&a); err != nil {
		return nil, fmt.Errorf("%w: %w", remote.ErrAnswer, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows the JSON object", remote.ErrAnswer)
	}
	if a.Action == nil || a.Score == nil || a.Required == nil || a.Skipped == nil {
		return nil, fmt.Errorf("%w: it says nothing of an action, a score, or whether it looked", remote.ErrAnswer)
	}
	findings, err := s.symbols(a.Symbols)
	if err != nil {
		return nil, err
	}
	action := *a.Action
	class, known := s.Actions[action]
	if !known {
		class, known = actions[action]
	}
	switch {
	case !known && action == "soft reject":
		return findings, fmt.Errorf("it wants to be asked again later: %s", a.message())
	case !known:
		return findings, fmt.Errorf("%w: action %.40q is unknown; give it a class in Actions", remote.ErrAnswer, action)
	case *a.Skipped && class == verdict.Unknown: // also true when a test string or a rule settled the matter
		return findings, fmt.Errorf("its settings say that it does not look at this message")
	}
	f := verdict.Found(codeAction)
	f.Class = class
	f.Detail = remote.Line(fmt.Sprintf("%s, score %.2f of %.2f%s", action, *a.Score, *a.Required, list(a.Symbols)), 4*maxText)
	return append([]verdict.Finding{f}, findings...), nil
}

// message is what rspamd would have the client told.
func (a *answer) message() string {
	text, _ := a.Messages["smtp_message"].(string)
	return remote.Excerpt(text, maxText)
}

// symbols makes findings of those that have a class of their own, in the order of their names.
func (s *Scanner) symbols(all map[string]symbol) ([]verdict.Finding, error) {
	classes := s.Symbols
	if classes == nil {
		classes = DefaultSymbols()
	}
	var out []verdict.Finding
	for _, name := range slices.Sorted(maps.Keys(all)) {
		class, matched := verdict.Unknown, false
		for p, c := range classes {
			ok, err := path.Match(p, name)
			if err != nil {
				return nil, fmt.Errorf("the pattern %q in Symbols is malformed", p)
			}
			if ok {
				class, matched = max(class, c), true
			}
		}
		if !matched {
			continue
		}
		if len(out) == maxFindings {
			return nil, fmt.Errorf("%w: more than %d symbols that have a class", remote.ErrAnswer, maxFindings)
		}
		out = append(out, finding(name, all[name], class))
	}
	return out, nil
}

func finding(name string, s symbol, class verdict.Class) verdict.Finding {
	code := codeSymbol
	if class == verdict.Unknown {
		code = codeBlind
	}
	f := verdict.Found(code)
	f.Class = class
	f.Detail = remote.Excerpt(fmt.Sprintf("%s %v", name, s.Options), maxText)
	if class == verdict.Unknown {
		f.Err = fmt.Errorf("rspamd: a part of it could not tell: %s", f.Detail)
	}
	return f
}

// list names the symbols that weigh most.
func list(all map[string]symbol) string {
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(math.Abs(all[b].Score), math.Abs(all[a].Score)), strings.Compare(a, b))
	})
	var b strings.Builder
	for i, n := range names {
		if i == shownSymbols || all[n].Score == 0 {
			break
		}
		fmt.Fprintf(&b, "; %s(%.2f)", n, all[n].Score)
	}
	return b.String()
}
