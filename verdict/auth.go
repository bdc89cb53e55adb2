package verdict

// AuthResults say what is known about who really sent a message. The zero value says that nobody
// checked, which no scanner may take for a pass.
type AuthResults struct {
	SPF   SPFResult
	DKIM  []DKIMResult // one for each signature, in the order of the header
	DMARC DMARCResult
	ARC   ARCResult
}

// AuthResult is a result as RFC 8601 section 2.7 spells it: "none", "pass", "fail", "softfail",
// "neutral", "temperror", "permerror". Empty means that nobody checked.
type AuthResult string

// Pass is the one result that proves something.
const Pass AuthResult = "pass"

// SPFResult is the result of RFC 7208 for the domain of the reverse-path, or of HELO for the null sender.
type SPFResult struct {
	Result   AuthResult
	Domain   string
	Identity string // what Domain was taken from: "mailfrom" or "helo" (RFC 7208 sections 2.3 and 2.4)
	Err      error
}

// DKIMResult is the result of RFC 6376 for one signature.
type DKIMResult struct {
	Result   AuthResult
	Domain   string // d=
	Selector string // s=
	Err      error
}

// DMARCResult is the result of RFC 9989 for the domain in From.
type DMARCResult struct {
	Result AuthResult
	Domain string // of the author
	Policy string // "none", "quarantine" or "reject" as published, empty without a record
	// Applied is what the owner of the domain asks to be done with this message: Policy, or one step less
	// while it is being tested (RFC 9989 section 4.7), or "none" where ARC vouches for the message. It is
	// empty unless Result is "fail".
	Applied string
	Err     error
}

// ARCResult is the result of RFC 8617 for the chain.
type ARCResult struct {
	Result AuthResult
	Sealer string // domain of the newest seal
	// Vouches says that the chain is good, that everybody who sealed it is trusted, and that its first set
	// says that DMARC passed for the author domain (RFC 8617 section 7.2).
	Vouches bool
	Err     error
}
