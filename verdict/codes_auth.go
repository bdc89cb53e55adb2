package verdict

// CodeHonoured is the finding of a policy that does what the owner of an author domain asks for: reject or
// quarantine what fails DMARC.
const CodeHonoured = "policy.dmarc"

// authTable has the codes of package mailauth.
var authTable = []Code{
	{"from.missing", "no From field", "no mail program sends that; who reads it sees any name or none", Unknown, 2},
	{"from.multiple", "several From fields", "what was checked and what is shown may be different ones; RFC 5322 forbids it", Unknown, 3},
	{"from.domains", "authors of several domains in From", "DMARC protects neither; legitimate, but hardly anybody uses it", Unknown, 1},
	{"from.group", "group syntax in From", "a trick to leave DMARC without a domain; RFC 6854 allows it, no mail program writes it", Unknown, 2},
	{"from.invalid", "a From that holds no usable address", "DMARC has no domain to look at; broken software does it too", Unknown, 1},
	{"from.mixed-script", "a From domain with letters of other scripts that look like Latin ones", "made to be taken for another domain; owners of such names are few", Unknown, 3},
	{"auth.spf.fail", "SPF: the domain says that this client may not send for it", "forwarding breaks SPF too, so it does not decide", Unknown, 1},
	{"auth.spf.softfail", "SPF: the domain says that this client probably may not send for it", "as above, and the domain itself is not sure", Unknown, 0.5},
	{"auth.spf.permerror", "SPF: the domain's record is broken", "a mistake of the domain's owner more often than not", Unknown, 0},
	{"auth.dkim.fail", "DKIM: signed, and no signature is good", "mailing lists and disclaimers break signatures; it counts as unsigned", Unknown, 0.5},
	{"auth.dkim.many", "DKIM: more signatures than are verified", "no service signs that often; it costs every verifier time", Unknown, 0.5},
	{"auth.dmarc.reject", "DMARC: the author domain disowns the message (p=reject)", "the owner of the domain in From says that such mail is forged", Spam, 5},
	{"auth.dmarc.quarantine", "DMARC: the author domain distrusts the message (p=quarantine)", "the owner says that such mail is suspicious, not that it is forged", Unknown, 3},
	{"auth.dmarc.none", "DMARC: the message is not authenticated, and its domain asks for nothing (p=none)", "RFC 9989 section 5.4: p=none must not change what becomes of mail", Unknown, 0},
	{"auth.dmarc.arc", "DMARC: failed here, but a trusted chain of ARC seals says that it passed before", "a mailing list or forwarder that we trust changed it on the way", Unknown, 0},
	{"auth.arc.fail", "ARC: a chain of seals that is broken", "changed behind the last seal, or a mistake of a sealer; it counts as no chain", Unknown, 0},
	{"auth.nothing", "neither SPF nor DKIM passed for any domain", "nobody takes responsibility for the message; large receivers refuse that by now", Unknown, 1},
	{CodeHonoured, "DMARC: the recipient's policy does what the author domain asks for", "the policy says so, whatever the message is", Unknown, 0},
	{"auth.temperror", "a result that a temporary DNS failure left open", "no fault of the message: it must neither help nor harm it", Unknown, 0},
}
