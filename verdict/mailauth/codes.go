package mailauth

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
