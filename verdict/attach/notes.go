package attach

import (
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/inspect"
	"github.com/postreeve/postreeve/verdict/internal/lnk"
	"github.com/postreeve/postreeve/verdict/internal/onenote"
)

// oneNote looks at the files in a section of OneNote. Pictures and recordings are what notes are made of;
// other files are there to be opened.
func (x *scan) oneNote(it *item, c *content) error {
	ctx, cancel, lim := x.bounded()
	defer cancel()
	rep, err := onenote.Inspect(ctx, gate{c.at, x}, c.size, lim)
	for _, name := range rep.Names {
		x.judge(&item{label: inside(it.label, name), name: name, depth: it.depth + 1}, "", -1)
	}
	var files, media []inspect.File
	for _, f := range rep.Files {
		if isMedia(kindOf(f)) {
			media = append(media, f)
		} else {
			files = append(files, f)
		}
	}
	if err := x.embedded(it, media, ""); err != nil {
		return err
	}
	if err := x.embedded(it, files, codeEmbedded); err != nil {
		return err
	}
	return x.settle(it, err, true)
}

// kindOf returns the type of an embedded file by its beginning.
func kindOf(f inspect.File) string {
	rc, err := f.Open()
	if err != nil {
		return ""
	}
	defer rc.Close()
	var head [512]byte
	n, _ := fill(rc, head[:])
	return verdict.SniffType(head[:n])
}

// shortcut looks at what a shortcut starts, and at what is hidden behind its end.
func (x *scan) shortcut(it *item, c *content) error {
	ctx, cancel, lim := x.bounded()
	defer cancel()
	rep, err := lnk.Inspect(ctx, gate{c.at, x}, c.size, lim)
	if cmd := strings.TrimSpace(rep.Target + " " + rep.Arguments); rep.Arguments != "" || startsProgram(rep.Target) {
		x.found(codeCommand, it.label, cmd)
	}
	if err := x.embedded(it, rep.Files, codeEmbedded); err != nil {
		return err
	}
	return x.settle(it, err, false)
}
