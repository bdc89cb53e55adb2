package links

import (
	"strings"

	"golang.org/x/net/idna"
)

// host judges the name of a host by itself.
func (j *judge) host(l *link) {
	a := l.at
	if a.ip.IsValid() || j.from.owns(a) || l.bare {
		return
	}
	if strings.Contains(a.host, "xn--") {
		shown, err := idna.Display.ToUnicode(a.host)
		if err != nil {
			shown, _ = idna.Punycode.ToUnicode(a.host)
		}
		mixed := false
		if last := tld(shown); isASCII(last) { // under пример.рф there is nothing odd
			for label := range strings.SplitSeq(shown, ".") {
				mixed = mixed || mixedScript(label)
			}
		}
		if mixed {
			j.found(codeMixedScript, l.part, "%q is %s", shown, a.host)
		} else {
			j.found(codePunycode, l.part, "%q is %s", shown, a.host)
		}
	}
	kind := kindOf(a.host)
	if kind == siteRented {
		j.found(codeRented, l.part, "%s", a.host)
	}
	if kind != siteUnknown && kind != siteFree && kind != siteRented {
		return
	}
	if abusedTLDs[tld(a.host)] {
		j.found(codeTLD, l.part, "%s", a.host)
	}
	if kind == siteFree {
		return
	}
	labels := strings.Count(a.host, ".") + 1
	switch {
	case len(a.host) > 75, labels > 6:
		j.found(codeLongHost, l.part, "%s", a.host)
	case randomLabel(strings.TrimPrefix(a.org, "www.")):
		j.found(codeRandomHost, l.part, "%s", a.host)
	}
}

// randomLabel says whether the first label of a domain looks like one that a program made up: long, without a way to
// say it, or letters and digits in turn.
func randomLabel(org string) bool {
	label, _, _ := strings.Cut(org, ".")
	if len(label) < 9 || strings.HasPrefix(label, "xn--") {
		return false
	}
	digits, changes, run, longest, vowels := 0, 0, 0, 0, 0
	for i := range len(label) {
		c := label[i]
		d := c >= '0' && c <= '9'
		if d {
			digits++
		}
		if i > 0 && d != (label[i-1] >= '0' && label[i-1] <= '9') {
			changes++
		}
		switch {
		case strings.IndexByte("aeiouy", c) >= 0:
			vowels++
			run = 0
		case d || c == '-':
			run = 0
		default:
			run++
			longest = max(longest, run)
		}
	}
	return changes >= 4 && digits >= 3 || longest >= 6 || len(label) >= 12 && vowels*7 < len(label)-digits && digits < len(label)/2
}

// place judges what kind of place a link leads to.
func (j *judge) place(l *link) {
	a := l.at
	if j.from.owns(a) {
		return
	}
	kind := kindOf(a.host)
	free := false
	switch kind {
	case siteFree:
		if free = userPage(a); free {
			j.found(codeFreeHost, l.part, "%s", a.String())
		}
	case siteForm:
		if userPage(a) {
			j.found(codeFormHost, l.part, "%s", a.String())
		}
	case siteShare:
		free = true
		j.found(codeShare, l.part, "%s", a.String())
	case siteShortener:
		if len(a.path) > 1 {
			j.found(codeShortener, l.part, "%s", a.String())
		}
	case siteDynamic:
		free = true
		j.found(codeDynamic, l.part, "%s", a.String())
	}
	if storage(a) && pages[extension(a.path)] {
		j.found(codeStored, l.part, "%s", a.String())
	}
	j.download(l, free || a.ip.IsValid())
	if (kind == siteUnknown || kind == siteRented) && !j.from.sends(a) {
		for segment := range strings.SplitSeq(a.path, "/") {
			if len(segment) >= 28 && isToken(segment) && interleaved(segment) {
				j.found(codePathToken, l.part, "%s", clip(a.String(), 120))
				break
			}
		}
	}
	if token := strings.TrimLeft(a.fragment, "/!?"); isToken(token) && kind != siteMailing && kind != siteCommon {
		j.found(codeToken, l.part, "#%s", clip(token, 60))
	}
}

// isToken says whether a fragment is a key and not the name of a place in a page: long, of capitals, small letters and digits.
func isToken(s string) bool {
	if len(s) < 16 || len(s) > 400 {
		return false
	}
	upper, lower, digit := 0, 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= 'a' && c <= 'z':
			lower++
		case c >= '0' && c <= '9':
			digit++
		case c == '=' || c == '+' || c == '/':
		default:
			return false
		}
	}
	return digit >= 3 && upper >= 3 && lower >= 3
}

// interleaved says whether letters and digits take turns in s, as in keys with fields of both.
func interleaved(s string) bool {
	turns := 0
	for i := 1; i < len(s); i++ {
		if (s[i] <= '9') != (s[i-1] <= '9') {
			turns++
		}
	}
	return turns >= 6
}

// download judges the file that a link names.
func (j *judge) download(l *link, free bool) {
	switch ext := extension(l.at.path); {
	case programs[ext]:
		j.found(codeProgram, l.part, "%s", l.at.String())
	case free && archives[ext]:
		j.found(codeArchive, l.part, "%s", l.at.String())
	}
}

// extension returns the ending of the last name in a path, in small letters, or "".
func extension(path string) string {
	path = strings.ToLower(unescape(path))
	i := strings.LastIndexByte(path, '.')
	if i < 0 || len(path)-i > 16 || strings.IndexByte(path[i:], '/') >= 0 {
		return ""
	}
	return path[i+1:]
}

// storage says whether a host keeps files of anybody, as they were put there: no place for the pages of a company.
func storage(a address) bool {
	for _, d := range stores {
		if within(a.host, d) {
			return d != "amazonaws.com" || strings.Contains(a.host, "s3")
		}
	}
	return false
}

var stores = strings.Fields(`storage.googleapis.com firebasestorage.googleapis.com storage.cloud.google.com amazonaws.com blob.core.windows.net
	web.core.windows.net r2.dev digitaloceanspaces.com linodeobjects.com vultrobjects.com wasabisys.com backblazeb2.com oraclecloud.com
	appdomain.cloud myqcloud.com aliyuncs.com myhuaweicloud.com contabostorage.com ipfs.io dweb.link cf-ipfs.com cloudflare-ipfs.com
	nftstorage.link w3s.link mypinata.cloud pinata.cloud arweave.net 4everland.io infura-ipfs.io`)

var pages = wordSet("htm html shtml xhtml mht")

// programs are endings of files that run or carry what runs, and that nobody sends people links to but as an installer.
var programs = wordSet("exe scr pif cpl msi msix appx com.exe bat cmd ps1 vbs vbe js.zip jse wsf wsh hta lnk iso img vhd vhdx one chm reg jar apk dmg xll url library-ms search-ms msc application appref-ms")

var archives = wordSet("zip rar 7z gz tgz tar ace cab arj z lzh xz docm xlsm pptm xlsb dotm js svg")
