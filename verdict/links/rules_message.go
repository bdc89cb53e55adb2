package links

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/postreeve/postreeve/verdict/internal/htmldoc"
)

// message judges what the links of a message are together. What belongs to a conversation is left alone: people
// link to whatever they like.
func (j *judge) message() {
	if j.codes > 0 {
		j.found(codeQR, "", "%d QR codes", j.codes)
	}
	j.subject()
	shown := j.shownDoc()
	if shown == nil {
		j.plainOnly()
		return
	}
	j.hidden(shown)
	if j.from.list {
		return
	}
	j.nameElsewhere()
	j.targets()
	j.pictures()
	j.picture()
	j.call()
	j.replies()
}

// shownDoc returns the HTML that is shown; nil if there is none.
func (j *judge) shownDoc() *htmldoc.Document {
	for _, p := range j.docs {
		if !p.file {
			return p.doc
		}
	}
	return nil
}

// subject looks for addresses in the subject, where no program puts them.
func (j *judge) subject() {
	findPlain(dropInvisible(j.from.subject), func(f plainLink) bool {
		a, ok := parseAddress(f.target, "")
		if f.bare && !strings.Contains(f.target, "/") || !ok || !a.web() || j.known(a) || j.from.reply {
			return true
		}
		j.found(codeSubject, "", "%s", a.String())
		return false
	})
}

// plainOnly judges a message without HTML.
func (j *judge) plainOnly() {
	if j.from.reply || j.from.list || len(j.foreign) == 0 || j.text > 600 {
		return
	}
	org := j.foreign[0].at.org
	for _, l := range j.foreign {
		if l.at.org != org || l.bare {
			return
		}
	}
	j.found(codeShort, j.foreign[0].part, "hardly more than a link to %s", org)
}

// hidden judges text that is there and not shown.
func (j *judge) hidden(doc *htmldoc.Document) {
	if n := len(doc.Hidden); n > 1000 && doc.HiddenRatio() > 0.4 {
		j.found(codeHidden, "", "%d bytes of text that is not shown, beside %d that are", n, len(doc.Text))
	}
}

// targets judges a message whose links all lead to sites that are not the sender's.
func (j *judge) targets() {
	if len(j.foreign) == 0 || j.from.reply {
		return
	}
	orgs := make(map[string]int)
	for _, l := range j.foreign {
		if l.from != inHTML || l.bare {
			continue
		}
		orgs[l.at.org]++
	}
	own := 0
	for _, l := range j.links {
		if l.opens() && l.at.web() && !l.nested && !l.file && !l.hidden && j.known(l.at) && kindOf(l.at.host) != siteCommon {
			own++
		}
	}
	if own > 0 || len(orgs) == 0 {
		return
	}
	first := j.foreign[0]
	if strings.Contains(strings.ToLower(j.from.name), first.at.org) {
		return // the sender says so: a forwarder has changed the address
	}
	if len(orgs) == 1 && !j.from.news {
		j.found(codeForeign, first.part, "all links lead to %s, and the message says that it is from %s", first.at.org, clip(j.from.address, 60))
		return
	}
	if len(orgs) <= 3 {
		j.found(codeForeignSome, first.part, "all links lead to others than %s, who wrote it", clip(j.from.address, 60))
	}
}

// pictures looks for pictures from services that are in no list: neither the sender's site nor one that the links lead
// to, with a name that is about pictures.
func (j *judge) pictures() {
	if j.from.reply {
		return
	}
	linked := make(map[string]bool)
	for _, l := range j.links {
		if l.opens() && l.at.web() {
			linked[l.at.org] = true
		}
	}
	for _, l := range j.links {
		if l.kind != htmldoc.KindImage || l.nested || l.file || !l.at.web() || l.at.ip.IsValid() || linked[l.at.org] || j.from.owns(l.at) {
			continue
		}
		kind := kindOf(l.at.host)
		if (kind == siteUnknown || kind == siteRented) && pictureName(l.at.org) && !j.brands.owner(l.at.host) {
			j.found(codeImageHost, l.part, "%s", l.at.String())
		}
	}
}

// pictureName says whether the name of a site is about pictures: those that keep anybody's have such names.
func pictureName(org string) bool {
	label, _, _ := strings.Cut(org, ".")
	for _, w := range []string{"img", "image", "photo", "picture", "upload", "logo", "icon", "screenshot"} {
		if strings.Contains(label, w) {
			return true
		}
	}
	return false
}

// picture judges a message that is a picture with a link.
func (j *judge) picture() {
	if j.from.reply || j.images == 0 {
		return
	}
	n := 0
	for _, r := range j.prose {
		if r > ' ' {
			n++
		}
	}
	if n >= 250 {
		return
	}
	code := ""
	var at *link
	for _, l := range j.links {
		if !l.image && l.kind != htmldoc.KindArea || !l.opens() || !l.at.web() || l.nested || l.file || l.hidden {
			continue
		}
		if !j.known(l.at) {
			code, at = codePictureOnly, l
			break
		}
		if kindOf(l.at.host) != siteCommon && at == nil {
			code, at = codePictureOwn, l
		}
	}
	if at != nil {
		j.found(code, at.part, "a picture that leads to %s, and %d letters of text", at.at.host, n)
	}
}

// replies judges a message whose only way out is to write to somebody else.
func (j *judge) replies() {
	if j.clickable > 0 || j.count[codeMailto]+j.count[codeMailtoForeign] == 0 {
		return
	}
	j.found(codeMailtoOnly, "", "all links write messages, none leads to a site")
	for _, b := range j.brands.list {
		if mentions(latin(j.from.name+" \n "+j.from.subject), b) {
			j.found(codeBrandSender, "", "%s is named in the sender's name or the subject, and the links write to others", b.Name)
			return
		}
	}
}

// nameElsewhere judges a message that uses the name of somebody known while all its links lead elsewhere. A message with
// links to many sites has news in it: names stand there for another reason.
func (j *judge) nameElsewhere() {
	if len(j.foreign) == 0 || j.from.reply {
		return
	}
	name := latin(dropInvisible(j.from.name))
	subject := latin(dropInvisible(j.from.subject))
	var texts, top string
	if j.sites() <= 4 {
		texts, top = latin(j.linkTexts()), latin(clip(j.prose, 600))
	}
	for _, b := range j.brands.list {
		code, where := "", ""
		switch {
		case mentions(name, b):
			code, where = codeBrandSender, "the sender's name"
			if b.Common {
				code = codeBrandText
			}
		case mentions(subject, b):
			code, where = codeBrandText, "the subject"
		case b.Social:
			continue
		case mentions(texts, b):
			code, where = codeBrandText, "its links"
			if j.mine() {
				code = codeBrandMention
			}
		case !b.Common && mentions(top, b):
			code, where = codeBrandMention, "its text"
		default:
			continue
		}
		if l := j.notOf(b); l != nil && !j.leadsTo(b) {
			j.found(code, l.part, "%s is named in %s, and the links lead to %s", b.Name, where, l.at.host)
			return
		}
	}
}

// mine says whether a good part of the links leads to the sender's own site: he writes about others then.
func (j *judge) mine() bool {
	own := 0
	for _, l := range j.links {
		if l.opens() && l.at.web() && !l.nested && !l.file && j.from.owns(l.at) {
			own++
		}
	}
	return own > 2 && own*2 >= len(j.foreign)
}

// notOf returns the first link that leads elsewhere than to the sender and the brand.
func (j *judge) notOf(b *brand) *link {
	for _, l := range j.foreign {
		if !b.owns(l.at.host) && !b.sister(l.at) {
			return l
		}
	}
	return nil
}

// sites returns how many sites people are led to.
func (j *judge) sites() int {
	seen := make(map[string]bool)
	for _, l := range j.foreign {
		seen[l.at.org] = true
	}
	return len(seen)
}

// leadsTo says whether a brand takes part in a message: as its sender, or with most of its links.
func (j *judge) leadsTo(b *brand) bool {
	for _, org := range j.from.orgs {
		if b.owns(org) {
			// Said to be from there: that is for authentication to say. Links elsewhere are not its own.
			return j.from.owns(j.foreign[0].at)
		}
		label, _, _ := strings.Cut(org, ".")
		if slices.Contains(b.words, label) {
			return true
		}
	}
	to, other := 0, 0
	for _, l := range j.links {
		switch {
		case !l.opens() || !l.at.web() || l.nested || l.file:
		case b.owns(l.at.host), b.sister(l.at):
			to++
		case !j.known(l.at):
			other++
		}
	}
	return to > other
}

// linkTexts joins what is shown of the links that lead elsewhere.
func (j *judge) linkTexts() string {
	var b strings.Builder
	for _, l := range j.foreign {
		if b.Len() > 8000 {
			break
		}
		b.WriteString(" \n " + clip(l.text, 200) + " \n " + clip(l.alt, 200) + " \n " + clip(l.title, 200))
	}
	return b.String()
}

// mentions says whether a text, in small Latin letters, has the name of a brand as a word.
func mentions(text string, b *brand) bool {
	name := latin(b.name)
	if b.Common && len(name) < 5 || len(name) < 3 {
		return false
	}
	for from := 0; ; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		i += from
		if isEdge(text, i-1) && isEdge(text, i+len(name)) {
			return true
		}
		from = i + len(name)
	}
}

// isEdge says whether the byte at i is no part of a word.
func isEdge(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return true
	}
	c := s[i]
	return !(isLetter(c) || c >= '0' && c <= '9' || c == '@' || c == '.' && i+1 < len(s) && isLetter(s[i+1]) || c == '-' || c >= utf8.RuneSelf && c < 0xE2)
}

// call judges links that ask a person to do what gives something away.
func (j *judge) call() {
	if j.from.reply {
		return
	}
	for _, l := range j.foreign {
		text := latin(l.text + " " + l.alt)
		if len(text) > 200 || strings.Contains(text, "://") {
			continue
		}
		for _, w := range callWords {
			if i := strings.Index(text, w); i >= 0 && isEdge(text, i-1) {
				j.found(codeCall, l.part, "%q leads to %s", clip(l.text, 80), l.at.host)
				return
			}
		}
	}
}

// callWords are beginnings of what stands on buttons that want credentials, payment or personal data, in several languages, in
// small letters without accents.
var callWords = strings.Split("verify,verific,verifiz,confirm,bestatig,validate,valider,validar,unlock,unblock,entsperr,desbloque,reactivat,reaktivier,"+
	"restore,recover,update your,update now,update payment,update my,aktualisier,atualiz,actualiz,mettre a jour,renew,verlanger,renouvel,renovar,"+
	"log in,login,sign in,anmelden,connexion,acessar,acceder,inloggen,claim,einlosen,resgat,reclam,reclamar,get my,get your,receive,erhalten,"+
	"track your,track my,reschedule,redeliver,sendung,pay now,pay your,pagar,payer,bezahlen,view document,view file,open document,review document,"+
	"download file,download invoice,report the user,cancel,keep my password,keep same password,release message,review message,secure my,secure your,"+
	"click here,klicken sie hier,cliquez ici,clique aqui,haga clic,clicca qui,klik hier,start now,participate,teilnehmen,take the survey,zur umfrage,"+
	"get started,act now,continue,jetzt,ontvang,participer,regularizar,liberar,solicitar,ativar,activar", ",")
