package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

// Sign signs a body as a Scanner does at a time.
func Sign(key []byte, h http.Header, at time.Time, body []byte) {
	mac := begin(key, at.Unix())
	mac.Write(body)
	h.Set(timestampField, strconv.FormatInt(at.Unix(), 10))
	h.Set(signatureField, fmt.Sprintf("v1=%x", mac.Sum(nil)))
}

// Read makes the parser of answers visible to tests.
func Read(b []byte) ([]verdict.Finding, error) { return remote.ReadAnswer("webhook", b) }
