package gworkspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The causes an [Error] may have, for errors.Is.
var (
	ErrNotFound       = errors.New("no such object")
	ErrForbidden      = errors.New("not allowed")
	ErrUnauthorized   = errors.New("the token was refused")
	ErrScope          = errors.New("the delegation lacks a scope")
	ErrSubject        = errors.New("nobody can act as this user: it does not exist, or is suspended")
	ErrNoMailbox      = errors.New("the user has no Gmail")
	ErrThrottled      = errors.New("the service asks to come back later")
	ErrIncompleteList = errors.New("the list is not complete")
	ErrInvalid        = errors.New("the request cannot be made like this")
)

// An Error is a request that failed. Its cause is one of the Err values, or unknown.
type Error struct {
	Op         string // such as gmail.trash
	Object     string // the mailbox or user it was about, if there is one
	Status     int    // of HTTP; 0: there was no reply
	Reason     string // of the service, such as failedPrecondition
	Message    string // what the service said, in its words
	Retryable  bool   // the same request may work later
	RetryAfter time.Duration
	Kind       error // one of the Err values, nil: unknown
	Err        error // what went wrong below: the network, the context, the source of tokens
}

// Error says what happened to what, and what to do if that is known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("gworkspace: " + e.Op)
	if e.Object != "" {
		fmt.Fprintf(&b, " %q", e.Object)
	}
	if e.Kind != nil {
		b.WriteString(": " + e.Kind.Error())
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, ": come back in %s", e.RetryAfter)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d", e.Status)
		if e.Reason != "" {
			b.WriteString(", " + e.Reason)
		}
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As the cause and what lies below it.
func (e *Error) Unwrap() []error {
	var out []error
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// replyError reads the error of a refused request: the form of the APIs, or the one of RFC 6749 section 5.2.
func replyError(name, object string, status int, body []byte) *Error {
	e := &Error{Op: name, Object: object, Status: status}
	var env struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
	}
	var api struct {
		Message string                    `json:"message"`
		Status  string                    `json:"status"`
		Errors  []struct{ Reason string } `json:"errors"`
		Details []struct{ Reason string } `json:"details"`
	}
	if json.Unmarshal(body, &env) == nil && json.Unmarshal(env.Error, &e.Reason) != nil && json.Unmarshal(env.Error, &api) == nil {
		for _, d := range slices.Concat(api.Details, api.Errors) {
			e.Reason = first(e.Reason, d.Reason)
		}
		e.Reason = first(e.Reason, api.Status)
	}
	e.Message = oneLine(first(api.Message, env.Description, http.StatusText(status)), 1000)
	if e.Reason == "invalid_grant" && strings.Contains(e.Message, "timeframe") {
		e.Message += ": set the clock of this machine, which says " + time.Now().UTC().Format(time.RFC3339)
	}
	e.Reason = oneLine(e.Reason, 100)
	e.Kind = kindOf(e)
	e.Retryable = e.Kind == ErrThrottled || e.Kind == nil && status >= 500 || status == http.StatusRequestTimeout
	return e
}

// kindOf tells causes apart by the reason first and by the status after it.
func kindOf(e *Error) error {
	switch e.Reason {
	case "rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED":
		return ErrThrottled
	case "unauthorized_client", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "insufficientPermissions", "invalid_scope":
		return ErrScope
	case "failedPrecondition", "FAILED_PRECONDITION":
		if strings.HasPrefix(e.Op, "gmail.") {
			return ErrNoMailbox
		}
	case "invalid_grant", "invalid_request":
		if aboutSubject(e.Message) {
			return ErrSubject
		}
		if e.Reason == "invalid_grant" { // of the service account: deleted, disabled, another key
			return ErrUnauthorized
		}
	}
	switch e.Status {
	case http.StatusTooManyRequests:
		return ErrThrottled
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusNotFound, http.StatusGone:
		return ErrNotFound
	case http.StatusBadRequest:
		return ErrInvalid
	}
	return nil
}

// subjectTexts are what the token service says about the user to act as, by package GAM: unknown or suspended, deleted
// not long ago, deleted long ago. Everything else that it says about an account is about the service account.
var subjectTexts = []string{"invalid email or user id", "the account has been deleted", "invalid impersonation"}

func aboutSubject(message string) bool {
	low := strings.ToLower(message)
	return slices.ContainsFunc(subjectTexts, func(s string) bool { return strings.Contains(low, s) })
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

func notPrintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' }

// oneLine makes foreign text fit for a log line.
func oneLine(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return r <= ' ' || notPrintable(r) }), " ")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "..."
}
