package dnsverify

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Direction says where a plan leads.
type Direction string

const (
	In   Direction = "in"   // mail goes to the gateway
	Back Direction = "back" // mail goes past it again
)

// The ids of the steps. Not every plan has all.
const (
	StepTTL       = "ttl"      // lower the TTL of the MX records and wait it out
	StepProof     = "proof"    // the TXT record is proven
	StepHop       = "hop"      // the next hop can be one
	StepAllow     = "allow"    // the next hop lets the gateway in; a person confirms it
	StepPolicy    = "policy"   // the MTA-STS policy lists both, and old copies have run out
	StepMX        = "mx"       // the new MX records stand in front
	StepWatch     = "watch"    // all servers and resolvers show them
	StepOld       = "old"      // the old MX records are gone
	StepDrain     = "drain"    // senders with old data have come to an end
	StepExposure  = "exposure" // no other way leads past the gateway
	StepLock      = "lock"     // the next hop refuses mail from strangers
	StepKeep      = "keep"     // the gateway goes on taking and delivering; a person confirms it
	StepUnlock    = "unlock"   // the next hop takes mail from everybody again
	StepOurs      = "ours"     // the gateway's MX records are gone
	StepCleanup   = "cleanup"  // nothing in the zone names the gateway any more
	StepRecord    = "record"   // the TXT record is removed, and its token spent
	planVersion   = 1
	shortTTL      = 5 * time.Minute
	drainTime     = 72 * time.Hour
	preferenceGap = 10
)

// MXRecord is one MX record as it was or shall be.
type MXRecord struct {
	Host       string        `json:"host"`
	Preference uint16        `json:"preference"`
	TTL        time.Duration `json:"ttl"`
}

// Line returns the record as a line of a zone file.
func (m MXRecord) Line(domain string) string {
	host := m.Host
	if host != "." {
		host += "."
	}
	return fmt.Sprintf("%s. %d IN MX %d %s", domain, int(m.TTL.Seconds()), m.Preference, host)
}

// Plan is the way of a domain to the gateway, or back. It is data: it can be stored as JSON, read by people ([Plan.Text]),
// and checked step by step ([Planner.Check]), which notes the progress in it. Durations are in nanoseconds in JSON.
type Plan struct {
	Version   int        `json:"version"`
	Direction Direction  `json:"direction"`
	Made      time.Time  `json:"made"`
	Claim     Claim      `json:"claim"`
	Record    Record     `json:"record"`
	Gateway   []MXRecord `json:"gateway"` // as they shall be
	// Old is the set that was there before the gateway. It is the way back, and never changed.
	Old     []MXRecord `json:"old"`
	NextHop string     `json:"next_hop"`
	Policy  *STSPolicy `json:"policy,omitempty"` // MTA-STS, as it was when the plan was made
	Steps   []Step     `json:"steps"`
	// Problems are what was found when the plan was made. None of them is in the way of the plan.
	Problems []*Problem `json:"problems,omitempty"`
}

// Step is one thing to do, and what is known about its progress.
type Step struct {
	ID     string        `json:"id"`
	Title  string        `json:"title"`
	Why    string        `json:"why"`
	Actor  Actor         `json:"actor"`
	Add    []string      `json:"add,omitempty"`    // records, as lines of a zone file
	Remove []string      `json:"remove,omitempty"` // records
	Wait   time.Duration `json:"wait,omitempty"`   // after it was seen in place
	Ask    bool          `json:"ask,omitempty"`    // a person confirms it: see Plan.Confirm
	Needs  []string      `json:"needs,omitempty"`  // steps that have to be done before

	Seen      time.Time `json:"seen,omitzero"` // in place
	Done      time.Time `json:"done,omitzero"`
	Confirmed string    `json:"confirmed,omitempty"` // by whom
}

// Step returns the step with that id, nil if the plan has none.
func (p *Plan) Step(id string) *Step {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return &p.Steps[i]
}

// Next returns the first step that is not done, nil if all are.
func (p *Plan) Next() *Step {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Done.IsZero() })
	if i < 0 {
		return nil
	}
	return &p.Steps[i]
}

// Confirm notes that a person says that a step is in place. Only steps that ask for it can be confirmed.
func (p *Plan) Confirm(id, by string) error {
	s := p.Step(id)
	switch {
	case s == nil:
		return fmt.Errorf("dnsverify: the plan has no step %q", show(id, 40))
	case !s.Ask:
		return fmt.Errorf("dnsverify: step %q is looked at, not confirmed: use Check", s.ID)
	case strings.TrimSpace(by) == "":
		return errors.New("dnsverify: say who confirms the step")
	}
	s.Confirmed = show(by, 80)
	return nil
}

// Text returns the plan for people: numbered steps with the records to add and remove.
func (p *Plan) Text() string {
	var b strings.Builder
	title := "Cutover of " + p.Claim.Domain + " to the gateway"
	if p.Direction == Back {
		title = "Way back of " + p.Claim.Domain + " from the gateway"
	}
	fmt.Fprintf(&b, "%s\nmade %s\n", title, p.Made.Format(time.RFC3339))
	for _, pr := range p.Problems {
		fmt.Fprintf(&b, "note: %s %s\n", pr.Code.Info().Sentence, pr.Detail)
	}
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "\n%d. %s [%s] (%s)\n   %s\n", i+1, s.Title, s.ID, s.mark(), s.Why)
		fmt.Fprintf(&b, "   who: %s", s.Actor)
		if s.Wait > 0 {
			fmt.Fprintf(&b, "; then wait %s", span(s.Wait))
		}
		if len(s.Needs) > 0 {
			fmt.Fprintf(&b, "; after: %s", strings.Join(s.Needs, ", "))
		}
		b.WriteString("\n")
		for _, r := range s.Add {
			fmt.Fprintf(&b, "   + %s\n", r)
		}
		for _, r := range s.Remove {
			fmt.Fprintf(&b, "   - %s\n", r)
		}
	}
	return b.String()
}

func (s Step) mark() string {
	switch {
	case !s.Done.IsZero():
		return "done " + s.Done.Format(time.RFC3339)
	case !s.Seen.IsZero():
		return "waiting until " + s.Seen.Add(s.Wait).Format(time.RFC3339)
	case s.Ask && s.Confirmed != "":
		return "confirmed by " + s.Confirmed
	case s.Ask:
		return "to be confirmed"
	}
	return "open"
}

// span writes a duration in the largest units: 72h, 10m, 30s.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	if d%time.Minute == 0 {
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// lines returns records as lines.
func lines(domain string, set []MXRecord) []string {
	var out []string
	for _, m := range set {
		out = append(out, m.Line(domain))
	}
	return out
}

// behind returns a set with all preferences behind that of the others.
func behind(set, others []MXRecord) []MXRecord {
	worst := uint16(0)
	for _, m := range others {
		worst = max(worst, m.Preference)
	}
	out := slices.Clone(set)
	slices.SortStableFunc(out, func(a, b MXRecord) int { return cmp.Compare(a.Preference, b.Preference) })
	first := uint16(0)
	if len(out) > 0 {
		first = out[0].Preference
	}
	if first > worst {
		return out
	}
	for i := range out {
		out[i].Preference = uint16(min(65535, int(out[i].Preference-first)+int(worst)+preferenceGap))
	}
	return out
}

// withTTL returns a set with another TTL.
func withTTL(set []MXRecord, ttl time.Duration) []MXRecord {
	out := slices.Clone(set)
	for i := range out {
		out[i].TTL = ttl
	}
	return out
}
