package gworkspace

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// maxHits bounds how many messages of one Message-ID are looked at in one mailbox.
const maxHits = 50

// gmail makes one request about a mailbox, as its user.
func (c *Client) gmail(ctx context.Context, name, method, user, scope, path string, query url.Values, units int, in, out any) (lost bool, err error) {
	to := c.mail.JoinPath("gmail/v1/users", url.PathEscape(user), path)
	to.RawQuery = query.Encode()
	req := &request{name: name, object: user, method: method, url: to, repeat: true, tokens: c.mailTokens(),
		ask:    TokenRequest{Subject: user, Scopes: []string{scope}},
		before: func(ctx context.Context) error { return c.gmailQuota.wait(ctx, user, units) }}
	if in != nil {
		var b bytes.Buffer
		if err := json.NewEncoder(&b).Encode(in); err != nil {
			return false, err
		}
		req.body, req.header = b.Bytes(), http.Header{"Content-Type": {"application/json"}}
	}
	if out != nil {
		req.read = decodeInto(out)
	}
	return c.http.do(ctx, req)
}

// modifyScope is what mail is found and moved with.
func (c *Client) modifyScope() string { return cmp.Or(c.cfg.ModifyScope, ScopeModify) }

// find lists the ids of the messages that have this Message-ID, also in Spam and Trash.
func (c *Client) find(ctx context.Context, user, messageID string) ([]string, error) {
	id := strings.TrimSuffix(strings.TrimPrefix(messageID, "<"), ">")
	if id == "" || strings.ContainsAny(id, " \t\"(){}") {
		return nil, &Error{Op: "gmail.list", Object: user, Kind: ErrInvalid, Message: "Gmail cannot search for a Message-ID with blanks, quotes or brackets in it"}
	}
	query := url.Values{"q": {"rfc822msgid:" + id}, "includeSpamTrash": {"true"}, "maxResults": {"100"}}
	var out []string
	err := pages(ctx, "gmail.list", &url.URL{}, func(ctx context.Context, u *url.URL) (string, error) {
		if t := u.Query().Get("pageToken"); t != "" {
			query.Set("pageToken", t)
		}
		var page struct {
			Messages      []struct{ ID string }
			NextPageToken string
		}
		if _, err := c.gmail(ctx, "gmail.list", http.MethodGet, user, c.modifyScope(), "messages", query, unitsList, nil, &page); err != nil {
			return "", err
		}
		for _, m := range page.Messages {
			out = append(out, m.ID)
		}
		if len(out) > maxHits {
			return "", &Error{Op: "gmail.list", Object: user, Kind: ErrIncompleteList, Message: "more than fifty messages have this Message-ID"}
		}
		return page.NextPageToken, nil
	})
	return out, err
}

// header reads labels and some header fields of a message; none: all of them.
func (c *Client) header(ctx context.Context, user, id string, fields ...string) (Copy, error) {
	var m struct {
		ID       string
		LabelIDs []string
		Payload  struct {
			Headers []struct{ Name, Value string }
		}
	}
	query := url.Values{"format": {"metadata"}}
	if len(fields) > 0 {
		query["metadataHeaders"] = fields
	}
	if _, err := c.gmail(ctx, "gmail.get", http.MethodGet, user, c.modifyScope(), "messages/"+url.PathEscape(id), query, unitsGet, nil, &m); err != nil {
		return Copy{}, err
	}
	out := Copy{ID: id, Labels: m.LabelIDs, Header: textproto.MIMEHeader{}}
	for _, h := range m.Payload.Headers {
		out.Header.Add(h.Name, h.Value)
	}
	return out, nil
}

// Look finds every copy of a message in a mailbox, with its header.
func (c *Client) Look(ctx context.Context, mailbox, messageID string) ([]Copy, error) {
	ids, err := c.find(ctx, mailbox, messageID)
	if err != nil {
		return nil, err
	}
	var out []Copy
	for _, id := range ids {
		m, err := c.header(ctx, mailbox, id)
		if err != nil {
			return nil, err
		}
		if sameID(m.Header.Get("Message-Id"), messageID) {
			out = append(out, m)
		}
	}
	return out, nil
}

// sameID compares a Message-ID, with or without angle brackets.
func sameID(a, b string) bool {
	trim := func(s string) string {
		return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "<"), ">")
	}
	return trim(a) == trim(b) && trim(a) != ""
}
