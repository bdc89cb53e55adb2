package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// The errors that Walk and Member.Open wrap.
var (
	// ErrLimit means that there is more in the archive than Limits allow.
	ErrLimit = inspect.ErrLimit
	// ErrFormat means that the archive, or a member, is broken.
	ErrFormat = inspect.ErrFormat
	// ErrLocked means that it is encrypted.
	ErrLocked = inspect.ErrEncrypted
	// ErrUnopened means that nobody here can read the format or the method.
	ErrUnopened = errors.New("not opened")
)

// Limits bound the work on one archive.
type Limits struct {
	Entries   int   // members that may be listed; must be positive
	Directory int64 // bytes of the directory of a zip, 7z or cab file; must be positive
	Memory    *Memory
	// Passwords are tried, in this order, on encrypted zip, 7z and rar files.
	Passwords []string
}

// Memory is a budget for dictionaries and windows. It is for one goroutine.
type Memory struct{ Left int64 }

// take takes n bytes out of the budget. The function that it returns gives them back.
func (m *Memory) take(n int64) (giveBack func(), err error) {
	if n < 0 || n > m.Left {
		return nil, fmt.Errorf("%w: unpacking it takes %d bytes of memory", ErrLimit, n)
	}
	m.Left -= n
	return func() { m.Left += n }, nil
}

// Member is one file in an archive.
type Member struct {
	Name   string // as it stands there, in UTF-8 if that can be told
	Link   string // what a symbolic or hard link points to
	Dir    bool
	Locked bool  // its content is encrypted, and no password fits
	Opened bool  // its content was encrypted, and a password fitted
	Size   int64 // as declared; -1 if it is not
	// Stored is the number of bytes of it in the archive if they stand there as they are; 0 otherwise.
	Stored int64
	// Hidden is set if only the header before the member knows of it, and the directory does not.
	Hidden bool

	open func() (io.ReadCloser, error)
}

// Open returns a reader of the content. It may be called once, before the visit of the member ends.
func (m *Member) Open() (rc io.ReadCloser, err error) {
	defer inspect.Recover(&err)
	switch {
	case m.Locked:
		return nil, fmt.Errorf("%w: %q", ErrLocked, m.Name)
	case m.open == nil:
		return io.NopCloser(nothing{}), nil
	}
	if rc, err = m.open(); err != nil {
		return nil, broken(err)
	}
	return &safe{rc}, nil
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }

// safe makes errors of the panics of decoders, and errors of ours of theirs.
type safe struct{ rc io.ReadCloser }

func (s *safe) Read(p []byte) (n int, err error) {
	defer inspect.Recover(&err)
	n, err = s.rc.Read(p)
	if err != nil && err != io.EOF {
		err = broken(err)
	}
	return n, err
}

func (s *safe) Close() (err error) {
	defer inspect.Recover(&err)
	return s.rc.Close()
}

// Facts is what there is to say about an archive beside its members.
type Facts struct {
	Locked   bool     // the list of members is encrypted too
	Password string   // the one that fitted
	Overlap  bool     // members share bytes
	Differs  []string // where directory and members disagree, for people; at most 10
	Prefix   int64    // bytes before the archive
	Volume   bool     // one of several volumes, the rest of which is elsewhere
	Listed   int      // members
}

func (f *Facts) differs(format string, args ...any) {
	if len(f.Differs) < 10 {
		f.Differs = append(f.Differs, fmt.Sprintf(format, args...))
	}
}

// visit is called for each member. Its error ends the walk.
type visit = func(*Member) error

// Walk lists the members of an archive. Its error is that of visit, as it is, or wraps one of the errors
// of this package, or is that of r. The facts are those found up to there.
//
// What is read of r is not bounded: r has to end the work when its time is over.
func Walk(ctx context.Context, format Format, r io.ReaderAt, size int64, lim Limits, see func(*Member) error) (f Facts, err error) {
	w := &walker{ctx: ctx, r: r, size: size, lim: lim, facts: &f}
	w.see = func(m *Member) error {
		if f.Listed++; f.Listed > lim.Entries {
			return fmt.Errorf("%w: more than %d members", ErrLimit, lim.Entries)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return see(m)
	}
	defer inspect.Recover(&err)
	walk, ok := walkers[format]
	if !ok {
		return f, fmt.Errorf("%w: %s", ErrUnopened, format)
	}
	return f, walk(w)
}

// walker is the work on one archive.
type walker struct {
	ctx   context.Context
	r     io.ReaderAt
	size  int64
	lim   Limits
	facts *Facts
	see   visit
	tried int // members that passwords were tried on
}

func (w *walker) section() *io.SectionReader { return io.NewSectionReader(w.r, 0, w.size) }

// broken wraps an error of a decoder, unless it is one of ours already.
func broken(err error) error {
	for _, ours := range []error{ErrLimit, ErrFormat, ErrLocked, ErrUnopened, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ours) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// walkers has a function for each format that is opened.
var walkers = map[Format]func(*walker) error{
	Zip: (*walker).zip, Tar: (*walker).tar, Cpio: (*walker).cpio, Ar: (*walker).ar, Cab: (*walker).cab,
	SevenZip: (*walker).sevenZip, Rar: (*walker).rar,
	Gzip: (*walker).gzip, Bzip2: (*walker).bzip2, Xz: (*walker).xz, Lzma: (*walker).lzma, Lzip: (*walker).lzip,
	Zstd: (*walker).zstd, Lz4: (*walker).lz4, Zlib: (*walker).zlib, Compress: (*walker).compress,
	Szdd: (*walker).szdd, Base64: (*walker).base64, UU: (*walker).uu, BinHex: (*walker).binhex,
	Arj: (*walker).arj, Lha: (*walker).lha, Iso: (*walker).iso, CMS: (*walker).cms,
}
