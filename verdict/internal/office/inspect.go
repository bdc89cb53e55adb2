package office

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Inspect takes apart the document of size bytes that r gives. What it is, it finds by its content.
//
// The report is never nil: with an error it has what was found up to there. Content that is none of the
// formats is ErrFormat with Report.Format "". A document that asks for a password is ErrEncrypted.
// Files of the report need r until they are no longer wanted.
func Inspect(ctx context.Context, r io.ReaderAt, size int64, lim Limits) (rep *Report, err error) {
	rep = &Report{}
	defer inspect.Recover(&err)
	in := &inspector{b: inspect.NewBudget(ctx, lim), rep: rep}
	return rep, in.finish(in.document(r, size))
}

// InspectTable looks for formulas that start programs in text of comma, semicolon or tab separated values.
// Such text has no mark of its own: the caller knows by the name of the file.
func InspectTable(ctx context.Context, text []byte, lim Limits) (rep *Report, err error) {
	rep = &Report{Format: Table, App: "excel"}
	defer inspect.Recover(&err)
	in := &inspector{b: inspect.NewBudget(ctx, lim), rep: rep}
	return rep, in.finish(in.values(text))
}

// inspector is one inspection.
type inspector struct {
	b    *inspect.Budget
	rep  *Report
	errs []error // parts that could not be read, a few of them
}

// document finds out what it is. A return of an error ends the inspection.
func (in *inspector) document(r io.ReaderAt, size int64) error {
	head := make([]byte, 4096)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	head = head[:min(int64(n), size)]
	text := bytes.TrimLeft(head, "\xEF\xBB\xBF \t\r\n")
	section := io.NewSectionReader(r, 0, size)
	switch {
	case bytes.HasPrefix(head, []byte(cfb.Magic)):
		in.rep.Format = OLE
		return in.ole(r, size, "", 0)
	case bytes.HasPrefix(head, []byte("PK")):
		return in.zip(r, size)
	case bytes.HasPrefix(text, []byte("{\\rt")):
		in.rep.Format, in.rep.App = RTF, "word"
		return in.rtf(section, 0)
	case bytes.HasPrefix(head, []byte("ActiveMime")):
		in.rep.Format = OLE
		return in.activeMime(section, "")
	case bytes.HasPrefix(head, []byte("ID;P")):
		in.rep.Format, in.rep.App = Table, "excel"
		return in.sylk(section)
	case isBIFF(head):
		in.rep.Format, in.rep.App = OLE, "excel"
		return in.biff(section, "")
	case bytes.HasPrefix(text, []byte("<")), isWideXML(head):
		return in.flatXML(section)
	}
	return fmt.Errorf("%w: no office document", ErrFormat)
}

func isWideXML(head []byte) bool {
	for _, p := range []string{"\xFF\xFE<\x00", "\xFE\xFF\x00<", "<\x00", "\x00<"} {
		if strings.HasPrefix(string(head[:min(len(head), 4)]), p) {
			return true
		}
	}
	return false
}

// note remembers that a part could not be read and lets the inspection go on, unless a limit was met.
func (in *inspector) note(where string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrLimit) {
		return err
	}
	if len(in.errs) < 8 {
		if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrEncrypted) {
			err = fmt.Errorf("%w: %w", ErrFormat, err)
		}
		in.errs = append(in.errs, fmt.Errorf("%q: %w", where, err))
	}
	return nil
}

func (in *inspector) finish(err error) error {
	if err == nil && in.rep.Encrypted {
		return fmt.Errorf("%w: document is encrypted (%s)", ErrEncrypted, in.rep.Scheme)
	}
	if err == nil {
		err = errors.Join(in.errs...)
	}
	if err != nil && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrEncrypted) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// add appends a finding, of which there may be only so many.
func add[T any](in *inspector, list *[]T, v T) error {
	if len(*list) >= in.b.Limits.Files {
		return fmt.Errorf("%w: more than %d findings of one kind", ErrLimit, in.b.Limits.Files)
	}
	*list = append(*list, v)
	return nil
}

// addText appends a text that is cut to a length that tells all.
func (in *inspector) addText(list *[]string, s string) error {
	for _, have := range *list {
		if have == s {
			return nil
		}
	}
	return add(in, list, cut(s))
}

const maxText = 4096 // bytes of a command, a target, a name

func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func (in *inspector) link(kind, target string, auto bool) error {
	const more = 20 // documents with thousands of links are honest
	target = cut(strings.TrimSpace(target))
	if target == "" {
		return nil
	}
	if len(in.rep.Links) >= more*in.b.Limits.Files {
		return fmt.Errorf("%w: more than %d links", ErrLimit, len(in.rep.Links))
	}
	if err := in.b.Keep(int64(len(target))); err != nil {
		return err
	}
	in.rep.Links = append(in.rep.Links, Link{kind, target, auto})
	return nil
}

// object adds an object, unless it is the one before, which has several streams that say what it is.
func (in *inspector) object(o Object) error {
	if n := len(in.rep.Objects); n > 0 {
		last := &in.rep.Objects[n-1]
		if last.Where == o.Where && last.Class == o.Class && o.Where != "objdata" {
			last.Linked, last.Update = last.Linked || o.Linked, last.Update || o.Update
			return nil
		}
	}
	return add(in, &in.rep.Objects, o)
}

// file adds an embedded file that is in memory.
func (in *inspector) file(name, where string, content []byte) error {
	return add(in, &in.rep.Files, inspect.NewFile(cut(name), where, int64(len(content)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}))
}

// stream adds an embedded file that is read when it is opened.
func (in *inspector) stream(name, where string, size int64, open func() (io.Reader, error)) error {
	bytes := in.b.Limits.Bytes
	return add(in, &in.rep.Files, inspect.NewFile(cut(name), where, size, func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		if c, ok := r.(io.ReadCloser); ok {
			return readCloser{inspect.Limited(c, bytes), c}, nil
		}
		return io.NopCloser(inspect.Limited(r, bytes)), nil
	}))
}

type readCloser struct {
	io.Reader
	io.Closer
}
