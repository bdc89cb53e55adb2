package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

// request is the body of a request; see the package documentation.
type request struct {
	Version  int        `json:"version"`
	ID       string     `json:"id,omitempty"`
	Received *time.Time `json:"received,omitempty"`
	Peer     *client    `json:"peer,omitempty"`
	Origin   *client    `json:"origin,omitempty"`
	Envelope envelope   `json:"envelope"`
	Auth     *auth      `json:"auth,omitempty"`
	Message  []byte     `json:"message"`
}

type client struct {
	IP   string `json:"ip,omitempty"`
	Helo string `json:"helo,omitempty"`
	Name string `json:"name,omitempty"`
	TLS  string `json:"tls,omitempty"`
}

type envelope struct {
	From string   `json:"from"`
	To   []string `json:"to"`
}

type auth struct {
	SPF   verdict.AuthResult `json:"spf,omitempty"`
	DKIM  []signature        `json:"dkim,omitempty"`
	DMARC verdict.AuthResult `json:"dmarc,omitempty"`
	ARC   verdict.AuthResult `json:"arc,omitempty"`
}

type signature struct {
	Result verdict.AuthResult `json:"result"`
	Domain string             `json:"domain"`
}

// body is a request whose message is encoded while it is read: it is never in memory.
type body struct {
	head    []byte // up to the quote in front of the message
	message *verdict.Message
}

const tail = `"}`

func newBody(m *verdict.Message) (*body, error) {
	r := request{
		Version: 1, ID: m.ID,
		Peer: newClient(m.Peer), Origin: newClient(m.Origin),
		Envelope: envelope{m.Envelope.From, m.Envelope.Addresses()},
		Message:  []byte{},
	}
	if !m.Received.IsZero() {
		at := m.Received.UTC()
		r.Received = &at
	}
	a := auth{SPF: m.Auth.SPF.Result, DMARC: m.Auth.DMARC.Result, ARC: m.Auth.ARC.Result}
	for _, d := range m.Auth.DKIM {
		a.DKIM = append(a.DKIM, signature{d.Result, d.Domain})
	}
	if a.SPF != "" || a.DMARC != "" || a.ARC != "" || a.DKIM != nil {
		r.Auth = &a
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return &body{bytes.TrimSuffix(b, []byte(tail)), m}, nil
}

func newClient(c verdict.Client) *client {
	out := client{Helo: c.Helo, Name: c.Name, TLS: c.TLS}
	if c.Addr.IsValid() {
		out.IP = c.Addr.Addr().Unmap().String()
	}
	if out == (client{}) {
		return nil
	}
	return &out
}

func (b *body) size() int64 {
	return int64(len(b.head)) + (b.message.Size()+2)/3*4 + int64(len(tail))
}

// open returns a reader of the whole body, any number of times.
func (b *body) open() (io.ReadCloser, error) {
	r, err := remote.Open(b.message)
	if err != nil {
		return nil, err
	}
	return &bodyReader{io.MultiReader(bytes.NewReader(b.head), &encoder{r: r}, bytes.NewReader([]byte(tail))), r}, nil
}

type bodyReader struct {
	io.Reader
	io.Closer
}

// encoder is a reader of what r says in base64.
type encoder struct {
	r    io.Reader
	in   [24 << 10]byte // a multiple of three
	out  [32 << 10]byte
	left []byte // of out
	err  error
}

func (e *encoder) Read(p []byte) (int, error) {
	for len(e.left) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		n, err := io.ReadFull(e.r, e.in[:])
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		if e.err = err; err != nil && err != io.EOF {
			return 0, err
		}
		base64.StdEncoding.Encode(e.out[:], e.in[:n])
		e.left = e.out[:base64.StdEncoding.EncodedLen(n)]
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}
