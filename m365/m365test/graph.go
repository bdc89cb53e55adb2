package m365test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
)

// graphState is what Microsoft Graph shows of the tenant.
type graphState struct {
	users  []*user
	groups []*group
	apps   []*app
	busy   map[string]int // requests under way by mailbox
}

type user struct {
	id, upn  string
	proxies  []string
	lacking  string // code that requests about mail are refused with; empty: there is a mailbox
	messages []*Message
}

type group struct {
	id, mail string
	members  []string // ids of users and groups
}

// A Message is one in a mailbox.
type Message struct {
	ID        string            // given by Add, the same after a move
	MessageID string            // with its angle brackets
	Folder    string            // inbox, junkemail, deleteditems, recoverableitemsdeletions, purges
	Received  string            // ISO 8601
	Headers   map[string]string // beside the usual ones
	Subject   string
}

func (s *Server) seedGraph() {
	s.graph.busy = map[string]int{}
	s.seedApps()
	s.graph.users = append(s.graph.users, &user{id: s.guid(), upn: s.cfg.Admin, proxies: []string{s.cfg.Admin}})
}

// AddUser adds a mailbox with its addresses, the first of which is the primary one and the user name. It
// returns the id.
func (s *Server) AddUser(addresses ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &user{id: s.guid(), upn: addresses[0], proxies: addresses}
	s.graph.users = append(s.graph.users, u)
	s.add("Recipient", recipient(addresses, "UserMailbox"))
	return u.id
}

// AddUserWithoutMailbox adds a user with its addresses, as guests, unlicensed users and users with a mailbox on-premises
// are: the directory knows it, groups may have it, and requests about its mail get 404 with the code, such as
// MailboxNotEnabledForRESTAPI. It returns the id.
func (s *Server) AddUserWithoutMailbox(code string, addresses ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &user{id: s.guid(), upn: addresses[0], proxies: addresses, lacking: code}
	s.graph.users = append(s.graph.users, u)
	s.add("Recipient", recipient(addresses, "MailUser"))
	return u.id
}

// AddGroup adds a group with members by their addresses; kind is MailUniversalDistributionGroup,
// MailUniversalSecurityGroup, DynamicDistributionGroup or GroupMailbox.
func (s *Server) AddGroup(address, kind string, members ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &group{id: s.guid(), mail: address}
	for _, m := range members {
		if u := s.user(m); u != nil {
			g.members = append(g.members, u.id)
		} else if o := s.group(m); o != nil {
			g.members = append(g.members, o.id)
		}
	}
	s.graph.groups = append(s.graph.groups, g)
	s.add("Recipient", recipient([]string{address}, kind))
	return g.id
}

func recipient(addresses []string, kind string) Object {
	var all []string
	for i, a := range addresses {
		all = append(all, []string{"SMTP:", "smtp:"}[min(i, 1)]+a)
	}
	name, _, _ := strings.Cut(addresses[0], "@")
	return Object{"Name": name, "DisplayName": name, "PrimarySmtpAddress": addresses[0], "EmailAddresses": all, "RecipientTypeDetails": kind}
}

// AddMessage puts a message into the mailbox with this address and returns its id.
func (s *Server) AddMessage(address string, m Message) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(address)
	if u == nil || u.lacking != "" {
		panic("m365test: no mailbox " + address)
	}
	m.ID = "AAMk" + strings.ReplaceAll(s.guid(), "-", "") + "="
	m.Folder = first(m.Folder, "inbox")
	m.Received = first(m.Received, "2026-09-01T08:00:00Z")
	u.messages = append(u.messages, &m)
	return m.ID
}

// Mailbox returns copies of the messages in the mailbox with this address.
func (s *Server) Mailbox(address string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	if u := s.user(address); u != nil {
		for _, m := range u.messages {
			out = append(out, *m)
		}
	}
	return out
}

// user finds one by id or address.
func (s *Server) user(id string) *user {
	for _, u := range s.graph.users {
		if u.id == id || slices.ContainsFunc(u.proxies, func(p string) bool { return strings.EqualFold(p, id) }) {
			return u
		}
	}
	return nil
}

func (s *Server) group(id string) *group {
	for _, g := range s.graph.groups {
		if g.id == id || strings.EqualFold(g.mail, id) {
			return g
		}
	}
	return nil
}

func (g graphState) snapshot() any {
	out := map[string]any{}
	for _, a := range g.apps {
		out["app "+a.appID] = map[string]any{"grants": a.grantNames(), "scopes": a.scopes}
	}
	for _, u := range g.users {
		var all []string
		for _, m := range u.messages {
			all = append(all, m.ID+" "+m.Folder)
		}
		slices.Sort(all)
		out["mailbox "+u.upn] = all
	}
	return out
}

// serveGraph serves Microsoft Graph.
func (s *Server) serveGraph(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return
	}
	s.mu.Lock()
	ok := s.allowed(w, r, audienceGraph)
	s.mu.Unlock()
	if !ok {
		return
	}
	w.Header().Set("request-id", "graph-"+r.Header.Get("client-request-id"))
	path, ok := strings.CutPrefix(r.URL.Path, "/graph/v1.0/")
	if !ok {
		graphError(w, http.StatusBadRequest, "BadRequest", "Invalid version: "+r.URL.Path)
		return
	}
	if path == "$batch" && r.Method == http.MethodPost {
		s.graphBatch(w, r, body)
		return
	}
	s.graphOne(w, r, path, body)
}

// graphBatch runs up to twenty requests. The reply is 200 whatever becomes of them.
func (s *Server) graphBatch(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		Requests []struct {
			ID, Method, URL string
			Headers         map[string]string
			Body            json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Requests) > 20 || len(in.Requests) == 0 {
		graphError(w, http.StatusBadRequest, "BadRequest", "The batch must have from 1 to 20 requests.")
		return
	}
	if s.outerFault(w, r) {
		return
	}
	type answer struct {
		ID      string            `json:"id"`
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers,omitempty"`
		Body    json.RawMessage   `json:"body,omitempty"`
	}
	perMailbox := map[string]int{}
	var out []answer
	for _, q := range in.Requests {
		u, err := url.Parse(q.URL)
		rec := httptest.NewRecorder()
		if err != nil || !strings.HasPrefix(q.URL, "/") {
			graphError(rec, http.StatusBadRequest, "BadRequest", "The URL of a part is relative to the version and starts with a slash.")
		} else {
			if m := mailboxOf(u.Path); m != "" {
				perMailbox[m]++
				if perMailbox[m] == 5 {
					s.mu.Lock()
					s.abuse("more than 4 requests to one mailbox in a batch")
					s.mu.Unlock()
				}
			}
			sub := httptest.NewRequest(q.Method, "http://graph/graph/v1.0"+u.EscapedPath()+map[bool]string{true: "?" + u.RawQuery}[u.RawQuery != ""], nil)
			for k, v := range q.Headers {
				sub.Header.Set(k, v)
			}
			if len(q.Body) > 0 && sub.Header.Get("Content-Type") == "" {
				s.mu.Lock()
				s.abuse("a part of a batch with a body and without Content-Type")
				s.mu.Unlock()
			}
			func() {
				defer func() {
					if recover() != nil { // a fault that drops the connection drops the part
						rec = httptest.NewRecorder()
						graphError(rec, http.StatusGatewayTimeout, "Timeout", "no answer")
					}
				}()
				s.graphOne(rec, sub, strings.TrimPrefix(u.Path, "/"), q.Body)
			}()
		}
		a := answer{ID: q.ID, Status: rec.Code, Headers: map[string]string{}}
		for _, h := range []string{"Retry-After", "Content-Type"} {
			if v := rec.Header().Get(h); v != "" {
				a.Headers[h] = v
			}
		}
		if b := rec.Body.Bytes(); json.Valid(b) {
			a.Body = b
		}
		out = append(out, a)
	}
	slices.Reverse(out) // the order of the answers is not that of the requests
	writeJSON(w, http.StatusOK, map[string]any{"responses": out})
}

func (s *Server) outerFault(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	f := s.strike("POST $batch", 0)
	s.calls = append(s.calls, Call{Cmdlet: "POST $batch"})
	s.mu.Unlock()
	if f == nil {
		return false
	}
	if f.Then != nil {
		f.Then()
	}
	if f.Kind == StaleToken || f.Kind == Challenge {
		s.expireTokens(f.Kind == Challenge)
	}
	return s.fail(w, r, f)
}

// mailboxOf is the user that a path is about, if it is about mail.
func mailboxOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) >= 3 && parts[0] == "users" && (parts[2] == "messages" || parts[2] == "mailFolders") {
		return parts[1]
	}
	return ""
}

// graphOne answers one request, alone or in a batch.
func (s *Server) graphOne(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	s.mu.Lock()
	name := r.Method + " " + path
	write := 0
	if r.Method != http.MethodGet {
		s.writes++
		write = s.writes
	}
	f := s.strike(name, write)
	s.calls = append(s.calls, Call{Cmdlet: name, Write: write})
	if m := mailboxOf(path); m != "" {
		if !strings.Contains(r.Header.Get("Prefer"), `IdType="ImmutableId"`) {
			s.abuse("%s without Prefer: IdType=\"ImmutableId\"", name)
		}
		s.graph.busy[m]++
		if s.graph.busy[m] > 4 {
			s.abuse("more than 4 requests at once to mailbox %s", m)
		}
		defer func() {
			s.mu.Lock()
			s.graph.busy[m]--
			s.mu.Unlock()
		}()
	}
	rec := httptest.NewRecorder()
	if f == nil || f.Kind.afterwards() {
		s.route(rec, r, path, body)
	}
	s.mu.Unlock()
	if f != nil {
		if f.Then != nil {
			f.Then()
		}
		if s.fail(w, r, f) {
			return
		}
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

// route finds what is asked for. The lock is held.
func (s *Server) route(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	parts := strings.Split(path, "/")
	switch {
	case parts[0] == "users" && len(parts) >= 3:
		s.mail(w, r, parts, body)
	case parts[0] == "groups" && len(parts) >= 3 && parts[2] == "transitiveMembers":
		s.members(w, r, parts[1])
	case parts[0] == "users" || parts[0] == "groups":
		s.directory(w, r, parts)
	case strings.HasPrefix(parts[0], "servicePrincipals") || parts[0] == "oauth2PermissionGrants":
		s.consentRoute(w, r, parts, body)
	case parts[0] == "subscriptions" && r.Method == http.MethodGet:
		graphList(w, nil, "")
	default:
		s.abuse("%s %s: no such operation of Graph", r.Method, path)
		graphError(w, http.StatusNotFound, "ResourceNotFound", "no such resource")
	}
}

func graphList(w http.ResponseWriter, rows []any, next string) {
	body := map[string]any{"@odata.context": "https://graph.microsoft.com/v1.0/$metadata", "value": append([]any{}, rows...)}
	if next != "" {
		body["@odata.nextLink"] = next
	}
	writeJSON(w, http.StatusOK, body)
}

func graphError(w http.ResponseWriter, status int, code, text string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{"code": code, "message": text,
		"innerError": map[string]any{"date": "2026-09-01T08:00:00", "request-id": "r", "client-request-id": "c"}}})
}
