package office

import (
	"archive/zip"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
	"github.com/postreeve/postreeve/verdict/internal/xmlscan"
)

// opc is an OOXML or ODF package under inspection.
type opc struct {
	in      *inspector
	parts   []*part
	byName  map[string]*part // by lower case name
	types   map[string]string
	defExt  map[string]string
	rels    map[string]map[string]relation // by the part that they belong to, in lower case, and their id
	sheets  []workbookSheet
	auto    []string        // names of macros that Excel calls by itself
	macros  []string        // parts that are macro sheets, in lower case
	maps    string          // part with the schemas of a workbook
	chunks  map[string]bool // parts that are documents to be merged in
	scanned map[string]bool // parts that have been read to their end
}

// part is a member of a package.
type part struct {
	*zip.File
	name  string // with slashes and without one before
	lower string
	head  []byte // the first bytes
}

// zip takes a package apart.
func (in *inspector) zip(r io.ReaderAt, size int64) error {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	p := &opc{in: in, byName: map[string]*part{}, types: map[string]string{}, defExt: map[string]string{},
		rels: map[string]map[string]relation{}, chunks: map[string]bool{}, scanned: map[string]bool{}}
	for _, f := range z.File {
		if err := in.b.Object(); err != nil {
			return err
		}
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		name := strings.TrimLeft(strings.ReplaceAll(f.Name, `\`, "/"), "/")
		m := &part{File: f, name: name, lower: strings.ToLower(name)}
		if p.byName[m.lower] == nil {
			p.byName[m.lower] = m
		}
		p.parts = append(p.parts, m)
	}
	switch {
	case p.byName["[content_types].xml"] != nil:
		in.rep.Format = OOXML
		return p.ooxml()
	case p.byName["mimetype"] != nil, p.byName["meta-inf/manifest.xml"] != nil && p.byName["content.xml"] != nil:
		return p.odf()
	}
	return fmt.Errorf("%w: zip file that is no document", ErrFormat)
}

// open returns a reader of a part that spends what it reads.
func (p *opc) open(m *part) (io.ReadCloser, error) {
	if m.Flags&1 != 0 {
		return nil, fmt.Errorf("%w: member of the package", ErrEncrypted)
	}
	rc, err := m.File.Open()
	if err != nil {
		return nil, err
	}
	return readCloser{p.in.b.Reader(rc), rc}, nil
}

// scan calls f with each token of an XML part.
func (p *opc) scan(m *part, f func(*xmlscan.Scanner) error) error {
	rc, err := p.open(m)
	if err != nil {
		return err
	}
	defer rc.Close()
	s := xmlscan.New(p.in.b, rc)
	for s.Next() {
		if s.Kind == xmlscan.Doctype {
			if err := p.in.doctype(m.name, s.Token); err != nil {
				return err
			}
		}
		if err := f(s); err != nil {
			return err
		}
	}
	return s.Err()
}

func (in *inspector) doctype(where string, t xmlscan.Token) error {
	for _, d := range in.rep.Doctypes {
		if d.Part == where {
			return nil
		}
	}
	return add(in, &in.rep.Doctypes, Doctype{where, t.Entities, t.External})
}

// look reads the beginning of a part, and takes it for what it is, whatever its name and type say: a
// compound file wherever it stands, a document type declaration before any element.
func (p *opc) look(m *part, depth int) error {
	rc, err := p.open(m)
	if err != nil {
		return err
	}
	defer rc.Close()
	br := bufio.NewReaderSize(rc, 512)
	head, err := br.Peek(64)
	if err != nil && err != io.EOF {
		return err
	}
	m.head = bytes.Clone(head)
	text := bytes.TrimLeft(head, "\xEF\xBB\xBF \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte(cfb.Magic)):
		content, err := p.in.b.ReadAll(br, int64(min(m.UncompressedSize64, uint64(p.in.b.Limits.Kept))))
		if err != nil {
			return err
		}
		return p.in.ole(bytes.NewReader(content), int64(len(content)), m.name, depth+1)
	case bytes.HasPrefix(text, []byte("<")), isWideXML(head):
		if p.scanned[m.lower] {
			return nil
		}
		t, found, err := xmlscan.Prolog(p.in.b, br)
		if err == nil && found {
			err = p.in.doctype(m.name, t)
		}
		return err
	}
	return nil
}

// asFile adds a part as an embedded file.
func (p *opc) asFile(m *part) error {
	size := int64(-1)
	if m.UncompressedSize64 < 1<<40 {
		size = int64(m.UncompressedSize64)
	}
	return p.in.stream(path.Base(m.name), m.name, size, func() (io.Reader, error) { return m.File.Open() })
}
