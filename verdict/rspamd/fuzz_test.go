package rspamd_test

import (
	"encoding/json"
	"testing"

	"github.com/postreeve/postreeve/verdict/rspamd"
)

// What passes is JSON and says so in so many words.
func FuzzAnswer(f *testing.F) {
	for _, a := range answers {
		if len(a.answer) < 1<<16 {
			f.Add([]byte(a.answer))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := rspamd.Read(b)
		if err != nil {
			return
		}
		if !json.Valid(b) || len(fs) == 0 || fs[0].Code != "rspamd.action" {
			t.Errorf("%q passes with %v", b, fs)
		}
	})
}
