package links

import (
	"strings"
	"sync"
)

// Brand is a name that others like to use.
type Brand struct {
	// Name as people write it: "Example Bank".
	Name string
	// Words are how it stands in names of hosts, in small letters: "examplebank". Nil means Name without
	// blanks and other signs. Words of less than four letters count only where they stand alone.
	Words []string
	// Domains are its own, with everything below them: "examplebank.com". Links there are not foreign.
	Domains []string
	// Common says that the name is a word of a language or the name of other things too: it counts less.
	Common bool
	// Social says that messages of all kinds name it to be followed there.
	Social bool
}

// brand is a Brand made ready.
type brand struct {
	*Brand
	words     []string // in small letters
	skeletons []string
	name      string // in small letters, for texts
}

// owns says whether a host is the brand's own.
func (b *brand) owns(host string) bool {
	for _, d := range b.Domains {
		if within(host, d) {
			return true
		}
	}
	return false
}

// owner says whether one of the brands has the host.
func (s *brandSet) owner(host string) bool {
	for _, b := range s.list {
		if b.owns(host) {
			return true
		}
	}
	return false
}

// brandSet is a list of brands made ready.
type brandSet struct {
	list   []*brand
	byWord map[string]*brand // by their words
}

func newBrandSet(list []Brand) *brandSet {
	s := &brandSet{byWord: make(map[string]*brand)}
	for i := range list {
		b := &brand{Brand: &list[i], name: strings.ToLower(list[i].Name), words: list[i].Words}
		if b.words == nil {
			b.words = []string{compact(b.name)}
		}
		for _, w := range b.words {
			b.skeletons = append(b.skeletons, skeleton(w))
			s.byWord[w] = b
		}
		s.list = append(s.list, b)
	}
	return s
}

// compact leaves only letters and digits of a name.
func compact(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, latin(s))
}

// commonBrands is the list that is used when Scanner.Brands is nil.
var commonBrands = sync.OnceValue(func() *brandSet { return newBrandSet(parseBrands(brandList)) })

// parseBrands reads lines "Name: word word, domain domain". A star before the name marks a common word, a plus a
// social network. Without words the name makes them.
func parseBrands(text string) []Brand {
	var out []Brand
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		var b Brand
		b.Name, b.Common = strings.CutPrefix(name, "*")
		b.Name, b.Social = strings.CutPrefix(b.Name, "+")
		words, domains, _ := strings.Cut(rest, ",")
		b.Words = strings.Fields(words)
		b.Domains = strings.Fields(domains)
		if len(b.Words) == 0 {
			b.Words = nil
		}
		out = append(out, b)
	}
	return out
}

// brandList has the names that phishing uses most by the yearly reports on it (APWG, Check Point, Cloudflare, Vade), and the larger banks,
// parcel services, tax offices, shops and providers of some countries, with their domains.
const brandList = `
Microsoft: microsoft microsoft365 microsoftonline office365 onedrive sharepoint outlook365 hotmail, microsoft.com microsoftonline.com live.com office.com office365.com office.net outlook.com sharepoint.com onedrive.com msn.com windows.com windows.net azure.com azure.net skype.com xbox.com hotmail.com aka.ms 1drv.ms bing.com linkedin.com cloud.microsoft microsoft msft.net microsoftemail.com visualstudio.com microsoftstream.com dynamics.com powerbi.com yammer.com microsoftstore.com
*Outlook: outlook, outlook.com microsoft.com office.com live.com office365.com microsoftonline.com aka.ms cloud.microsoft
Google: google gmail googledrive, google.com gmail.com googlemail.com goo.gl g.co youtube.com youtu.be gstatic.com googleapis.com googleusercontent.com withgoogle.com android.com google google.de google.fr google.es google.it google.nl google.co.uk google.com.br google.ca google.co.in google.pl google.be google.ch google.at google.com.au google.co.jp google.dev googleblog.com blog.google chrome.com doubleclick.net googleadservices.com
*Apple: apple appleid, apple.com icloud.com itunes.com me.com mac.com apple.news
iCloud: icloud, icloud.com apple.com me.com
*Amazon: amazon amazonprime primevideo, amazon.com amazon.de amazon.co.uk amazon.fr amazon.es amazon.it amazon.nl amazon.ca amazon.com.br amazon.co.jp amazon.in amazon.com.au amazon.se amazon.pl amazon.com.be amazon.com.mx amazonses.com amazonaws.com amazon.dev aws.amazon.com a.co amzn.to amzn.com primevideo.com aboutamazon.com amazon.jobs media-amazon.com ssl-images-amazon.com amazonpay.com audible.com twitch.tv
PayPal: paypal, paypal.com paypal.me paypalobjects.com paypal-communication.com paypal.de paypal.co.uk paypalcorp.com venmo.com xoom.com braintreegateway.com
+Facebook: facebook facebookmail, facebook.com facebookmail.com fb.com fb.me meta.com messenger.com instagram.com fbcdn.net whatsapp.com metamail.com
+Instagram: instagram, instagram.com facebook.com facebookmail.com meta.com cdninstagram.com ig.me
+WhatsApp: whatsapp, whatsapp.com whatsapp.net wa.me facebook.com
Netflix: netflix, netflix.com netflix.net nflxext.com nflximg.net
+LinkedIn: linkedin, linkedin.com licdn.com lnkd.in
+Twitter: twitter, twitter.com x.com t.co twimg.com
+TikTok: tiktok, tiktok.com tiktokv.com tiktokcdn.com bytedance.com
+Telegram: telegram, telegram.org t.me telegram.me
*+Discord: discord, discord.com discord.gg discordapp.com
*Steam: steamcommunity steampowered, steampowered.com steamcommunity.com valvesoftware.com
Roblox: roblox, roblox.com
+Spotify: spotify, spotify.com
Disney: disney disneyplus, disney.com disneyplus.com disney.co.uk disney.de go.com disneyonline.com
+YouTube: youtube, youtube.com youtu.be google.com
Yahoo: yahoo yahoomail, yahoo.com yahoo.co.jp yahoo.net yahooinc.com ymail.com aol.com yimg.com
DHL: dhl dhlexpress dhlparcel, dhl.com dhl.de dhl.fr dhl.nl dhl.es dhl.it dhl.co.uk dhlparcel.nl dhlecs.com deutschepost.de dpdhl.com dhlexpress.com dhl.at dhl.ch dhl.pl
FedEx: fedex, fedex.com tnt.com
*UPS: ups, ups.com upsemail.com
USPS: usps, usps.com usps.gov
Royal Mail: royalmail, royalmail.com parcelforce.com
DPD: dpd dpdgroup, dpd.com dpd.de dpd.co.uk dpd.fr dpdgroup.com dpdlocal.co.uk dpd.nl dpd.be dpd.ch chronopost.fr
*Hermes: myhermes hermesworld evri, evri.com myhermes.co.uk hermesworld.com myhermes.de
GLS: gls-group, gls-group.com gls-group.eu gls-pakete.de gls-italy.com gls-spain.es
PostNL: postnl, postnl.nl postnl.be
La Poste: laposte colissimo chronopost, laposte.fr laposte.net chronopost.fr colissimo.fr
Deutsche Post: deutschepost, deutschepost.de dhl.de post.de
Die Post: swisspost postfinance, post.ch postfinance.ch swisspost.ch
Correios: correios, correios.com.br
Correos: correos, correos.es correos.com correosexpress.com
Poste Italiane: posteitaliane postepay, poste.it posteitaliane.it postepay.it
Australia Post: auspost australiapost, auspost.com.au
Canada Post: canadapost postescanada, canadapost.ca canadapost-postescanada.ca postescanada.ca
An Post: anpost, anpost.com anpost.ie
Bpost: bpost, bpost.be
Adobe: adobe adobesign acrobat, adobe.com adobesign.com acrobat.com echosign.com behance.net adobe.io adobesc.com
DocuSign: docusign, docusign.com docusign.net docusign.eu
Dropbox: dropbox, dropbox.com dropboxmail.com dropboxusercontent.com hellosign.com db.tt
WeTransfer: wetransfer, wetransfer.com we.tl wetransfer.net
*Zoom: zoomus zoommeeting, zoom.us zoom.com zoomgov.com
*Chase: jpmorgan jpmorganchase chasebank, chase.com jpmorgan.com jpmorganchase.com
Wells Fargo: wellsfargo, wellsfargo.com wf.com
Bank of America: bankofamerica bofa, bankofamerica.com bofa.com bofaml.com ml.com
Citibank: citibank citigroup, citi.com citibank.com citigroup.com citicards.com
Capital One: capitalone, capitalone.com capitalone.co.uk
American Express: americanexpress amex, americanexpress.com aexp.com amex.com americanexpress.com.br americanexpress.de americanexpress.fr americanexpress.ch membershiprewards.com
*Visa: visacard visasecure, visa.com visa.de visa.co.uk visaeurope.com
Mastercard: mastercard, mastercard.com mastercard.us mastercard.de
HSBC: hsbc, hsbc.com hsbc.co.uk hsbc.fr hsbc.com.hk hsbcnet.com
Barclays: barclays barclaycard, barclays.com barclays.co.uk barclaycard.co.uk barclaycard.de barclaycardus.com
Lloyds Bank: lloydsbank, lloydsbank.com lloydsbank.co.uk lloydsbankinggroup.com halifax.co.uk
NatWest: natwest, natwest.com rbs.co.uk natwestgroup.com
Santander: santander, santander.com santander.co.uk santander.es santander.com.br santander.de santander.pl santanderbank.com santander.com.mx bancosantander.es
BBVA: bbva, bbva.com bbva.es bbva.mx bbva.pe bbva.it
CaixaBank: caixabank lacaixa, caixabank.es caixabank.com lacaixa.es imagin.com
ING: ingdirect ingbank, ing.com ing.de ing.nl ing.be ing.es ing.fr ingdirect.es ing-diba.de ing.pl
Rabobank: rabobank, rabobank.nl rabobank.com
ABN AMRO: abnamro, abnamro.nl abnamro.com
Deutsche Bank: deutschebank, deutsche-bank.de db.com deutsche-bank.com deutsche-bank.es deutsche-bank.it
Commerzbank: commerzbank comdirect, commerzbank.de commerzbank.com comdirect.de
Sparkasse: sparkasse, sparkasse.de sparkasse.at s-kundenservice.de sparkassen-finanzportal.de
Volksbank: volksbank raiffeisen, vr.de volksbank.at raiffeisen.at raiffeisen.ch raiffeisen.com volksbank.com
Postbank: postbank, postbank.de
Revolut: revolut, revolut.com revolut.me
N26: n26bank, n26.com
Crédit Agricole: creditagricole credit-agricole, credit-agricole.fr credit-agricole.com ca-cib.com
BNP Paribas: bnpparibas, bnpparibas.com bnpparibas.fr bnpparibas.net bnpparibasfortis.be mabanque.bnpparibas bnpparibas
Société Générale: societegenerale, societegenerale.fr societegenerale.com sg.fr
La Banque Postale: banquepostale labanquepostale, labanquepostale.fr
Intesa Sanpaolo: intesasanpaolo, intesasanpaolo.com
UniCredit: unicredit, unicredit.it unicredit.eu unicredit.de hypovereinsbank.de
Itaú: itau itaú, itau.com.br itau.com itaucard.com.br
Bradesco: bradesco, bradesco.com.br bradesco.com bradescoseguros.com.br banco.bradesco bradescard.com.br
Banco do Brasil: bancodobrasil, bb.com.br bancodobrasil.com.br
Caixa Econômica: caixaeconomica, caixa.gov.br
Nubank: nubank, nubank.com.br nu.com.mx nubank.com
Mercado Livre: mercadolivre mercadopago mercadolibre, mercadolivre.com.br mercadopago.com.br mercadopago.com mercadolibre.com mercadolibre.com.mx mercadolibre.com.ar mercadolivre.com
Receita Federal: receitafederal, receita.fazenda.gov.br gov.br
Coinbase: coinbase, coinbase.com
Binance: binance, binance.com binance.us binance.org
MetaMask: metamask, metamask.io consensys.net consensys.io
Kraken: krakenexchange, kraken.com
Crypto.com: cryptocom, crypto.com
*Ledger: ledgerwallet ledgerlive, ledger.com ledgerwallet.com
Trezor: trezor, trezor.io satoshilabs.com
Blockchain.com: blockchaincom blockchainwallet, blockchain.com blockchain.info
Trust Wallet: trustwallet, trustwallet.com
OpenSea: opensea, opensea.io
Uniswap: uniswap, uniswap.org
Ripple: ripplexrp, ripple.com
eBay: ebay, ebay.com ebay.de ebay.co.uk ebay.fr ebay.it ebay.es ebay.com.au ebay.ca ebaystatic.com ebayinc.com
AliExpress: aliexpress, aliexpress.com aliexpress.us alibaba.com alicdn.com
Alibaba: alibaba, alibaba.com alicdn.com
Walmart: walmart, walmart.com walmart.ca walmartimages.com
Costco: costco, costco.com costco.ca costco.co.uk
Home Depot: homedepot, homedepot.com homedepot.ca
Lowe's: lowes, lowes.com lowes.ca
Best Buy: bestbuy, bestbuy.com bestbuy.ca
Tesco: tesco, tesco.com tescobank.com
Carrefour: carrefour, carrefour.com carrefour.fr carrefour.es carrefour.it carrefour.be carrefour.com.br
Lidl: lidl, lidl.com lidl.de lidl.fr lidl.es lidl.it lidl.nl lidl.co.uk lidl-shop.de
Aldi: aldi, aldi.com aldi-nord.de aldi-sued.de aldi.co.uk aldi.us aldi.fr aldi.es aldi.it aldi.nl
Rewe: rewe, rewe.de rewe-group.com
Edeka: edeka, edeka.de
Kaufland: kaufland, kaufland.de kaufland.com
MediaMarkt: mediamarkt, mediamarkt.de mediamarkt.com mediamarkt.nl mediamarkt.es mediamarkt.at mediamarkt.ch mediamarktsaturn.com
IKEA: ikea, ikea.com ikea.de ingka.com
*Shell: shellrewards, shell.com shell.de
Starbucks: starbucks, starbucks.com starbucks.de
AT&T: attwireless attmail, att.com att.net att-mail.com
Verizon: verizon, verizon.com verizonwireless.com vzw.com
T-Mobile: tmobile t-mobile, t-mobile.com t-mobile.de telekom.de t-mobile.nl
Telekom: telekom, telekom.de telekom.com t-online.de telekom.hu
Vodafone: vodafone, vodafone.com vodafone.de vodafone.it vodafone.es vodafone.co.uk vodafone.pt
Xfinity: xfinity comcast, xfinity.com comcast.net comcast.com
Norton: nortonlifelock, norton.com nortonlifelock.com symantec.com gendigital.com
McAfee: mcafee, mcafee.com mcafee-email.com
Avast: avast, avast.com avg.com gendigital.com
Kaspersky: kaspersky, kaspersky.com kaspersky.de kaspersky.ru
GoDaddy: godaddy, godaddy.com secureserver.net
IONOS: ionos, ionos.com ionos.de ionos.co.uk ionos.fr ionos.es 1und1.de 1and1.com
Strato: strato, strato.de strato.nl
OVH: ovhcloud ovh, ovh.com ovh.net ovhcloud.com ovh.fr
Cloudflare: cloudflare, cloudflare.com cloudflare.net
WordPress: wordpress, wordpress.com wordpress.org wp.com automattic.com
cPanel: cpanel, cpanel.net cpanel.com
Zimbra: zimbra, zimbra.com synacor.com
Roundcube: roundcube, roundcube.net
GMX: gmx, gmx.net gmx.de gmx.com gmx.at gmx.ch
WEB.DE: webde, web.de
IRS: irsgov irstax, irs.gov
HMRC: hmrc, hmrc.gov.uk gov.uk
Ameli: ameli assurancemaladie, ameli.fr assurance-maladie.fr
Elster: elster bundesfinanzministerium, elster.de bund.de
DigiD: digid, digid.nl
Booking.com: bookingcom booking, booking.com bookingholdings.com
Airbnb: airbnb, airbnb.com airbnbmail.com airbnb.de airbnb.fr
Uber: ubereats, uber.com ubereats.com
Deutsche Bahn: deutschebahn, bahn.de deutschebahn.com bahn.com
ADAC: adac, adac.de
Temu: temu, temu.com temuemail.com
Shein: shein, shein.com
Rakuten: rakuten, rakuten.co.jp rakuten.com rakuten-card.co.jp rakuten.ne.jp
`
