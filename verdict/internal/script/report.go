package script

import "github.com/postreeve/postreeve/verdict/internal/inspect"

// Limits bound one inspection; the zero value has defaults.
type Limits = inspect.Limits

// File is content that was decoded out of the text.
type File = inspect.File

// The errors that Inspect wraps.
var (
	ErrLimit  = inspect.ErrLimit
	ErrFormat = inspect.ErrFormat
)

// Report has what was found in a text.
type Report struct {
	Markup bool // there are tags; otherwise the whole text was taken for code
	SVG    bool // there is an svg element
	HTA    bool // an HTML application, which runs as a program
	WSF    bool // a job of the script host of Windows

	Scripts  int      // script elements with code in them
	Sources  []string // addresses that scripts are loaded from
	Handlers []string // events with code that need no click, each once: "onload", "onerror", …
	Calls    []string // names from a fixed list that appear in code: "atob", "Blob", "ActiveXObject", …
	Links    int      // links that run code: javascript: and vbscript:
	URLs     []string // web addresses in the code, each once

	Downloads []string   // names under which the page has something saved; "" if the name is not known
	Payloads  []Payload  // what was decoded, but images, sound and fonts
	Files     []File     // the content of the payloads, in the same order
	Literals  int        // bytes of encoded text in long pieces, decoded or not
	Redirects []Redirect // to somewhere else as soon as the text is opened
	Frames    []string   // addresses of frames and embedded objects
	Forms     []Form
	Password  bool // there is a password field, in a form or not
	Foreign   bool // an SVG with HTML in it (foreignObject)
}

// Has says whether a name is among Calls.
func (r *Report) Has(call string) bool {
	for _, c := range r.Calls {
		if c == call {
			return true
		}
	}
	return false
}

// Saves says whether there is code that makes a file on the computer of the reader.
func (r *Report) Saves() bool {
	return r.Has("msSaveBlob") || r.Has("msSaveOrOpenBlob") || r.Has("saveAs") ||
		(r.Has("createObjectURL") || len(r.Downloads) > 0) && (r.Has("Blob") || r.Has("atob") || r.Has("fromCharCode"))
}

// Payload is content that was decoded.
type Payload struct {
	Type     string // by its own bytes, see verdict.SniffType
	Encoding string // "base64", "hex", "codes", "escapes", "data"
	Size     int64
}

// Redirect is a way to another page that takes no click.
type Redirect struct {
	Kind   string // "meta", "script"
	Target string // "" if it is computed
}

// Form is a form that is sent somewhere.
type Form struct {
	Action   string // as it stands there; "" if a script does it
	Password bool   // it asks for a password
	Fields   int
}
