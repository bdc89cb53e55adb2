package icap_test

import (
	"bytes"
	"testing"

	"github.com/postreeve/postreeve/verdict/icap"
)

// What passes has status 204, or gives the content back.
func FuzzAnswer(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a.answer), false)
		f.Add([]byte(a.answer), true)
	}
	f.Fuzz(func(t *testing.T, answer []byte, reqmod bool) {
		fs, err := icap.Read(content, answer, reqmod)
		if err != nil || len(fs) > 0 {
			return
		}
		if !bytes.Contains(answer, []byte("204")) && (!bytes.Contains(answer, []byte("200")) || len(answer) < len(content)) {
			t.Errorf("%q passes", answer)
		}
	})
}

func FuzzOptions(f *testing.F) {
	for _, s := range []string{usual, "", "Methods: RESPMOD\r\nPreview: 0\r\n", "Methods:RESPMOD\r\nPreview: -1\r\nOptions-TTL: x\r\n"} {
		f.Add([]byte("ICAP/1.0 200 OK\r\n" + s + "\r\n"))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if icap.ReadOptions(answer) == nil && !bytes.Contains(answer, []byte("RESPMOD")) {
			t.Errorf("%q passes", answer)
		}
	})
}
