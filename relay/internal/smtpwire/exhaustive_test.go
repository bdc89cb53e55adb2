package smtpwire_test

import (
	"os"
	"strconv"
	"testing"
)

// Every message of up to 6 octets out of those that matter, behind them an end of data and a command:
// the reader agrees with the slow readers, or all of them refuse. EXHAUSTIVE says up to how many octets
// instead: 11 are 61 million messages, 12 are 305 million.
func TestDataExhaustive(t *testing.T) {
	t.Parallel()
	const octets, rest = "\r\n.\x00x", "\r\n.\r\nQUIT\r\n"
	most := 6
	if n, err := strconv.Atoi(os.Getenv("EXHAUSTIVE")); err == nil {
		most = n
	}
	count := 0
	for n := range most + 1 {
		in := append(make([]byte, n), rest...)
		digits := make([]int, n)
		for more := true; more; {
			for i, d := range digits {
				in[i] = octets[d]
			}
			msg := string(in)
			compare(t, msg, "", false, rejectingReader)
			compare(t, msg, "", true, normalizingReader)
			count++
			more = false
			for i := range digits {
				if digits[i]++; digits[i] < len(octets) {
					more = true
					break
				}
				digits[i] = 0
			}
		}
	}
	t.Logf("%d messages", count)
}
