package attach

import (
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/pdf"
)

func (x *scan) pdf(it *item, c *content) error {
	ctx, cancel, lim := x.bounded()
	defer cancel()
	rep, err := pdf.Inspect(ctx, gate{c.at, x}, c.size, lim)
	x.pdfReport(it, rep)
	if err := x.embedded(it, rep.Files, codePDFEmbedded); err != nil {
		return err
	}
	return x.settle(it, err, false)
}

// pdfReport turns facts on a PDF file into findings.
func (x *scan) pdfReport(it *item, rep *pdf.Report) {
	if rep.Locked {
		x.found(codePDFEncrypted, it.label, "it takes a password to open it")
		if x.hints().given {
			x.found(codePassword, it.label, "the message speaks of the password")
		}
	}
	for _, l := range rep.Launch {
		x.found(codePDFLaunch, it.label, l)
	}
	for _, s := range rep.Scripts {
		code := codePDFScript
		if rep.OpenAction || reachesOut(s) {
			code = codePDFScriptAuto
		}
		x.found(code, it.label, firstWords(s))
	}
	switch {
	case rep.RichMedia:
		x.found(codePDFActive, it.label, "Flash, sound, film or 3D")
	case rep.ImportData:
		x.found(codePDFActive, it.label, "an action that loads form data")
	}
	for _, l := range rep.Links {
		if l.Auto {
			x.found(codePDFActive, it.label, "leads to "+l.Target+" when it is opened")
		}
	}
}

// reachesOut says whether a script of a PDF file does what forms do not need: unpacks itself, opens files,
// leads elsewhere.
func reachesOut(s string) bool {
	for _, w := range []string{"eval", "unescape", "fromCharCode", "exportDataObject", "launchURL", "getURL", "submitForm", "importAnFDF", "util.printf", "getAnnots", "media.newPlayer", "collab."} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

func firstWords(s string) string {
	return clipTo(strings.Join(strings.Fields(clipTo(s, 400)), " "), 100)
}
