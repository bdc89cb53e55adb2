package gworkspacetest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/gworkspace"
)

// find is the user with an address; nil: there is none.
func (s *Server) find(address string) *User {
	for _, u := range s.users {
		if strings.EqualFold(u.Email, address) || slices.ContainsFunc(u.Aliases, func(a string) bool { return strings.EqualFold(a, address) }) {
			return u
		}
	}
	return nil
}

func (s *Server) listUnits(r *http.Request, _ []byte) reply {
	if _, rep := s.allow(r, gworkspace.ScopeUnits); rep != nil {
		return *rep
	}
	var out []map[string]string
	for _, u := range s.units {
		if u.Path == "/" && r.URL.Query().Get("type") != "all_including_parent" {
			continue
		}
		out = append(out, map[string]string{"orgUnitId": "id:" + u.ID, "orgUnitPath": u.Path, "name": u.Path[strings.LastIndex(u.Path, "/")+1:]})
	}
	return ok(map[string]any{"kind": "admin#directory#orgUnits", "organizationUnits": out})
}

func (s *Server) listDomains(r *http.Request, _ []byte) reply {
	if _, rep := s.allow(r, gworkspace.ScopeDomains); rep != nil {
		return *rep
	}
	var out []map[string]any
	for i, d := range s.domains {
		out = append(out, map[string]any{"domainName": d.Name, "verified": d.Verified, "isPrimary": i == 0})
	}
	return ok(map[string]any{"domains": out})
}

func shown(u *User) map[string]any {
	return map[string]any{"kind": "admin#directory#user", "primaryEmail": u.Email, "isAdmin": u.Admin, "suspended": u.Suspended, "isMailboxSetup": !u.NoGmail,
		"orgUnitPath": u.Unit, "aliases": u.Aliases}
}

func (s *Server) getUser(r *http.Request, address string) reply {
	if _, rep := s.allow(r, gworkspace.ScopeUsers); rep != nil {
		return *rep
	}
	if u := s.find(address); u != nil {
		return ok(shown(u))
	}
	return apiError(http.StatusNotFound, "notFound", "Resource Not Found: userKey")
}

func (s *Server) listUsers(r *http.Request, _ []byte) reply {
	if _, rep := s.allow(r, gworkspace.ScopeUsers); rep != nil {
		return *rep
	}
	if r.URL.Query().Get("customer") != "my_customer" {
		return apiError(http.StatusBadRequest, "badRequest", "Bad Request")
	}
	items, next := page(s, r, s.users, 100, 500)
	var out []map[string]any
	for _, u := range items {
		out = append(out, shown(u))
	}
	return ok(map[string]any{"users": out, "nextPageToken": next})
}

func (s *Server) getGroup(r *http.Request, address string) reply {
	if _, rep := s.allow(r, gworkspace.ScopeGroups); rep != nil {
		return *rep
	}
	if _, known := s.groups[address]; !known {
		return apiError(http.StatusNotFound, "notFound", "Resource Not Found: groupKey")
	}
	return ok(map[string]string{"kind": "admin#directory#group", "email": address})
}

// isGroup knows groups outside of the tenant by their domain.
func isGroup(address string) bool { return strings.HasSuffix(address, "@googlegroups.com") }

func (s *Server) listMembers(r *http.Request, address string) reply {
	if _, rep := s.allow(r, gworkspace.ScopeGroups); rep != nil {
		return *rep
	}
	all, known := s.groups[address]
	if !known {
		return apiError(http.StatusNotFound, "notFound", "Resource Not Found: groupKey")
	}
	items, next := page(s, r, all, 200, 200)
	var out []map[string]string
	for _, m := range items {
		kind := "USER" // also those outside of the tenant: EXTERNAL is documented and not used
		if _, nested := s.groups[m]; nested {
			kind = "GROUP"
		} else if m == "*" {
			out = append(out, map[string]string{"type": "CUSTOMER", "id": "C0"})
			continue
		} else if isGroup(m) {
			kind = "GROUP"
		}
		out = append(out, map[string]string{"email": m, "type": kind, "role": "MEMBER", "status": "ACTIVE"})
	}
	return ok(map[string]any{"members": out, "nextPageToken": next})
}
