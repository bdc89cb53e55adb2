package gworkspace

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// A Policy is one setting of one organizational unit or group, as the Policy API returns it. Only what was set
// explicitly is returned; the value that counts for a unit follows from all of them.
type Policy struct {
	Name      string          `json:"name"`
	System    bool            `json:"system,omitempty"` // a default of Google; what an administrator set beats it
	Unit      string          `json:"unit,omitempty"`   // id of the organizational unit; empty: the whole customer
	Group     string          `json:"group,omitempty"`  // id of the group
	SortOrder float64         `json:"sort-order"`       // the higher one counts
	Setting   string          `json:"setting"`          // such as gmail.content_compliance
	Value     json.RawMessage `json:"value"`
}

// policyFilter asks for the settings of Gmail alone.
const policyFilter = `customer == "customers/my_customer" && setting.type.matches('^settings/gmail\\..*$')`

// Policies reads all policies about Gmail. The administrator has to be a super administrator.
func (c *Client) Policies(ctx context.Context) ([]Policy, error) {
	to := c.policy.JoinPath("v1/policies")
	to.RawQuery = url.Values{"filter": {policyFilter}, "pageSize": {"100"}}.Encode()
	var out []Policy
	err := pages(ctx, "policies.list", to, func(ctx context.Context, u *url.URL) (string, error) {
		var raw json.RawMessage
		if err := c.getAdmin(ctx, "policies.list", ScopePolicies, u, c.policyQuota, &raw); err != nil {
			return "", err
		}
		page, next, err := readPolicies(raw)
		out = append(out, page...)
		return next, err
	})
	var e *Error
	if errors.As(err, &e) && e.Kind == ErrForbidden {
		e.Message += ": " + c.cfg.Admin + " has to be a super administrator: no other role can read policies, and a service account by itself cannot either"
	}
	return out, err
}

// readPolicies reads one page.
func readPolicies(raw []byte) (out []Policy, next string, err error) {
	page, ok := asObject(raw)
	if !ok {
		return nil, "", &Error{Op: "policies.list", Message: "the reply is not what the service sends"}
	}
	for _, item := range page.list("policies") {
		p, ok := asObject(item)
		if !ok {
			return nil, "", &Error{Op: "policies.list", Message: "a policy is no object"}
		}
		query, _ := asObject(p["policyquery"])
		setting, _ := asObject(p["setting"])
		one := Policy{Name: oneLine(p.text("name"), 200), System: p.text("type") == "SYSTEM", Unit: strings.TrimPrefix(query.text("orgUnit"), "orgUnits/"),
			Group: strings.TrimPrefix(query.text("group"), "groups/"), Setting: strings.TrimPrefix(setting.text("type"), "settings/"), Value: setting["value"]}
		if json.Unmarshal(query["sortorder"], &one.SortOrder) != nil {
			one.SortOrder = 0
		}
		out = append(out, one)
	}
	return out, page.text("nextPageToken"), nil
}

// An object is JSON with lenient names: the reference prints snake_case, the service sends camelCase.
type object map[string]json.RawMessage

func asObject(raw []byte) (object, bool) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || m == nil {
		return nil, false
	}
	out := make(object, len(m))
	for k, v := range m {
		out[plainKey(k)] = v
	}
	return out, true
}

func plainKey(k string) string { return strings.ToLower(strings.ReplaceAll(k, "_", "")) }

// text is a string, or empty.
func (o object) text(name string) string {
	var s string
	if json.Unmarshal(o[plainKey(name)], &s) != nil {
		return ""
	}
	return s
}

// flag is a bool; nil: it is not there.
func (o object) flag(name string) *bool {
	var b *bool
	if json.Unmarshal(o[plainKey(name)], &b) != nil {
		return nil
	}
	return b
}

// on says whether a flag is there and true.
func (o object) on(name string) bool { b := o.flag(name); return b != nil && *b }

func (o object) sub(name string) object {
	out, _ := asObject(o[plainKey(name)])
	return out
}

func (o object) list(name string) []json.RawMessage {
	var l []json.RawMessage
	if json.Unmarshal(o[plainKey(name)], &l) != nil {
		return nil
	}
	return l
}

func (o object) texts(name string) []string {
	var out []string
	for _, raw := range o.list(name) {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			out = append(out, s)
		}
	}
	return out
}

// leaves are all strings below a value, in no order. Fields that no document names are looked for among them.
func leaves(raw []byte) []string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	var out []string
	var walk func(any, int)
	walk = func(v any, depth int) {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case []any:
			for _, x := range v {
				walk(x, depth+1)
			}
		case map[string]any:
			for _, x := range v {
				walk(x, depth+1)
			}
		}
	}
	walk(v, 0)
	slices.Sort(out)
	return out
}
