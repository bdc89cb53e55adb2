package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

type messageExplainCmd struct {
	keptFlags
	ID string `arg:"" help:"The id."`
}

func (messageExplainCmd) Help() string {
	return `Prints the whole decision: who sent it as far as is known, what each scanner said, how long it took and what its findings weigh, why that makes the class, why the class led to the action, what the sender and the next hop said, and what became of the message later. Thresholds and policies are those of the configuration as it is now; where they have changed since, it says so.

Example:
  postreeve message explain -c postreeve.yaml ID

Exit codes: 0, 1 there is none, or it cannot be read, 64 wrong usage or configuration.`
}

// Run explains.
func (c *messageExplainCmd) Run(e *env) error {
	return single[store.Entry]{what: "message", find: (*store.Store).Message, tell: c.tell}.show(e, c.keptFlags, c.ID)
}

func (c *messageExplainCmd) tell(e *env, cfg *config.Config, st *store.Store, m store.Entry) error {
	remedies, err := st.Remedies(e.ctx, m.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		why, action := "", ""
		if r, rerr := readVerdict(m.Report); rerr == nil {
			why, action = whyClass(cfg, r), whyAction(cfg, m, r)
		}
		e.out.line(struct {
			remediedEntry
			WhyClass  string `json:"why_class,omitempty"`
			WhyAction string `json:"why_action,omitempty"`
		}{remediedEntry{m, remedies}, why, action})
		return finish(e, exitOK)
	}
	printEntry(e.out, m)
	e.out.printf("\n")
	printVerdict(e.out, cfg, m.Report)
	r, err := readVerdict(m.Report)
	if err == nil {
		e.out.printf("\n%s\n  %s\n", e.out.style(bold, "Why "+actionOf(m)), show(whyAction(cfg, m, r)))
	}
	printEvents(e.out, m.Events)
	printRemedies(e.out, remedies)
	c.still(e, st, m)
	return finish(e, exitOK)
}

// still says where the message is now, if it is still here.
func (c *messageExplainCmd) still(e *env, st *store.Store, m store.Entry) {
	switch {
	case m.Held != "":
		h, err := st.HeldMessage(e.ctx, m.Held)
		if err != nil {
			return
		}
		e.out.printf("\n%s\n", e.out.style(bold, "In quarantine"))
		t := &table{}
		for _, r := range h.Recipients {
			t.row(bracket(r.Address), r.State, "since "+moment(r.At), cut(r.Detail, 100))
		}
		t.print(e.out, "  ")
	case m.Queued:
		q, err := st.QueuedMessage(e.ctx, m.ID)
		if errors.Is(err, store.ErrNotFound) {
			return
		}
		e.out.printf("\n%s\n", e.out.style(bold, "In the queue"))
		if err != nil {
			e.out.printf("  %s\n", show(plainStore(err)))
			return
		}
		t := &table{}
		t.row("tried", plural(q.Attempts, "time")+" from the queue, next "+nextTry(q)+", given up "+moment(q.Expires))
		if q.Last != "" {
			t.row("last reply", cut(q.Last, 160))
		}
		t.print(e.out, "  ")
	}
}

// verdictRow is a report as the store keeps it.
type verdictRow struct {
	Report struct {
		Class    verdict.Class `json:"class"`
		Score    float64       `json:"score"`
		Findings []findingRow  `json:"findings"`
		Runs     []struct {
			Scanner string  `json:"scanner"`
			Outcome string  `json:"outcome"`
			Monitor bool    `json:"monitor"`
			TookMS  float64 `json:"took_ms"`
			Error   string  `json:"error"`
		} `json:"runs"`
	} `json:"report"`
	Auth struct {
		SPF   string   `json:"spf"`
		DKIM  []string `json:"dkim"`
		DMARC string   `json:"dmarc"`
		ARC   string   `json:"arc"`
	} `json:"auth"`
}

type findingRow struct {
	Scanner string        `json:"scanner"`
	Code    string        `json:"code"`
	Class   verdict.Class `json:"class"`
	Score   float64       `json:"score"`
	Detail  string        `json:"detail"`
	Part    string        `json:"part"`
	Error   string        `json:"error"`
}

// errNoVerdict says that a message was never judged.
var errNoVerdict = errors.New("it was not judged: it was refused or deferred before")

func readVerdict(raw json.RawMessage) (*verdictRow, error) {
	if s := strings.TrimSpace(string(raw)); s == "" || s == "null" {
		return nil, errNoVerdict
	}
	var r verdictRow
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("its report cannot be read: %w", err)
	}
	return &r, nil
}

func (f findingRow) finding() verdict.Finding {
	out := verdict.Finding{Scanner: f.Scanner, Code: f.Code, Class: f.Class, Score: f.Score, Detail: f.Detail, Part: f.Part}
	if f.Error != "" {
		out.Err = errors.New(f.Error)
	}
	return out
}

func (r *verdictRow) findings() []verdict.Finding {
	out := make([]verdict.Finding, len(r.Report.Findings))
	for i, f := range r.Report.Findings {
		out[i] = f.finding()
	}
	return out
}

// printVerdict prints what each scanner said, and why that makes the class.
func printVerdict(s *screen, c *config.Config, raw json.RawMessage) {
	r, err := readVerdict(raw)
	if err != nil {
		s.printf("%s\n  %s\n", s.style(bold, "What was found"), show(err.Error()))
		return
	}
	printAuth(s, r)
	s.printf("%s\n", s.style(bold, "What was found"))
	t := &table{}
	t.row("SCANNER", "OUTCOME", "TOOK", "FINDING", "CLASS", "WEIGHT", "WHY")
	told := make(map[int]bool)
	for _, run := range r.Report.Runs {
		outcome := run.Outcome
		if run.Monitor {
			outcome += " (no vote)"
		}
		t.row(run.Scanner, outcome, strconv.FormatFloat(run.TookMS, 'f', 1, 64)+" ms", "", "", "", cut(run.Error, 120))
		for i, f := range r.Report.Findings {
			if f.Scanner == run.Scanner && !told[i] {
				told[i] = true
				findingCells(t, "", f)
			}
		}
	}
	for i, f := range r.Report.Findings { // of the policy, and of nobody
		if !told[i] {
			findingCells(t, f.Scanner, f)
		}
	}
	t.print(s, "  ")
	s.printf("\n%s\n  %s\n", s.style(bold, "Why "+r.Report.Class.String()), show(whyClass(c, r)))
}

func findingCells(t *table, scanner string, f findingRow) {
	class, weight := "", ""
	if f.Class != verdict.Unknown {
		class = f.Class.String()
	}
	if f.Score != 0 {
		weight = strconv.FormatFloat(f.Score, 'g', 4, 64)
	}
	detail := f.Detail
	if f.Error != "" && f.Error != detail {
		detail = strings.TrimPrefix(detail+": "+f.Error, ": ")
	}
	if f.Part != "" {
		detail += " (part " + f.Part + ")"
	}
	t.row(scanner, "", "", f.Code, class, weight, cut(detail, 160))
	t.paint(4, classStyle(f.Class))
}

func printAuth(s *screen, r *verdictRow) {
	t := &table{}
	for _, l := range []struct{ name, text string }{{"SPF", r.Auth.SPF}, {"DKIM", strings.Join(r.Auth.DKIM, "; ")}, {"DMARC", r.Auth.DMARC}, {"ARC", r.Auth.ARC}} {
		if l.text != "" {
			t.row(l.name, cut(l.text, 160))
		}
	}
	if len(t.rows) > 0 {
		s.printf("%s\n", s.style(bold, "Who sent it"))
		t.print(s, "  ")
		s.printf("\n")
	}
}

// whyClass says in a sentence or two what made the class.
func whyClass(c *config.Config, r *verdictRow) string {
	class, found := r.Report.Class, r.findings()
	for _, f := range found {
		if f.Scanner == "policy" && f.Code == verdict.CodeListed {
			return "The policy of the domain says so, whatever was found: " + f.Detail + "."
		}
		if f.Scanner == "policy" && f.Code == verdict.CodeHonoured && f.Class == class {
			return "DMARC failed, and the policy of the domain does what the author's domain asks for: " + f.Detail + "."
		}
	}
	spam, malicious := c.Scan.SpamScore, c.Scan.MaliciousScore
	if spam == 0 {
		spam = verdict.DefaultSpamScore
	}
	score := fmt.Sprintf("The weights add up to %g", r.Report.Score)
	limits := "spam begins at " + threshold(spam)
	if malicious > 0 {
		limits += ", malicious at " + threshold(malicious)
	}
	if f, ok := mainFinding(class, found); ok {
		if class == verdict.Unknown {
			return "Nobody can tell, which never counts as clean: " + describe(f) + "."
		}
		return "One finding is enough: " + describe(f) + "."
	}
	switch class {
	case verdict.Unknown:
		for _, run := range r.Report.Runs {
			if run.Error != "" && !run.Monitor {
				return "Nobody can tell, which never counts as clean: " + run.Scanner + " " + run.Outcome + ": " + run.Error + "."
			}
		}
		return "No scanner could tell, which never counts as clean."
	case verdict.Clean:
		return score + "; " + limits + ". No finding makes it worse by itself."
	}
	s := score + "; " + limits + ": " + byScore(found) + "."
	if class == verdict.Spam && spam > 0 && r.Report.Score < spam {
		s += " The threshold was another one then."
	}
	return s
}

func threshold(n float64) string {
	if n < 0 {
		return "no score"
	}
	return strconv.FormatFloat(n, 'g', 4, 64)
}

// whyAction says why the class led to what was done.
func whyAction(c *config.Config, m store.Entry, r *verdictRow) string {
	dom := serving(c, m.Domain)
	if dom == nil {
		return "The policy of " + m.Domain + " made it " + m.Action.String() + "; the configuration does not have this domain any more."
	}
	want := dom.Policy.Action(r.Report.Class)
	word := fmt.Sprintf("The policy of %s says %s for %s.", dom.Name, want, r.Report.Class)
	switch {
	case disowned(r) && m.Action == relay.Reject:
		return "The policy of " + dom.Name + " honours DMARC, and the author's domain asks to refuse what fails it."
	case want == m.Action:
	case want == relay.Hold && m.Action == relay.Reject:
		word += " There was no quarantine then, so it was refused instead."
	case want == relay.Hold && m.Action == relay.Deliver:
		word += " It had been released from the quarantine before, so it was not held again."
	default:
		word += fmt.Sprintf(" When the message came it was %s: the policy has changed since.", m.Action)
	}
	switch {
	case m.Queued && dom.Mode == relay.StoreAndForward:
		word += " The domain is in mode queue: everything is kept first and delivered then."
	case m.Queued:
		word += " The next hop did not take it, and the domain is in mode continuity: it was queued and the sender told 250."
	case m.Action.Releases() && !strings.HasPrefix(m.Reply, "2"):
		word += " The next hop did not take it, and the sender was told so."
	case m.Action == relay.Hold && m.Held == "":
		word += " It could not be stored, so the sender was asked to try again."
	}
	return word
}

func disowned(r *verdictRow) bool {
	for _, f := range r.Report.Findings {
		if f.Scanner == "policy" && f.Code == verdict.CodeHonoured {
			return true
		}
	}
	return false
}
