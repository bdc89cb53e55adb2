package m365test

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Config says what the tenant is like. The zero value is an ordinary one: contoso.example, customizable,
// empty but for the default policies.
type Config struct {
	TenantID string   // a GUID; has a default
	Domains  []string // accepted domains; contoso.example, beside contoso.onmicrosoft.com

	Dehydrated bool // policies cannot be edited before Enable-OrganizationCustomization
	Hydrating  int  // how many reads of the organization still say so after that
	Developer  bool // inbound connectors are refused
	Trial      bool // inbound connectors of type OnPremises are made disabled
	Hybrid     bool // with the connectors of the hybrid wizard
	Preset     bool // the Standard preset security policy is in force

	Deny       []string // cmdlets whoever signs in may not run; prefix match, "Get-" for all reads
	StaleReads int      // lists of a kind that still show the state before a write
	PageSize   int      // rows of a page; 1000
	Expired    bool     // links to the next page never work
	EmptyForm  string   // how a list is cleared: "table" (default), "array" or "null"; the others do nothing
	ShowScoped bool     // a plain Get-OutboundConnector shows rule-scoped connectors too
	RouteAs    string   // how a rule reads back its connector: "name" (default), "guid" or "dn"
	NoFilter   bool     // Graph does not filter users by address
	NoUnified  bool     // a rule cannot be scoped to a Microsoft 365 group
	Unreached  []string // smart hosts that a validation does not reach
	BareSpoof  bool     // a bare address of a spoof pair is kept as it is, not as its /24
	Region     bool     // the admin API answers under a regional path and redirects to it

	Admin        string            // user name of who signs in by device or browser; admin@ the first domain
	ClientID     string            // of the application that signs in; empty: any
	Secret       string            // of that application
	Certificate  *x509.Certificate // of that application
	DevicePolls  int               // polls that are told to wait before the device code is approved; 1
	BlockDevice  bool              // Conditional Access forbids device codes
	TokenSeconds int               // life of a token; 3600
}

// A Server is a tenant. Its methods may be used while it serves.
type Server struct {
	cfg  Config
	tb   testing.TB
	http *httptest.Server

	mu      sync.Mutex
	nouns   map[string][]Object // kind of object, as in Get-kind
	before  map[string]stale
	guids   int
	faults  []*Fault
	calls   []Call
	misuse  []string
	writes  int
	pages   map[string]rest
	hydrate int

	tokens  map[string]*token
	flows   map[string]*flow
	seenJTI map[string]bool
	graph   graphState
}

// An Object is one object with the names of its fields as they are on the wire. Values are string, bool,
// int, []string or nil.
type Object map[string]any

type stale struct {
	rows []Object
	left int
}

type rest struct {
	rows []Object
	body string
}

// New starts a tenant that is stopped when the test ends, and that fails the test when it is misused.
func New(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	s := Start(cfg)
	s.tb = tb
	tb.Cleanup(s.Close)
	return s
}

// Start starts a tenant without a test around it. Close stops it, Misuse tells how it was misused.
func Start(cfg Config) *Server {
	cfg.TenantID = cmp.Or(cfg.TenantID, "11111111-2222-4333-8444-555555555555")
	if len(cfg.Domains) == 0 {
		cfg.Domains = []string{"contoso.example"}
	}
	cfg.Admin = cmp.Or(cfg.Admin, "admin@"+cfg.Domains[0])
	cfg.PageSize = cmp.Or(cfg.PageSize, 1000)
	cfg.DevicePolls = cmp.Or(cfg.DevicePolls, 1)
	cfg.TokenSeconds = cmp.Or(cfg.TokenSeconds, 3600)
	s := &Server{
		cfg: cfg, nouns: map[string][]Object{}, before: map[string]stale{}, pages: map[string]rest{},
		tokens: map[string]*token{}, flows: map[string]*flow{}, seenJTI: map[string]bool{},
	}
	s.seed()
	s.http = httptest.NewServer(s.routes())
	return s
}

// Close stops the server.
func (s *Server) Close() { s.http.Close() }

// TenantID is the id of the tenant.
func (s *Server) TenantID() string { return s.cfg.TenantID }

// ExchangeURL is the base URL of the admin API.
func (s *Server) ExchangeURL() string { return s.http.URL + "/exchange" }

// GraphURL is the base URL of Microsoft Graph.
func (s *Server) GraphURL() string { return s.http.URL + "/graph" }

// LoginURL is the base URL of the sign-in service.
func (s *Server) LoginURL() string { return s.http.URL + "/login" }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/exchange/", s.exchange)
	mux.HandleFunc("/login/", s.login)
	mux.HandleFunc("/graph/", s.serveGraph)
	return mux
}

// A Call is one request the tenant was sent.
type Call struct {
	Cmdlet string         // or method and path of a Graph request
	Params map[string]any // as they came
	Status int            // answered; 0: the connection was closed instead
	Write  int            // its number among the writes, from 1; 0: a read, or nothing was written
	WhatIf bool
}

// Calls lists what the tenant was sent, in order.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Count says how many calls of this cmdlet came; a prefix such as "Get-" counts them all, "" every call.
func (s *Server) Count(cmdlet string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if strings.HasPrefix(c.Cmdlet, cmdlet) {
			n++
		}
	}
	return n
}

// Writes says how many writes the tenant was sent, refused ones included.
func (s *Server) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// Misuse lists what no client should do and somebody did.
func (s *Server) Misuse() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.misuse...)
}

// abuse notes a misuse. The lock is held.
func (s *Server) abuse(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	s.misuse = append(s.misuse, msg)
	if s.tb != nil {
		s.tb.Errorf("m365test: misuse: %s", msg)
	}
}

func (s *Server) guid() string {
	s.guids++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", s.guids)
}

// now is one moment for all, so that runs are equal.
func (s *Server) now() string {
	return time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC).Add(time.Duration(s.writes) * time.Second).Format("2006-01-02T15:04:05.0000000Z")
}
