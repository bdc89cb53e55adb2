package attach

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach/internal/unpack"
)

// Scanner looks into attachments. The zero value is ready for use. It may be used by many goroutines at
// once; its fields must not change then.
type Scanner struct {
	// Limits bound the work on one message.
	Limits Limits
	// Spool is where attachments and members of archives are put while they are looked at, since most are
	// read out of order. Nil means one for each message, with 4 MiB of memory in all, 1 MiB for each, and the
	// system's directory for temporary files.
	Spool *verdict.Spool
	// Passwords are tried on encrypted archives, after those that the message seems to give. Each costs up
	// to 50 ms for an archive; no more than 8 are tried in all.
	Passwords []string
}

// Name returns "attach".
func (Scanner) Name() string { return "attach" }

// Scan returns what it found. The error is that of ctx, of the source or of a limit of the parser
// (verdict.ErrTooComplex). What else could not be looked at is a finding with an Err.
func (s Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x := &scan{Scanner: s, ctx: ctx, message: m}
	x.budget.limits = s.Limits.withDefaults()
	x.budget.mem.Left = x.budget.limits.Memory
	defer x.ended.Store(true)
	return x.all(m, "", 0)
}

// scan is the work on one message.
type scan struct {
	Scanner
	ctx      context.Context
	message  *verdict.Message
	findings []verdict.Finding
	count    map[string]int // of findings, by code
	budget   budget
	own      *verdict.Spool // in place of a Spool that is nil
	ended    atomic.Bool

	passwords *hints // what the message says about passwords; nil until somebody asks
}

// all looks at the parts of a message: the one that is judged, or one that was found in an archive.
func (x *scan) all(m *verdict.Message, prefix string, depth int) ([]verdict.Finding, error) {
	for p, err := range m.Parts() {
		if err != nil {
			return x.findings, fmt.Errorf("attach: %w", err)
		}
		if p.IsContainer() || isBody(p) {
			continue
		}
		if err := x.part(p, prefix, depth); err != nil {
			return x.findings, err
		}
	}
	return x.findings, nil
}

// isBody says whether the part is text that mail programs show and do not offer as a file. It may hold
// anything; but nobody can start it. The package links looks at it.
func isBody(p *verdict.Part) bool {
	switch p.Declared {
	case "text/plain", "text/html", "text/enriched", "text/rfc822-headers", "message/delivery-status", "message/disposition-notification":
	default:
		return false
	}
	if p.Filename != "" || p.Disposition == "attachment" {
		return false
	}
	switch p.Encoding {
	case "", "7bit", "8bit", "quoted-printable":
		return true
	}
	return strings.HasPrefix(p.Type(), "text/")
}

// part looks into one part. What is wrong with it alone is a finding.
func (x *scan) part(p *verdict.Part, prefix string, depth int) error {
	label := prefix + strings.TrimSpace(p.Path+" "+clip(p.Filename))
	r, err := p.Open()
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	c, err := x.load(&watched{r: r, ctx: x.ctx})
	defer c.close()
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("attach: part %q: %w", p.Path, err)
	}
	if depth == 0 {
		x.budget.begin(c.size)
	}
	it := &item{label: label, name: p.Filename, declared: p.Declared, depth: depth, top: depth == 0}
	if it.name != "" {
		it.names = p.Names()
	}
	err = x.inspect(it, c)
	switch {
	case err == nil:
		return nil
	case x.ctx.Err() != nil:
		return x.ctx.Err()
	case errors.Is(err, errSpool):
		return err
	case errors.Is(err, errLimit):
		x.unread(verdict.CodeArchiveLimit, label, err)
		return nil
	}
	x.unread(codeUnread, label, err)
	return nil
}

// Findings of one code that are kept. More of a kind are no more evidence.
const maxOfCode = 5

// found reports a code at a place.
func (x *scan) found(code, part, detail string) {
	f := verdict.Found(code)
	f.Part, f.Detail = part, clip(detail)
	x.add(f)
}

// unread reports that something was not looked at.
func (x *scan) unread(code, part string, err error) {
	f := verdict.Found(code)
	f.Class, f.Part, f.Detail, f.Err = verdict.Unknown, part, clip(err.Error()), fmt.Errorf("%s: %w", part, err)
	x.add(f)
}

func (x *scan) add(f verdict.Finding) {
	key := f.Code
	if f.Err != nil {
		key += "!"
	}
	for _, have := range x.findings {
		if have.Code == f.Code && have.Part == f.Part && (have.Err == nil) == (f.Err == nil) {
			return
		}
	}
	if x.count == nil {
		x.count = make(map[string]int)
	}
	if x.count[key]++; x.count[key] > maxOfCode {
		return
	}
	x.findings = append(x.findings, f)
}

// limits are those of one archive.
func (x *scan) archiveLimits() unpack.Limits {
	return unpack.Limits{Entries: x.budget.limits.Entries, Directory: 1 << 20, Memory: &x.budget.mem}
}

// clip shortens a text that the sender chose.
func clip(s string) string { return clipTo(s, 120) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// inside names a member of what is at label.
func inside(label, name string) string { return clipTo(label+"!"+clip(name), 500) }
