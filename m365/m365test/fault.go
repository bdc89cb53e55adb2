package m365test

import (
	"net/http"
	"strconv"
	"strings"
)

// A FaultKind is one way in which the service fails.
type FaultKind int

// The faults. Where it says "before", nothing was done; where it says "after", the call took effect.
const (
	DropBefore     FaultKind = iota + 1 // the connection is closed before anything is done
	DropAfter                           // the connection is closed after the call took effect: a lost reply
	ErrorBefore                         // 500 before
	ErrorAfter                          // 500 after: a lost reply
	Unavailable                         // 503 before, with Retry-After
	Throttle                            // 429, with Retry-After
	StaleToken                          // 403 with NUL bytes and no reason, until a newer token is used
	Forbid                              // 403 with NUL bytes, and the reason in x-ms-diagnostics
	Challenge                           // 401 with a claims challenge, until a token with the claims is used
	ExpirePage                          // the next link of this reply will not work
	MoreResults                         // the list is cut short, with a warning and without a link
	Garbage                             // 200 with something that is no JSON, after
	Huge                                // 200 with a body of more than 32 MiB, before
	RedirectAway                        // 302 to another host
	RedirectLoop                        // 302 to the same place, again and again
	SilentlyIgnore                      // 200 as if done, and nothing done
	DropField                           // done, but Field is not stored
	Hang                                // no answer until the client gives up, before
)

// A Fault happens to one call, or to a few.
type Fault struct {
	Kind       FaultKind
	Cmdlet     string // or a prefix of it, or of method and path of a Graph request; empty: any
	Nth        int    // to the n-th such call from now; 0 and 1: the next
	Write      int    // to the write with this number, counted from the start of the tenant; instead of Nth
	Times      int    // to so many in a row; 0: one
	RetryAfter int    // seconds, for Throttle and Unavailable; 0: no such header
	Field      string // for DropField
	Then       func() // called when the fault strikes, before the client can know: cancel or kill here
}

// Inject adds faults. The first that fits a call strikes.
func (s *Server) Inject(all ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range all {
		f.Times = max(f.Times, 1)
		s.faults = append(s.faults, &f)
	}
}

// Pending says how many faults have not struck yet: a test that injects should end with none.
func (s *Server) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.faults {
		n += f.Times
	}
	return n
}

// strike picks the fault of a call. The lock is held.
func (s *Server) strike(name string, write int) *Fault {
	for _, f := range s.faults {
		if f.Times == 0 || !strings.HasPrefix(name, f.Cmdlet) {
			continue
		}
		if f.Write > 0 {
			if write == 0 || f.Write > write {
				continue
			}
		} else if f.Nth > 1 {
			f.Nth--
			continue
		}
		f.Times--
		return f
	}
	return nil
}

// afterwards says whether the call takes effect although it fails.
func (k FaultKind) afterwards() bool {
	switch k {
	case DropAfter, ErrorAfter, Garbage, MoreResults, ExpirePage, DropField:
		return true
	}
	return false
}

// fail writes the reply of a fault; false: the reply is the ordinary one.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, f *Fault) bool {
	h := w.Header()
	switch f.Kind {
	case DropBefore, DropAfter:
		panic(http.ErrAbortHandler)
	case Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case ErrorBefore, ErrorAfter:
		writeError(w, http.StatusInternalServerError, "", "An unexpected error occurred.")
	case Unavailable, Throttle:
		if f.RetryAfter > 0 {
			h.Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		if f.Kind == Throttle {
			writeError(w, http.StatusTooManyRequests, "Microsoft.Exchange.Data.Storage.OverBudgetException", "Too many requests.")
		} else {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	case Forbid:
		h.Set("x-ms-diagnostics", "2000008;reason=\"The caller has no role assignment for this cmdlet.\";error_category=\"access_denied\"")
		nul(w)
	case StaleToken:
		nul(w)
	case Challenge:
		h.Set("WWW-Authenticate", `Bearer realm="", authorization_uri="https://login.invalid/common/oauth2/authorize", error="insufficient_claims", claims="`+challengeText+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	case Garbage:
		w.Write([]byte("<html>Bad gateway</html>"))
	case Huge:
		h.Set("Content-Type", "application/json")
		block := []byte(strings.Repeat(" ", 1<<20))
		for range 33 {
			if _, err := w.Write(block); err != nil {
				return true
			}
		}
	case RedirectAway:
		h.Set("Location", "https://outlook.office365.com.evil.example"+r.URL.Path)
		w.WriteHeader(http.StatusFound)
	case RedirectLoop:
		h.Set("Location", s.http.URL+r.URL.Path)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case SilentlyIgnore:
		writeRows(w, nil, nil, "")
	default:
		return false
	}
	return true
}

// nul is the 403 of the front door: no JSON, NUL bytes.
func nul(w http.ResponseWriter) {
	w.WriteHeader(http.StatusForbidden)
	w.Write(make([]byte, 512))
}
