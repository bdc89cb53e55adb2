package gworkspacetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postreeve/postreeve/gworkspace"
)

// The names a tenant has from the start.
const (
	// Domain is its first domain, verified.
	Domain = "ex.net"
	// Admin is its super administrator.
	Admin = "admin@ex.net"
	// ServiceAccount and ClientID are those of the service account that it may grant scopes to.
	ServiceAccount = "gateway@project.iam.gserviceaccount.com"
	ClientID       = "112233445566778899001"
	// TopUnit is the id of the top organizational unit.
	TopUnit = "03ph8a2z0000001"
)

// Config says how a tenant behaves. The zero value is an ordinary one.
type Config struct {
	Latency      time.Duration // of every reply
	PageSize     int           // items of a page at most, if fewer than the service's own; zero: those
	EmptyPages   bool          // every list of policies begins with an empty page that is not the last
	UserUnits    int           // Gmail units a minute for one user; zero: 6,000
	ProjectUnits int           // for all; zero: 1,200,000
	SnakeCase    bool          // policies have the field names of the reference instead of those of the service
}

// A Server is a tenant. It is safe for concurrent use.
type Server struct {
	cfg  Config
	http *httptest.Server

	mu       sync.Mutex
	grants   []string
	tokens   map[string]grant
	units    []gworkspace.Unit
	domains  []gworkspace.Domain
	users    []*User
	groups   map[string][]string
	policies []Policy
	changes  []gworkspace.Change
	mail     map[string][]*Message
	faults   []Fault
	calls    map[string]int
	misuse   []string
	spent    map[string]*minute // by user
	spentAll minute
	next     int
}

// A User is somebody with an account.
type User struct {
	Email     string
	Aliases   []string
	Unit      string // path of its organizational unit
	Admin     bool   // super administrator
	Suspended bool
	NoGmail   bool
}

// New returns a tenant with a super administrator, a domain and the top organizational unit. Nothing is
// granted.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, tokens: map[string]grant{}, groups: map[string][]string{}, mail: map[string][]*Message{}, calls: map[string]int{}, spent: map[string]*minute{},
		units: []gworkspace.Unit{{ID: TopUnit, Path: "/"}}, domains: []gworkspace.Domain{{Name: Domain, Verified: true}}, users: []*User{{Email: Admin, Unit: "/", Admin: true}}}
}

// Start makes the tenant listen on a loopback port, and returns itself.
func (s *Server) Start() *Server {
	s.http = httptest.NewServer(s)
	return s
}

// Close ends what Start began.
func (s *Server) Close() {
	if s.http != nil {
		s.http.Close()
	}
}

// URL is the address of all services: of the port, or one that only Transport knows.
func (s *Server) URL() string {
	if s.http != nil {
		return s.http.URL
	}
	return "https://workspace.invalid"
}

// Transport reaches the tenant in memory, in the goroutine of the caller.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ *Server }

// RoundTrip serves the request.
func (t transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if v := recover(); v == http.ErrAbortHandler {
			resp, err = nil, errors.New("the connection was lost")
		} else if v != nil {
			panic(v)
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	t.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// AddUnit adds an organizational unit.
func (s *Server) AddUnit(id, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units = append(s.units, gworkspace.Unit{ID: id, Path: path})
}

// AddDomain adds a domain.
func (s *Server) AddDomain(name string, verified bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.domains = append(s.domains, gworkspace.Domain{Name: name, Verified: verified})
}

// AddUser adds users.
func (s *Server) AddUser(users ...User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range users {
		s.users = append(s.users, &u)
	}
}

// AddGroup adds a group. A member is the address of a user, of another group, or of somebody outside; "*" is
// everybody in the tenant.
func (s *Server) AddGroup(address string, members ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[address] = members
}

// AddChange adds entries to the audit log.
func (s *Server) AddChange(changes ...gworkspace.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, changes...)
}

// A Fault is something that goes wrong with a request.
type Fault struct {
	Op         string        // such as gmail.trash; empty: any
	Status     int           // of the reply; zero: the connection is lost
	Reason     string        // in the error, such as rateLimitExceeded
	RetryAfter time.Duration // zero: no such header
	After      bool          // the request takes effect first
	Times      int           // how often; zero: once
}

// Inject makes the next fitting requests fail.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Times = max(f.Times, 1)
	s.faults = append(s.faults, f)
}

// Calls counts the requests by their name.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// Misuse tells what no client should do.
func (s *Server) Misuse() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.misuse)
}

// abuse notes a misuse. The lock is held.
func (s *Server) abuse(format string, args ...any) {
	s.misuse = append(s.misuse, fmt.Sprintf(format, args...))
}

// maxBody bounds what a request may hold.
const maxBody = 1 << 20

// ServeHTTP answers for all services.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Latency > 0 {
		select {
		case <-time.After(s.cfg.Latency):
		case <-r.Context().Done():
			return
		}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		return
	}
	op, handle := s.route(r)
	if handle == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[op]++
	fault := s.fault(op)
	if fault != nil && !fault.After {
		s.fail(w, fault)
		return
	}
	rep := handle(r, body)
	if fault != nil {
		s.fail(w, fault)
		return
	}
	rep.write(w)
}

// fault takes the next one that fits.
func (s *Server) fault(op string) *Fault {
	i := slices.IndexFunc(s.faults, func(f Fault) bool { return f.Op == "" || f.Op == op })
	if i < 0 {
		return nil
	}
	f := s.faults[i]
	if s.faults[i].Times--; s.faults[i].Times == 0 {
		s.faults = slices.Delete(s.faults, i, i+1)
	}
	return &f
}

func (s *Server) fail(w http.ResponseWriter, f *Fault) {
	if f.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(f.RetryAfter.Seconds())))
	}
	apiError(f.Status, f.Reason, "injected").write(w)
}

// handler answers one request. The lock is held.
type handler func(r *http.Request, body []byte) reply

// route finds the name of a request and who answers it.
func (s *Server) route(r *http.Request) (string, handler) {
	p := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	at := func(method string, parts ...string) bool {
		if r.Method != method || len(p) != len(parts) {
			return false
		}
		for i, x := range parts {
			if x != "*" && x != p[i] {
				return false
			}
		}
		return true
	}
	switch {
	case at("POST", "token"):
		return "token", s.token
	case at("POST", "v1", "projects", "-", "serviceAccounts", ServiceAccount+":signJwt"):
		return "iam.signJwt", s.signJWT
	case at("GET", "v1", "policies"):
		return "policies.list", s.listPolicies
	case at("GET", "admin", "directory", "v1", "customer", "my_customer", "orgunits"):
		return "orgunits.list", s.listUnits
	case at("GET", "admin", "directory", "v1", "customer", "my_customer", "domains"):
		return "domains.list", s.listDomains
	case at("GET", "admin", "directory", "v1", "users"):
		return "users.list", s.listUsers
	case at("GET", "admin", "directory", "v1", "users", "*"):
		return "users.get", func(r *http.Request, _ []byte) reply { return s.getUser(r, p[4]) }
	case at("GET", "admin", "directory", "v1", "groups", "*"):
		return "groups.get", func(r *http.Request, _ []byte) reply { return s.getGroup(r, p[4]) }
	case at("GET", "admin", "directory", "v1", "groups", "*", "members"):
		return "members.list", func(r *http.Request, _ []byte) reply { return s.listMembers(r, p[4]) }
	case at("GET", "admin", "reports", "v1", "activity", "users", "all", "applications", "admin"):
		return "activities.list", s.listChanges
	}
	if len(p) >= 5 && p[0] == "gmail" && p[1] == "v1" && p[2] == "users" && p[4] == "messages" {
		return s.routeMail(r.Method, p[3], p[5:])
	}
	return "", nil
}

// reply is what is sent back.
type reply struct {
	status int
	body   any
}

func ok(body any) reply { return reply{http.StatusOK, body} }

func (r reply) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(r.status)
	if r.body != nil {
		_ = json.NewEncoder(w).Encode(r.body) // whoever went away needs no answer
	}
}

// apiError is the envelope of the APIs.
func apiError(status int, reason, message string) reply {
	return reply{status, map[string]any{"error": map[string]any{"code": status, "message": message,
		"errors": []map[string]string{{"message": message, "domain": "global", "reason": reason}}}}}
}

// page cuts a list at a token and a size.
func page[T any](s *Server, r *http.Request, all []T, standard, most int) (items []T, next string) {
	q := r.URL.Query()
	size := standard
	for _, key := range []string{"pageSize", "maxResults"} {
		var n int
		if _, err := fmt.Sscan(q.Get(key), &n); err == nil {
			size = n
		}
	}
	if size > most {
		s.abuse("%s: a page of %d items is clamped to %d", r.URL.Path, size, most)
		size = most
	}
	if s.cfg.PageSize > 0 {
		size = min(size, s.cfg.PageSize)
	}
	from := 0
	if t := q.Get("pageToken"); t != "" {
		if _, err := fmt.Sscanf(t, "from-%d", &from); err != nil || from > len(all) {
			s.abuse("%s: the page token %q was never given out", r.URL.Path, t)
			from = len(all)
		}
	}
	to := min(from+max(size, 1), len(all))
	if to < len(all) {
		next = fmt.Sprintf("from-%d", to)
	}
	return all[from:to], next
}
