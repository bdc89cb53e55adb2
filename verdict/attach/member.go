package attach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach/internal/unpack"
)

// members is the work on the members of one archive.
type members struct {
	x      *scan
	it     *item
	format unpack.Format
	shut   bool  // a locked member was reported
	stop   error // a limit of the whole message

	scripts []verdict.Finding // reported when it is known how many files there are
}

// see looks at one member.
func (w *members) see(m *unpack.Member) error {
	x := w.x
	if err := x.budget.entry(x.ctx); err != nil {
		w.stop = err
		return err
	}
	name := m.Name
	declared := ""
	switch {
	case w.format == unpack.CMS:
		declared = "message/rfc822"
	case name == "" && w.format.Single():
		name = stripped(w.it.name)
	}
	it := &item{label: inside(w.it.label, nameOr(name, string(w.format))), name: name, declared: declared, depth: w.it.depth + 1, archive: w}
	x.path(it, m)
	switch {
	case m.Dir:
		return nil
	case m.Locked:
		x.judge(it, "", m.Size)
		w.locked(it.label, "an encrypted member")
		return nil
	case m.Link != "":
		return nil
	}
	if err := w.open(it, m); err != nil {
		w.stop = err
		return err
	}
	return nil
}

// open looks into a member. The error is one that ends the work on the message.
func (w *members) open(it *item, m *unpack.Member) error {
	x := w.x
	rc, err := m.Open()
	if err != nil {
		x.judge(it, "", m.Size)
		return w.failed(it, m, err)
	}
	r := &metered{r: rc, x: x, free: m.Stored}
	c, err := x.load(r)
	defer c.close()
	// The decoder is closed before what came out of it is looked at: it holds memory.
	rc.Close()
	if m.Size >= 0 && r.n > m.Size && m.Size > 0 {
		x.found(codeLying, it.label, fmt.Sprintf("%d bytes come out, and %d are declared", r.n, m.Size))
	}
	if err != nil {
		if c.size > 0 { // what there is may say enough
			x.judge(it, identify(c), c.size)
		} else {
			x.judge(it, "", m.Size)
		}
		return w.failed(it, m, err)
	}
	return x.inspect(it, c)
}

// failed says what it means that a member could not be read.
func (w *members) failed(it *item, m *unpack.Member, err error) error {
	x := w.x
	switch {
	case x.ctx.Err() != nil:
		return x.ctx.Err()
	case errors.Is(err, errSpool):
		return err
	case errors.Is(err, errLimit):
		x.unread(verdict.CodeArchiveLimit, it.label, err)
		if x.budget.spent() {
			return err
		}
	case errors.Is(err, unpack.ErrUnopened):
		x.unread(codeUnopened, it.label, err)
	case errors.Is(err, unpack.ErrLocked):
		w.locked(it.label, "an encrypted member")
	default:
		x.unread(verdict.CodeArchiveBroken, it.label, err)
	}
	return nil
}

// spent says whether a limit of the whole message, or of the part, is used up.
func (b *budget) spent() bool {
	return b.out > b.limits.Output || b.entries > b.limits.Entries || b.overtime(context.Background()) != nil ||
		b.partOut > ratioFrom && b.partOut/b.limits.Ratio > b.size
}

// locked reports encrypted content, once an archive.
func (w *members) locked(label, detail string) {
	if w.shut {
		return
	}
	w.shut = true
	w.x.lockedAt(label, detail)
}

func (x *scan) lockedAt(label, detail string) {
	x.found(verdict.CodeArchiveLocked, label, detail)
	x.found(codeLocked, label, "nobody but who has the password can look into it")
	if x.hints().given {
		x.found(codePassword, label, "the message speaks of the password")
	}
}

// manyFiles is how many files are in an archive with scripts that is taken for one of source code.
const manyFiles = 10

// scripts reports the scripts of an archive.
func (x *scan) scripts(found []verdict.Finding, files int) {
	for _, f := range found {
		if files > manyFiles {
			f.Class, f.Score = verdict.Found(codeSource).Class, verdict.Found(codeSource).Score
			f.Code, f.Detail = codeSource, fmt.Sprintf("%s, among %d files", f.Detail, files)
		}
		x.add(f)
	}
}

// path reports a member or a link that leads out of the folder that the archive is unpacked to.
func (x *scan) path(it *item, m *unpack.Member) {
	switch {
	case escapes(m.Name):
		x.found(codeTraversal, it.label, "a path that leads out of the archive")
	case m.Link == "":
	case linkEscapes(m.Name, m.Link):
		x.found(codeTraversal, it.label, "a link that leads out of the archive: "+m.Link)
	default:
		x.found(codeLink, it.label, "a link: "+m.Link)
	}
}

// report turns the facts of an archive into findings.
func (w *members) report(f unpack.Facts) {
	x, label := w.x, w.it.label
	if f.Password != "" {
		x.found(verdict.CodeArchiveLocked, label, "encrypted, and the password could be guessed")
		if slices.Contains(x.hints().words, f.Password) {
			x.found(codePassword, label, "the message gives the password")
		}
	}
	if len(w.scripts) > 0 {
		x.scripts(w.scripts, f.Listed)
	}
	if f.Volume {
		x.unread(codeVolume, label, fmt.Errorf("%w: the rest is in another volume", unpack.ErrUnopened))
	}
	if len(f.Differs) > 0 {
		x.found(codeDiffers, label, strings.Join(f.Differs, "; "))
	}
	if f.Prefix > 0 && f.Listed > 0 {
		x.found(codePrefix, label, fmt.Sprintf("%d bytes before the archive", f.Prefix))
	}
}
