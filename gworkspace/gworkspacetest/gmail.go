package gworkspacetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/gworkspace"
)

// A Message is one in a mailbox.
type Message struct {
	ID        string // given by AddMessage
	MessageID string // of the header field, with angle brackets
	Header    map[string]string
	More      []gworkspace.Value // further fields, also of names that stand there already
	Labels    []string           // empty: INBOX
}

// AddMessage puts a message into a mailbox and returns its id.
func (s *Server) AddMessage(mailbox string, m Message) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	m.ID = fmt.Sprintf("m%d", s.next)
	if len(m.Labels) == 0 {
		m.Labels = []string{"INBOX"}
	}
	m.Labels = slices.Clone(m.Labels)
	key := strings.ToLower(mailbox)
	s.mail[key] = append(s.mail[key], &m)
	return m.ID
}

// Mailbox is what is in a mailbox now.
func (s *Server) Mailbox(address string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, m := range s.mail[strings.ToLower(address)] {
		c := *m
		c.Labels = slices.Clone(m.Labels)
		out = append(out, c)
	}
	return out
}

// minute is the units that were used in the last one.
type minute struct {
	sum   int
	spent []spending
}

// spending is units that were used at a time.
type spending struct {
	at    time.Time
	units int
}

// room says whether units are left now.
func (m *minute) room(now time.Time, units, most int) bool {
	for len(m.spent) > 0 && now.Sub(m.spent[0].at) >= time.Minute {
		m.sum -= m.spent[0].units
		m.spent = m.spent[1:]
	}
	return m.sum+units <= most
}

func (m *minute) use(now time.Time, units int) {
	m.sum += units
	m.spent = append(m.spent, spending{now, units})
}

// spend takes units of a user and of the project, if both have them left.
func (s *Server) spend(user string, units int) bool {
	now := time.Now()
	if s.spent[user] == nil {
		s.spent[user] = &minute{}
	}
	mine, all := s.spent[user], &s.spentAll
	if !mine.room(now, units, cmp.Or(s.cfg.UserUnits, 6_000)) || !all.room(now, units, cmp.Or(s.cfg.ProjectUnits, 1_200_000)) {
		return false
	}
	mine.use(now, units)
	all.use(now, units)
	return true
}

// routeMail finds who answers a request about a mailbox.
func (s *Server) routeMail(method, user string, rest []string) (string, handler) {
	read := []string{gworkspace.ScopePurge, gworkspace.ScopeModify, "https://www.googleapis.com/auth/gmail.readonly"}
	write := read[:2]
	at := func(op string, units int, scopes []string, do func(box string, r *http.Request, body []byte) reply) (string, handler) {
		return op, func(r *http.Request, body []byte) reply { return s.inMailbox(r, body, user, units, scopes, do) }
	}
	one := func(do func(m *Message, box string, r *http.Request, body []byte) reply) func(string, *http.Request, []byte) reply {
		return func(box string, r *http.Request, body []byte) reply {
			i := slices.IndexFunc(s.mail[box], func(m *Message) bool { return m.ID == rest[0] })
			if i < 0 {
				return apiError(http.StatusNotFound, "notFound", "Requested entity was not found.")
			}
			return do(s.mail[box][i], box, r, body)
		}
	}
	switch {
	case method == "GET" && len(rest) == 0:
		return at("gmail.list", 5, read, s.search)
	case method == "GET" && len(rest) == 1:
		return at("gmail.get", 20, read, one(getMessage))
	case method == "DELETE" && len(rest) == 1:
		return at("gmail.delete", 10, read[:1], one(s.delete))
	case method == "POST" && len(rest) == 2 && rest[1] == "trash":
		return at("gmail.trash", 5, write, one(func(m *Message, _ string, _ *http.Request, _ []byte) reply {
			return relabel(m, []string{"TRASH"}, []string{"INBOX", "SPAM"})
		}))
	case method == "POST" && len(rest) == 2 && rest[1] == "untrash":
		return at("gmail.untrash", 5, write, one(func(m *Message, _ string, _ *http.Request, _ []byte) reply {
			return relabel(m, []string{"INBOX"}, []string{"TRASH"})
		}))
	case method == "POST" && len(rest) == 2 && rest[1] == "modify":
		return at("gmail.modify", 5, write, one(modify))
	}
	return "", nil
}

// inMailbox checks who asks, and whether there is quota left.
func (s *Server) inMailbox(r *http.Request, body []byte, user string, units int, scopes []string, do func(string, *http.Request, []byte) reply) reply {
	g, rep := s.allow(r, scopes...)
	if rep != nil {
		return *rep
	}
	if user == "me" {
		user = g.subject
	}
	u := s.find(user)
	if u == nil || !strings.EqualFold(u.Email, g.subject) {
		return apiError(http.StatusForbidden, "forbidden", "Delegation denied for "+g.subject)
	}
	if u.NoGmail {
		return apiError(http.StatusBadRequest, "failedPrecondition", "Mail service not enabled")
	}
	if !s.spend(strings.ToLower(u.Email), units) {
		return apiError(http.StatusTooManyRequests, "rateLimitExceeded", "User-rate limit exceeded.")
	}
	return do(strings.ToLower(u.Email), r, body)
}

// search knows rfc822msgid: alone, which is all that it is asked.
func (s *Server) search(box string, r *http.Request, _ []byte) reply {
	q := r.URL.Query()
	id, found := strings.CutPrefix(q.Get("q"), "rfc822msgid:")
	if !found || strings.ContainsAny(id, "<> ") {
		s.abuse("gmail.list: q=%q", q.Get("q"))
		return apiError(http.StatusBadRequest, "invalidArgument", "Invalid query")
	}
	var all []map[string]string
	for _, m := range s.mail[box] {
		hidden := slices.Contains(m.Labels, "TRASH") || slices.Contains(m.Labels, "SPAM")
		if m.MessageID == "<"+id+">" && (!hidden || q.Get("includeSpamTrash") == "true") {
			all = append(all, map[string]string{"id": m.ID, "threadId": m.ID})
		}
	}
	items, next := page(s, r, all, 100, 500)
	out := map[string]any{"resultSizeEstimate": len(all)}
	if len(items) > 0 {
		out["messages"] = items
	}
	if next != "" {
		out["nextPageToken"] = next
	}
	return ok(out)
}

func getMessage(m *Message, _ string, r *http.Request, _ []byte) reply {
	q := r.URL.Query()
	all := map[string]string{"Message-ID": m.MessageID}
	for k, v := range m.Header {
		all[k] = v
	}
	headers := []map[string]string{}
	add := func(k, v string) {
		if fields := q["metadataHeaders"]; len(fields) == 0 || slices.ContainsFunc(fields, func(f string) bool { return strings.EqualFold(f, k) }) {
			headers = append(headers, map[string]string{"name": k, "value": v})
		}
	}
	for k, v := range all {
		add(k, v)
	}
	for _, v := range m.More {
		add(v.Name, v.Value)
	}
	if q.Get("format") != "metadata" {
		return apiError(http.StatusBadRequest, "invalidArgument", "this server has metadata only")
	}
	return ok(map[string]any{"id": m.ID, "labelIds": m.Labels, "payload": map[string]any{"headers": headers}})
}

func (s *Server) delete(m *Message, box string, _ *http.Request, _ []byte) reply {
	s.mail[box] = slices.DeleteFunc(s.mail[box], func(x *Message) bool { return x == m })
	return reply{status: http.StatusNoContent}
}

func modify(m *Message, _ string, _ *http.Request, body []byte) reply {
	var in struct{ AddLabelIDs, RemoveLabelIDs []string }
	if json.Unmarshal(body, &in) != nil || len(in.AddLabelIDs) > 100 || len(in.RemoveLabelIDs) > 100 {
		return apiError(http.StatusBadRequest, "invalidArgument", "Invalid label")
	}
	return relabel(m, in.AddLabelIDs, in.RemoveLabelIDs)
}

func relabel(m *Message, add, remove []string) reply {
	m.Labels = slices.DeleteFunc(m.Labels, func(l string) bool { return slices.Contains(remove, l) })
	for _, l := range add {
		if !slices.Contains(m.Labels, l) {
			m.Labels = append(m.Labels, l)
		}
	}
	return ok(map[string]any{"id": m.ID, "labelIds": m.Labels})
}
