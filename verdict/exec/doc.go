// Package execscan is a verdict.Scanner that runs a program for every message:
//
//	scanner := &execscan.Scanner{Path: "/usr/local/bin/judge"}
//
// The raw message is on the program's standard input. The envelope is in its environment, and nothing else but what the
// configuration adds:
//
//	PATH=/usr/local/bin:/usr/bin:/bin   LC_ALL=C   MESSAGE_ID   MESSAGE_SIZE
//	CLIENT_ADDR  CLIENT_HELO  CLIENT_NAME      who sent the message first
//	SENDER  RECIPIENT_COUNT  RECIPIENTS        one a line, the first hundred
//
// The exit status is the answer: 0 clean, 1 spam, 2 malicious, as `postreeve scan` has it; the first line that it prints is
// the detail. Exit changes that for other programs, like clamscan: {0: Clean, 1: Malicious}. With JSON the program prints an
// answer as package webhook documents it, and exits with 0.
//
// Everything else is an error, and never clean: another status, a signal, no answer in time, more output than is
// bounded. The program and all that it has started (its process group) are killed when the context ends, and when it
// has answered. No more than Limit run at once; other messages wait.
package execscan
