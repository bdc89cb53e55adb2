// Package clamd is a verdict.Scanner that asks ClamAV's daemon:
//
//	scanner := &clamd.Scanner{Address: "unix:/run/clamav/clamd.ctl"}
//
// The whole message goes to the daemon by INSTREAM, which takes it apart itself. What it knows is the finding
// "clamd.found", Malicious but for signatures whose names say that they are about spam or unwanted
// programs. That it met a limit of its own (AlertExceedsMax yes) is "clamd.limit" with an error, so that the
// message is not clean, and encrypted content (AlertEncrypted yes) is "clamd.locked", evidence only.
//
// Everything else is an error, and never clean: no answer, half an answer, an answer in other words, and
// "INSTREAM size limit exceeded". Set StreamMaxLength, MaxScanSize and MaxFileSize in clamd.conf above the largest message
// that the gateway takes, or put verdict.MaxSize around the scanner.
//
// The answer depends on the bytes of a message alone, and Version names the signature databases, so a verdict.Cache
// with ContentOnly fits around it. Databases of one's own have no number in that name; for them the age of the cache
// is what counts.
//
// The protocol is that of the manual page clamd(8).
package clamd
