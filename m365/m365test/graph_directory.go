package m365test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// directory answers for users and groups: by filter on an address, by id, and the members of a group.
func (s *Server) directory(w http.ResponseWriter, r *http.Request, parts []string) {
	filter := r.URL.Query().Get("$filter")
	address, ok := strings.CutPrefix(filter, "proxyAddresses/any(p:p eq 'smtp:")
	address = strings.ReplaceAll(strings.TrimSuffix(address, "')"), "''", "'")
	var out []any
	switch {
	case len(parts) == 1 && ok && parts[0] == "users" && !s.cfg.NoFilter:
		if u := s.user(address); u != nil {
			out = append(out, u.json())
		}
	case len(parts) == 1 && ok && parts[0] == "groups":
		if g := s.group(address); g != nil {
			out = append(out, map[string]any{"id": g.id, "mail": g.mail})
		}
	case len(parts) == 2 && parts[0] == "users":
		u := s.user(parts[1])
		if u == nil {
			graphError(w, http.StatusNotFound, "Request_ResourceNotFound", "Resource '"+parts[1]+"' does not exist.")
			return
		}
		writeJSON(w, http.StatusOK, u.json())
		return
	default:
		graphError(w, http.StatusBadRequest, "Request_UnsupportedQuery", "Unsupported query.")
		return
	}
	graphList(w, out, "")
}

func (u *user) json() map[string]any {
	return map[string]any{"@odata.type": "#microsoft.graph.user", "id": u.id, "userPrincipalName": u.upn, "mail": u.upn}
}

// members lists who is in a group, through all groups in it, a page at a time.
func (s *Server) members(w http.ResponseWriter, r *http.Request, id string) {
	var out []any
	seen := map[string]bool{}
	var walk func(string)
	walk = func(id string) {
		g := s.group(id)
		if g == nil || seen[id] {
			return
		}
		seen[id] = true
		for _, m := range g.members {
			if u := s.user(m); u != nil && !seen[u.id] {
				seen[u.id] = true
				out = append(out, u.json())
			}
			walk(m)
		}
	}
	walk(id)
	from, _ := strconv.Atoi(r.URL.Query().Get("$skip"))
	size := min(s.cfg.PageSize, 100)
	from = min(max(from, 0), len(out))
	next := ""
	if from+size < len(out) {
		next = s.GraphURL() + strings.TrimPrefix(r.URL.Path, "/graph") + fmt.Sprintf("?$skip=%d", from+size)
	}
	graphList(w, out[from:min(from+size, len(out))], next)
}
