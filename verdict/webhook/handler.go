package webhook

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

// Handler is the other side: an http.Handler that asks a scanner about the messages it gets. The message is in memory,
// and whatever the scanner says goes into the answer. Requests that are not signed get 403, those that cannot be
// read 400, those that are too large 413. A scanner that fails is the class "unknown".
type Handler struct {
	// Scanner is asked. It must not be nil.
	Scanner verdict.Scanner
	// Key is what requests are signed with. If it is empty none is accepted.
	Key []byte
	// MaxBody is the largest body in bytes, a third more than the largest message. 0 means 64 MiB.
	MaxBody int64
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, cmp.Or(h.MaxBody, 64<<20)))
	if err != nil {
		http.Error(w, "too large, or cut short", http.StatusRequestEntityTooLarge)
		return
	}
	if err := Verify(h.Key, r.Header, b); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	var req request
	if err := json.Unmarshal(b, &req); err != nil || req.Version != 1 || req.Message == nil {
		http.Error(w, "want a request of version 1", http.StatusBadRequest)
		return
	}
	findings, err := h.Scanner.Scan(r.Context(), req.verdict())
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer(findings, err))
}

// verdict returns the message that a request is about.
func (r *request) verdict() *verdict.Message {
	m := verdict.NewMessage(verdict.Bytes(r.Message))
	m.ID, m.Peer, m.Origin = r.ID, r.Peer.verdict(), r.Origin.verdict()
	m.Envelope.From = r.Envelope.From
	for _, a := range r.Envelope.To {
		m.Envelope.To = append(m.Envelope.To, verdict.Recipient{Address: a})
	}
	if r.Received != nil {
		m.Received = *r.Received
	}
	if a := r.Auth; a != nil {
		m.Auth.SPF.Result, m.Auth.DMARC.Result, m.Auth.ARC.Result = a.SPF, a.DMARC, a.ARC
		for _, d := range a.DKIM {
			m.Auth.DKIM = append(m.Auth.DKIM, verdict.DKIMResult{Result: d.Result, Domain: d.Domain})
		}
	}
	return m
}

func (c *client) verdict() verdict.Client {
	if c == nil {
		return verdict.Client{}
	}
	out := verdict.Client{Helo: c.Helo, Name: c.Name, TLS: c.TLS}
	if ip, err := netip.ParseAddr(c.IP); err == nil {
		out.Addr = netip.AddrPortFrom(ip, 0)
	}
	return out
}

// answer is what a scanner has said.
func answer(findings []verdict.Finding, err error) remote.Answer {
	class := verdict.Highest(nil, findings)
	var a remote.Answer
	if err != nil {
		class, a.Detail = verdict.Unknown, "the scanner failed"
	}
	a.Class = &class
	for _, f := range findings {
		a.Findings = append(a.Findings, remote.Item{Code: f.Code, Class: f.Class, Score: f.Score, Detail: f.Detail, Part: f.Part})
	}
	return a
}
