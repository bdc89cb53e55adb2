package spamd_test

import (
	"bytes"
	"testing"

	"github.com/postreeve/postreeve/verdict/spamd"
)

// What passes says so, and is whole: less of it does not pass.
func FuzzReply(f *testing.F) {
	for _, r := range replies {
		if len(r.reply) < 1<<16 {
			f.Add([]byte(r.reply))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		spam, body, err := spamd.Read(b)
		if err != nil || spam {
			return
		}
		if !bytes.HasPrefix(b, []byte("SPAMD/")) || !bytes.HasSuffix(b, []byte(body)) || !bytes.Contains(b, []byte("False")) && !bytes.Contains(b, []byte("No")) {
			t.Errorf("%q passes", b)
		}
		if _, _, err := spamd.Read(b[:len(b)-1]); err == nil {
			t.Errorf("%q passes without its last byte", b)
		}
	})
}
