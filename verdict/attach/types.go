package attach

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// Types of content that verdict.SniffType does not tell apart.
const (
	typeInstaller  = "application/x-msi"
	typeManifest   = "application/x-ms-application" // of ClickOnce and Office add-ins
	typeSetting    = "application/x-ms-setting-content"
	typeSearch     = "application/x-ms-search-connector"
	typeIQY        = "text/x-ms-iqy"
	typeEncodedVBS = "text/x-ms-encoded-script"
	typeDesktop    = "application/x-desktop"
	typeShellScrap = "application/x-ms-scf"
	typeRDP        = "application/x-rdp"
	typeAutorun    = "text/x-ms-autorun"
	typeDMG        = "application/x-apple-diskimage"
	typeVHD        = "application/x-vhd"
	typeSIS        = "application/vnd.symbian.install"
)

// identify returns the type of the content by its own bytes.
func identify(c *content) string {
	kind := verdict.SniffType(c.head)
	switch kind {
	case "application/x-ole-storage":
		if isInstaller(c) {
			return typeInstaller
		}
	case "text/xml", "text/plain":
		if k := textKind(c.head); k != "" {
			return k
		}
	case "application/octet-stream":
		tail := c.tail(512)
		switch {
		case len(c.head) > 12 && string(c.head[8:12]) == "\x19\x04\x00\x10", len(c.head) > 4 && string(c.head[:4]) == "\x7A\x1A\x20\x10":
			return typeSIS
		case bytes.HasPrefix(tail, []byte("koly")):
			return typeDMG
		case bytes.HasPrefix(tail, []byte("conectix")):
			return typeVHD
		}
	}
	return kind
}

// textKinds are what texts that do something begin with, in lower case, or hold in their first kilobytes.
var textKinds = []struct {
	prefix, holds string
	kind          string
}{
	{"#@~^", "", typeEncodedVBS},
	{"web\n", "", typeIQY},
	{"web\r\n", "", typeIQY},
	{"[desktop entry]", "", typeDesktop},
	{"[shell]", "", typeShellScrap},
	{"[autorun]", "", typeAutorun},
	{"<?xml", "urn:schemas-microsoft-com:asm.v1", typeManifest},
	{"<asmv1:assembly", "", typeManifest},
	{"<pcsettings", "", typeSetting},
	{"<?xml", "<pcsettings", typeSetting},
	{"<?xml", "<searchconnectordescription", typeSearch},
	{"<?xml", "<persistedquery", typeSearch},
	{"", "full address:s:", typeRDP},
}

func textKind(head []byte) string {
	s := strings.ToLower(strings.TrimLeft(string(head[:min(len(head), 4096)]), "\uFEFF \t\r\n"))
	for _, t := range textKinds {
		if strings.HasPrefix(s, t.prefix) && strings.Contains(s, t.holds) {
			return t.kind
		}
	}
	return ""
}

// isInstaller says whether an OLE file is a Windows Installer package or patch, by the class of its root
// (MS-CFB 2.6): the directory begins at the sector that the header names.
func isInstaller(c *content) bool {
	if len(c.head) < 512 {
		return false
	}
	shift := binary.LittleEndian.Uint16(c.head[30:])
	if shift != 9 && shift != 12 {
		return false
	}
	at := (int64(binary.LittleEndian.Uint32(c.head[48:])) + 1) << shift
	var entry [96]byte
	if n, _ := c.at.ReadAt(entry[:], at); n < len(entry) {
		return false
	}
	clsid := entry[80:96]
	tail := "\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46"
	return string(clsid[4:]) == tail && clsid[3] == 0 && clsid[2] == 0x0C && clsid[1] == 0x10 && clsid[0] >= 0x82 && clsid[0] <= 0x86
}

// risk is what a file does when somebody opens it.
type risk uint8

const (
	harmless   risk = iota
	program         // runs on Windows
	foreign         // runs on other systems
	scripted        // is run by Windows
	shortcut        // starts what it names
	linkFile        // leads elsewhere
	installer       // installs
	diskImage       // is mounted, and then shows files without their mark of the web
	risky           // does things that mail has no good reason for
	activeHTML      // is shown by a browser, outside of the mail program
)

// codeOf is what a file of a risk is reported as.
var codeOf = [...]string{
	program: codeExecutable, foreign: codeProgram, scripted: codeScript, shortcut: codeShortcut, linkFile: codeLinkFile,
	installer: codeInstaller, diskImage: codeDiskImage, risky: codeRisky,
}

// typeRisks are the risks of types that content shows.
var typeRisks = map[string]risk{
	"application/vnd.microsoft.portable-executable": program,
	"application/x-dosexec":                         program,
	"application/x-elf":                             foreign,
	"application/x-mach-binary":                     foreign,
	"application/x-dex":                             foreign,
	"application/vnd.android.package-archive":       foreign,
	"application/wasm":                              foreign,
	typeSIS:                                         foreign,
	"application/java-vm":                           foreign,
	"application/x-ms-shortcut":                     shortcut,
	"application/x-ms-library":                      shortcut,
	typeSetting:                                     shortcut,
	typeSearch:                                      shortcut,
	typeShellScrap:                                  shortcut,
	"application/x-mswinurl":                        linkFile,
	typeDesktop:                                     linkFile,
	typeRDP:                                         linkFile,
	typeIQY:                                         linkFile,
	"application/hta":                               scripted,
	"text/x-wsf":                                    scripted,
	typeEncodedVBS:                                  scripted,
	typeInstaller:                                   installer,
	typeManifest:                                    installer,
	"application/appx":                              installer,
	"application/x-iso9660-image":                   diskImage,
	"application/x-udf-image":                       diskImage,
	typeVHD:                                         diskImage,
	"application/x-vhdx":                            diskImage,
	"application/x-vmdk":                            diskImage,
	"application/x-qcow2":                           diskImage,
	"application/x-ms-wim":                          diskImage,
	typeDMG:                                         diskImage,
	"application/vnd.ms-htmlhelp":                   risky,
	"text/x-ms-regedit":                             risky,
	"application/x-ms-registry-hive":                risky,
	"application/x-msaccess":                        risky,
	"application/x-shockwave-flash":                 risky,
	typeAutorun:                                     risky,
}
