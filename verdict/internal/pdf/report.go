package pdf

import (
	"fmt"
	"io"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Limits bound one inspection; the zero value has defaults.
type Limits = inspect.Limits

// File is an embedded file.
type File = inspect.File

// The errors that Inspect wraps.
var (
	ErrLimit     = inspect.ErrLimit
	ErrFormat    = inspect.ErrFormat
	ErrEncrypted = inspect.ErrEncrypted
)

// Report has what was found in a file.
type Report struct {
	Version string // of the header, as "1.7"; may be empty
	Pages   int    // page objects, reachable or not

	// Encrypted is set if the file is encrypted. Locked is set if it takes a password to open it; strings
	// and streams are then unknown, names of actions are not.
	Encrypted, Locked bool

	// Scripts are the JavaScript actions: the code, at most 64 KiB of each. An action whose code could
	// not be read is an empty string.
	Scripts []string
	// Launch are the commands or files that an action starts, with parameters.
	Launch []string
	// Links are the targets outside of the file.
	Links []Link
	// Files are the embedded files, in no document order.
	Files []File
	// Images are the images of kinds that need no decoder of our own.
	Images []Image

	OpenAction bool // something happens when the file is opened: not just a page shown
	Triggers   bool // something happens on a page, field or document event (AA)
	AcroForm   bool // there is a form with at least one field
	XFA        bool // there is an XFA form
	RichMedia  bool // Flash, sound, film, 3D
	ImportData bool // an action loads form data
}

// Link is a target outside of the file.
type Link struct {
	// Kind is "uri", "submit" (a form is sent there), "file" (another document is opened).
	Kind   string
	Target string
	Auto   bool // reached from an action that runs when the file is opened
}

// Image is an image of the file.
type Image struct {
	// Filter is "DCTDecode" for a JPEG file, "JPXDecode" for JPEG 2000 and "" for rows of samples, the
	// highest bit first and each row beginning at a byte. Other images are left out.
	Filter        string
	Width, Height int
	Bits          int    // for each component: 1, 2, 4, 8 or 16
	Components    int    // 1 gray or index, 3 RGB, 4 CMYK; 0 if not known
	Palette       []byte // RGB triples if the samples are indices
	Mask          bool   // one bit a sample, painted where it is 0
	Inverted      bool   // the samples mean the opposite of what they say (Decode)

	open func() (io.ReadCloser, error)
}

// Open returns a reader of the samples or the JPEG file, bounded by Limits.Bytes.
func (i Image) Open() (io.ReadCloser, error) {
	if i.open == nil {
		return nil, fmt.Errorf("%w: image without data", ErrFormat)
	}
	return i.open()
}
