package m365test

import (
	"encoding/json"
	"net/http"
	"strings"
)

// mail answers for what is below a user: messages, by filter, and what can be done with one.
func (s *Server) mail(w http.ResponseWriter, r *http.Request, parts []string, body []byte) {
	u := s.user(parts[1])
	if u == nil {
		graphError(w, http.StatusNotFound, "ErrorInvalidUser", "The requested user '"+parts[1]+"' is invalid.")
		return
	}
	if u.lacking != "" {
		graphError(w, http.StatusNotFound, u.lacking, "The mailbox is either inactive, soft-deleted, or is hosted on-premise.")
		return
	}
	folder := ""
	rest := parts[2:]
	if rest[0] == "mailFolders" && len(rest) >= 3 {
		folder, rest = rest[1], rest[2:]
	}
	switch {
	case len(rest) == 1 && rest[0] == "messages" && r.Method == http.MethodGet:
		s.findMessages(w, r, u, folder)
	case len(rest) >= 2 && rest[0] == "messages":
		s.oneMessage(w, r, u, rest[1], strings.Join(rest[2:], "/"), body)
	default:
		s.abuse("%s %s: no such operation on a mailbox", r.Method, strings.Join(parts, "/"))
		graphError(w, http.StatusNotFound, "ResourceNotFound", "no such resource")
	}
}

// findMessages lists by Message-ID. Without a folder it covers all ordinary ones, and not what is
// recoverable.
func (s *Server) findMessages(w http.ResponseWriter, r *http.Request, u *user, folder string) {
	q := r.URL.Query()
	id, ok := strings.CutPrefix(q.Get("$filter"), "internetMessageId eq '")
	if !ok || !strings.HasSuffix(id, "'") {
		graphError(w, http.StatusBadRequest, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")
		return
	}
	id = strings.ReplaceAll(strings.TrimSuffix(id, "'"), "''", "'")
	var out []any
	for _, m := range u.messages {
		recoverable := m.Folder == "recoverableitemsdeletions" || m.Folder == "purges"
		if m.MessageID != id || folder != "" && m.Folder != folder || folder == "" && recoverable {
			continue
		}
		row := map[string]any{"id": m.ID, "@odata.etag": "W/\"1\""}
		for f := range strings.SplitSeq(q.Get("$select"), ",") {
			switch f {
			case "parentFolderId":
				row[f] = "folder-" + m.Folder
			case "receivedDateTime":
				row[f] = m.Received
			case "internetMessageId":
				row[f] = m.MessageID
			case "subject":
				row[f] = m.Subject
			case "internetMessageHeaders":
				headers := []any{map[string]string{"name": "Received", "value": "from x by y"}}
				for k, v := range m.Headers {
					headers = append(headers, map[string]string{"name": k, "value": v})
				}
				row[f] = headers
			}
		}
		out = append(out, row)
	}
	graphList(w, out, "")
}

func (s *Server) oneMessage(w http.ResponseWriter, r *http.Request, u *user, id, op string, body []byte) {
	var m *Message
	for _, x := range u.messages {
		if x.ID == id && x.Folder != "purges" {
			m = x
		}
	}
	if m == nil {
		graphError(w, http.StatusNotFound, "ErrorItemNotFound", "The specified object was not found in the store.")
		return
	}
	switch {
	case op == "move" && r.Method == http.MethodPost:
		var in struct {
			DestinationID string `json:"destinationId"`
		}
		_ = json.Unmarshal(body, &in)
		switch in.DestinationID {
		case "junkemail", "deleteditems", "recoverableitemsdeletions", "inbox":
			m.Folder = in.DestinationID
			writeJSON(w, http.StatusCreated, map[string]any{"id": m.ID, "parentFolderId": "folder-" + m.Folder})
		default:
			graphError(w, http.StatusBadRequest, "ErrorInvalidIdMalformed", "Id is malformed.")
		}
	case op == "permanentDelete" && r.Method == http.MethodPost:
		m.Folder = "purges"
		w.WriteHeader(http.StatusNoContent)
	case op == "" && r.Method == http.MethodDelete:
		m.Folder = map[bool]string{true: "recoverableitemsdeletions", false: "deleteditems"}[m.Folder == "deleteditems"]
		w.WriteHeader(http.StatusNoContent)
	case op == "$value" && r.Method == http.MethodGet:
		var b strings.Builder
		for k, v := range m.Headers {
			b.WriteString(k + ": " + v + "\r\n")
		}
		b.WriteString("Message-ID: " + m.MessageID + "\r\nSubject: " + m.Subject + "\r\n\r\n")
		w.Write([]byte(b.String()))
	default:
		graphError(w, http.StatusMethodNotAllowed, "ErrorInvalidRequest", "no such operation")
	}
}
