package mailauth

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Of a server that answers nothing at all no message should have to wait for again.
const (
	maxSilence = 3               // questions in a row without any answer, before the server is suspected
	silentFor  = 5 * time.Second // it is not asked then
)

// silence is an error of exchange after which nobody knows whether the server lives.
type silence struct{ error }

func (s silence) Unwrap() error { return s.error }

var errSilent = errors.New("it has stopped answering, and is asked again in a few seconds")

// server is one of the recursive servers, and whether it answers.
type server struct {
	addr string

	mu     sync.Mutex
	missed int       // questions in a row
	until  time.Time // not asked before
}

// usable says whether the server may be asked. Of one that was silent every few seconds one question finds out.
func (s *server) usable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missed < maxSilence {
		return true
	}
	now := time.Now()
	if now.Before(s.until) {
		return false
	}
	s.until = now.Add(silentFor)
	return true
}

// heard notes what came of a question. It is true if somebody has to find out whether the server lives; until
// then others leave it alone.
func (s *server) heard(err error) bool {
	var quiet silence
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || !errors.As(err, &quiet) {
		s.missed = 0
		return false
	}
	s.missed++
	now := time.Now()
	if s.missed < maxSilence || s.missed > maxSilence && now.Before(s.until) {
		return false
	}
	s.until = now.Add(silentFor)
	return true
}

// suspect asks a silent server something that every recursive server knows: questions about a name whose own
// servers are slow must not speak against it. If there is no answer it is left alone for a while.
func (d *DNS) suspect(ctx context.Context, s *server) {
	_, err := d.exchange(ctx, ".", dns.TypeNS, s.addr)
	var quiet silence
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.As(err, &quiet) {
		s.missed = 0
		return
	}
	s.missed, s.until = max(s.missed, maxSilence), time.Now().Add(silentFor)
}
