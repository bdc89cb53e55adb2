package links

import (
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// sender is what links are compared with: who wrote, and to whom.
type sender struct {
	address    string   // of From, in small letters
	name       string   // shown before it
	subject    string   // decoded
	orgs       []string // organisational domains that are the sender's own
	labels     []string // the first labels of those
	recipients []string // addresses, in small letters
	rcptOrgs   []string
	reply      bool     // part of a conversation, as it says
	list       bool     // came over a mailing list of people, as it says
	news       bool     // a newsletter in the form that services give it: signed, with a way out (RFC 2369, RFC 8058)
	services   []string // organisational domains that the way out leads to
}

// maxRecipients is how many recipients are looked for in links.
const maxRecipients = 10

func readSender(m *verdict.Message) *sender {
	h := m.Header()
	s := &sender{subject: clip(h.Text("Subject"), 1000)}
	s.name, s.address = splitMailbox(h.Text("From"))
	if m.Auth.DMARC.Result != "fail" {
		s.own(verdict.Domain(s.address))
		s.own(verdict.Domain(m.Envelope.From))
	}
	for _, d := range m.Auth.DKIM {
		if d.Result == verdict.Pass {
			s.own(d.Domain)
		}
	}
	if m.Auth.SPF.Result == verdict.Pass {
		s.own(m.Auth.SPF.Domain)
	}
	for _, r := range m.Envelope.To[:min(len(m.Envelope.To), maxRecipients)] {
		s.to(r.Address)
	}
	if len(s.recipients) == 0 {
		for _, a := range strings.Split(clip(h.Text("To"), 4000), ",") {
			if _, addr := splitMailbox(a); addr != "" && len(s.recipients) < maxRecipients {
				s.to(addr)
			}
		}
	}
	s.reply = h.Get("In-Reply-To") != "" || h.Get("References") != ""
	s.list = h.Get("List-Post") != "" || strings.EqualFold(strings.TrimSpace(h.Get("Precedence")), "list")
	s.readNews(m)
	return s
}

// readNews says whether a message has the form of a newsletter, and who sends it for the author: the site that its
// List-Unsubscribe leads to. Where somebody checked, a signature has to be valid.
func (s *sender) readNews(m *verdict.Message) {
	h := m.Header()
	out := h.Get("List-Unsubscribe")
	if out == "" || h.Get("DKIM-Signature") == "" || s.list {
		return
	}
	if m.Auth.DKIM != nil && !slices.ContainsFunc(m.Auth.DKIM, func(d verdict.DKIMResult) bool { return d.Result == verdict.Pass }) {
		return
	}
	for target := range strings.SplitSeq(clip(out, 4000), ",") {
		target = strings.Trim(target, " \t\r\n<>")
		if a, ok := parseAddress(target, ""); ok && a.web() && !a.ip.IsValid() {
			s.news = true
			s.services = append(s.services, a.org)
		}
	}
}

// sends says whether a site is that of the service that sends a newsletter for the author.
func (s *sender) sends(a address) bool { return slices.Contains(s.services, a.org) }

func (s *sender) own(domain string) {
	org := orgDomain(strings.Trim(strings.ToLower(domain), " ."))
	if org == "" || slices.Contains(s.orgs, org) || freeMail[org] {
		return
	}
	s.orgs = append(s.orgs, org)
	if label, _, _ := strings.Cut(org, "."); len(label) >= 4 {
		s.labels = append(s.labels, label)
	}
}

func (s *sender) to(address string) {
	address = strings.ToLower(strings.TrimSpace(address))
	if len(address) < 6 || slices.Contains(s.recipients, address) {
		return
	}
	s.recipients = append(s.recipients, address)
	if org := orgDomain(verdict.Domain(address)); org != "" && !freeMail[org] {
		s.rcptOrgs = append(s.rcptOrgs, org)
	}
}

// owns says whether a site is the sender's or the recipient's own, or by its name related to the sender's.
func (s *sender) owns(a address) bool {
	if slices.Contains(s.orgs, a.org) || slices.Contains(s.rcptOrgs, a.org) {
		return true
	}
	label, _, _ := strings.Cut(a.org, ".")
	for _, l := range s.labels {
		if strings.Contains(label, l) || len(label) >= 5 && strings.Contains(l, label) {
			return true
		}
	}
	return false
}

// splitMailbox takes the name and the address from the text of a From or To field, as tolerantly as mail programs do. Of several
// mailboxes it takes the last address.
func splitMailbox(s string) (name, addr string) {
	s = strings.TrimSpace(s)
	open := strings.LastIndexByte(s, '<')
	if open < 0 {
		if strings.ContainsRune(s, '@') && !strings.ContainsAny(s, " \t") {
			return "", strings.ToLower(strings.Trim(s, "\"'<>(),"))
		}
		return s, ""
	}
	name = strings.Trim(strings.TrimSpace(s[:open]), `"'`)
	addr, _, _ = strings.Cut(s[open+1:], ">")
	return name, strings.ToLower(strings.TrimSpace(addr))
}

// freeMail are domains in which everybody has an address: having one makes nobody their owner.
var freeMail = wordSet(`gmail.com googlemail.com outlook.com hotmail.com hotmail.co.uk hotmail.fr live.com msn.com yahoo.com yahoo.co.uk yahoo.fr yahoo.de
	yahoo.co.jp ymail.com aol.com icloud.com me.com mac.com gmx.de gmx.net gmx.com gmx.at gmx.ch web.de t-online.de freenet.de mail.ru
	bk.ru list.ru inbox.ru yandex.ru yandex.com rambler.ru protonmail.com proton.me protonmail.ch tutanota.com mail.com email.com qq.com 163.com 126.com
	sina.com naver.com hanmail.net daum.net rediffmail.com zoho.com fastmail.com orange.fr free.fr laposte.net wanadoo.fr sfr.fr libero.it
	virgilio.it alice.it tin.it uol.com.br bol.com.br terra.com.br comcast.net att.net verizon.net sbcglobal.net bellsouth.net cox.net
	charter.net btinternet.com sky.com ntlworld.com shaw.ca rogers.com bigpond.com optusnet.com.au xtra.co.nz wp.pl o2.pl onet.pl
	interia.pl seznam.cz abv.bg ukr.net i.ua telenet.be skynet.be ziggo.nl kpnmail.nl bluewin.ch`)
