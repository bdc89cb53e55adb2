package teststring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Scanner finds test strings. The zero value is ready for use. It may be used by many goroutines at once.
//
// GTUBE and Postreeve's own strings count wherever they stand: in the subject, in text, in attachments
// of any type, and in the members of zip, tar and gzip archives, also nested and behind other data. EICAR
// counts where its standard says: as the whole of a part or member, with up to 60 bytes of white space
// behind it. Text in UTF-16 is decoded, as far as Part.Text goes. The parts of a delivery report that
// quote another message (message/delivery-status, text/rfc822-headers) are not looked at, or every
// bounce of a test would be a test.
//
// Each string is one finding a message, at the first place. An archive that passes a limit is
// verdict.CodeArchiveLimit with an Err, one that cannot be read is verdict.CodeArchiveBroken, with an
// Err if a member was not read to its end, and an encrypted member is verdict.CodeArchiveLocked.
//
// Memory does not grow with the message: about 140 KB for each level of archives, the directory of a zip
// file (bounded to 1 MiB on disk), and Spool.
type Scanner struct {
	// Depth is how deep archives may lie in archives. 0 means 5.
	Depth int
	// Entries is how many members the archives of a message may have in all. 0 means 1000.
	Entries int
	// Output is how many bytes may come out of all archives of a message. 0 means 100 MiB.
	Output int64
	// Ratio is how many bytes may come out of an attachment for each byte of it, once 1 MiB has come
	// out. 0 means 200.
	Ratio int64
	// Time is how long the archives of a message may take. 0 means 2 s.
	Time time.Duration
	// Spool is where zip files and large nested archives are put, since they are read out of order. Nil
	// means one for each message, with 1 MiB of memory and the system's directory for temporary files.
	Spool *verdict.Spool
}

// errUnknown is what Scan returns for the test string Unknown.
var errUnknown = errors.New("the message has Postreeve's test string for mail that nobody can tell")

// Name returns "teststring".
func (Scanner) Name() string { return "teststring" }

// Scan returns what it found. The error is that of ctx, of the source or of a limit of the parser
// (verdict.ErrTooComplex), or says that the message has the test string Unknown.
func (s Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x := &scan{Scanner: s.withDefaults(), ctx: ctx}
	x.text("", m.Header().Text("Subject"))
	for p, err := range m.Parts() {
		if err != nil {
			return x.findings, err
		}
		if p.IsContainer() || quotes(p.Declared) {
			continue
		}
		if err := x.part(p); err != nil {
			return x.findings, err
		}
	}
	if x.seen[kindUnknown] {
		return x.findings, errUnknown
	}
	return x.findings, nil
}

func (s Scanner) withDefaults() Scanner {
	s.Depth = orDefault(s.Depth, 5)
	s.Entries = orDefault(s.Entries, 1000)
	s.Output = orDefault(s.Output, 100<<20)
	s.Ratio = orDefault(s.Ratio, 200)
	s.Time = orDefault(s.Time, 2*time.Second)
	return s
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// quotes says whether parts of the type quote the header of another message (RFC 3464, RFC 6522, RFC 6533).
func quotes(declared string) bool {
	switch declared {
	case "message/delivery-status", "message/global-delivery-status",
		"text/rfc822-headers", "message/rfc822-headers", "message/global-headers":
		return true
	}
	return false
}

// scan is the work on one message.
type scan struct {
	Scanner
	ctx      context.Context
	findings []verdict.Finding
	seen     [len(kinds)]bool
	budget   budget
	own      *verdict.Spool // in place of a Spool that is nil
}

// part looks into one part. A limit ends the work on it, and is a finding.
func (x *scan) part(p *verdict.Part) error {
	name := strings.TrimSpace(p.Path + " " + clip(p.Filename))
	r, err := p.Open()
	if err != nil {
		return fmt.Errorf("teststring: %w", err)
	}
	x.budget.begin()
	err = errors.Join(x.inspect(name, 0, x.watch(r), p.Open), r.Close())
	switch {
	case errors.Is(err, errLimit):
		x.limit(name, err)
	case err != nil:
		return fmt.Errorf("teststring: part %q: %w", p.Path, err)
	}
	if isWide(p) {
		text, err := p.Text()
		if err != nil && !errors.Is(err, verdict.ErrTooLarge) {
			return fmt.Errorf("teststring: %w", err)
		}
		x.text(name, text)
	}
	return nil
}

// isWide says whether the part is text in which ASCII does not look like ASCII.
func isWide(p *verdict.Part) bool {
	charset := strings.ToLower(p.Params["charset"])
	return strings.HasPrefix(p.Declared, "text/") &&
		(strings.HasPrefix(charset, "utf-16") || strings.HasPrefix(charset, "utf-32") || strings.HasPrefix(charset, "utf-7"))
}

// text looks into decoded text.
func (x *scan) text(part, s string) {
	if strings.IndexByte(s, '*') >= 0 {
		x.report(find([]byte(s)), part)
	}
}

// report makes findings of the strings that were not found before.
func (x *scan) report(found set, part string) {
	for i, k := range kinds {
		if found&(1<<i) != 0 && !x.seen[i] {
			x.seen[i] = true
			x.add(verdict.Finding{Code: k.code, Class: k.class, Detail: k.detail, Part: part})
		}
	}
}

// add keeps one finding of a code, and one that says that it could not tell.
func (x *scan) add(f verdict.Finding) {
	for _, have := range x.findings {
		if have.Code == f.Code && (have.Err == nil) == (f.Err == nil) {
			return
		}
	}
	x.findings = append(x.findings, f)
}

// broken is an archive that could not be read. The error is kept if something was not looked at.
func (x *scan) broken(part string, err error, whole bool) {
	f := verdict.Finding{Code: verdict.CodeArchiveBroken, Detail: clip(err.Error()), Part: part}
	if !whole {
		f.Err = fmt.Errorf("%s: %w", part, err)
	}
	x.add(f)
}

// spool returns where to put what has to be at hand whole.
func (x *scan) spool() *verdict.Spool {
	if x.Spool != nil {
		return x.Spool
	}
	if x.own == nil {
		x.own = &verdict.Spool{Memory: 1 << 20, Total: 1 << 20}
	}
	return x.own
}

// clip shortens a text that the sender chose.
func clip(s string) string { return clipTo(s, 120) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// watch returns r, ending with an error when the context ends.
func (x *scan) watch(r io.Reader) io.Reader { return &watched{r: r, ctx: x.ctx} }

type watched struct {
	r   io.Reader
	ctx context.Context
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}
