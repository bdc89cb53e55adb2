package relay

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID returns a short id that sorts by time and is unique without asking anybody: 5 bytes of
// time in units of about 4 ms, 5 bytes of chance, as 16 characters that are easily read aloud.
func newID() string {
	var b [13]byte
	rand.Read(b[8:])
	binary.BigEndian.PutUint64(b[:8], uint64(time.Now().UnixMicro())>>12)
	return idEncoding.EncodeToString(b[3:])
}
