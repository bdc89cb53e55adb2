package tnef

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Magic is what TNEF begins with.
const Magic = "\x78\x9F\x3E\x22"

// Attributes (MS-OXTNEF section 2.1.3.2).
const (
	attSubject      = 0x8004
	attMessageClass = 0x8008
	attBody         = 0x800C
	attAttachData   = 0x800F
	attAttachTitle  = 0x8010
	attRenderData   = 0x9002 // the first of an attachment
	attProps        = 0x9003
	attAttachment   = 0x9005

	levelAttachment = 2
	attrHeader      = 9 // level, id, length
)

const maxName = 4096

// Inspect unpacks the TNEF of size bytes that r gives.
//
// The report is never nil: with an error it has what was found up to there. Files of the report need r
// until they are no longer wanted.
func Inspect(ctx context.Context, r io.ReaderAt, size int64, lim Limits) (rep *Report, err error) {
	rep = &Report{}
	defer inspect.Recover(&err)
	d := &document{b: inspect.NewBudget(ctx, lim), rep: rep}
	err = d.stream(io.NewSectionReader(r, 0, size), "", 0)
	if err != nil && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrFormat) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return rep, err
}

// document is a message under inspection.
type document struct {
	b   *inspect.Budget
	rep *Report
}

// attachment gathers what belongs to one attachment.
type attachment struct {
	title, long, short, display string
	data                        *io.SectionReader
	object                      *io.SectionReader // a storage or message in place of data
	message                     bool
}

func (a *attachment) name() string {
	for _, n := range []string{a.long, a.title, a.short, a.display} {
		if n != "" {
			return n
		}
	}
	return ""
}

// stream walks the attributes of one message.
func (d *document) stream(r *io.SectionReader, where string, depth int) error {
	if depth > d.b.Limits.Depth {
		return fmt.Errorf("%w: messages nested more than %d deep", ErrLimit, d.b.Limits.Depth)
	}
	head := make([]byte, attrHeader)
	if _, err := r.ReadAt(head[:6], 0); err != nil || string(head[:4]) != Magic {
		return fmt.Errorf("%w: no TNEF", ErrFormat)
	}
	var at *attachment
	for pos := int64(6); pos+attrHeader <= r.Size(); {
		if err := d.b.Object(); err != nil {
			return err
		}
		if _, err := r.ReadAt(head, pos); err != nil {
			return err
		}
		level, id := head[0], binary.LittleEndian.Uint16(head[1:])
		n := int64(binary.LittleEndian.Uint32(head[5:]))
		pos += attrHeader
		if level == 0 || level > levelAttachment {
			break // garbage behind the end
		}
		cutOff := pos+n > r.Size()
		body := io.NewSectionReader(r, pos, min(n, r.Size()-pos))
		if id == attRenderData || at == nil && level == levelAttachment {
			if err := d.finish(at, where, depth); err != nil {
				return err
			}
			at = &attachment{}
		}
		if err := d.attribute(id, body, at, where, depth); err != nil {
			return err
		}
		if cutOff {
			if err := d.finish(at, where, depth); err != nil {
				return err
			}
			return fmt.Errorf("%w: TNEF is cut off", ErrFormat)
		}
		pos += n + 2 // and the checksum
	}
	return d.finish(at, where, depth)
}

// attribute takes what an attribute has.
func (d *document) attribute(id uint16, body *io.SectionReader, at *attachment, where string, depth int) error {
	var err error
	switch id {
	case attMessageClass:
		if where == "" {
			d.rep.Class, err = d.text(body)
		}
	case attSubject:
		if where == "" {
			d.rep.Subject, err = d.text(body)
		}
	case attBody:
		return d.body("text/plain", body, where)
	case attProps:
		return d.props(body, nil, where, depth)
	}
	if at == nil {
		return err
	}
	switch id {
	case attAttachData:
		at.data = body
	case attAttachTitle:
		at.title, err = d.text(body)
	case attAttachment:
		return d.props(body, at, where, depth)
	}
	return err
}

// text reads a short text with a NUL at its end.
func (d *document) text(r *io.SectionReader) (string, error) {
	b := make([]byte, min(r.Size(), maxName))
	n, err := r.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	b, _, _ = bytes.Cut(b[:n], []byte{0})
	return strings.ToValidUTF8(latin1(b), "\uFFFD"), err
}

// latin1 makes bytes text: UTF-8 if they are, otherwise one character a byte.
func latin1(b []byte) string {
	if s := string(b); strings.ToValidUTF8(s, "") == s {
		return s
	}
	var sb strings.Builder
	for _, c := range b {
		sb.WriteRune(rune(c))
	}
	return sb.String()
}

// body adds a form of the text.
func (d *document) body(kind string, r *io.SectionReader, where string) error {
	b, err := d.b.ReadAll(io.NewSectionReader(r, 0, r.Size()), r.Size())
	if err != nil {
		return err
	}
	return d.addBody(Body{kind, bytes.TrimRight(b, "\x00"), where})
}

func (d *document) addBody(b Body) error {
	if len(b.Text) == 0 {
		return nil
	}
	if len(d.rep.Bodies) >= d.b.Limits.Files {
		return fmt.Errorf("%w: more than %d bodies", ErrLimit, d.b.Limits.Files)
	}
	d.rep.Bodies = append(d.rep.Bodies, b)
	return nil
}

// finish adds an attachment that is complete.
func (d *document) finish(a *attachment, where string, depth int) error {
	if a == nil {
		return nil
	}
	name := a.name()
	if where != "" {
		where += "/"
	}
	where += name
	if a.object != nil && a.message {
		return d.stream(a.object, where, depth+1)
	}
	data := a.data
	if a.object != nil && (data == nil || data.Size() == 0) {
		data = a.object
	}
	if data == nil {
		return nil
	}
	if len(d.rep.Files) >= d.b.Limits.Files {
		return fmt.Errorf("%w: more than %d attachments", ErrLimit, d.b.Limits.Files)
	}
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(data, 0, data.Size())), nil
	}
	d.rep.Files = append(d.rep.Files, inspect.NewFile(name, where, data.Size(), open))
	return nil
}
