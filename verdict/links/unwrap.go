package links

import (
	"encoding/base64"
	"html"
	"strings"
)

// wrapping says through what kind of service a link goes.
type wrapping uint8

const (
	wrapNone     wrapping = iota
	wrapRewriter          // of a mail gateway: says nothing about the sender
	wrapOpaque            // the same, and the target cannot be told from the link
	wrapRedirect          // of a well-known site that sends people anywhere
	wrapProxy             // of a well-known site that shows another site under its own name
)

// maxWraps is how many services a link may go through before the rest is not looked at.
const maxWraps = 10

// unwrap returns where a service sends who follows a, one step on. opaque: a goes through one that does not say.
func unwrap(a address) (next string, kind wrapping) {
	if !a.web() || a.org == "" {
		return "", wrapNone
	}
	for _, w := range rewriters {
		if !within(a.host, w.host) {
			continue
		}
		if next := w.target(a); next != "" {
			return next, w.kind
		}
		if w.kind == wrapRewriter && w.strict {
			return "", wrapOpaque
		}
	}
	if brand, ok := strings.CutPrefix(a.org, "google."); ok && !strings.Contains(brand, "google") {
		return googleTarget(a)
	}
	return "", wrapNone
}

// rewriter is a service with a known form of links.
type rewriter struct {
	host   string
	kind   wrapping
	strict bool // whatever is there is a rewritten link: without a target it is opaque
	target func(a address) string
}

// rewriters are the services whose links can be taken apart, by what their owners or others have written down about the form.
var rewriters = []rewriter{
	{"safelinks.protection.outlook.com", wrapRewriter, true, param("url")},
	{"safelinks.protection.office365.us", wrapRewriter, true, param("url")},
	{"safelinks.protection.outlook.cn", wrapRewriter, true, param("url")},
	{"statics.teams.cdn.office.net", wrapRewriter, false, param("url")},
	{"urldefense.com", wrapRewriter, true, urlDefense},
	{"urldefense.us", wrapRewriter, true, urlDefense},
	{"urldefense.proofpoint.com", wrapRewriter, true, urlDefense},
	{"linkprotect.cudasvc.com", wrapRewriter, true, param("a")},
	{"mimecast.com", wrapRewriter, false, domainParam("/s/")},
	{"mimecastprotect.com", wrapRewriter, true, domainParam("/")},
	{"secure-web.cisco.com", wrapRewriter, true, lastSegment},
	{"protection.sophos.com", wrapRewriter, true, encodedParam("u")},
	{"trendmicro.com", wrapRewriter, false, pathParam("/wis/clicktime/", "url")},
	{"protect2.fireeye.com", wrapRewriter, true, param("u")},
	{"protect.fireeye.com", wrapRewriter, true, param("u")},
	{"fireeyecloud.com", wrapRewriter, false, param("u")},
	{"clicktime.symantec.com", wrapRewriter, true, param("u")},
	{"clicktime.cloud.postoffice.net", wrapRewriter, true, param("u")},
	{"url-protection.com", wrapRewriter, true, param("o")},
	{"protect.checkpoint.com", wrapRewriter, true, underscored},
	{"url.avanan.click", wrapRewriter, true, underscored},
	{"avanan.url-protection.com", wrapRewriter, true, param("u")},
	{"hornetsecurity.com", wrapRewriter, false, param("u")},
	{"link.zixcentral.com", wrapRewriter, true, param("u")},
	{"inky.com", wrapRewriter, false, domainParam("/link")},
	{"emailprotection.link", wrapRewriter, true, none},
	{"spamtitan.com", wrapRewriter, false, param("u")},
	{"mailprotect.be", wrapRewriter, false, param("u")},
	{"edgepilot.com", wrapRewriter, false, param("u")},
	{"slack-redir.net", wrapRedirect, false, param("url")},

	{"cdn.ampproject.org", wrapProxy, false, ampTarget},
	{"translate.goog", wrapProxy, false, translateTarget},
	{"googleadservices.com", wrapRedirect, false, param("adurl")},
	{"doubleclick.net", wrapRedirect, false, doubleClick},
	{"googleusercontent.com", wrapRedirect, false, pathParam("/url", "q")},
	{"facebook.com", wrapRedirect, false, param("u")},
	{"instagram.com", wrapRedirect, false, param("u")},
	{"linkedin.com", wrapRedirect, false, param("url")},
	{"bing.com", wrapRedirect, false, bingTarget},
	{"youtube.com", wrapRedirect, false, pathParam("/redirect", "q")},
	{"yahoo.com", wrapRedirect, false, yahooTarget},
	{"vk.com", wrapRedirect, false, pathParam("/away", "to")},
	{"out.reddit.com", wrapRedirect, false, param("url")},
	{"steamcommunity.com", wrapRedirect, false, pathParam("/linkfilter", "u", "url")},
	{"yandex.ru", wrapRedirect, false, param("url", "to")},
	{"yandex.com", wrapRedirect, false, param("url", "to")},
	{"yandex.net", wrapRedirect, false, pathParam("/redirect", "url")},
	{"baidu.com", wrapRedirect, false, param("url", "u")},
	{"naver.com", wrapRedirect, false, param("url", "u")},
	{"daum.net", wrapRedirect, false, param("url", "u")},
	{"t-info.mail.adobe.com", wrapRedirect, false, param("p1")},
	{"medium.com", wrapRedirect, false, pathParam("/r/", "url")},
	{"duckduckgo.com", wrapRedirect, false, pathParam("/l/", "uddg")},
	{"whatsapp.com", wrapRedirect, false, param("u", "url")},
	{"tiktok.com", wrapRedirect, false, pathParam("/link/", "target")},
	{"snapchat.com", wrapRedirect, false, param("url")},
	{"awstrack.me", wrapRewriter, false, awsTarget},
	{"exct.net", wrapRewriter, false, none},
}

// none is for services whose links are keys to a database.
func none(address) string { return "" }

// value returns the decoded value of the first parameter in a query with one of the names.
func value(query string, names ...string) string {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		k, v, _ := strings.Cut(pair, "=")
		for _, n := range names {
			if strings.EqualFold(k, n) && v != "" {
				return strings.ReplaceAll(unescape(v), "+", " ")
			}
		}
	}
	return ""
}

// query returns the query of a with its ampersands as such, however often the text was encoded as HTML.
func query(a address) string { return strings.ReplaceAll(a.query, "&amp;", "&") }

// absolute returns s if it is an address with a scheme, or becomes one, as in "//host/" and "host.example/".
func absolute(s string) string {
	for range 3 { // encoded several times
		l := strings.ToLower(s[:min(len(s), 12)])
		switch {
		case strings.HasPrefix(l, "http:") || strings.HasPrefix(l, "https:") || strings.HasPrefix(l, "ftp:"):
			return s
		case strings.HasPrefix(l, "//"), strings.HasPrefix(l, `\\`), strings.HasPrefix(l, `/\`):
			return "https:" + s
		case strings.HasPrefix(l, "http%"), strings.HasPrefix(l, "https%"), strings.HasPrefix(l, "%68"), strings.HasPrefix(l, "%2f%2f"):
			s = unescape(s)
			continue
		}
		break
	}
	if startsLikeHost(s) {
		return "http://" + s
	}
	return ""
}

// param takes the target from a parameter of the query, or of the fragment.
func param(names ...string) func(address) string {
	return func(a address) string { return absolute(value(query(a), names...)) }
}

// pathParam is param for links with a path.
func pathParam(prefix string, names ...string) func(address) string {
	return func(a address) string {
		if !strings.HasPrefix(a.path, prefix) {
			return ""
		}
		return absolute(value(query(a), names...))
	}
}

// domainParam is for services that say the domain of the target and nothing else.
func domainParam(prefix string) func(address) string {
	return func(a address) string {
		if !strings.HasPrefix(a.path, prefix) {
			return ""
		}
		d := value(query(a), "domain")
		if strings.ContainsAny(d, "/@: ") {
			return ""
		}
		return absolute(d)
	}
}

// encodedParam takes the target from a parameter in base64.
func encodedParam(names ...string) func(address) string {
	return func(a address) string { return absolute(fromBase64(value(query(a), names...))) }
}

// fromBase64 decodes base64 in both alphabets, with or without padding; "" if it is none.
func fromBase64(s string) string {
	s = strings.TrimRight(plainBase64.Replace(s), "=")
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}

// plainBase64 maps the alphabet of addresses to the usual one; a plus has become a blank.
var plainBase64 = strings.NewReplacer("-", "+", "_", "/", " ", "+")

// lastSegment takes the target, encoded, from the end of the path.
func lastSegment(a address) string {
	return absolute(unescape(a.path[strings.LastIndexByte(a.path, '/')+1:]))
}

// underscored takes the target from between three underscores: /v2/___https://host/path___.key.
func underscored(a address) string {
	rest := a.String()
	_, rest, ok := strings.Cut(rest, "___")
	if !ok {
		return param("url", "u")(a)
	}
	target, _, _ := strings.Cut(rest, "___")
	return absolute(target)
}

// googleTarget takes apart links of google.com and its sisters.
func googleTarget(a address) (string, wrapping) {
	switch {
	case strings.HasPrefix(a.path, "/url"), strings.HasPrefix(a.path, "/imgres"), strings.HasPrefix(a.path, "/local_url"), strings.HasPrefix(a.path, "/travel/clk"):
		if t := absolute(value(query(a), "q", "url", "imgrefurl", "pcurl")); t != "" {
			return t, wrapRedirect
		}
	case strings.HasPrefix(a.path, "/amp/"):
		return ampPath(strings.TrimPrefix(a.path, "/amp/")), wrapProxy
	case strings.HasPrefix(a.path, "/aclk"), strings.HasPrefix(a.path, "/pagead"):
		if t := absolute(value(query(a), "adurl")); t != "" {
			return t, wrapRedirect
		}
	case within(a.host, "translate."+a.org):
		if t := absolute(value(query(a), "u")); t != "" {
			return t, wrapProxy
		}
	}
	if t := absolute(value(query(a), "continue", "dest")); t != "" && !within(hostOf(t), a.org) && !strings.Contains(hostOf(t), "google") {
		return t, wrapRedirect
	}
	return "", wrapNone
}

// hostOf returns the host of an absolute address, or "".
func hostOf(s string) string {
	a, _ := parseAddress(s, "")
	return a.host
}

// ampTarget takes apart /c/s/host/path of the AMP cache.
func ampTarget(a address) string {
	_, rest, ok := strings.Cut(strings.TrimPrefix(a.path, "/"), "/")
	if !ok {
		return ""
	}
	return ampPath(rest)
}

func ampPath(rest string) string {
	if s, ok := strings.CutPrefix(rest, "s/"); ok {
		return absolute("https://" + s)
	}
	return absolute(rest)
}

// translateTarget decodes the host of a translated page: www-example-com.translate.goog.
func translateTarget(a address) string {
	label, _, _ := strings.Cut(a.host, ".")
	label = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(label, "--", "\x00"), "-", "."), "\x00", "-")
	return absolute("https://" + label + a.path)
}

// doubleClick takes apart /ddm/clk/…;?https://host/ and links with adurl.
func doubleClick(a address) string {
	if t := param("adurl", "ds_dest_url", "r", "url")(a); t != "" {
		return t
	}
	if t := absolute(unescape(a.query)); t != "" {
		return t
	}
	_, t, _ := strings.Cut(a.path, "?")
	return absolute(t)
}

// bingTarget decodes u=a1 and base64.
func bingTarget(a address) string {
	v := value(query(a), "u", "url", "r")
	if rest, ok := strings.CutPrefix(v, "a1"); ok {
		return absolute(fromBase64(rest))
	}
	return absolute(v)
}

// yahooTarget takes apart r.search.yahoo.com/…/RU=https%3a…/RK=….
func yahooTarget(a address) string {
	if _, rest, ok := strings.Cut(a.path, "/RU="); ok {
		target, _, _ := strings.Cut(rest, "/RK=")
		return absolute(unescape(target))
	}
	if _, rest, ok := strings.Cut(a.path, "/**"); ok {
		return absolute(unescape(rest))
	}
	return ""
}

// awsTarget takes apart …r.region.awstrack.me/L0/https:%2F%2Fhost/1/….
func awsTarget(a address) string {
	rest, ok := strings.CutPrefix(a.path, "/L0/")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "/")
	return absolute(unescape(rest))
}

// urlDefense takes apart the links of Proofpoint, versions 1 to 3.
func urlDefense(a address) string {
	switch {
	case strings.HasPrefix(a.path, "/v1/"):
		return absolute(html.UnescapeString(value(query(a), "u")))
	case strings.HasPrefix(a.path, "/v2/"):
		u := rawValue(query(a), "u")
		return absolute(html.UnescapeString(unescape(strings.NewReplacer("-", "%", "_", "/").Replace(u))))
	}
	return urlDefense3(a)
}

// rawValue is value without decoding.
func rawValue(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if k, v, _ := strings.Cut(pair, "="); k == name {
			return v
		}
	}
	return ""
}

// urlDefense3 takes apart /v3/__target__;bytes!!signature$. Characters that mail systems might change stand as an
// asterisk in the target, runs of them as two asterisks and a letter, and are found in the bytes, in base64.
func urlDefense3(a address) string {
	s := a.String()
	_, s, ok := strings.Cut(s, "/v3/__")
	if !ok {
		return ""
	}
	end := strings.LastIndex(s, "__;")
	if end < 0 {
		return ""
	}
	coded, _, _ := strings.Cut(s[end+3:], "!")
	chars := []rune(fromBase64(coded))
	target := unescape(s[:end])
	var b strings.Builder
	for i := 0; i < len(target); i++ {
		n := 1
		switch {
		case target[i] != '*':
			b.WriteByte(target[i])
			continue
		case i+2 < len(target) && target[i+1] == '*':
			n = runLength(target[i+2])
			i += 2
		}
		n = min(n, len(chars))
		b.WriteString(string(chars[:n]))
		chars = chars[n:]
	}
	out := b.String()
	if scheme, rest, ok := strings.Cut(out, ":/"); ok && !strings.HasPrefix(rest, "/") {
		out = scheme + "://" + rest
	}
	return absolute(out)
}

// runLength is the number that a letter stands for: 2 for A.
func runLength(c byte) int {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return strings.IndexByte(letters, c) + 2
}

// carried returns an address of another site that a carries in its query or fragment: what sites that send people
// anywhere look like when nobody knows them.
func carried(a address) (next string, ok bool) {
	if !strings.Contains(a.query, "//") && strings.IndexByte(a.query, '%') < 0 && !strings.Contains(a.fragment, "http") {
		return "", false
	}
	n := 0
	for pair := range strings.FieldsFuncSeq(a.query+"&"+a.fragment, func(r rune) bool { return r == '&' }) {
		if n++; n > 40 {
			break
		}
		_, v, has := strings.Cut(pair, "=")
		if !has {
			v = pair
		}
		l := strings.ToLower(v[:min(len(v), 16)])
		if !strings.HasPrefix(l, "http") && !strings.HasPrefix(l, "//") && !strings.HasPrefix(l, "%2f%2f") && !strings.HasPrefix(l, "%68%74") {
			continue
		}
		t := absolute(unescape(v))
		if t == "" {
			continue
		}
		if b, ok := parseAddress(t, ""); ok && b.web() && b.org != a.org && strings.Contains(b.host, ".") {
			return t, true
		}
	}
	return "", false
}
