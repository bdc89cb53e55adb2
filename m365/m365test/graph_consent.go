package m365test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// The application ids and roles of Microsoft Graph and of Exchange.
const (
	graphAppID    = "00000003-0000-0000-c000-000000000000"
	exchangeAppID = "00000002-0000-0ff1-ce00-000000000000"
)

// app is a service principal.
type app struct {
	id, appID, name string
	roles           map[string]string // permissions it offers: value to id
	grants          []*grant
	scopes          []string // delegated permissions: ids of oauth2PermissionGrants
}

type grant struct{ id, resource, role, value string }

func (a *app) grantNames() []string {
	var out []string
	for _, g := range a.grants {
		out = append(out, g.value)
	}
	slices.Sort(out)
	return out
}

func (s *Server) seedApps() {
	s.graph.apps = []*app{
		{id: s.guid(), appID: graphAppID, name: "Microsoft Graph", roles: map[string]string{
			"Mail.ReadWrite": "e2a3a72e-5f79-4c64-b1b1-878b674786c9", "User.Read.All": "df021288-bdef-4463-88db-98f22de89214",
			"GroupMember.Read.All": "98830695-27a2-44f7-8c18-0c3ebc9698f6", "Mail.Read": "810c84a8-4a9e-49e6-bf7d-12d183f40d01"}},
		{id: s.guid(), appID: exchangeAppID, name: "Office 365 Exchange Online", roles: map[string]string{
			"Exchange.ManageAsApp": "dc50a0fb-09a3-484d-be87-e023b12c6440"}},
	}
}

// Consent grants the application Mail.ReadWrite and User.Read.All, as a person would on the consent page.
func (s *Server) Consent(appID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.consent(appID)
}

func (s *Server) consent(appID string) {
	a := s.app(appID)
	if a == nil {
		a = &app{id: s.guid(), appID: appID, name: "app " + appID}
		s.graph.apps = append(s.graph.apps, a)
	}
	g := s.graph.apps[0]
	for _, v := range []string{"Mail.ReadWrite", "User.Read.All"} {
		if !slices.Contains(a.grantNames(), v) {
			a.grants = append(a.grants, &grant{id: "grant-" + s.guid(), resource: g.id, role: g.roles[v], value: v})
		}
	}
}

// Granted lists the application permissions that an application has; nil: the tenant does not know it.
func (s *Server) Granted(appID string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.app(appID); a != nil {
		return append([]string{}, a.grantNames()...)
	}
	return nil
}

func (s *Server) app(id string) *app {
	for _, a := range s.graph.apps {
		if strings.EqualFold(a.appID, id) || a.id == id {
			return a
		}
	}
	return nil
}

// consentRoute answers for service principals and their grants.
func (s *Server) consentRoute(w http.ResponseWriter, r *http.Request, parts []string, body []byte) {
	if parts[0] == "oauth2PermissionGrants" {
		s.delegated(w, r, parts)
		return
	}
	if parts[0] == "servicePrincipals" && len(parts) == 1 && r.Method == http.MethodPost {
		s.newApp(w, body)
		return
	}
	id, rest := "", parts[1:]
	if in, ok := strings.CutPrefix(parts[0], "servicePrincipals(appId='"); ok {
		id = strings.TrimSuffix(in, "')")
	} else if len(rest) > 0 {
		id, rest = rest[0], rest[1:]
	}
	a := s.app(id)
	if a == nil {
		graphError(w, http.StatusNotFound, "Request_ResourceNotFound", "Resource '"+id+"' does not exist or one of its queried reference-property objects are not present.")
		return
	}
	switch {
	case len(rest) == 0 && r.Method == http.MethodGet:
		var roles []any
		for v, id := range a.roles {
			roles = append(roles, map[string]any{"id": id, "value": v, "isEnabled": true, "allowedMemberTypes": []string{"Application"}})
		}
		writeJSON(w, http.StatusOK, map[string]any{"id": a.id, "appId": a.appID, "displayName": a.name, "accountEnabled": true, "appRoles": roles})
	case len(rest) == 0 && r.Method == http.MethodDelete:
		s.graph.apps = slices.DeleteFunc(s.graph.apps, func(x *app) bool { return x == a })
		w.WriteHeader(http.StatusNoContent)
	case rest[0] == "appRoleAssignments":
		s.assignments(w, r, a, rest[1:], body)
	case rest[0] == "oauth2PermissionGrants" && r.Method == http.MethodGet:
		var out []any
		for _, id := range a.scopes {
			out = append(out, map[string]any{"id": id, "clientId": a.id, "scope": "Mail.ReadWrite", "consentType": "AllPrincipals"})
		}
		graphList(w, out, "")
	default:
		graphError(w, http.StatusNotFound, "ResourceNotFound", "no such resource")
	}
}

func (s *Server) newApp(w http.ResponseWriter, body []byte) {
	var in struct{ AppID string }
	if json.Unmarshal(body, &in) != nil || in.AppID == "" {
		graphError(w, http.StatusBadRequest, "Request_BadRequest", "appId is missing")
		return
	}
	if s.app(in.AppID) != nil {
		graphError(w, http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue", "The service principal already exists.")
		return
	}
	a := &app{id: s.guid(), appID: in.AppID, name: "app " + in.AppID}
	s.graph.apps = append(s.graph.apps, a)
	writeJSON(w, http.StatusCreated, map[string]any{"id": a.id, "appId": a.appID, "displayName": a.name})
}

func (s *Server) assignments(w http.ResponseWriter, r *http.Request, a *app, rest []string, body []byte) {
	switch {
	case r.Method == http.MethodGet && len(rest) == 0:
		var out []any
		for _, g := range a.grants {
			out = append(out, map[string]any{"id": g.id, "principalId": a.id, "resourceId": g.resource, "appRoleId": g.role,
				"resourceDisplayName": s.app(g.resource).name})
		}
		graphList(w, out, "")
	case r.Method == http.MethodPost && len(rest) == 0:
		var in struct{ PrincipalID, ResourceID, AppRoleID string }
		_ = json.Unmarshal(body, &in)
		res := s.app(in.ResourceID)
		if in.PrincipalID != a.id || res == nil {
			graphError(w, http.StatusBadRequest, "Request_BadRequest", "principalId or resourceId is wrong")
			return
		}
		for v, id := range res.roles {
			if id != in.AppRoleID {
				continue
			}
			if slices.ContainsFunc(a.grants, func(g *grant) bool { return g.role == id }) {
				graphError(w, http.StatusBadRequest, "Request_BadRequest", "Permission being assigned already exists on the object")
				return
			}
			g := &grant{id: "grant-" + s.guid(), resource: res.id, role: id, value: v}
			a.grants = append(a.grants, g)
			writeJSON(w, http.StatusCreated, map[string]any{"id": g.id, "principalId": a.id, "resourceId": res.id, "appRoleId": id})
			return
		}
		graphError(w, http.StatusBadRequest, "Request_BadRequest", "no such app role")
	case r.Method == http.MethodDelete && len(rest) == 1:
		n := len(a.grants)
		a.grants = slices.DeleteFunc(a.grants, func(g *grant) bool { return g.id == rest[0] })
		if len(a.grants) == n {
			graphError(w, http.StatusNotFound, "Request_ResourceNotFound", "no such assignment")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		graphError(w, http.StatusMethodNotAllowed, "Request_BadRequest", "no such operation")
	}
}

func (s *Server) delegated(w http.ResponseWriter, r *http.Request, parts []string) {
	if r.Method == http.MethodDelete && len(parts) == 2 {
		for _, a := range s.graph.apps {
			n := len(a.scopes)
			a.scopes = slices.DeleteFunc(a.scopes, func(id string) bool { return id == parts[1] })
			if len(a.scopes) < n {
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
	}
	graphError(w, http.StatusNotFound, "Request_ResourceNotFound", "no such grant")
}

// GrantDelegated gives the application a delegated permission for all users.
func (s *Server) GrantDelegated(appID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.app(appID); a != nil {
		a.scopes = append(a.scopes, "scope-"+s.guid())
	}
}
