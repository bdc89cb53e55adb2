package verdict

import (
	"slices"
	"sync"
)

// Code describes one kind of finding: a row of the one table of this module, see Codes.
type Code struct {
	Code    string  // stable, noun.detail: never renamed and never given another meaning
	Meaning string  // what was found
	Reason  string  // why it has this class and weight
	Class   Class   // what it alone makes a message; Unknown: evidence only
	Score   float64 // weight where evidence adds up, see Weigh
}

// Codes of findings that others than their scanner look for.
const (
	CodeScannerFailed  = "scanner.failed"  // a scanner returned an error: it could not tell
	CodeScannerPanic   = "scanner.panic"   // a scanner panicked
	CodeScannerTimeout = "scanner.timeout" // a scanner did not answer in time
	CodeScannerNone    = "scanner.none"    // no scanner looked at the message
	CodeListed         = "sender.listed"   // a list of the recipient's policy names the sender
	CodeTestClean      = "test.clean"      // Postreeve's test string for clean mail
	CodeTestSpam       = "test.spam"       // Postreeve's test string for spam
	CodeTestMalicious  = "test.malicious"  // Postreeve's test string for malicious mail
	CodeTestUnknown    = "test.unknown"    // Postreeve's test string for mail nobody can tell
	CodeTestEICAR      = "test.eicar"      // the EICAR anti-malware test file
	CodeTestGTUBE      = "test.gtube"      // the generic test for unsolicited bulk e-mail
	CodeArchiveLimit   = "archive.limit"   // an archive passes a limit on depth, count, size, ratio or time
	CodeArchiveBroken  = "archive.broken"  // an archive that cannot be read to its end
	CodeArchiveLocked  = "archive.locked"  // an encrypted archive member that nobody can look into
)

// coreTable has the codes of the engine and of what several scanners share.
var coreTable = []Code{
	{CodeScannerFailed, "a scanner returned an error: it could not tell", "what was not looked at is not clean; the engine's OnError decides", Unknown, 0},
	{CodeScannerPanic, "a scanner panicked: it could not tell", "as above", Unknown, 0},
	{CodeScannerTimeout, "a scanner did not answer in time: it could not tell", "as above", Unknown, 0},
	{CodeScannerNone, "no scanner looked at the message", "nobody can tell what nobody looked at", Unknown, 0},
	{CodeListed, "a list of the recipient's policy names the sender", "the policy says what follows", Unknown, 0},
	{CodeTestClean, "Postreeve's test string for clean mail", "for tests", Clean, 0},
	{CodeTestSpam, "Postreeve's test string for spam", "for tests", Spam, 0},
	{CodeTestMalicious, "Postreeve's test string for malicious mail", "for tests", Malicious, 0},
	{CodeTestUnknown, "Postreeve's test string for mail nobody can tell", "for tests", Unknown, 0},
	{CodeTestEICAR, "the EICAR anti-malware test file", "every engine calls it malicious", Malicious, 0},
	{CodeTestGTUBE, "the generic test for unsolicited bulk e-mail", "every filter calls it spam", Spam, 0},
	{CodeArchiveLimit, "an archive passes a limit on depth, count, size, ratio or time", "what was not unpacked was not looked at", Unknown, 0},
	{CodeArchiveBroken, "an archive that cannot be read to its end", "what was not unpacked was not looked at", Unknown, 0},
	{CodeArchiveLocked, "an encrypted archive member that nobody can look into", "legitimate senders encrypt too: the policy decides", Unknown, 0},
}

// byCode is the table of tables, made once.
var byCode = sync.OnceValue(func() map[string]Code {
	out := make(map[string]Code)
	for _, c := range Codes() {
		out[c.Code] = c
	}
	return out
})

// Codes lists what all codes of this module mean and weigh, and why, for documentation and for tools.
func Codes() []Code {
	return slices.Concat(coreTable, anomalyTable, authTable, attachTable, linksTable, impostorTable, enginesTable)
}

// Found returns a finding with the class and the score that the table gives its code. A code that is not
// in the table gets neither.
func Found(code string) Finding {
	c := byCode()[code]
	return Finding{Code: code, Class: c.Class, Score: c.Score}
}
