package verdict

import (
	"io"
	"iter"
	"sync"
	"time"
)

// Message is one mail on its way: its envelope, where it came from, and its bytes, which never change.
//
// The exported fields are set before the message is handed to scanners and only read afterwards. All
// methods may be called from many goroutines. Header and Parts parse on first use, once for everybody.
type Message struct {
	ID       string   // ours: short, unique, stands in logs and replies
	Peer     Client   // who connected to us
	Origin   Client   // who sent it first, as far as a trusted upstream vouches for it; else the same as Peer
	Envelope Envelope // without content parameters the sender did not give
	Received time.Time
	Auth     AuthResults
	Limits   Limits // of parsing; zero means the defaults

	source Source

	headerOnce sync.Once
	header     Header
	partsOnce  sync.Once
	tree       partTree
	checkOnce  sync.Once
	anomalies  []Anomaly
	memoMu     sync.Mutex
	memos      map[any]*memo
}

// memo is something that was made of a message once.
type memo struct {
	once  sync.Once
	value any
}

// Memo returns what build returned when it was first called with this key, and calls it if nobody did: scanners
// that need the same reading of a message share it. Others that ask for the same key wait. The key is of a
// type of the caller's package, as in a context; build works within limits of its own and must not depend
// on the context of one scanner. What it returns is kept as long as the message and is read only.
func (m *Message) Memo(key any, build func() any) any {
	m.memoMu.Lock()
	if m.memos == nil {
		m.memos = make(map[any]*memo)
	}
	e := m.memos[key]
	if e == nil {
		e = new(memo)
		m.memos[key] = e
	}
	m.memoMu.Unlock()
	e.once.Do(func() { e.value = build() })
	return e.value
}

// NewMessage returns a message with the given bytes: header section, empty line and body (RFC 5322).
func NewMessage(src Source) *Message { return &Message{source: src} }

func (m *Message) raw() Source {
	if m.source == nil {
		return Bytes(nil)
	}
	return m.source
}

// Open returns the raw bytes from offset 0, any number of times, side by side.
func (m *Message) Open() (io.ReadCloser, error) { return m.raw().Open() }

// Size returns the number of raw bytes.
func (m *Message) Size() int64 { return m.raw().Size() }

// Header returns the header section of the message. Only that is read, and only once.
//
// If it could not be read to its end, because of a limit or of the source, Header.Err says why and the
// fields are those before that point.
func (m *Message) Header() Header {
	m.headerOnce.Do(func() { m.header = readMessageHeader(rawStream{m.raw()}, m.Limits.withDefaults()) })
	return m.header
}

// Parts yields the parts of the message, each before the parts inside it, the root first: see Part.
// The message is read once, on first use; no content is decoded then, but for nested messages.
//
// An error comes last, with a nil part: ErrTooComplex when a limit was met, or the error of the source.
// The parts before it are then not all. Every message has at least a root, unless its header failed.
func (m *Message) Parts() iter.Seq2[*Part, error] {
	return func(yield func(*Part, error) bool) {
		t := m.parsed()
		for _, p := range t.parts {
			if !yield(p, nil) {
				return
			}
		}
		if t.err != nil {
			yield(nil, t.err)
		}
	}
}

func (m *Message) parsed() *partTree {
	m.partsOnce.Do(func() { m.tree = walkMessage(m) })
	return &m.tree
}

// Anomalies returns everything about the form of the message that two readers could understand
// differently, in the order in which it was met. Encoded content is decoded once to look for it.
// An error of Parts is not among them. The slice belongs to the message and must not be changed.
func (m *Message) Anomalies() []Anomaly {
	m.checkOnce.Do(func() { m.anomalies = m.parsed().check() })
	return m.anomalies
}
