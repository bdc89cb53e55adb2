// Package teststring finds the strings that people send through a mail system to see whether it looks:
// the EICAR anti-malware test file, GTUBE, and four of Postreeve's own, one for each class.
//
//	Scanner{}  ── subject, decoded parts, zip, tar, gzip (nested) ──  verdict.CodeTest…
//
// None of them is harmful, so that a whole gateway can be tried with them, from the first connection to
// the quarantine: [Sample] is text for a message of a wanted class. The scanner is as bounded as one for
// real malware has to be: what is passed over because of a limit is an error, and never clean.
//
// No source file of this module holds one of the strings in one piece, and no binary holds EICAR, so
// that they trip nothing on the machines of those who develop with it.
//
// The texts are those of https://www.eicar.org/download-anti-malware-testfile/ and
// https://spamassassin.apache.org/gtube/. Archives are read by the standard library.
package teststring
