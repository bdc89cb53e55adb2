package app

import (
	"cmp"
	"context"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// judging is what looks at the messages of a scan.
type judging struct {
	engine *verdict.Engine
	auth   *mailauth.Authenticator // nil: DNS is not asked
}

// scanDNS is how long DNS may take for one message of a scan.
const scanDNS = 10 * time.Second

func newJudging(c *config.Config, offline bool) (*judging, error) {
	if c == nil {
		c = &config.Config{}
	}
	j, p := &judging{}, engineParts{}
	if !offline {
		dns := newDNS(c, nil)
		p.resolver = addresses{dns}
		if j.auth = newAuthenticator(c, dns); j.auth != nil {
			j.auth.Timeout = scanDNS
		}
	}
	var err error
	j.engine, err = newEngine(c, p)
	return j, err
}

// judge makes the line of one message.
func (j *judging) judge(ctx context.Context, it *item) {
	it.result = scanned{Path: it.path, Wrapped: it.wrapped, Findings: []verdict.Finding{}}
	if it.err == nil {
		m := verdict.NewMessage(it.source)
		m.ID, m.Received = "scan", time.Now()
		if j.auth != nil && !it.wrapped {
			m.Received = arrival(m.Header(), m.Received)
			m.Auth = j.auth.Authenticate(ctx, m)
			m.Received = time.Now()
		}
		r := j.engine.Judge(ctx, m)
		it.result.Class, it.result.Score = r.Class, r.Score
		it.result.Findings = append(it.result.Findings, r.Findings...)
		it.result.TookMS = float64(r.Took.Microseconds()) / 1000
	} else {
		it.result.Error = it.err.Error()
	}
	if it.close != nil {
		it.close()
	}
}

// arrival is when a message arrived where it was kept, as far as its topmost Received field says: signatures of
// old messages have expired since.
func arrival(h verdict.Header, now time.Time) time.Time {
	v := h.Get("Received")
	t, err := mail.ParseDate(strings.TrimSpace(v[strings.LastIndexByte(v, ';')+1:]))
	if err != nil || t.After(now) {
		return now
	}
	return t
}

// reason says in one line what made the class.
func reason(r scanned) string {
	if r.Error != "" {
		return show(r.Error)
	}
	return why(r.Class, r.Findings)
}

// why is the finding that made a class, or those that together did, in one line that is safe to show.
func why(c verdict.Class, findings []verdict.Finding) string {
	if f, ok := mainFinding(c, findings); ok {
		return describe(f)
	}
	if c == verdict.Spam || c == verdict.Malicious {
		return byScore(findings)
	}
	return ""
}

// mainFinding returns the finding that explains a class, if there is one and it needs to be explained.
func mainFinding(c verdict.Class, findings []verdict.Finding) (verdict.Finding, bool) {
	for _, f := range findings {
		switch {
		case c == verdict.Clean:
		case c == verdict.Unknown && (f.Err != nil || f.Code == verdict.CodeScannerNone):
			return f, true
		case c != verdict.Unknown && f.Class == c:
			return f, true
		}
	}
	return verdict.Finding{}, false
}

// byScore names the findings whose weights add up to the score, the heaviest first, each kind once.
func byScore(findings []verdict.Finding) string {
	const most = 5
	heavy := slices.DeleteFunc(slices.Clone(findings), func(f verdict.Finding) bool { return f.Score == 0 })
	slices.SortStableFunc(heavy, func(a, b verdict.Finding) int { return cmp.Compare(b.Score, a.Score) })
	var parts []string
	seen := map[string]bool{}
	for _, f := range heavy {
		if k := f.Scanner + " " + f.Code; !seen[k] {
			seen[k] = true
			parts = append(parts, fmt.Sprintf("%s %g", f.Code, f.Score))
		}
	}
	if n := len(parts) - most; n > 0 {
		parts = append(parts[:most], fmt.Sprintf("and %d more", n))
	}
	return show(fmt.Sprintf("score %g: %s", verdict.TotalScore(findings), strings.Join(parts, ", ")))
}

// describe writes a finding in one line that is safe to show.
func describe(f verdict.Finding) string {
	s := f.Code
	if f.Detail != "" {
		s += ": " + f.Detail
	}
	if f.Err != nil && f.Err.Error() != f.Detail {
		s += ": " + f.Err.Error()
	}
	if f.Part != "" {
		s += " (part " + f.Part + ")"
	}
	return show(cut(s, 300))
}
