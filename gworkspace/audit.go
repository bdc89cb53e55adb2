package gworkspace

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Change is one entry of the admin audit log about mail settings or delegation. The log is kept for six
// months, says nothing of settings that never changed, and may miss units further down: it raises an alarm,
// it proves no state.
type Change struct {
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	Event   string    `json:"event"`             // such as CHANGE_GMAIL_SETTING
	Setting string    `json:"setting,omitempty"` // such as EMAIL_ROUTE
	Name    string    `json:"name,omitempty"`    // what the administrator called it; of CHANGE_APPLICATION_SETTING the application
	Text    string    `json:"text,omitempty"`    // of CHANGE_APPLICATION_SETTING the new value
	Unit    string    `json:"unit,omitempty"`
	Enabled *bool     `json:"enabled,omitempty"` // it was turned on, or off; nil: the entry does not say
}

// auditEvents are asked for one by one: the service takes one name in a request.
var auditEvents = []string{"CREATE_GMAIL_SETTING", "CHANGE_GMAIL_SETTING", "DELETE_GMAIL_SETTING", "AUTHORIZE_API_CLIENT_ACCESS", "REMOVE_API_CLIENT_ACCESS"}

// eventApplication tells of the settings of all applications, by the names of their fields. States of rules are among
// those of Gmail, and not in the other events. They are many, so only the last ones are read, on the way out.
const eventApplication = "CHANGE_APPLICATION_SETTING"

// auditKept is how far the log goes back.
const auditKept = 180 * 24 * time.Hour

// maxChanges bounds what is read of the log for one event, the newest first.
const maxChanges = 10_000

// Changes reads the entries of the audit log about mail settings and delegation since a time, or as far back as it
// goes, oldest first.
func (c *Client) Changes(ctx context.Context, since time.Time) ([]Change, error) {
	return c.changes(ctx, since, auditEvents...)
}

// changes reads the entries of some events.
func (c *Client) changes(ctx context.Context, since time.Time, events ...string) ([]Change, error) {
	if oldest := time.Now().Add(-auditKept + time.Hour); since.Before(oldest) {
		since = oldest
	}
	var out []Change
	for _, event := range events {
		to := c.admin.JoinPath("admin/reports/v1/activity/users/all/applications/admin")
		to.RawQuery = url.Values{"eventName": {event}, "startTime": {since.UTC().Format(time.RFC3339)}, "maxResults": {"1000"}}.Encode()
		n := 0
		err := pages(ctx, "activities.list", to, func(ctx context.Context, u *url.URL) (string, error) {
			var raw json.RawMessage
			if err := c.getAdmin(ctx, "activities.list", ScopeAudit, u, c.adminQuota, &raw); err != nil {
				return "", err
			}
			page, read, next, err := readChanges(raw)
			out, n = append(out, page...), n+read
			if n >= maxChanges {
				next = ""
			}
			return next, err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int { return a.At.Compare(b.At) })
	return out, nil
}

// readChanges reads one page of the log. The count is of all entries, also of those that are left out.
func readChanges(raw []byte) (out []Change, count int, next string, err error) {
	var page struct {
		Items []struct {
			ID     struct{ Time time.Time }
			Actor  struct{ Email string }
			Events []struct {
				Name       string
				Parameters []struct {
					Name, Value string
					BoolValue   *bool
				}
			}
		}
		NextPageToken string
	}
	if json.Unmarshal(raw, &page) != nil {
		return nil, 0, "", &Error{Op: "activities.list", Message: "the reply is not what the service sends"}
	}
	for _, item := range page.Items {
		for _, e := range item.Events {
			ch := Change{At: item.ID.Time, Who: oneLine(item.Actor.Email, 320), Event: oneLine(e.Name, 100)}
			for _, p := range e.Parameters {
				v := oneLine(p.Value, 500)
				switch p.Name {
				case "SETTING_NAME":
					ch.Setting = v
				case "USER_DEFINED_SETTING_NAME", "APPLICATION_NAME":
					ch.Name = v
				case "SETTING_DESCRIPTION", "API_CLIENT_NAME", "NEW_VALUE":
					ch.Text = v
				case "ORG_UNIT_NAME":
					ch.Unit = v
				case "ENABLED_SETTING":
					if ch.Enabled = p.BoolValue; ch.Enabled == nil {
						ch.Enabled = onOff(v)
					}
				}
			}
			if ch.Event == eventApplication && ch.Name != "" && !strings.Contains(strings.ToLower(ch.Name), "gmail") {
				continue // of another application
			}
			out = append(out, ch)
		}
	}
	return out, len(page.Items), page.NextPageToken, nil
}

// onOff reads a switch; nil: it says nothing, or is hidden.
func onOff(s string) *bool {
	on, err := strconv.ParseBool(strings.ToLower(s))
	if err != nil {
		return nil
	}
	return &on
}

// last is the newest change that fits; nil: there is none.
func last(all []Change, fits func(Change) bool) *Change {
	for i := len(all) - 1; i >= 0; i-- {
		if fits(all[i]) {
			return &all[i]
		}
	}
	return nil
}

// about says whether a change names something in its name or text.
func (c Change) about(what string) bool {
	return strings.Contains(c.Name, what) || strings.Contains(c.Text, what)
}

func (c Change) removes() bool {
	return strings.HasPrefix(c.Event, "DELETE_") || strings.HasPrefix(c.Event, "REMOVE_")
}

// ruleState says whether a change is of the state of a rule, which may be ours: the log does not say of which.
func (c Change) ruleState() bool {
	plain := strings.ReplaceAll(strings.ToLower(c.Setting), "_", "")
	return c.Event == eventApplication && strings.Contains(plain, "rulestate")
}

// turnsOn says whether a change made something, or turned it on.
func (c Change) turnsOn() bool {
	if c.Enabled != nil {
		return *c.Enabled
	}
	return strings.HasPrefix(c.Event, "CREATE_")
}

// turnsOff says whether a change turned something off that is still there.
func (c Change) turnsOff() bool { return c.Enabled != nil && !*c.Enabled && !c.removes() }

// line says it in words.
func (c Change) line() string {
	return strings.Join(strings.Fields(c.At.UTC().Format(time.RFC3339)+" "+c.Who+" "+c.Event+" "+c.Setting+" "+c.Name), " ")
}
