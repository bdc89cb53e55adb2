// Package detection measures the built-in scanners, together and with the default weights, on the shared corpus of
// real and made mail: which phishing is missed, which honest mail is flagged, which kinds of harmful files nobody
// recognises.
//
//	go test -v -run TestDetection ./cmd/internal/detection    prints sets, labels, codes and every mistake
//	DETECTION_DUMP=FILE go test …                              writes every finding of every file, tab separated
//
// Messages are cleaned first of what receiving systems and collectors have put into them, so that nothing is
// learned from that. Nothing of the corpus is part of this module; without it the tests are skipped.
package detection
