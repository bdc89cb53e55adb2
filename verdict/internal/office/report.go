package office

import "github.com/postreeve/postreeve/verdict/internal/inspect"

// Limits bound one inspection; the zero value has defaults.
type Limits = inspect.Limits

// File is an embedded file. Name is what its package calls it, which the user sees and opens.
type File = inspect.File

// The errors that Inspect wraps.
var (
	ErrLimit     = inspect.ErrLimit
	ErrFormat    = inspect.ErrFormat
	ErrEncrypted = inspect.ErrEncrypted
)

// Format is the way in which a document is stored.
type Format string

// The formats. The zero value means none of them.
const (
	OLE   Format = "ole"   // compound file
	OOXML Format = "ooxml" // zip of XML, also XLSB
	ODF   Format = "odf"   // zip of XML
	XML   Format = "xml"   // one XML file, also ODF flat
	RTF   Format = "rtf"
	Table Format = "table" // SYLK and CSV
)

// Report has what was found in a document.
type Report struct {
	Format Format
	App    string // "word", "excel", "powerpoint", "outlook", "publisher", "visio", "installer" or ""

	// Encrypted is set if the document asks for a password before it shows anything. Hardly anything
	// else is then known of it. Scheme names the way, as "agile", "rc4" or "xor".
	Encrypted bool
	Scheme    string

	// Project is set if there is a VBA project, even if no module of it could be read or has code.
	Project bool
	Macros  []Macro

	DDE      []string // commands that the document has the program run or ask for
	Links    []Link
	Objects  []Object
	Files    []File   // what is embedded, objects unwrapped; only content that can be opened
	Controls []string // ActiveX controls, by class or part
	OnLoad   []string // macros that a ribbon customization calls when it is loaded

	// Doctypes are the XML parts with a document type declaration, or with a schema that is to be fetched.
	// No office program writes one.
	Doctypes []Doctype
}

// HasCode says whether a macro has at least one procedure or formula. Office writes empty modules
// into documents whose author has looked at the macro editor.
func (r *Report) HasCode() bool {
	for i := range r.Macros {
		if r.Macros[i].HasCode {
			return true
		}
	}
	return false
}

// Language is what a macro is written in.
type Language string

// The languages of macros.
const (
	VBA   Language = "vba"
	XLM   Language = "xlm"   // Excel 4 macro sheet
	Basic Language = "basic" // ODF
	Other Language = "other" // ODF: Python, JavaScript, BeanShell
)

// Macro is a module or a macro sheet.
type Macro struct {
	Lang Language
	Name string
	// HasCode is set if there is more than declarations.
	HasCode bool
	// Hidden is set for a macro sheet that the program does not show; VeryHidden if it does not
	// even offer to show it.
	Hidden, VeryHidden bool
	// AutoExec are the names of procedures that run by themselves, in the spelling of the code.
	AutoExec []string
	// Suspicious are names from a fixed list that appear in the code: "Shell", "CreateObject", ….
	Suspicious []string
	// Code is the source of VBA and Basic, at most 64 KiB of it; empty if it is not kept.
	Code string
}

// Link is a reference from the document to elsewhere.
type Link struct {
	// Kind is what the target is used as: "hyperlink", "template", "object", "frame", "subdocument",
	// "image", "control", "data", "other".
	Kind   string
	Target string // as it stands there: a URL, a path, a UNC name
	Auto   bool   // followed when the document is opened, without a click
}

// Object is an embedded or linked OLE object.
type Object struct {
	Class  string // ProgID or class of the object as the document gives it, as "Equation.3"; may be empty
	Where  string
	Linked bool // the content is elsewhere: see Links
	Update bool // is to be updated, and so run, when the document is opened
}

// Doctype is a document type declaration in an XML part.
type Doctype struct {
	Part     string
	Entities int  // declared entities
	External bool // something of it is to be fetched
}
