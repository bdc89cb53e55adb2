package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/postreeve/postreeve/verdict"
)

// item is one message on its way through a scan.
type item struct {
	path    string
	source  verdict.Source
	wrapped bool
	err     error // it could not be read
	close   func()

	done    chan struct{} // closed when there is a result
	dropped bool          // the scan was ended before
	result  scanned
}

// drop gives up an item that nobody will judge.
func (it *item) drop() {
	if it.close != nil {
		it.close()
	}
	it.dropped = true
	close(it.done)
}

// finder finds the messages behind paths.
type finder struct {
	ctx   context.Context
	in    io.Reader
	spool verdict.Spool // of what cannot be read in place
}

// maxMessage bounds what is read from standard input and mailboxes, in bytes a message.
const maxMessage = 1 << 30

// find calls yield for each message until that says no.
func (f *finder) find(paths []string, yield func(*item) bool) {
	f.spool.Memory, f.spool.Total = 1<<20, 16<<20
	for _, p := range paths {
		ok := true
		switch fi, err := os.Stat(p); {
		case p == "-":
			ok = f.stdin(yield)
		case err != nil:
			ok = yield(&item{path: p, err: notFound(err)})
		case fi.IsDir():
			ok = f.dir(p, yield)
		default:
			ok = f.file(p, yield)
		}
		if !ok {
			return
		}
	}
}

// dir goes through a folder in lexical order.
func (f *finder) dir(root string, yield func(*item) bool) bool {
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		ok := true
		switch {
		case f.ctx.Err() != nil:
			return fs.SkipAll
		case err != nil:
			ok = yield(&item{path: p, err: err})
		case d.Type().IsRegular():
			ok = f.file(p, yield)
		}
		if !ok {
			return fs.SkipAll
		}
		return nil
	})
	return err == nil && f.ctx.Err() == nil
}

// file is one message, a mailbox, or something else that is wrapped.
func (f *finder) file(p string, yield func(*item) bool) bool {
	src, err := verdict.OpenFile(p)
	if err != nil {
		return yield(&item{path: p, err: err})
	}
	head, err := readHead(src)
	if err != nil {
		return yield(&item{path: p, err: err})
	}
	if isMailbox(head) {
		r, err := src.Open()
		if err != nil {
			return yield(&item{path: p, err: err})
		}
		defer r.Close()
		return f.mailbox(p, r, yield)
	}
	it := &item{path: p, source: src}
	if !isMessage(src, head) {
		it.source, it.wrapped = wrap(filepath.Base(p), src), true
	}
	return yield(it)
}

// stdin is a message, a mailbox or something else, read to its end.
func (f *finder) stdin(yield func(*item) bool) bool {
	r := bufio.NewReaderSize(f.in, 64<<10)
	head, err := r.Peek(len("From "))
	if err == nil && isMailbox(head) {
		return f.mailbox("-", r, yield)
	}
	buf, err := f.spool.ReadAll(r, maxMessage)
	if err != nil {
		return yield(&item{path: "-", err: err})
	}
	if buf.Size() == 0 { // a pipe that broke before it, most likely: that is not a clean message
		buf.Close()
		return yield(&item{path: "-", err: errors.New("standard input is empty: nothing was judged")})
	}
	it := &item{path: "-", source: buf, close: func() { buf.Close() }}
	head, err = readHead(buf)
	if err != nil {
		buf.Close()
		return yield(&item{path: "-", err: err})
	}
	if !isMessage(buf, head) {
		it.source, it.wrapped = wrap("stdin", buf), true
	}
	return yield(it)
}

func readHead(src verdict.Source) ([]byte, error) {
	r, err := src.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	head, err := io.ReadAll(io.LimitReader(r, verdict.SniffLen))
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	return head, nil
}

func isMailbox(head []byte) bool { return bytes.HasPrefix(head, []byte("From ")) }

// wellKnown are fields that nearly every message has some of, and other files hardly.
var wellKnown = map[string]bool{
	"from": true, "to": true, "cc": true, "subject": true, "date": true, "received": true, "return-path": true,
	"message-id": true, "mime-version": true, "content-type": true, "content-transfer-encoding": true,
	"content-disposition": true, "delivered-to": true, "reply-to": true, "sender": true, "references": true,
	"in-reply-to": true, "dkim-signature": true, "authentication-results": true, "list-id": true, "bcc": true,
}

// isMessage says whether a file is a message rather than something that would be attached to one: it has
// a header with a well-known field, and is text or begins with a field.
func isMessage(src verdict.Source, head []byte) bool {
	if len(head) == 0 {
		return true
	}
	if !beginsWithField(head) && !strings.HasPrefix(verdict.SniffType(head), "text/") {
		return false
	}
	for field := range verdict.NewMessage(src).Header().All() {
		if wellKnown[strings.ToLower(field.Name)] {
			return true
		}
	}
	return false
}

// beginsWithField says whether the first line is a header field (RFC 5322 section 2.2).
func beginsWithField(head []byte) bool {
	for i, c := range head {
		switch {
		case c == ':':
			return i > 0
		case c <= ' ' || c >= 0x7f:
			return false
		}
	}
	return false
}

// wrap makes a message of a file, with the file as its only part.
func wrap(name string, src verdict.Source) verdict.Source {
	if !utf8.ValidString(name) {
		name = strings.ToValidUTF8(name, "_")
	}
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": name})
	if disposition == "" {
		disposition = "attachment"
	}
	head := "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Disposition: " + disposition +
		"\r\nContent-Transfer-Encoding: binary\r\n\r\n"
	return &wrapper{[]byte(head), src}
}

// wrapper is a source behind a header.
type wrapper struct {
	head []byte
	src  verdict.Source
}

// Size implements verdict.Source.
func (w *wrapper) Size() int64 { return int64(len(w.head)) + w.src.Size() }

// Open implements verdict.Source.
func (w *wrapper) Open() (io.ReadCloser, error) {
	r, err := w.src.Open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(w.head), r), r}, nil
}
