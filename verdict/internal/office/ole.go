package office

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
)

// oleFile is a compound file under inspection.
type oleFile struct {
	*cfb.File
	where string // of the compound file itself in the document
	depth int

	vba      map[string][]*cfb.Entry // streams of each VBA storage, by its path in lower case
	vbaPaths []string
	attached map[string]*attachment // of an Outlook message, by the path of the storage
	order    []string
}

// ole takes a compound file apart: every stream by its name, wherever it stands, because documents are
// embedded in each other as storages.
func (in *inspector) ole(r io.ReaderAt, size int64, where string, depth int) error {
	if depth > in.b.Limits.Depth {
		return fmt.Errorf("%w: objects nested more than %d deep", ErrLimit, in.b.Limits.Depth)
	}
	f, err := cfb.Open(in.b, r, size)
	if err != nil {
		return err
	}
	o := &oleFile{File: f, where: where, depth: depth, vba: map[string][]*cfb.Entry{}, attached: map[string]*attachment{}}
	if depth == 0 {
		in.rep.App = appOfClass(f.Entries[0].Class)
	}
	for i := range f.Entries {
		e := &f.Entries[i]
		if err := in.b.Step(); err != nil {
			return err
		}
		if e.Orphan {
			continue
		}
		if e.Storage {
			err = in.storage(o, e)
		} else {
			err = in.note(o.at(e), in.oleStream(o, e))
		}
		if err != nil {
			return err
		}
	}
	if err := in.attachments(o); err != nil {
		return err
	}
	for _, path := range o.vbaPaths {
		if err := in.project(o, path); err != nil {
			return err
		}
	}
	return nil
}

// at names the place of an entry.
func (o *oleFile) at(e *cfb.Entry) string { return o.place(e.Path) }

// dir names the place of the storage that an entry is in.
func (o *oleFile) dir(e *cfb.Entry) string {
	return o.place(strings.TrimSuffix(strings.TrimSuffix(e.Path, e.Name), "/"))
}

func (o *oleFile) place(path string) string {
	if o.where == "" || path == "" {
		return o.where + path
	}
	return o.where + "!" + path
}

// top says whether the entry belongs to the document itself, not to one embedded in it.
func (o *oleFile) top(e *cfb.Entry) bool { return o.depth == 0 && e.Path == e.Name }

// appOfClass knows the programs whose streams have no name of their own.
func appOfClass(class [16]byte) string {
	switch classID(class) {
	case "000C1084-0000-0000-C000-000000000046", "000C1086-0000-0000-C000-000000000046", "000C1082-0000-0000-C000-000000000046":
		return "installer" // package, patch, transform
	case "00021A14-0000-0000-C000-000000000046", "00021A13-0000-0000-C000-000000000046":
		return "visio"
	case "00021201-0000-0000-00C0-000000000046":
		return "publisher"
	case "00020D0B-0000-0000-C000-000000000046":
		return "outlook"
	}
	return ""
}

func (in *inspector) app(o *oleFile, e *cfb.Entry, app string) {
	if o.top(e) && in.rep.App == "" {
		in.rep.App = app
	}
}

// storage looks at a storage for the class of an object.
func (in *inspector) storage(o *oleFile, e *cfb.Entry) error {
	if strings.HasPrefix(strings.ToLower(e.Name), attachPrefix) {
		o.attachment(e.Path)
	}
	if e.Class == [16]byte{} || e.Path == "" && o.depth == 0 {
		return nil
	}
	if name := classNames[classID(e.Class)]; name != "" {
		return in.object(Object{Class: name, Where: o.at(e)})
	}
	return nil
}

// oleStream looks at a stream.
func (in *inspector) oleStream(o *oleFile, e *cfb.Entry) error {
	name := strings.ToLower(e.Name)
	dir := strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(e.Path, e.Name), "/"))
	if dir == "vba" || strings.HasSuffix(dir, "/vba") {
		if o.vba[dir] == nil {
			o.vbaPaths = append(o.vbaPaths, dir)
		}
		o.vba[dir] = append(o.vba[dir], e)
		return nil
	}
	switch name {
	case "workbook", "book":
		in.app(o, e, "excel")
		return in.biff(in.b.Reader(o.Open(e)), o.at(e))
	case "worddocument":
		in.app(o, e, "word")
		return in.word(o, e)
	case "powerpoint document":
		in.app(o, e, "powerpoint")
		return in.slides(o, e)
	case "current user":
		return in.currentUser(o, e)
	case "encryptedsummary":
		in.encrypted(o, e, "rc4")
	case "visiodocument":
		in.app(o, e, "visio")
	case "encryptioninfo":
		return in.encryptionInfo(o, e)
	case "\x09drmcontent", "\x06dataspaces/transforminfo/drmencryptedtransform":
		in.encrypted(o, e, "irm")
	case "\x01ole10native":
		return in.ole10Native(o, e)
	case "\x01ole":
		return in.oleLink(o, e)
	case "\x01compobj":
		return in.compObj(o, e)
	case "equation native":
		return in.object(Object{Class: "Equation.3", Where: o.dir(e)})
	case "package", "embeddedodf", "contents":
		return in.embedded(o, e)
	}
	if strings.HasPrefix(name, "__") {
		return in.messageStream(o, e)
	}
	return nil
}

// encrypted marks the document, or notes that something within it cannot be read.
func (in *inspector) encrypted(o *oleFile, e *cfb.Entry, scheme string) {
	if o.top(e) {
		in.rep.Encrypted, in.rep.Scheme = true, scheme
		return
	}
	// Never a limit, so never an error.
	_ = in.note(o.at(e), fmt.Errorf("%w: embedded object (%s)", ErrEncrypted, scheme))
}

// encryptionInfo tells how the document that is in the stream beside it is encrypted (MS-OFFCRYPTO
// section 2.3.4).
func (in *inspector) encryptionInfo(o *oleFile, e *cfb.Entry) error {
	head := make([]byte, 4)
	if _, err := io.ReadFull(o.Open(e), head); err != nil {
		return err
	}
	scheme := "unknown"
	switch minor := binary.LittleEndian.Uint16(head[2:]); minor {
	case 2:
		scheme = "standard"
	case 3:
		scheme = "extensible"
	case 4:
		scheme = "agile"
	}
	in.encrypted(o, e, scheme)
	return nil
}

// embedded takes a stream that is a whole file of another program.
func (in *inspector) embedded(o *oleFile, e *cfb.Entry) error {
	head := make([]byte, 8)
	n, _ := io.ReadFull(o.Open(e), head)
	head = head[:n]
	in.publisher(o, e, head)
	if !startsFile(head) {
		return nil
	}
	return in.stream("", o.at(e), e.Size, func() (io.Reader, error) { return o.Open(e), nil })
}

// publisher knows Publisher by the stream that it calls Contents.
func (in *inspector) publisher(o *oleFile, e *cfb.Entry, head []byte) {
	if bytes.HasPrefix(head, []byte("\xE8\xAC")) {
		in.app(o, e, "publisher")
	}
}

// startsFile says whether head is the beginning of a file that may do something.
func startsFile(head []byte) bool {
	for _, m := range []string{"PK\x03\x04", cfb.Magic, "%PDF", "MZ", "{\\rt", "\x7FELF", "Rar!", "7z\xBC\xAF", "MSCF", "ITSF",
		"L\x00\x00\x00\x01\x14\x02\x00", "\x1F\x8B", "<html", "<HTML", "<!DOC", "<scrip", "#!"} {
		if bytes.HasPrefix(head, []byte(m)) || len(m) > len(head) && len(head) >= 4 && strings.HasPrefix(m, string(head)) {
			return true
		}
	}
	return false
}

// classID writes a class as Windows does.
func classID(c [16]byte) string {
	b := []byte{c[3], c[2], c[1], c[0], c[5], c[4], c[7], c[6], c[8], c[9], c[10], c[11], c[12], c[13], c[14], c[15]}
	s := strings.ToUpper(hex.EncodeToString(b))
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// classNames are the classes of objects that matter by themselves, by what they are called.
var classNames = map[string]string{
	"0003000C-0000-0000-C000-000000000046": "Package",
	"0003000D-0000-0000-C000-000000000046": "Package",
	"0003000E-0000-0000-C000-000000000046": "Package",
	"F20DA720-C02F-11CE-927B-0800095AE340": "Package",
	"0002CE02-0000-0000-C000-000000000046": "Equation.3",
	"0002CE03-0000-0000-C000-000000000046": "Equation.DSMT4",
	"00021700-0000-0000-C000-000000000046": "Equation.2",
	"25336920-03F9-11CF-8FD0-00AA00686F13": "htmlfile",
	"06290BD3-48AA-11D2-8432-006008C3FBFC": "script",
	"06290BD2-48AA-11D2-8432-006008C3FBFC": "scriptlet",
	"79EAC9E0-BAF9-11CE-8C82-00AA004BA90B": "URL moniker",
	"ECABAFC6-7F19-11D2-978E-0000F8757E2A": "script moniker",
	"D27CDB6E-AE6D-11CF-96B8-444553540000": "ShockwaveFlash",
	"D70E31AD-2614-49F2-B0FC-ACA781D81F3E": "Publisher.Document",
	"A08A033D-1A75-4AB6-A166-EAD02F547959": "otkloadr.WRLoader",
	"F5078F35-C551-11D3-89B9-0000F81FE221": "Msxml2.XMLHTTP",
	"13709620-C279-11CE-A49E-444553540000": "Shell.Application",
	"72C24DD5-D70A-438B-8A42-98424B88AFB8": "WScript.Shell",
	"F935DC22-1CF0-11D0-ADB9-00C04FD58A0B": "WScript.Shell",
	"1EFB6596-857C-11D1-B16A-00C0F0283628": "MSComctlLib.TabStrip",
	"BDD1F04B-858B-11D1-B16A-00C0F0283628": "MSComctlLib.ListView",
	"996BF5E0-8044-4650-ADEB-0B013914E99C": "MSComctlLib.ListView",
	"C74190B6-8589-11D1-B16A-00C0F0283628": "MSComctlLib.TreeView",
	"9181DC5F-E07D-418A-ACA6-8EEA1ECB8E9E": "MSComctlLib.TreeView",
	"8856F961-340A-11D0-A96B-00C04FD705A2": "Shell.Explorer",
	"EAB22AC3-30C1-11CF-A7EB-0000C05BAE0B": "WebBrowser",
}
