package verdict

import (
	"errors"
	"fmt"
	"time"
)

// ErrTooComplex is returned, wrapped with the limit that was met, when a message takes more work to
// take apart than Limits allow. What was found up to there is not all: nobody could tell.
var ErrTooComplex = errors.New("verdict: message too complex")

// Limits bound the work of parsing one message. The zero value of a field means its default.
//
// Whoever meets a limit is told so by ErrTooComplex; nothing is cut short in silence. What lies exactly
// at a limit is still accepted.
type Limits struct {
	HeaderBytes int64         // of one header section; default 1 MiB
	Headers     int64         // bytes of all header sections together, which are kept in memory; default 4 MiB
	Fields      int           // of one header section; default 2000
	Depth       int           // of nested parts, the root being at 0; default 20
	Parts       int           // in the whole message; default 1000
	Decoded     int64         // bytes of nested messages that had to be decoded to be read; default 32 MiB
	Text        int64         // bytes that Part.Text returns; default 1 MiB
	Anomalies   int           // kept; one more, "mime.more", then stands for the rest; default 100
	Time        time.Duration // for finding the parts; default 2 s
}

// maxHeader keeps offsets within a header section in 32 bits.
const maxHeader = 1 << 30

// withDefaults returns the limits in force.
func (l Limits) withDefaults() Limits {
	l.HeaderBytes = min(orDefault(l.HeaderBytes, 1<<20), maxHeader)
	l.Headers = orDefault(l.Headers, 4<<20)
	l.Fields = int(orDefault(int64(l.Fields), 2000))
	l.Depth = int(orDefault(int64(l.Depth), 20))
	l.Parts = int(orDefault(int64(l.Parts), 1000))
	l.Decoded = orDefault(l.Decoded, 32<<20)
	l.Text = orDefault(l.Text, 1<<20)
	l.Anomalies = int(orDefault(int64(l.Anomalies), 100))
	l.Time = time.Duration(orDefault(int64(l.Time), int64(2*time.Second)))
	return l
}

func tooComplex(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTooComplex, fmt.Sprintf(format, args...))
}
