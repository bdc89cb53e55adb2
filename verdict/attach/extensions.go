package attach

import "strings"

// extRisks are the risks of extensions: what Windows does with them by itself, and what Outlook and Gmail
// refuse to receive for that reason.
var extRisks = makeExtRisks()

func makeExtRisks() map[string]risk {
	out := make(map[string]risk)
	for r, list := range map[risk]string{
		program:   "exe scr com pif cpl dll ocx sys drv",
		scripted:  "js jse vbs vbe wsf wsh wsc ws sct hta bat cmd ps1 ps1xml ps2 ps2xml psc1 psc2 psm1 msh msh1 msh2 mshxml vb jsx scptd",
		shortcut:  "lnk scf settingcontent-ms library-ms search-ms searchconnector-ms appref-ms",
		linkFile:  "url website webloc fileloc inetloc desktop rdp iqy oqy rqy dqy slk theme themepack deskthemepack",
		installer: "msi msp mst msix msixbundle appx appxbundle appinstaller application vsto xll diagcab diagcfg gadget mcf",
		diskImage: "iso img udf vhd vhdx vmdk dmg",
		risky:     "chm hlp reg inf jar jnlp ade adp mad maf mda mdb mde accde accda mdt mdw msc mht mhtml onepkg xbap apk crx ins isp its prf pst scx wbk swf grp osd cab",
		foreign:   "deb rpm pkg run elf so dylib command",
	} {
		for ext := range strings.FieldsSeq(list) {
			out[ext] = r
		}
	}
	// Both are ordinary too: what is in them decides.
	delete(out, "cab")
	delete(out, "pst")
	return out
}

// innocent are the extensions that a file is given to look like something to read.
var innocent = setOf("pdf doc docx xls xlsx ppt pptx odt ods rtf txt csv jpg jpeg png gif bmp tif tiff heic mp3 mp4 wav avi mov zip rar 7z htm html eml msg xml")

// archiveExts are those of archives.
var archiveExts = setOf("zip rar 7z gz tgz bz2 tbz tbz2 xz txz tar lzh lha arj ace cab z zst lz lzma tlz zipx zoo alz egg cpio")

// volumeExts are those of one piece of an archive.
var volumeExts = setOf("001 002 003 z01 z02 r00 r01 a01")

func setOf(list string) map[string]bool {
	out := make(map[string]bool)
	for s := range strings.FieldsSeq(list) {
		out[s] = true
	}
	return out
}

// typesOf are the types that content may have under an extension, as beginnings. Extensions that are not here
// may stand before anything.
var typesOf = map[string][]string{
	"pdf":  {"application/pdf"},
	"doc":  {"application/x-ole-storage", "application/rtf", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/x-office-xml"},
	"docx": {"application/vnd.openxmlformats", "application/x-ole-storage"},
	"docm": {"application/vnd.openxmlformats", "application/x-ole-storage"},
	"xls":  {"application/x-ole-storage", "application/vnd.openxmlformats", "application/x-office-xml", "text/"},
	"xlsx": {"application/vnd.openxmlformats", "application/x-ole-storage"},
	"xlsm": {"application/vnd.openxmlformats", "application/x-ole-storage"},
	"ppt":  {"application/x-ole-storage", "application/vnd.openxmlformats"},
	"pptx": {"application/vnd.openxmlformats", "application/x-ole-storage"},
	"rtf":  {"application/rtf", "text/plain"},
	"txt":  {"text/"},
	"csv":  {"text/"},
	"jpg":  {"image/"},
	"jpeg": {"image/"},
	"png":  {"image/"},
	"gif":  {"image/"},
	"bmp":  {"image/"},
	"tif":  {"image/"},
	"tiff": {"image/"},
	"one":  {"application/onenote"},
	"eml":  {"text/", "message/"},
	"mp3":  {"audio/", "video/"},
	"mp4":  {"video/", "audio/"},
}

// fits says whether content of a type may be called by an extension.
func fits(kind, ext string) bool {
	types, ok := typesOf[ext]
	switch {
	case !ok, kind == "application/x-empty":
		return true
	case kind == "application/zip":
		return strings.HasPrefix(types[0], "application/vnd.openxml") || strings.HasPrefix(types[0], "application/x-ole")
	case kind == "application/octet-stream":
		return strings.HasPrefix(types[0], "audio/") || strings.HasPrefix(types[0], "video/") || strings.HasPrefix(types[0], "text/") && ext != "eml" || ext == "tif" || ext == "bmp"
	}
	for _, t := range types {
		if strings.HasPrefix(kind, t) {
			return true
		}
	}
	return false
}
