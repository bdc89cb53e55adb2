package links

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// judge makes findings of what was collected.
type judge struct {
	*reading
	from    *sender
	brands  *brandSet
	guarded []guarded
	out     []verdict.Finding
	count   map[string]int
	hosts   map[string]bool // those that were compared with what they may look like

	foreign   []*link // clickable, on the web, neither the sender's nor known to everybody
	clickable int     // on the web, in what is shown
}

// maxKept is how many findings of one code are reported.
const maxKept = 5

// found adds a finding, unless there are enough with its code.
func (j *judge) found(code, part, format string, args ...any) {
	if j.count[code]++; j.count[code] > maxKept {
		return
	}
	f := verdict.Found(code)
	f.Part = part
	f.Detail = clip(fmt.Sprintf(format, args...), 300)
	if slices.Contains(j.out, f) {
		return
	}
	j.out = append(j.out, f)
}

// link judges one link by itself.
func (j *judge) link(l *link) {
	a := l.at
	switch {
	case !l.opens():
		j.loaded(l)
		return
	case a.scheme == "data" && !strings.HasPrefix(a.path, "image/"):
		j.found(codeData, l.part, "%s", clip(l.target, 60))
	case (a.scheme == "javascript" || a.scheme == "vbscript") && len(a.path) > 20:
		j.found(codeScript, l.part, "%s", clip(l.target, 60))
	case a.scheme == "mailto":
		j.mailto(l)
	}
	if !a.web() {
		return
	}
	if !l.nested && !l.file && l.kind != "" || l.from != inHTML {
		j.clickable++
	}
	j.written(l)
	j.host(l)
	j.place(l)
	j.passages(l)
	j.imitation(l)
	j.victim(l)
	j.shown(l)
	if l.from == inQR {
		j.code(l)
	}
	if !j.known(a) && !l.nested && !l.file && !l.hidden {
		j.foreign = append(j.foreign, l)
	}
}

// known says whether a site says nothing about the message: the sender's own, or linked by everybody.
func (j *judge) known(a address) bool {
	if j.from.owns(a) {
		return true
	}
	k := kindOf(a.host)
	return k == siteCommon || k == siteMailing
}

// written judges how an address is written.
func (j *judge) written(l *link) {
	for _, a := range append(l.passes, l.at) {
		if a.user != "" {
			j.found(codeUserInfo, l.part, "%q before the at sign, then %s", clip(a.user, 60), a.host)
		}
		if a.tricks&trickNumericHost != 0 {
			j.found(codeNumericHost, l.part, "%s is written as %q", a.host, clip(l.target, 80))
		} else if a.ip.IsValid() && !a.ip.IsPrivate() && !a.ip.IsLoopback() && !a.ip.IsLinkLocalUnicast() && !a.ip.IsUnspecified() {
			j.found(codeAddress, l.part, "%s", a.String())
		}
		const hiding = trickBackslash | trickControl | trickInvisible | trickEscapedHost | trickWideHost
		if a.tricks&hiding != 0 {
			j.found(codeObfuscated, l.part, "%q leads to %s", clip(l.target, 120), a.host)
		}
		if a.port != "" && a.port != "8080" && a.port != "8443" && !a.ip.IsPrivate() && strings.Contains(a.host, ".") {
			j.found(codePort, l.part, "%s:%s", a.host, a.port)
		}
	}
}

// loaded judges what is loaded when the message is shown.
func (j *judge) loaded(l *link) {
	if !l.at.web() || l.nested || l.file {
		return
	}
	switch {
	case l.at.ip.IsValid():
		j.found(codeImageAddress, l.part, "%s", l.at.String())
	case kindOf(l.at.host) == siteImages && !j.from.owns(l.at):
		j.found(codeImageHost, l.part, "%s", l.at.String())
	case l.kind == "img" && (kindOf(l.at.host) == siteFree || kindOf(l.at.host) == siteShortener) && !within(l.at.host, "cloudfront.net") && !j.from.owns(l.at):
		j.found(codeImageFree, l.part, "%s", l.at.String())
	}
}

// mailto judges a link that writes a message.
func (j *judge) mailto(l *link) {
	to, query, _ := strings.Cut(l.at.path, "?")
	to = strings.ToLower(unescape(to))
	org := orgDomain(verdict.Domain(to))
	if l.nested || l.file || l.from != inHTML || org == "" || to == j.from.address || j.from.owns(address{org: org}) {
		return
	}
	if _, seen := splitMailbox(l.text); seen != "" && seen != to {
		if d := verdict.Domain(seen); knownSuffix(d) && orgDomain(d) != org {
			j.found(codeMailtoText, l.part, "%q writes to %s", clip(l.text, 80), clip(to, 80))
		}
	}
	subject := strings.ToLower(value(query, "subject"))
	if subject == "" || slices.ContainsFunc(listWords, func(w string) bool { return strings.Contains(subject, w) }) {
		return
	}
	code := codeMailtoForeign
	if freeMail[org] {
		code = codeMailto
	}
	j.found(code, l.part, "a message to %s with a subject made ready", clip(to, 80))
}

// listWords are in subjects that programs read which keep lists of subscribers.
var listWords = strings.Fields("unsub remove signoff abmeld austrag desinscri desabon cancelar baja help subscribe afmeld disiscri leave")
