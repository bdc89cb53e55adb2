package attach

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach/internal/unpack"
	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// reader takes a kind of file apart that is no archive, and reports what it finds.
type reader func(x *scan, it *item, c *content) error

// readerFor returns who takes the content apart; nil: nobody.
func readerFor(it *item, c *content, kind, ext string) reader {
	switch {
	case kind == "application/pdf", ext == "pdf" && bytes.Contains(c.head[:min(len(c.head), 1024)], []byte("%PDF")):
		return (*scan).pdf
	case isOffice(c, kind, ext):
		return (*scan).office
	case (ext == "csv" || ext == "tsv") && strings.HasPrefix(kind, "text/"):
		return (*scan).table
	case isMail(it, c, kind, ext):
		return (*scan).mail
	case isMarkup(kind, ext):
		return (*scan).markup
	case kind == "application/onenote":
		return (*scan).oneNote
	case kind == "application/x-ms-shortcut":
		return (*scan).shortcut
	case kind == "application/vnd.ms-tnef":
		return (*scan).tnef
	case kind == "text/calendar", ext == "ics" && strings.HasPrefix(kind, "text/"):
		return (*scan).calendar
	}
	return nil
}

// isOffice says whether the package office reads the content.
func isOffice(c *content, kind, ext string) bool {
	switch kind {
	case "application/x-ole-storage", "application/rtf", "application/x-office-xml", "text/x-sylk":
		return true
	case "application/zip":
		return officeExts[ext]
	case "text/xml":
		head := string(c.head[:min(len(c.head), 4096)])
		return strings.Contains(head, "schemas.microsoft.com/office") || strings.Contains(head, "openxmlformats") || strings.Contains(head, "opendocument")
	}
	return isPackage(kind)
}

// isPackage says whether a type is that of an office document that is a zip file.
func isPackage(kind string) bool {
	return strings.HasPrefix(kind, "application/vnd.openxmlformats") || strings.HasPrefix(kind, "application/vnd.oasis.opendocument") ||
		kind == "application/vnd.ms-visio.drawing"
}

var officeExts = setOf("docx docm dotx dotm xlsx xlsm xltx xltm xlsb xlam pptx pptm potx potm ppsx ppsm ppam sldx sldm thmx vsdx vsdm odt ods odp odg")

// document takes the content apart, if it is of a kind that is.
func (x *scan) document(it *item, c *content, kind, ext string) error {
	read := readerFor(it, c, kind, ext)
	if read == nil {
		return nil
	}
	if err := x.budget.container(x.ctx, it.depth); err != nil {
		return x.overOrNil(it, err)
	}
	return read(x, it, c)
}

// embedded looks into the files within a document. code reports that there are some; "" does not.
func (x *scan) embedded(it *item, files []inspect.File, code string) error {
	for i := range files {
		f := &files[i]
		if err := x.budget.entry(x.ctx); err != nil {
			return err
		}
		sub := &item{label: inside(it.label, clipTo(nameOr(f.Name, f.Where), 120)), name: f.Name, depth: it.depth + 1}
		rc, err := f.Open()
		if err != nil {
			x.judge(sub, "", f.Size)
			if err := x.settle(sub, err, true); err != nil {
				return err
			}
			continue
		}
		c, err := x.load(&metered{r: rc, x: x})
		err = errors.Join(err, rc.Close())
		if err == nil {
			if code != "" && !isOfficePart(c) {
				x.found(code, it.label, f.Name)
			}
			err = x.inspect(sub, c)
			c.close()
			if err != nil {
				return err
			}
			continue
		}
		x.judge(sub, identify(c), c.size)
		c.close()
		if errors.Is(err, errLimit) && x.budget.spent() || errors.Is(err, errSpool) {
			return err
		}
		if err := x.settle(sub, err, true); err != nil {
			return err
		}
	}
	return nil
}

// isOfficePart says whether an embedded file is what office programs embed themselves: a chart's table.
func isOfficePart(c *content) bool { return isPackage(verdict.SniffType(c.head)) }

// fileOf makes a file of what is in memory already.
func fileOf(name string, data []byte) inspect.File {
	return inspect.NewFile(name, "", int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
}

func nameOr(name, where string) string {
	if name != "" {
		return name
	}
	return where
}

// listOnly looks at the names in a document that is a zip file: what is in it is for the package office.
func (x *scan) listOnly(it *item, c *content) error {
	lim := x.archiveLimits()
	_, err := unpack.Walk(x.ctx, unpack.Zip, gate{c.at, x}, c.size, lim, func(m *unpack.Member) error {
		sub := &item{label: inside(it.label, m.Name), name: m.Name, depth: it.depth + 1}
		if escapes(m.Name) {
			x.found(codeTraversal, sub.label, "a path that leads out of the archive")
		}
		if m.Locked {
			x.lockedAt(it.label, "an encrypted member")
		}
		if !m.Dir {
			x.judge(sub, "", m.Size)
		}
		return x.budget.overtime(x.ctx)
	})
	switch {
	case err == nil:
		return nil
	case x.ctx.Err() != nil:
		return x.ctx.Err()
	case errors.Is(err, errLimit):
		x.unread(verdict.CodeArchiveLimit, it.label, err)
	default:
		x.unread(verdict.CodeArchiveBroken, it.label, err)
	}
	return nil
}
