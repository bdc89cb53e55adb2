package gworkspacetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/postreeve/postreeve/gworkspace"
)

// A Policy is one setting of a unit or group.
type Policy struct {
	Unit      string // id; empty: the whole customer
	Group     string // id
	System    bool
	SortOrder float64
	Setting   string // such as gmail.rule_states
	Value     any    // as JSON encodes it
}

// AddPolicy adds policies.
func (s *Server) AddPolicy(all ...Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = append(s.policies, all...)
}

// ClearPolicies removes all policies.
func (s *Server) ClearPolicies() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = nil
}

// LoadPolicies adds the policies of a captured reply of the Policy API. It returns how many there were.
func (s *Server) LoadPolicies(raw []byte) (int, error) {
	var in struct {
		Policies []struct {
			Type        string
			PolicyQuery struct {
				OrgUnit, Group string
				SortOrder      float64
			}
			Setting struct {
				Type  string
				Value json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return 0, fmt.Errorf("gworkspacetest: policies: %w", err)
	}
	for _, p := range in.Policies {
		s.AddPolicy(Policy{Unit: strings.TrimPrefix(p.PolicyQuery.OrgUnit, "orgUnits/"), Group: strings.TrimPrefix(p.PolicyQuery.Group, "groups/"),
			System: p.Type == "SYSTEM", SortOrder: p.PolicyQuery.SortOrder, Setting: strings.TrimPrefix(p.Setting.Type, "settings/"), Value: p.Setting.Value})
	}
	return len(in.Policies), nil
}

func (s *Server) listPolicies(r *http.Request, _ []byte) reply {
	g, rep := s.allow(r, gworkspace.ScopePolicies, "https://www.googleapis.com/auth/cloud-identity.policies")
	if rep != nil {
		return *rep
	}
	if u := s.find(g.subject); u == nil || !u.Admin {
		return apiError(http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission")
	}
	filter := r.URL.Query().Get("filter")
	if !strings.Contains(filter, `customer == "customers/my_customer"`) || !strings.Contains(filter, `setting.type.matches(`) {
		return apiError(http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid filter")
	}
	all := make([]map[string]any, 0, len(s.policies))
	for i, p := range s.policies {
		if !strings.HasPrefix(p.Setting, "gmail.") {
			continue
		}
		query := map[string]any{"sortOrder": p.SortOrder}
		if p.Unit != "" {
			query["orgUnit"] = "orgUnits/" + p.Unit
		}
		if p.Group != "" {
			query["group"] = "groups/" + p.Group
		}
		kind := "ADMIN"
		if p.System {
			kind = "SYSTEM"
		}
		all = append(all, map[string]any{"name": fmt.Sprintf("policies/p%d", i), "customer": "customers/C0", "type": kind, "policyQuery": query,
			"setting": map[string]any{"type": "settings/" + p.Setting, "value": p.Value}})
	}
	if s.cfg.EmptyPages && r.URL.Query().Get("pageToken") == "" {
		return ok(map[string]any{"nextPageToken": "from-0"})
	}
	items, next := page(s, r, all, 50, 100)
	out := map[string]any{"policies": items}
	if next != "" {
		out["nextPageToken"] = next
	}
	if s.cfg.SnakeCase {
		return ok(snake(out))
	}
	return ok(out)
}

// snake renames the fields of a value, the token of the next page aside.
func snake(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var plain any
	if json.Unmarshal(raw, &plain) != nil {
		return v
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			out := map[string]any{}
			for k, x := range v {
				var b strings.Builder
				for _, c := range k {
					if unicode.IsUpper(c) {
						b.WriteByte('_')
					}
					b.WriteRune(unicode.ToLower(c))
				}
				out[b.String()] = walk(x)
			}
			return out
		}
		return v
	}
	return walk(plain)
}

func (s *Server) listChanges(r *http.Request, _ []byte) reply {
	g, rep := s.allow(r, gworkspace.ScopeAudit)
	if rep != nil {
		return *rep
	}
	if u := s.find(g.subject); u == nil || !u.Admin {
		return apiError(http.StatusForbidden, "forbidden", "Access denied. You are not authorized to read activity records.")
	}
	q := r.URL.Query()
	since, err := time.Parse(time.RFC3339, q.Get("startTime"))
	if err != nil {
		since = time.Now().Add(-180 * 24 * time.Hour)
	} else if time.Since(since) > 181*24*time.Hour {
		return apiError(http.StatusBadRequest, "invalid", "Start time can't be older than 180 days.")
	}
	var all []map[string]any
	for i := len(s.changes) - 1; i >= 0; i-- { // newest first
		c := s.changes[i]
		if name := q.Get("eventName"); name != "" && name != c.Event || c.At.Before(since) {
			continue
		}
		kind, name, text := "EMAIL_SETTINGS", "USER_DEFINED_SETTING_NAME", "SETTING_DESCRIPTION"
		if c.Event == "CHANGE_APPLICATION_SETTING" {
			kind, name, text = "APPLICATION_SETTINGS", "APPLICATION_NAME", "NEW_VALUE"
		}
		enabled := ""
		if c.Enabled != nil {
			enabled = strconv.FormatBool(*c.Enabled)
		}
		var params []map[string]string
		for _, p := range [][2]string{{"SETTING_NAME", c.Setting}, {name, c.Name}, {text, c.Text}, {"ORG_UNIT_NAME", c.Unit}, {"ENABLED_SETTING", enabled}} {
			if p[1] != "" {
				params = append(params, map[string]string{"name": p[0], "value": p[1]})
			}
		}
		all = append(all, map[string]any{"kind": "admin#reports#activity", "id": map[string]any{"time": c.At.UTC().Format(time.RFC3339Nano), "applicationName": "admin"},
			"actor": map[string]string{"email": c.Who}, "events": []map[string]any{{"type": kind, "name": c.Event, "parameters": params}}})
	}
	items, next := page(s, r, all, 1000, 1000)
	out := map[string]any{"kind": "admin#reports#activities", "items": items}
	if next != "" {
		out["nextPageToken"] = next
	}
	return ok(out)
}
