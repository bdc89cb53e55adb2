package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach/internal/unpack"
)

// inspect looks at a file and at what is in it. The error is that of a limit on the whole message, of the
// context or of the spool; what is wrong with the file alone is a finding.
func (x *scan) inspect(it *item, c *content) error {
	x.budget.start()
	kind := identify(c)
	x.judge(it, kind, c.size)
	if kind == "application/pgp" && bytes.HasPrefix(c.head, []byte("-----BEGIN PGP MESSAGE")) {
		x.found(codeEncryptedMail, it.label, "encrypted by PGP")
	}
	ext := parseName(it.name).ext
	var formats []unpack.Format
	if !isProgram(kind) { // an archive in a program is looked for in its own way
		formats = x.formats(it, c, kind, ext)
	}
	if volumeExts[ext] && len(formats) > 0 {
		x.found(codeVolume, it.label, "called a piece of an archive, and is a whole one")
	}
	if len(formats) == 0 {
		x.claims(it, kind, ext)
		if isProgram(kind) {
			return x.selfExtracting(it, c)
		}
		return x.document(it, c, kind, ext)
	}
	if isPackage(kind) {
		if err := x.listOnly(it, c); err != nil {
			return err
		}
		return x.document(it, c, kind, ext)
	}
	for _, f := range formats {
		if err := x.archive(it, c, f); err != nil {
			return err
		}
	}
	return x.document(it, c, kind, ext)
}

func isProgram(kind string) bool {
	return typeRisks[kind] == program || kind == "application/x-elf" || kind == "application/x-mach-binary"
}

// formats returns the archive formats of the content. Documents that are zip files are taken apart as
// documents first; as archives too, since anything may be put into them.
func (x *scan) formats(it *item, c *content, kind, ext string) []unpack.Format {
	switch {
	case strings.HasPrefix(kind, "image/"), strings.HasPrefix(kind, "audio/"), strings.HasPrefix(kind, "video/"), kind == "application/pdf":
		if !c.endsInZip() {
			return nil
		}
		if f := unpack.Detect(nil, c.tail(unpack.TailLen)); len(f) > 0 {
			x.found(codePolyglot, it.label, "begins as "+kind+" and ends as a zip file")
			return f
		}
		return nil
	case kind == "application/x-ole-storage", kind == typeInstaller, kind == "application/onenote", kind == "application/rtf":
		return nil // what is embedded in them may be zip files
	case kind == "application/pkcs7-mime":
		if ext == "p7m" || ext == "p7z" || strings.HasSuffix(it.declared, "pkcs7-mime") {
			return []unpack.Format{unpack.CMS}
		}
		return nil // a certificate, a key or a signature
	case strings.HasPrefix(kind, "text/"):
		switch {
		case unpack.IsBase64(c.head):
			return []unpack.Format{unpack.Base64}
		case kind == "text/plain" && unpack.IsUU(c.head) >= 0:
			return []unpack.Format{unpack.UU}
		case kind == "text/plain" && unpack.IsBinHex(c.head):
			return []unpack.Format{unpack.BinHex}
		}
		if c.size < 22 || !c.endsInZip() {
			return nil
		}
	}
	return unpack.Detect(c.head, c.tail(unpack.TailLen))
}

// claims reports a file that is an archive by its name, and that no reader knows.
func (x *scan) claims(it *item, kind, ext string) {
	switch {
	case typeRisks[kind] == diskImage:
		x.unread(codeUnopened, it.label, fmt.Errorf("%w: a disk image of type %s", unpack.ErrUnopened, kind))
	case volumeExts[ext]:
		x.unread(codeVolume, it.label, fmt.Errorf("%w: one piece of an archive", unpack.ErrUnopened))
	case archiveExts[ext] && kind == "application/octet-stream":
		x.unread(verdict.CodeArchiveBroken, it.label, fmt.Errorf("%w: called .%s, and no archive that is known", unpack.ErrFormat, ext))
	}
}

// archive looks at the members of an archive.
func (x *scan) archive(it *item, c *content, f unpack.Format) error {
	if err := x.budget.container(x.ctx, it.depth); err != nil {
		if x.ctx.Err() != nil {
			return err
		}
		x.unread(verdict.CodeArchiveLimit, it.label, err)
		return nil
	}
	if it.archive != nil && !f.Single() && !it.archive.format.Single() {
		x.found(codeNested, it.label, "a "+string(f)+" archive in a "+string(it.archive.format)+" archive")
	}
	return x.walk(it, f, gate{c.at, x}, c.size)
}

// walk looks at the members of the archive in r.
func (x *scan) walk(it *item, f unpack.Format, r io.ReaderAt, size int64) error {
	w := &members{x: x, it: it, format: f}
	lim := x.archiveLimits()
	lim.Passwords = x.tryPasswords(f, r, size)
	ctx, cancel := context.WithDeadline(x.ctx, x.budget.until)
	defer cancel()
	facts, err := unpack.Walk(ctx, f, r, size, lim, w.see)
	w.report(facts)
	switch {
	case err == nil:
		return nil
	case x.ctx.Err() != nil:
		return x.ctx.Err()
	case w.stop != nil:
		return w.stop
	case errors.Is(err, errSpool):
		return err
	case errors.Is(err, errLimit), errors.Is(err, context.DeadlineExceeded):
		x.unread(verdict.CodeArchiveLimit, it.label, err)
		return x.budget.overtimeOnly()
	case errors.Is(err, unpack.ErrLocked) && f == unpack.CMS:
		x.found(codeEncryptedMail, it.label, "encrypted to the recipient")
	case errors.Is(err, unpack.ErrLocked):
		w.locked(it.label, "its list of members too")
	case errors.Is(err, unpack.ErrUnopened):
		x.unread(codeUnopened, it.label, err)
	default:
		x.unread(verdict.CodeArchiveBroken, it.label, err)
	}
	return nil
}

// overtimeOnly returns an error if it was the time of the whole message that is over.
func (b *budget) overtimeOnly() error { return b.overtime(context.Background()) }

// stripped is the name of a compressed file without the extension of the compression.
func stripped(name string) string {
	n := parseName(name)
	stem, _, ok := cutLast(n.base)
	if !ok {
		return n.base
	}
	switch n.ext {
	case "tgz", "tbz", "tbz2", "txz", "tlz", "taz":
		return stem + ".tar"
	case "gz", "bz2", "xz", "zst", "lz", "lzma", "lz4", "z", "b64", "base64", "uu", "uue":
		return stem
	}
	return n.base
}
