package verdict

// Codes of findings that this module makes, but for those of the MIME walker: AnomalyCodes has them.
// A code is never renamed and never given another meaning.
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
	CodeArchiveLimit   = "archive.limit"   // an archive passes a limit on depth, count, size or ratio
	CodeArchiveBroken  = "archive.broken"  // an archive that cannot be read to its end
	CodeArchiveLocked  = "archive.locked"  // an encrypted member that nobody can look into
)

// Codes lists what all codes of this module mean, for documentation and for tools.
func Codes() map[string]string {
	out := map[string]string{
		CodeScannerFailed:  "a scanner returned an error: it could not tell",
		CodeScannerPanic:   "a scanner panicked: it could not tell",
		CodeScannerTimeout: "a scanner did not answer in time: it could not tell",
		CodeScannerNone:    "no scanner looked at the message",
		CodeListed:         "a list of the recipient's policy names the sender",
		CodeTestClean:      "Postreeve's test string for clean mail",
		CodeTestSpam:       "Postreeve's test string for spam",
		CodeTestMalicious:  "Postreeve's test string for malicious mail",
		CodeTestUnknown:    "Postreeve's test string for mail nobody can tell",
		CodeTestEICAR:      "the EICAR anti-malware test file",
		CodeTestGTUBE:      "the generic test for unsolicited bulk e-mail",
		CodeArchiveLimit:   "an archive passes a limit on depth, count, size, ratio or time",
		CodeArchiveBroken:  "an archive that cannot be read to its end",
		CodeArchiveLocked:  "an encrypted archive member that nobody can look into",
	}
	for _, a := range AnomalyCodes() {
		out[a.Code] = a.Meaning
	}
	return out
}
