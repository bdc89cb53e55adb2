package attach

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
	"github.com/postreeve/postreeve/verdict/internal/office"
)

func (x *scan) office(it *item, c *content) error {
	ctx, cancel, lim := x.bounded()
	defer cancel()
	rep, err := office.Inspect(ctx, gate{c.at, x}, c.size, lim)
	x.officeReport(it, rep)
	code, files := codeEmbedded, rep.Files
	if rep.App == "outlook" { // a message: its files are attachments, and its text is none
		code = ""
		files = slices.DeleteFunc(slices.Clone(files), func(f inspect.File) bool { return f.Name == "body.html" })
	}
	if err := x.embedded(it, files, code); err != nil {
		return err
	}
	return x.settle(it, err, rep.Format != "")
}

func (x *scan) table(it *item, c *content) error {
	ctx, cancel, lim := x.bounded()
	defer cancel()
	rep, err := office.InspectTable(ctx, c.text(1<<20), lim)
	x.officeReport(it, rep)
	return x.settle(it, err, false)
}

// officeReport turns facts on a document into findings.
func (x *scan) officeReport(it *item, rep *office.Report) {
	if rep.Encrypted {
		x.found(codeEncryptedDoc, it.label, strings.TrimSpace("it asks for a password "+rep.Scheme))
		if x.hints().given {
			x.found(codePassword, it.label, "the message speaks of the password")
		}
	}
	x.macros(it, rep)
	for _, cmd := range rep.DDE {
		code := codeDDE
		if !startsProgram(cmd) {
			code = codeExternal
		}
		x.found(code, it.label, cmd)
	}
	for _, l := range rep.Links {
		if code := linkCode(l); code != "" {
			x.found(code, it.label, l.Kind+" "+l.Target)
		}
	}
	for _, o := range rep.Objects {
		code := codeObject
		switch {
		case rep.Format == office.RTF && isExploited(o.Class):
			code = codeExploit
		case rep.Format == office.RTF:
			code = codeRTFObject
		}
		x.found(code, it.label, strings.TrimSpace("an OLE object "+o.Class))
	}
	if len(rep.Controls) > 0 {
		x.found(codeControl, it.label, strings.Join(rep.Controls, ", "))
	}
	for _, d := range rep.Doctypes {
		if d.Entities > 0 || d.External {
			x.found(codeDoctype, it.label, fmt.Sprintf("%s declares %d entities", d.Part, d.Entities))
		}
	}
}

// macros reports what is in the macros of a document. Code that runs by itself and reaches out of the
// document is what malware needs, and hardly anything else sent by mail.
func (x *scan) macros(it *item, rep *office.Report) {
	worst, detail := "", ""
	rank := map[string]int{"": 0, codeMacro: 1, codeXLM: 2, codeXLMAuto: 3, codeAutoMacro: 4}
	for i := range rep.Macros {
		m := &rep.Macros[i]
		code := ""
		switch {
		case m.Lang == office.XLM && len(m.Suspicious) > 0 && (len(m.AutoExec) > 0 || m.VeryHidden):
			code = codeXLMAuto
		case m.Lang == office.XLM && m.HasCode:
			code = codeXLM
		case m.HasCode && len(m.AutoExec) > 0 && len(m.Suspicious) > 0:
			code = codeAutoMacro
		case m.HasCode:
			code = codeMacro
		}
		if rank[code] > rank[worst] {
			worst = code
			detail = fmt.Sprintf("%s %s: %s %s", m.Lang, m.Name, strings.Join(m.AutoExec, " "), strings.Join(m.Suspicious, " "))
		}
	}
	if worst == "" && rep.Project {
		worst, detail = codeMacro, "a macro project"
	}
	if worst != "" {
		x.found(worst, it.label, detail)
	}
}

// starters are programs that start others.
var starters = setOf("cmd powershell pwsh mshta wscript cscript rundll32 regsvr32 msiexec certutil bitsadmin explorer forfiles")

// startsProgram says whether a DDE command names a program that is no office program.
func startsProgram(cmd string) bool {
	s := strings.ToLower(cmd)
	for w := range strings.FieldsFuncSeq(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		if starters[w] {
			return true
		}
	}
	return strings.Contains(s, ".exe") && !strings.Contains(s, "excel.exe") && !strings.Contains(s, "winword.exe")
}

// linkCode says what a link is reported as; "": nothing. Hyperlinks are for the package links.
func linkCode(l office.Link) string {
	s := strings.ToLower(l.Target)
	web := strings.HasPrefix(s, "http:") || strings.HasPrefix(s, "https:") || strings.HasPrefix(s, "ftp:") || strings.HasPrefix(s, "mhtml:") || strings.HasPrefix(s, "ms-")
	if l.Kind != "hyperlink" && l.Kind != "image" {
		_, ext, _ := cutLast(strings.TrimRight(s, " \x00"))
		switch extRisks[ext] {
		case program, scripted, shortcut, installer:
			if !web || ext != "com" {
				return codeStarts
			}
		}
	}
	switch l.Kind {
	case "template", "frame", "subdocument":
		if web {
			return codeTemplate
		}
		return codeExternal
	case "object", "control":
		return codeExternal
	}
	return ""
}

// isExploited says whether readers of the class have had holes that were used widely.
func isExploited(class string) bool {
	c := strings.ToLower(class)
	for _, p := range []string{"equation.", "otkloadr", "mscomctl", "htmlfile", "package", "ole2link", "word.document", "excel.sheet.8.", "shell.explorer", "0002ce02"} {
		if strings.HasPrefix(c, p) {
			return p != "word.document" && p != "package"
		}
	}
	return false
}
