package links

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

// site says what kind of place a domain is, as far as that is known to everybody.
type site uint8

const (
	siteUnknown   site = iota
	siteFree           // anybody puts pages there within minutes, without saying who they are
	siteForm           // the same for forms that ask for anything
	siteShare          // files of anybody, behind an account as a rule
	siteShortener      // short names for other addresses
	siteDynamic        // names for machines with changing addresses, and tunnels to them
	siteImages         // pictures of anybody
	siteMailing        // counts clicks for those who send newsletters
	siteRented         // a name under a domain that somebody private hands out
	siteCommon         // linked by everybody: social networks, shops of apps, encyclopaedias
)

// sites has domains by what they are. A host is looked up with its parents, the longest first, so a subdomain can be
// something else than its domain. The lists name kinds of services, not what was seen in somebody's mail.
var sites = siteTable(map[site]string{
	siteFree: `github.io gitlab.io gitbook.io pages.dev workers.dev r2.dev web.app firebaseapp.com appspot.com run.app cloudfunctions.net
		firebasestorage.googleapis.com storage.googleapis.com commondatastorage.googleapis.com storage.cloud.google.com script.google.com
		sites.google.com vercel.app now.sh netlify.app netlify.com herokuapp.com herokussl.com glitch.me repl.co replit.app replit.dev
		onrender.com render.com fly.dev railway.app up.railway.app surge.sh weebly.com weeblysite.com wixsite.com wixstudio.com editorx.io
		wordpress.com blogspot.com blogger.com tumblr.com livejournal.com jimdofree.com jimdosite.com strikingly.com mystrikingly.com
		webflow.io carrd.co square.site godaddysites.com site123.me my-free.website yolasite.com webnode.com webnode.page ucraft.net
		tilda.ws tildacdn.com notion.site notion.so canva.site my.canva.site framer.website framer.app framer.ai gamma.site gamma.app
		bubbleapps.io softr.app softr.io glide.page glideapp.io durable.co dorik.io unicornplatform.page landen.co leadpages.co lpages.co
		unbouncepages.com instapage.com swipepages.net systeme.io clickfunnels.com hubspotpagebuilder.com hs-sites.com
		blob.core.windows.net web.core.windows.net azurewebsites.net azurestaticapps.net azureedge.net azurefd.net cloudapp.net
		cloudapp.azure.com trafficmanager.net amazonaws.com cloudfront.net elasticbeanstalk.com awsapprunner.com amplifyapp.com
		on.aws lambda-url.us-east-1.on.aws digitaloceanspaces.com ondigitalocean.app linodeobjects.com linodeusercontent.com
		vultrobjects.com wasabisys.com backblazeb2.com oraclecloud.com cloud-object-storage.appdomain.cloud appdomain.cloud
		myqcloud.com aliyuncs.com alicdn-oss.com myhuaweicloud.com contabostorage.com cprapid.com plesk.page secureserver.net
		ipfs.io dweb.link cf-ipfs.com ipfs.dweb.link cloudflare-ipfs.com fleek.co fleek.cool on.fleek.co 4everland.io 4everland.app
		nftstorage.link w3s.link infura-ipfs.io pinata.cloud mypinata.cloud arweave.net 000webhostapp.com infinityfreeapp.com
		byethost.com 000.pe rf.gd epizy.com freehostia.com awardspace.info atwebpages.com x10.mx freewebhostmost.com profreehost.com
		lovable.app bolt.host base44.app v0.app deno.dev streamlit.app huggingface.co hf.space codesandbox.io csb.app stackblitz.io
		pythonanywhere.com zapier.app zoho.site zohosites.com mybluemix.net ue.r.appspot.com translate.goog altervista.org over-blog.com
		ghost.io hatenablog.com teletype.in telegra.ph rentry.co pastebin.com justpaste.it graph.org adobe.io myportfolio.com
		spark.adobe.com express.adobe.com new.express.adobe.com page.link wcomhost.com temporary.site  `,
	siteForm: `forms.gle docs.google.com forms.office.com forms.cloud.microsoft customervoice.microsoft.com sway.office.com sway.cloud.microsoft
		jotform.com jotform.co jotformeu.com typeform.com formstack.com cognitoforms.com 123formbuilder.com formsite.com wufoo.com
		zohopublic.com forms.zohopublic.com    formpl.us paperform.co tally.so
		form.jotform.com fillout.com airtable.com smartsheet.com app.smartsheet.com formaloo.net formbold.com getform.io formspree.io
		emailmeform.com 123contactform.com formcrafts.com involve.me outgrow.us typedream.app canva.com padlet.com miro.com
		hsforms.com share.hsforms.com   `,
	siteShare: `dropbox.com dropboxusercontent.com wetransfer.com we.tl mediafire.com mega.nz mega.io box.com 1drv.ms onedrive.live.com
		drive.google.com sharepoint.com transfernow.net smash.gg fromsmash.com sendspace.com sendgb.com file.io gofile.io anonfiles.com
		pixeldrain.com zippyshare.com 4shared.com uploadfiles.io filemail.com hightail.com sendanywhere.com send-anywhere.com pcloud.com
		pcloud.link icedrive.net terabox.com 1fichier.com catbox.moe workupload.com disk.yandex.ru cloud.mail.ru cdn.discordapp.com
		discordapp.com drive.proton.me slideshare.net scribd.com issuu.com`,
	siteShortener: `bit.ly bitly.com j.mp tinyurl.com tiny.cc tiny.pl tiny.one tny.im t.co goo.gl ow.ly is.gd v.gd buff.ly rebrand.ly cutt.ly
		shorturl.at shorturl.com t.ly rb.gy bl.ink lnkd.in s.id qrco.de qr.ae me-qr.com qr.codes q-r.to scnv.io l.ead.me did.li urlz.fr
		u.to clck.ru surl.li shorter.me soo.gd tr.im x.co adf.ly bc.vc ouo.io linktr.ee lnk.bio goo.su kutt.it short.gy u.nu urlr.me n9.cl
		acortar.link encurtador.com.br abre.ai bityl.co encr.pw l1nq.com l1nk.dev 1link.in dlvr.it ift.tt mcaf.ee snip.ly po.st zpr.io
		chilp.it v.ht cli.re ity.im da.gd shrtco.de lc.cx ulvis.net budurl.com lnk.to smarturl.it trib.al cutit.org x.gd 2no.co
		grabify.link iplogger.org iplogger.com yip.su shorte.st sh.st linkin.bio taplink.cc taplink.at beacons.ai bio.link campsite.bio
		heylink.me solo.to msha.ke rotf.lol shrinke.me tinylink.in tinyurl.is urlzs.com shorturl.gg short.io rebrandly.com dub.sh dub.co
		gg.gg hyp.sh ln.run lihi.cc lihi1.com reurl.cc pse.is ppt.cc 0rz.tw supr.link mrk.ng v.redd.it wp.me tcrn.ch flip.it shar.es
		moourl.com snipurl.com snurl.com doiop.com notlong.com migre.me hec.su shorten.as shorten.so linkly.link spoo.me zws.im
		lnk.do mez.ink komi.io hihello.me popl.co flowcode.com flow.page qr-code-generator.com qrfy.io qr1.be qr.link onelink.to sl.link`,
	siteDynamic: `duckdns.org ddns.net no-ip.org no-ip.com no-ip.biz noip.com hopto.org zapto.org sytes.net servebeer.com serveftp.com servehttp.com
		myftp.org myftp.biz myvnc.com redirectme.net dyndns.org dyndns.info dynu.com dynu.net ddnsfree.com ddnsgeek.com mywire.org webredirect.org
		freemyip.com afraid.org mooo.com chickenkiller.com strangled.net us.to dynv6.net changeip.com dns.navy itsaol.com 3utilities.com
		bounceme.net gotdns.ch onthewifi.com viewdns.net ydns.eu ngrok.io ngrok.app ngrok-free.app ngrok.dev ngrok-free.dev trycloudflare.com
		loca.lt localtunnel.me serveo.net localhost.run lhr.life pagekite.me playit.gg devtunnels.ms sslip.io nip.io xip.io tunnelmole.net
		pinggy.link a.pinggy.io loclx.io bore.pub ts.net`,
	siteImages: `imgur.com ibb.co imgbb.com postimg.cc postimages.org imgbox.com imageshack.com imageshack.us photobucket.com tinypic.com
		  imgpile.com freeimage.host iili.io pixhost.to imagevenue.com turboimagehost.com
		imageban.ru radikal.ru fastpic.org servimg.com hizliresim.com resimlink.com prnt.sc prntscr.com gyazo.com lightshot.com
		gifyu.com   imgflip.com pinimg.com twimg.com lensdump.com picsum.photos snipboard.io imghost.online
		pngimg.com pngwing.com pngegg.com cleanpng.com pngtree.com flaticon.com icons8.com iconfinder.com
		logos-world.net logodownload.org 1000logos.net seeklogo.com worldvectorlogo.com clipart-library.com kindpng.com
		upload.wikimedia.org  encrypted-tbn0.gstatic.com`,
	siteMailing: `list-manage.com mailchimp.com mailchi.mp campaign-archive.com mcusercontent.com eepurl.com mandrillapp.com
		sendgrid.net sendgrid.com sparkpostmail.com sparkpostmail1.com mailgun.org mailgun.net mailgun.com klaviyo.com klaviyomail.com
		kmail-lists.com klclick.com hubspotlinks.com hubspotemail.net hubspotstarter.net
		hubspotfree.net hs-analytics.net constantcontact.com rs6.net ctctcdn.com exct.net exacttarget.com sfmc-content.com
		pardot.com marketo.com mktoweb.com mktossl.com mkt-tools.com sailthru.com createsend.com 
		e2ma.net emarsys.net emarsys.com responsys.net eloqua.com elq-trk.com en25.com bluehornet.com
		sendinblue.com sibforms.com
		brevo.com brevosend.com mailjet.com mjt.lu inxmail.com inxserver.com inxserver.de cleverreach.com crsend.com newsletter2go.com
		nl2go.com amxe.net mailerlite.com mlsend.com mlsnd.com ml-links.com convertkit.com convertkit-mail.com ck.page kit.com substack.com beehiiv.com activehosted.com activecampaign.com
		acemlnb.com acemlnc.com acemlnd.com emlnk.com aweber.com getresponse.com getresponse360.com drip.com getdrip.com
		customeriomail.com customer.io iterable.com iterable-mail.com links.iterable.com braze.com appboy.com
		intercom-mail.com intercom-clicks.com intercomcdn.com zendesk.com freshdesk.com pstmrk.it postmarkapp.com awstrack.me
		amazonses.com benchmarkemail.com bmetrack.com benchurl.com icontact.com icptrack.com vresp.com verticalresponse.com ontraport.com
		infusionsoft.com infusionmail.com dotdigital.com dotdigital-pages.com dotmailer.com dmtrk.net
		dmtrk.com campaign.adobe.com omnisend.com omnisendlink.com soundestlink.com moengage.com salesforce.com force.com listrak.com
		listrakbi.com bronto.com cordial.io epsilon.com selligent.com slgnt.eu slgnt.us silverpop.com 
		acoustic.com sharpspring.com marketingautomation.services mailpoet.com mailup.com mailupclient.com
		contactlab.it emailsp.com musvc.com rapidmail.com rapidmail.de rmtrack.com newsletter.de episerver.net mailing.campaign
		optivo.com broadmail.de artegic.net evalanche.com sc-networks.com agnitas.de mapp.com ecircle.com teradata-mail.com
		smartfocus.com ccmdcampaigns.net cheetahmail.com experian-cheetahmail.com yesmail.com
		returnpath.net litmus.com movableink.com mi-email.com zetaglobal.net messagegears.net ongage.net
		gotowebinar.com eventbrite.com zoho.com zohocampaigns.com maillist-manage.com campaigner.com elasticemail.com
		sendpulse.com stat-pulse.com unisender.com esputnik.com mindbox.ru sendsay.ru spotler.com tripolis.com copernica.com
		vicinity.nl laposta.nl mailplus.nl mlplus.nl rdstation.com rdstation.com.br mailee.me dinamize.com emkt.net
		allin.com.br splio.com splio.fr mail-marketing.fr sarbacane.com sarbacaneplus.com actito.com actito.be cabestan.com
		doppler.com fromdoppler.com
		alchemer.com surveymonkey.com surveymonkey.co.uk questionpro.com webropolsurveys.com startquestion.com qualtrics.com medallia.com
		confirmit.com forsta.com emailsys.net emailsys1a.net emailsys2a.net flodesk.com fdske.com sender.net mailmodo.com loops.so buttondown.email
		getrevue.co tinyletter.com moosend.com robly.com gr8.com mailigen.com everyaction.com actionnetwork.org engagingnetworks.app
		onesignal.email netcorecloud.net pepipost.com smtp2go.com resend.com mailercloud.com acumbamail.com mailrelay.com egoi.com e-goi.com
		mailxpert.ch klick-tipp.com quentn.com getanewsletter.com apsis.one apsis.se rule.io ungapped.io freshmail.com getresponse.pl
		salesmanago.com salesmanago.pl user.com ecomailapp.cz smartemailing.cz mailkit.eu hubspot.com outreach.io
		salesloft.com customeriomail.com cio.email eventbritemail.com meetup.com cvent.com blackbaud.com bbis.net`,
	siteCommon: `facebook.com fb.com fb.me instagram.com twitter.com x.com linkedin.com youtube.com youtu.be pinterest.com tiktok.com whatsapp.com wa.me
		t.me telegram.me telegram.org reddit.com vimeo.com xing.com threads.net snapchat.com discord.com discord.gg medium.com
		google.com gmail.com gstatic.com googleapis.com googleusercontent.com w3.org schema.org wikipedia.org wikimedia.org
		apple.com itunes.com microsoft.com windows.com office.com live.com outlook.com aka.ms bing.com msn.com skype.com
		mozilla.org adobe.com github.com gitlab.com githubusercontent.com stackoverflow.com sourceforge.net python.org
		yahoo.com amazon.com amazon.de amazon.co.uk zoom.us trustpilot.com yelp.com tripadvisor.com paypal.com
		imgix.net cloudinary.com shopify.com akamaized.net cloudimg.io typekit.net fontawesome.com jsdelivr.net cloudflare.com unpkg.com bootstrapcdn.com avast.com avg.com mcafee.com`,
})

func siteTable(lists map[site]string) map[string]site {
	out := make(map[string]site, 1200)
	for kind, list := range lists {
		for domain := range strings.FieldsSeq(list) {
			out[domain] = kind
		}
	}
	return out
}

// kindOf returns what kind of place a host is.
func kindOf(host string) site {
	for whole := host; ; {
		if k, ok := sites[host]; ok {
			return k
		}
		i := strings.IndexByte(host, '.')
		if k, ok := numbered(host, i); ok {
			return k
		}
		if i < 0 {
			return private(whole)
		}
		if strings.HasPrefix(host[i+1:], "blogspot.") {
			return siteFree
		}
		host = host[i+1:]
	}
}

// numbered looks up a host without the number behind its first label: services for newsletters have one domain after the other.
func numbered(host string, dot int) (site, bool) {
	if dot < 1 || host[dot-1] < '0' || host[dot-1] > '9' {
		return siteUnknown, false
	}
	if numberedMailing[strings.TrimRight(host[:dot], "0123456789")+host[dot:]] {
		return siteMailing, true
	}
	return siteUnknown, false
}

// numberedMailing are domains of services for newsletters that stand with a number behind the name: list-manage1.com.
var numberedMailing = wordSet(`list-manage.com klclick.com sendibt.com sendibm.com cmail.com createsend.com convertkit-mail.com emlnk.com dripemail.com
	keap-link.com pages.net mkt.com emv.com sbc.com bm.com eomail.com sparkpostmail.com hubspotlinks.com mlsend.com emailsp.com musvc.com crsend.com`)

// private says whether a host has its name from somebody who hands out names under a domain of their own, by the private part of the
// public suffix list.
func private(host string) site {
	if suffix, icann := publicsuffix.PublicSuffix(host); !icann && strings.IndexByte(suffix, '.') >= 0 && len(suffix) < len(host) {
		return siteRented
	}
	return siteUnknown
}

// userPage says whether an address is a page of a user, on a site where the operator has pages too.
func userPage(a address) bool {
	switch a.host {
	case "docs.google.com":
		return strings.HasPrefix(a.path, "/forms/") || strings.HasPrefix(a.path, "/drawings/") ||
			strings.Contains(a.path, "/pub") || strings.HasPrefix(a.path, "/presentation/")
	case "notion.so", "www.notion.so", "canva.com", "airtable.com", "huggingface.co":
		return len(a.path) > 12
	case "www.canva.com":
		return strings.HasPrefix(a.path, "/design/")
	case "wordpress.com", "www.wordpress.com", "blogger.com", "www.blogger.com", "render.com", "netlify.com", "surveymonkey.com",
		"clickfunnels.com", "smartsheet.com", "www.smartsheet.com", "secureserver.net", "www.secureserver.net", "pastebin.com":
		return false
	}
	return true
}

// abusedTLDs are top-level domains where names cost next to nothing and abuse of them is common by the reports of
// those who count it (Spamhaus, Interisle).
var abusedTLDs = wordSet(`shop top site xyz online click icu buzz beauty space sbs cfd rest cyou monster quest lol bond homes autos hair makeup mom life
	live world store website fun club gq tk ml cf ga pw work loan win date stream download review country kim men party trade science bid
	racing accountant cricket faith vip link skin boats yachts motorcycles cam surf wang gdn zip mov uno rocks best su pics lat digital
	support help services`)

func wordSet(list string) map[string]bool {
	out := make(map[string]bool)
	for w := range strings.FieldsSeq(list) {
		out[w] = true
	}
	return out
}

// tld returns the last label of a host.
func tld(host string) string { return host[strings.LastIndexByte(host, '.')+1:] }
