package office

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
	"github.com/postreeve/postreeve/verdict/internal/xmlscan"
)

// flatXML reads a document that is one XML file: Word and Excel 2003, a package written flat, flat ODF.
type flatXML struct {
	in   *inspector
	word wordXML
	odf  odfXML
	part string // name of the current part of a flat package
	name string // of the current binary data
	data []byte // of it, in base64
	open bool
	sort string // which of the formats it is
}

func (in *inspector) flatXML(r io.Reader) error {
	s := xmlscan.New(in.b, in.b.Reader(r))
	x := flatXML{in: in, word: wordXML{in: in, fields: fields{in: in}}, odf: odfXML{in: in}}
	for s.Next() {
		switch {
		case s.Kind == xmlscan.Doctype:
			if err := in.doctype("", s.Token); err != nil {
				return err
			}
			continue
		case s.Kind == xmlscan.Start && x.sort == "":
			if x.sort = flatRoot(s); x.sort == "" {
				return fmt.Errorf("%w: XML that is no office document", ErrFormat)
			}
			in.rep.Format, in.rep.App = XML, appOfFlat(x.sort, s)
		}
		if err := x.token(s); err != nil {
			return err
		}
	}
	if x.sort == "" && s.Err() == nil {
		return fmt.Errorf("%w: XML that is no office document", ErrFormat)
	}
	return s.Err()
}

// flatRoot tells the formats apart by their first element.
func flatRoot(s *xmlscan.Scanner) string {
	switch s.Name {
	case "wordDocument", "Workbook":
		return s.Name
	case "package", "document":
		if s.Space == "pkg" || s.Space == "office" || strings.Contains(s.Attr("mimetype"), "opendocument") {
			return s.Name
		}
	}
	return ""
}

func appOfFlat(root string, s *xmlscan.Scanner) string {
	switch root {
	case "Workbook":
		return "excel"
	case "document":
		return appOfODF(s.Attr("mimetype"))
	}
	return "word"
}

func (x *flatXML) token(s *xmlscan.Scanner) error {
	switch {
	case s.Kind == xmlscan.Start && (s.Name == "binData" || s.Name == "binaryData" || s.Name == "docOleData" || s.Name == "binary-data"):
		x.name, x.open = s.Attr("name"), !s.Empty
		return nil
	case s.Kind == xmlscan.Text && x.open:
		if err := x.in.b.Keep(int64(len(s.Text))); err != nil {
			return err
		}
		x.data = append(x.data, s.Text...)
		return nil
	case s.Kind == xmlscan.End && x.open:
		x.open = false
		err := x.binary()
		x.in.b.Keep(-int64(len(x.data)))
		x.data = x.data[:0]
		return err
	case s.Kind == xmlscan.Start:
		if err := x.start(s); err != nil {
			return err
		}
	}
	if x.sort == "document" {
		return x.odf.token(s)
	}
	return x.word.token(s)
}

func (x *flatXML) start(s *xmlscan.Scanner) error {
	switch s.Name {
	case "part":
		x.part = cut(s.Attr("name"))
		x.word.where = x.part
	case "Relationship":
		if strings.EqualFold(s.Attr("TargetMode"), "External") {
			kind := s.Attr("Type")
			use, auto := relationUse(kind[strings.LastIndexByte(kind, '/')+1:])
			return x.in.link(use, s.Attr("Target"), auto)
		}
	case "hlink": // Word 2003
		return x.in.link("hyperlink", s.Attr("dest"), false)
	case "attachedTemplate":
		return x.in.remote("template", s.Attr("val"))
	case "Cell": // Excel 2003
		if target := s.Attr("HRef"); target != "" {
			return x.in.link("hyperlink", target, false)
		}
	}
	return nil
}

// binary looks at data that was encoded: projects, objects, pictures.
func (x *flatXML) binary() error {
	clean := bytes.Map(func(r rune) rune {
		if r <= ' ' {
			return -1
		}
		return r
	}, x.data)
	b := make([]byte, base64.StdEncoding.DecodedLen(len(clean)))
	n, err := base64.StdEncoding.Decode(b, clean)
	b = b[:n]
	if err != nil && n == 0 {
		return nil
	}
	where := x.part
	if where == "" {
		where = cut(x.name)
	}
	switch {
	case bytes.HasPrefix(b, []byte("ActiveMime")):
		return x.in.note(where, x.in.activeMime(bytes.NewReader(b), where))
	case bytes.HasPrefix(b, []byte(cfb.Magic)):
		// Files in it are read from it later.
		if err := x.in.b.Keep(int64(len(b))); err != nil {
			return err
		}
		return x.in.note(where, x.in.ole(bytes.NewReader(b), int64(len(b)), where, 1))
	case startsFile(b[:min(len(b), 16)]):
		if err := x.in.b.Keep(int64(len(b))); err != nil {
			return err
		}
		return x.in.file(x.name, where, b)
	}
	return nil
}
