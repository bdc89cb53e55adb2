package clamd_test

import (
	"testing"

	"github.com/postreeve/postreeve/verdict/clamd"
)

// There is one way to say that nothing was found.
func FuzzReply(f *testing.F) {
	for _, r := range replies {
		f.Add([]byte(r.reply))
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		if n, failed := clamd.Read(reply); n == 0 && !failed && string(reply) != "stream: OK\x00" {
			t.Errorf("%q passes as clean", reply)
		}
	})
}
