package mailauth

import (
	"slices"

	"github.com/postreeve/postreeve/verdict"
)

// Code describes one kind of finding of Scanner.
type Code struct {
	Code    string
	Meaning string        // what was seen
	Reason  string        // why it weighs what it weighs
	Class   verdict.Class // what it makes the message by itself; Unknown: evidence only
	Score   float64       // weight that it adds; 0 for what is mostly innocent
}

const (
	codeFromMissing  = "from.missing"
	codeFromMultiple = "from.multiple"
	codeFromDomains  = "from.domains"
	codeFromGroup    = "from.group"
	codeFromInvalid  = "from.invalid"
	codeFromScript   = "from.mixed-script"
	codeSPFFail      = "auth.spf.fail"
	codeSPFSoftfail  = "auth.spf.softfail"
	codeSPFError     = "auth.spf.permerror"
	codeDKIMFail     = "auth.dkim.fail"
	codeDKIMMany     = "auth.dkim.many"
	codeDMARCReject  = "auth.dmarc.reject"
	codeDMARCQuarant = "auth.dmarc.quarantine"
	codeDMARCNone    = "auth.dmarc.none"
	codeDMARCArc     = "auth.dmarc.arc"
	codeARCFail      = "auth.arc.fail"
	codeNothing      = "auth.nothing"
	codeTemporary    = "auth.temperror"
)

// codeTable is the one list of codes. A code is never renamed and never given another meaning.
var codeTable = [...]Code{
	{codeFromMissing, "no From field", "no mail program sends that; who reads it sees any name or none", verdict.Unknown, 2},
	{codeFromMultiple, "several From fields", "what was checked and what is shown may be different ones; RFC 5322 forbids it", verdict.Unknown, 3},
	{codeFromDomains, "authors of several domains in From", "DMARC protects neither; legitimate, but hardly anybody uses it", verdict.Unknown, 1},
	{codeFromGroup, "group syntax in From", "a trick to leave DMARC without a domain; RFC 6854 allows it, no mail program writes it", verdict.Unknown, 2},
	{codeFromInvalid, "a From that holds no usable address", "DMARC has no domain to look at; broken software does it too", verdict.Unknown, 1},
	{codeFromScript, "a From domain with letters of other scripts that look like Latin ones", "made to be taken for another domain; owners of such names are few", verdict.Unknown, 3},
	{codeSPFFail, "SPF: the domain says that this client may not send for it", "forwarding breaks SPF too, so it does not decide", verdict.Unknown, 1},
	{codeSPFSoftfail, "SPF: the domain says that this client probably may not send for it", "as above, and the domain itself is not sure", verdict.Unknown, 0.5},
	{codeSPFError, "SPF: the domain's record is broken", "a mistake of the domain's owner more often than not", verdict.Unknown, 0},
	{codeDKIMFail, "DKIM: signed, and no signature is good", "mailing lists and disclaimers break signatures; it counts as unsigned", verdict.Unknown, 0.5},
	{codeDKIMMany, "DKIM: more signatures than are verified", "no service signs that often; it costs every verifier time", verdict.Unknown, 0.5},
	{codeDMARCReject, "DMARC: the author domain disowns the message (p=reject)", "the owner of the domain in From says that such mail is forged", verdict.Spam, 5},
	{codeDMARCQuarant, "DMARC: the author domain distrusts the message (p=quarantine)", "the owner says that such mail is suspicious, not that it is forged", verdict.Unknown, 3},
	{codeDMARCNone, "DMARC: the message is not authenticated, and its domain asks for nothing (p=none)", "RFC 9989 section 5.4: p=none must not change what becomes of mail", verdict.Unknown, 0},
	{codeDMARCArc, "DMARC: failed here, but a trusted chain of ARC seals says that it passed before", "a mailing list or forwarder that we trust changed it on the way", verdict.Unknown, 0},
	{codeARCFail, "ARC: a chain of seals that is broken", "changed behind the last seal, or a mistake of a sealer; it counts as no chain", verdict.Unknown, 0},
	{codeNothing, "neither SPF nor DKIM passed for any domain", "nobody takes responsibility for the message; large receivers refuse that by now", verdict.Unknown, 1},
	{codeTemporary, "a result that a temporary DNS failure left open", "no fault of the message: it must neither help nor harm it", verdict.Unknown, 0},
}

// Codes returns all kinds of findings.
func Codes() []Code { return slices.Clone(codeTable[:]) }

func codeOf(name string) Code {
	for _, c := range codeTable {
		if c.Code == name {
			return c
		}
	}
	return Code{Code: name}
}
