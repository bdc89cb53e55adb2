package htmldoc

import (
	"strings"

	"golang.org/x/net/html"
)

// attrs are the attributes of a tag that matter here. It is used again for every tag.
type attrs struct {
	list     []attr
	handlers int // attributes that run scripts: onclick and its like
}

type attr struct{ key, value string }

// read takes the attributes of the tag at z. Of several with one name the first counts.
func (a *attrs) read(z *html.Tokenizer, more bool) {
	const most = 64
	a.list, a.handlers = a.list[:0], 0
	for i := 0; more && i < most; i++ {
		var k, v []byte
		k, v, more = z.TagAttr()
		if len(k) > 4 && k[0] == 'o' && k[1] == 'n' && len(v) > 0 {
			a.handlers++
		}
		key, ok := attrNames[string(k)]
		if !ok {
			continue
		}
		if _, twice := a.lookup(key); !twice {
			a.list = append(a.list, attr{key, string(v)})
		}
	}
}

func (a *attrs) lookup(key string) (string, bool) {
	for i := range a.list {
		if a.list[i].key == key {
			return a.list[i].value, true
		}
	}
	return "", false
}

// get returns the value of an attribute, "" if it is not there.
func (a *attrs) get(key string) string {
	v, _ := a.lookup(key)
	return v
}

// first returns the value of the first of several attributes that is there.
func (a *attrs) first(keys ...string) (string, bool) {
	for _, k := range keys {
		if v, ok := a.lookup(k); ok {
			return v, true
		}
	}
	return "", false
}

// attrNames are the attributes that are kept.
var attrNames = table(`href xlink:href src background title alt action formaction type name placeholder http-equiv content data style class id hidden bgcolor
	color text width height`)

// tagNames are the elements that need no new string each time.
var tagNames = table(`a abbr address area article aside audio b base blockquote body br button caption center cite code col colgroup dd div dl dt em embed fieldset figure
	font footer form frame h1 h2 h3 h4 h5 h6 head header hr html i iframe image img input label legend li link main map meta nav nobr noscript o:p
	object ol option p param pre s script section select small source span strike strong style sub sup svg table tbody td template textarea tfoot th
	thead title tr track u ul v:fill v:imagedata v:rect v:roundrect v:shape video wbr xmp`)

func table(list string) map[string]string {
	out := make(map[string]string)
	for w := range strings.FieldsSeq(list) {
		out[w] = w
	}
	return out
}

// intern returns a name as a string, without a new one for those that are common.
func intern(b []byte) string {
	if s, ok := tagNames[string(b)]; ok {
		return s
	}
	return string(b)
}

var void = map[string]bool{
	"area": true, "base": true, "br": true, "col": true, "embed": true, "hr": true, "img": true, "input": true,
	"link": true, "meta": true, "param": true, "source": true, "track": true, "wbr": true, "frame": true, "basefont": true,
}

var blocks = map[string]bool{
	"address": true, "article": true, "aside": true, "blockquote": true, "body": true, "br": true, "center": true, "dd": true,
	"div": true, "dl": true, "dt": true, "fieldset": true, "figure": true, "footer": true, "form": true, "h1": true, "h2": true,
	"h3": true, "h4": true, "h5": true, "h6": true, "header": true, "hr": true, "li": true, "main": true, "nav": true, "ol": true,
	"option": true, "p": true, "pre": true, "section": true, "table": true, "td": true, "th": true, "tr": true, "ul": true,
}
