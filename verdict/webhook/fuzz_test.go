package webhook_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict/webhook"
)

// What passes as clean says so in JSON.
func FuzzAnswer(f *testing.F) {
	for _, a := range answers {
		if len(a.answer) < 1<<16 {
			f.Add([]byte(a.answer))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := webhook.Read(b)
		if err == nil && len(fs) == 0 && (!json.Valid(b) || !bytes.Contains(bytes.ToLower(b), []byte("clean")) && !bytes.Contains(b, []byte(`\u`))) {
			t.Errorf("%q passes as clean", b)
		}
	})
}

// A signature is good for one content and one time.
func FuzzVerify(f *testing.F) {
	f.Add("1", "v1=00", []byte("x"))
	f.Add("1767323045", "v1=", []byte("{}"))
	h := http.Header{}
	webhook.Sign(key, h, time.Now(), []byte("{}"))
	f.Add(h.Get("Postreeve-Timestamp"), h.Get("Postreeve-Signature"), []byte("{}"))
	f.Fuzz(func(t *testing.T, at, signature string, body []byte) {
		h := http.Header{"Postreeve-Timestamp": {at}, "Postreeve-Signature": {signature}}
		if webhook.Verify(key, h, body) != nil {
			return
		}
		if webhook.Verify(key, h, append(body, 'x')) == nil {
			t.Errorf("%q %q is good for two contents", at, signature)
		}
	})
}
