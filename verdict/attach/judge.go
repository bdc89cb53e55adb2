package attach

import (
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// item is a file: an attachment, or one that was found in an archive or a document.
type item struct {
	label    string   // for Finding.Part
	name     string   // the one that most readers show
	names    []string // all that some reader could show; nil means just name
	declared string   // Content-Type; empty within archives
	depth    int      // of archives and documents around it
	top      bool     // an attachment of the message that is judged

	archive *members // the archive that it lies in, if it lies in one
}

// judge reports what the name and the type of a file say, and returns what it does when it is opened. kind
// is empty if there is no content to look at.
func (x *scan) judge(it *item, kind string, size int64) risk {
	n := parseName(it.name)
	byType := typeRisks[kind]
	if kind == "application/java-vm" && !it.top {
		byType = harmless // every Java archive is full of them
	}
	if isText(kind) && (innocent[n.ext] || typesOf[n.ext] != nil) {
		byType = harmless // texts do what their extension says
		x.found(codeMismatch, it.label, fmt.Sprintf("called .%s, and is %s", n.ext, kind))
	}
	byName := x.nameRisk(it, &n, kind, size)
	x.nameTricks(it, n, byName)
	r := byType
	switch {
	case byType == harmless:
		r = byName
	case byType == foreign && byName != harmless:
		r = byName
	case byType == program || byType == scripted || byType == shortcut || byType == installer:
		x.disguise(it, n, kind)
	}
	if code := codeOf[min(int(r), len(codeOf)-1)]; r != harmless && code != "" {
		x.reportRisk(it, n, r, code, kind)
	}
	switch {
	case r != harmless || kind == "":
	case !fits(kind, n.ext):
		x.found(codeMismatch, it.label, fmt.Sprintf("called .%s, and is %s", n.ext, kind))
	case typesOf[n.ext] == nil && strings.HasPrefix(it.declared, "image/") && !fits(kind, "png"):
		x.found(codeMismatch, it.label, fmt.Sprintf("declared as %s, and is %s", it.declared, kind))
	}
	return r
}

// reportRisk reports a risk. A script among many files of an archive is source code as a rule: it waits
// until they are counted.
func (x *scan) reportRisk(it *item, n fileName, r risk, code, kind string) {
	detail := kind
	if detail == "" || typeRisks[kind] == harmless {
		detail = "by its name a ." + n.ext + " file"
	}
	f := verdict.Found(code)
	f.Part, f.Detail = it.label, clip(detail)
	if r == scripted && it.archive != nil {
		if len(it.archive.scripts) < maxOfCode {
			it.archive.scripts = append(it.archive.scripts, f)
		}
		return
	}
	x.add(f)
}

// nameRisk is what the extensions of all names say. Content that is something else altogether does not
// do what its extension promises.
func (x *scan) nameRisk(it *item, n *fileName, kind string, size int64) risk {
	worst := harmless
	names := it.names
	if len(names) == 0 {
		names = []string{it.name}
	}
	for i, name := range names {
		m := *n
		if i > 0 {
			m = parseName(name)
		}
		r := extRisks[m.ext]
		if r == harmless {
			continue
		}
		switch {
		case m.ext == "com" && (strings.HasPrefix(kind, "text/") || strings.Contains(m.base, "@") || strings.HasPrefix(m.base, "www.")):
			continue // the name of a web site
		case r == program && isMedia(kind), r == scripted && kind != "" && !strings.HasPrefix(kind, "text/") && kind != "application/octet-stream" && kind != "application/x-empty" && typeRisks[kind] == harmless:
			x.found(codeMismatch, it.label, fmt.Sprintf("called .%s, and is %s", m.ext, kind))
			continue
		}
		if worst == harmless || severity(r) > severity(worst) {
			worst = r
			if i > 0 {
				*n = m
			}
		}
	}
	return worst
}

// isText says whether what starts something is a text, which starts nothing under the name of a text.
func isText(kind string) bool {
	switch kind {
	case typeManifest, typeSetting, typeSearch, typeDesktop, typeShellScrap, typeRDP, typeIQY, typeAutorun, typeEncodedVBS,
		"application/hta", "text/x-wsf", "text/x-ms-regedit", "application/x-ms-library", "application/x-mswinurl":
		return true
	}
	return false
}

// severity orders risks.
func severity(r risk) int {
	return [...]int{harmless: 0, foreign: 1, risky: 2, linkFile: 3, diskImage: 4, installer: 5, shortcut: 6, scripted: 7, program: 8, activeHTML: 0}[r]
}

func isMedia(kind string) bool {
	for _, p := range []string{"image/", "audio/", "video/", "font/", "application/pdf", "application/zip", "application/vnd.openxmlformats"} {
		if strings.HasPrefix(kind, p) {
			return true
		}
	}
	return false
}

// disguise reports content that starts something and is called something else.
func (x *scan) disguise(it *item, n fileName, kind string) {
	_, known := typesOf[n.ext]
	switch {
	case innocent[n.ext] || archiveExts[n.ext] || known:
		x.found(codeDisguised, it.label, fmt.Sprintf("called .%s, and is %s", n.ext, kind))
	case n.ext == "" && isDocumentType(it.declared):
		x.found(codeDisguised, it.label, fmt.Sprintf("declared as %s, and is %s", it.declared, kind))
	}
}

func isDocumentType(declared string) bool {
	for _, p := range []string{"image/", "audio/", "video/", "text/", "application/pdf", "application/msword", "application/vnd.ms-", "application/vnd.openxml"} {
		if strings.HasPrefix(declared, p) {
			return declared != "application/vnd.microsoft.portable-executable"
		}
	}
	return false
}

// nameTricks reports what a name does to look like another.
func (x *scan) nameTricks(it *item, n fileName, r risk) {
	danger := r != harmless && r != foreign
	if n.bidi {
		code := codeHidden
		if danger {
			code = codeBidi
		}
		x.found(code, it.label, "characters that turn the direction of writing")
	}
	for _, t := range []struct {
		is     bool
		code   string
		detail string
	}{
		{n.hidden && danger, codeHidden, "characters that cannot be seen"},
		{n.padded, codePadded, "so many blanks that the end is out of sight"},
		{n.trailing, codeTrailing, "dots or blanks behind the extension"},
		{n.stream, codeStream, "the name of a stream"},
		{n.device, codeDevice, "the name of a device"},
		{n.long, codeLong, "more than 255 bytes"},
		{danger && r != risky && r != linkFile && innocent[n.prev], codeDouble, "." + n.prev + "." + n.ext},
		{(n.ext == "htm" || n.ext == "html" || n.ext == "shtml" || n.ext == "xhtml" || n.ext == "svg") && doubled[n.prev], codeDouble, "." + n.prev + "." + n.ext},
	} {
		if t.is {
			x.found(t.code, it.label, t.detail)
		}
	}
}

// doubled are extensions before ".html" that make a page look like a document.
var doubled = setOf("pdf doc docx xls xlsx ppt pptx rtf jpg jpeg png")
