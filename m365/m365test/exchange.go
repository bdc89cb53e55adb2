package m365test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// exception is what a cmdlet throws.
type exception struct {
	status      int
	class, text string
}

func (e *exception) Error() string { return e.text }

const tasks = "Microsoft.Exchange.Configuration.Tasks."

func throw(class, format string, args ...any) *exception {
	return &exception{http.StatusBadRequest, class, fmt.Sprintf(format, args...)}
}

func notFound(kind, id string) *exception {
	return throw(tasks+"ManagementObjectNotFoundException", "The operation couldn't be performed because object '%s' couldn't be found. (%s)", id, kind)
}

func exists(kind, id string) *exception {
	return throw(tasks+"ManagementObjectAlreadyExistsException", "The %s '%s' already exists.", kind, id)
}

func invalid(format string, args ...any) *exception {
	return throw("Microsoft.Exchange.Data.DataValidationException", format, args...)
}

// outcome is what a cmdlet gives.
type outcome struct {
	rows     []Object
	warnings []string
	confirm  string
}

// invocation is one request, read.
type invocation struct {
	CmdletInput *struct {
		CmdletName string
		Parameters json.RawMessage
	}
}

// exchange serves the admin API.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/exchange")
	if s.cfg.Region {
		rest, ok := strings.CutPrefix(path, "/eur01")
		if !ok {
			w.Header().Set("Location", s.http.URL+"/exchange/eur01"+path+query(r))
			w.WriteHeader(http.StatusFound)
			return
		}
		path = rest
	}
	w.Header().Set("request-id", "req-"+r.Header.Get("client-request-id"))
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) != 4 || !strings.EqualFold(parts[0], "adminapi") || !s.ours(parts[2]) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	switch {
	case parts[3] == "EXOModuleFile" && r.Method == http.MethodGet:
		s.moduleFile(w, r)
	case parts[3] == "InvokeCommand" && r.Method == http.MethodPost:
		s.invoke(w, r, body)
	case parts[3] == "$batch" && r.Method == http.MethodPost:
		s.batch(w, r, body)
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.abuse("%s %s: no such operation", r.Method, r.URL.Path)
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func query(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	return "?" + r.URL.RawQuery
}

// ours says whether a tenant id or domain is the one of this tenant.
func (s *Server) ours(id string) bool {
	return strings.EqualFold(id, s.cfg.TenantID) || strings.EqualFold(id, "contoso.onmicrosoft.com") ||
		slices.ContainsFunc(s.cfg.Domains, func(d string) bool { return strings.EqualFold(d, id) })
}

// invoke runs one cmdlet, unless a fault strikes.
func (s *Server) invoke(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	if !s.allowed(w, r, audienceExchange) {
		s.mu.Unlock()
		return
	}
	for _, h := range []string{"Content-Type", "Accept", "X-AnchorMailbox"} {
		if r.Header.Get(h) == "" {
			s.abuse("a request without %s", h)
		}
	}
	var in invocation
	params := map[string]any{}
	err := json.Unmarshal(body, &in)
	if err == nil && in.CmdletInput != nil {
		if string(in.CmdletInput.Parameters) == "null" || len(in.CmdletInput.Parameters) == 0 {
			s.abuse("%s with null parameters: that is another request", in.CmdletInput.CmdletName)
		}
		err = json.Unmarshal(in.CmdletInput.Parameters, &params)
	}
	if err != nil || in.CmdletInput == nil {
		s.abuse("a body that is no CmdletInput")
		s.mu.Unlock()
		writeError(w, http.StatusBadRequest, "", "The request body is not valid.")
		return
	}
	name := in.CmdletInput.CmdletName
	call := Call{Cmdlet: name, Params: params, WhatIf: params["WhatIf"] == true}
	if writes(name) && !call.WhatIf {
		s.writes++
		call.Write = s.writes
	}
	f := s.strike(name, call.Write)
	at := len(s.calls)
	s.calls = append(s.calls, call)
	out, ex, next := s.perform(name, params, r, string(body), f)
	s.mu.Unlock()
	if f != nil {
		if f.Then != nil {
			f.Then()
		}
		if f.Kind == StaleToken || f.Kind == Challenge {
			s.expireTokens(f.Kind == Challenge)
		}
		if s.fail(w, r, f) {
			return
		}
	}
	s.note(at, ex)
	switch {
	case ex != nil && ex.status == http.StatusForbidden:
		nul(w)
	case ex != nil:
		writeError(w, ex.status, ex.class, ex.text)
	default:
		writeRows(w, out, s.link(r, next), "")
	}
}

func (s *Server) note(at int, ex *exception) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[at].Status = http.StatusOK
	if ex != nil {
		s.calls[at].Status = ex.status
	}
}

// perform runs the cmdlet as far as the fault lets it. The lock is held.
func (s *Server) perform(name string, params map[string]any, r *http.Request, body string, f *Fault) (*outcome, *exception, string) {
	if f != nil && !f.Kind.afterwards() {
		return &outcome{}, nil, ""
	}
	if f != nil && f.Kind == DropField {
		delete(params, f.Field)
	}
	if id := r.URL.Query().Get("$skiptoken"); id != "" {
		page, ok := s.pages[id]
		delete(s.pages, id)
		if !ok || s.cfg.Expired || page.body != body {
			return nil, throw("Microsoft.Exchange.Admin.PaginationException", "Expired or Invalid pagination request. Default Expiry time is 00:30:00"), ""
		}
		return s.page(&outcome{rows: page.rows}, body, f, r)
	}
	out, ex := s.run(name, params)
	if ex != nil {
		return nil, ex, ""
	}
	return s.page(out, body, f, r)
}

// run binds the parameters and runs the cmdlet. The lock is held.
func (s *Server) run(name string, params map[string]any) (*outcome, *exception) {
	sig, ok := signatures()[name]
	if !ok || s.denied(name) {
		if !ok {
			s.abuse("there is no cmdlet %s", name)
		}
		return nil, &exception{status: http.StatusForbidden}
	}
	args, ex := s.bind(name, sig, params)
	if ex != nil {
		return nil, ex
	}
	verb, noun, _ := strings.Cut(name, "-")
	if verb != "Get" && args["WhatIf"] == true {
		return &outcome{confirm: fmt.Sprintf("What if: %s %q", name, str(args["Identity"])+str(args["Name"]))}, nil
	}
	if verb == "Get" {
		if ex := checkTrace(noun, args); ex != nil {
			return nil, ex
		}
		return s.get(noun, args), nil
	}
	if writes(name) {
		s.keep(noun)
	}
	return s.write(name, args)
}

func writes(name string) bool {
	return !strings.HasPrefix(name, "Get-") && !strings.HasPrefix(name, "Validate-")
}

func (s *Server) denied(name string) bool {
	return slices.ContainsFunc(s.cfg.Deny, func(d string) bool { return strings.HasPrefix(name, d) })
}

// page cuts a list.
func (s *Server) page(out *outcome, body string, f *Fault, r *http.Request) (*outcome, *exception, string) {
	size := s.cfg.PageSize
	if n, ok := strings.CutPrefix(r.Header.Get("Prefer"), "odata.maxpagesize="); ok {
		if n, err := strconv.Atoi(n); err == nil && n > 0 {
			size = min(size, n)
		}
	}
	if f != nil && f.Kind == MoreResults {
		out.rows = out.rows[:len(out.rows)/2]
		out.warnings = append(out.warnings, "There are more results available than are currently displayed. To view them, increase the value for the ResultSize parameter.")
		return out, nil, ""
	}
	if len(out.rows) <= size {
		return out, nil, ""
	}
	id := s.guid()
	if f == nil || f.Kind != ExpirePage {
		s.pages[id] = rest{rows: out.rows[size:], body: body}
	}
	out.rows = out.rows[:size]
	return out, nil, id
}

func (s *Server) link(r *http.Request, id string) string {
	if id == "" {
		return ""
	}
	return s.http.URL + r.URL.Path + "?%24skiptoken=" + id
}

// moduleFile lists the cmdlets that are not denied.
func (s *Server) moduleFile(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.allowed(w, r, audienceExchange) {
		return
	}
	if r.Header.Get("CommandName") == "" {
		s.abuse("EXOModuleFile without CommandName")
	}
	s.calls = append(s.calls, Call{Cmdlet: "GET EXOModuleFile", Status: http.StatusOK})
	var names []string
	for name := range signatures() {
		if !s.denied(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	writeRows(w, &outcome{rows: []Object{{"exportedCmdlets": strings.Join(names, ",")}}}, "", "")
}

// batch runs up to ten cmdlets one after the other.
func (s *Server) batch(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.allowed(w, r, audienceExchange) {
		return
	}
	var in struct {
		Requests []struct {
			ID   string     `json:"id"`
			Body invocation `json:"body"`
		} `json:"requests"`
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Requests) > 10 {
		writeError(w, http.StatusBadRequest, "", "The batch is not valid.")
		return
	}
	var out []map[string]any
	for _, q := range in.Requests {
		params := map[string]any{}
		if q.Body.CmdletInput == nil || json.Unmarshal(q.Body.CmdletInput.Parameters, &params) != nil {
			out = append(out, map[string]any{"id": q.ID, "status": 400, "body": map[string]any{}})
			continue
		}
		name := q.Body.CmdletInput.CmdletName
		call := Call{Cmdlet: name, Params: params, Status: 200}
		if writes(name) {
			s.writes++
			call.Write = s.writes
		}
		rep, ex := s.run(name, params)
		item := map[string]any{"id": q.ID, "status": 200}
		if ex != nil {
			item["status"], item["body"] = ex.status, errorBody(ex.class, ex.text)
			call.Status = ex.status
		} else {
			item["body"] = rowsBody(rep, "")
		}
		s.calls = append(s.calls, call)
		out = append(out, item)
	}
	writeJSON(w, http.StatusOK, map[string]any{"responses": out})
}
