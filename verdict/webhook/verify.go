package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	timestampField = "Postreeve-Timestamp"
	signatureField = "Postreeve-Signature"
)

// Tolerance is how old, or how far in the future, a request may be that Verify accepts.
const Tolerance = 5 * time.Minute

// ErrSignature says that a request is not, or no longer, signed as it should be.
var ErrSignature = errors.New("webhook: the request is not signed as it should be")

// Verify says whether a request with this header and body was signed with key within Tolerance of now. It takes the
// same time for every wrong signature. The error wraps ErrSignature and says nothing about what would be right. Who
// must not take the same request twice has to remember the ids of those of the last minutes.
func Verify(key []byte, h http.Header, body []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("%w: there is no key", ErrSignature)
	}
	times, signatures := h.Values(timestampField), h.Values(signatureField)
	if len(times) != 1 || len(signatures) != 1 {
		return fmt.Errorf("%w: want one %s and one %s", ErrSignature, timestampField, signatureField)
	}
	at, err := strconv.ParseInt(times[0], 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no timestamp", ErrSignature)
	}
	text, ok := strings.CutPrefix(signatures[0], "v1=")
	got, err := hex.DecodeString(text)
	if !ok || err != nil {
		return fmt.Errorf("%w: no version 1 signature", ErrSignature)
	}
	mac := begin(key, at)
	mac.Write(body)
	if !hmac.Equal(got, mac.Sum(nil)) {
		return fmt.Errorf("%w: another key or another content", ErrSignature)
	}
	if age := time.Since(time.Unix(at, 0)).Abs(); age > Tolerance {
		return fmt.Errorf("%w: %v old; is a clock wrong?", ErrSignature, age.Round(time.Second))
	}
	return nil
}

// begin returns a MAC that has seen the timestamp.
func begin(key []byte, at int64) hash.Hash {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%d.", at)
	return mac
}
