package attach

import (
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/script"
)

// maxMarkup is how much of a page or a script is looked at. What lies behind it was not.
const maxMarkup = 4 << 20

// isMarkup says whether a browser or the script host would open the file.
func isMarkup(kind, ext string) bool {
	switch kind {
	case "text/html", "image/svg+xml", "application/hta", "text/x-wsf":
		return true
	}
	return strings.HasPrefix(kind, "text/") && markupExts[ext]
}

var markupExts = setOf("htm html shtml xhtml xht svg js jse vbs vbe wsf hta")

// markup takes a page, a drawing or a script apart.
func (x *scan) markup(it *item, c *content) error {
	ctx, cancel, lim := x.bounded()
	defer cancel()
	text := c.text(maxMarkup)
	rep, err := script.Inspect(ctx, text, lim)
	x.markupReport(it, rep, parseName(it.name).ext)
	if err := x.payloads(it, rep); err != nil {
		return err
	}
	if c.size > maxMarkup && err == nil {
		err = fmt.Errorf("%w: more than %d bytes of text", errLimit, int64(maxMarkup))
	}
	return x.settle(it, err, false)
}

// markupReport turns facts on a page into findings.
func (x *scan) markupReport(it *item, rep *script.Report, ext string) {
	active := rep.Scripts > 0 || len(rep.Sources) > 0 || len(rep.Handlers) > 0 || rep.Links > 0
	svg := rep.SVG && (ext == "svg" || ext == "svgz" || ext == "")
	switch {
	case svg && (active || rep.Foreign):
		x.found(codeSVG, it.label, describeScripts(rep))
	case rep.Markup && active:
		x.found(codeHTMLScript, it.label, describeScripts(rep))
	}
	if !rep.Markup {
		return
	}
	for _, r := range rep.Redirects {
		x.found(codeHTMLRedirect, it.label, r.Kind+" "+r.Target)
	}
	if rep.Saves() {
		x.found(codeHTMLSaves, it.label, strings.Join(rep.Calls, " "))
	}
	if unpacksCode(rep) {
		x.found(codeHTMLHidden, it.label, strings.Join(rep.Calls, " "))
	}
	for _, f := range rep.Forms {
		if f.Password {
			x.found(codeHTMLPassword, it.label, "sent to "+f.Action)
			return
		}
	}
	if rep.Password {
		x.found(codeHTMLPassword, it.label, "a password field")
	}
}

func describeScripts(rep *script.Report) string {
	return strings.TrimSpace(fmt.Sprintf("%d scripts, %d from elsewhere, %s", rep.Scripts, len(rep.Sources), strings.Join(rep.Handlers, " ")))
}

// unpacksCode says whether a page writes a page that it holds in another form.
func unpacksCode(rep *script.Report) bool {
	runs := rep.Has("eval") || rep.Has("document.write") || rep.Has("Function") || rep.Has("execCommand")
	decodes := rep.Has("unescape") || rep.Has("atob") || rep.Has("fromCharCode") || rep.Has("decrypt")
	return runs && decodes && rep.Literals > 1000
}

// payloads looks into what a page holds. A program, script, shortcut, archive or disk image that a page
// makes a file of is nothing that a page needs.
func (x *scan) payloads(it *item, rep *script.Report) error {
	for i, p := range rep.Payloads {
		if rep.Saves() && smuggled(p.Type) {
			x.found(codeHTMLSmuggling, it.label, fmt.Sprintf("%s of %d bytes, in %s", p.Type, p.Size, p.Encoding))
		}
		if i >= len(rep.Files) {
			break
		}
	}
	return x.embedded(it, rep.Files, "")
}

func smuggled(kind string) bool {
	if typeRisks[kind] != harmless {
		return true
	}
	switch kind {
	case "application/zip", "application/x-7z-compressed", "application/vnd.rar", "application/x-rar5", "application/x-ole-storage",
		"application/java-archive", "application/onenote", "application/rtf":
		return true
	}
	return isPackage(kind)
}
