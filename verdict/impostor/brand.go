package impostor

import (
	"strings"
	"sync"
)

// brand is a name that others like to send under.
type brand struct {
	names   string // as people know it, divided by bars
	domains string // organisational domains that are its own, beside those that are its name under a common top-level domain
	common  bool   // also an ordinary word or a family name: it counts only where it stands alone, or beside a word like "support"
}

// brandIndex is what is looked up of the table of brands.
type brandIndex struct {
	domains [][]string // by brand
	labels  [][]string // by brand: its names as a label, "deutschebank"
	shapes  [][]string // by brand: the skeletons of these
	title   []string   // by brand: how it is shown
}

var brandsByIndex = sync.OnceValue(func() *brandIndex {
	x := &brandIndex{}
	for _, b := range brands {
		x.domains = append(x.domains, strings.Fields(b.domains))
		var labels, shapes []string
		for i, n := range splitTerms(b.names) {
			if i == 0 {
				x.title = append(x.title, strings.TrimSuffix(n, "*"))
			}
			label := strings.ReplaceAll(foldString(n), " ", "")
			labels, shapes = append(labels, label), append(shapes, skeleton(label))
		}
		x.labels, x.shapes = append(x.labels, labels), append(x.shapes, shapes)
	}
	return x
})

// owns says whether a domain belongs to the brand: it is listed, or is the name itself under a top-level domain
// that nobody else could well have it under.
func (x *brandIndex) owns(b uint16, d domainName) bool {
	for _, own := range x.domains[b] {
		if d.org == own {
			return true
		}
	}
	for _, l := range x.labels[b] {
		label := strings.ReplaceAll(d.label, "-", "")
		if label == l && !d.cheap && (len(d.suffix) <= 3 || strings.Count(d.suffix, ".") == 1 && len(d.suffix) <= 6) {
			return true
		}
		if d.suffix == l { // a top-level domain of its own: .google, .amazon
			return true
		}
	}
	return false
}

// cousin says whether a domain that is not the brand's has its name in it: "paypal-login.example".
func (x *brandIndex) cousin(b uint16, d domainName) bool {
	if brands[b].common || d.label == "" {
		return false
	}
	label := d.skeleton()
	for i, l := range x.shapes[b] {
		if len(l) < 4 {
			continue
		}
		at := strings.Index(label, l)
		switch {
		case at < 0:
		case len(l) >= 6, label == l:
			return true
		default: // short names must begin or end the label, or a word of it
			for _, word := range strings.FieldsFunc(d.label, func(r rune) bool { return r == '-' || r >= '0' && r <= '9' }) {
				if word == x.labels[b][i] {
					return true
				}
			}
			if at == 0 && len(label)-len(l) <= 3 {
				return true
			}
		}
	}
	return false
}

// roleWords stand beside a brand in the names of senders, and say nothing themselves.
var roleWords = func() map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(`
		support service services team customer customers care help helpdesk center centre account accounts security
		alert alerts notification notifications notice info information mail email online update updates billing
		payment payments invoice order orders delivery shipping rewards reward gift giftcard card bank member members
		membership club loyalty survey offer offers deals news newsletter noreply no reply do not admin official id
		verification verify center message messages department dept inc corp ltd llc gmbh com de net co uk us eu
		the by from of via my your der die das und von le la les el los et y e
		kundenservice kundendienst kunden konto gutschein gutscheine sicherheit zentrum mitteilung nachricht
		nachrichten rechnung zahlung guthaben geschenk gewinn umfrage bonus premium paket
		client clients compte securite facture livraison colis servicio cliente clientes cuenta seguridad aviso avisos
		pago premios atendimento servico cadastro clienti servizio sicurezza conto klantenservice klant rekening
		beveiliging betaling pakket bezorging cloud drive express prime plus pro app apps web portal system systems
		advisor services group market marketplace store shop partner offre offres oferta ofertas angebot angebote aktion probierpaket surprise surpresa sorpresa cadeau winner winners prize promo promotions 0`) {
		m[w] = true
	}
	return m
}()

// standsAlone says whether a folded name is nothing but the brand and words like "support".
func standsAlone(name, label string) bool {
	rest := strings.Fields(name)
	found := false
	for _, w := range rest {
		switch {
		case w == label:
			found = true
		case !roleWords[w] && len(w) > 1:
			return false
		}
	}
	return found
}

// claimed returns the brand that the display name of the author claims, if there is one and the domain is not
// its own.
func (x *brandIndex) claimed(name string, in *reading, d domainName) (uint16, bool) {
	for _, h := range in.brandsIn {
		if x.owns(h.brand, d) {
			return 0, false
		}
	}
	for _, h := range in.brandsIn {
		if !brands[h.brand].common {
			return h.brand, true
		}
		for _, l := range x.labels[h.brand] {
			if standsAlone(name, l) {
				return h.brand, true
			}
		}
	}
	return 0, false
}
