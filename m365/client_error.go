package m365

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// The causes an [Error] may have, for errors.Is.
var (
	ErrNotFound       = errors.New("no such object")
	ErrExists         = errors.New("an object of that name or value exists")
	ErrForbidden      = errors.New("not allowed")
	ErrUnauthorized   = errors.New("not signed in, or not for this service")
	ErrClaims         = errors.New("the service demands a new sign-in")
	ErrThrottled      = errors.New("the service asks to come back later")
	ErrDehydrated     = errors.New("the organization cannot be customized yet: run Enable-OrganizationCustomization, it takes from minutes to hours")
	ErrIncompleteList = errors.New("the list is not complete")
	ErrAmbiguous      = errors.New("no reply, the change may have been made: list before trying again")
	ErrInvalid        = errors.New("the call cannot be made like this")
	ErrInUse          = errors.New("something still refers to the object")
	ErrLimit          = errors.New("a limit of the service is reached")
)

// An Error is a call that failed. Its cause is one of the Err values, or unknown.
type Error struct {
	Cmdlet     string // or method and path of a Graph request
	Object     string // the identity or name the call was about, if it had one
	Status     int    // of HTTP; 0: there was no reply
	Type       string // the .NET class of the exception, or the code of a Graph error
	Message    string // what the service said, in its words
	RequestID  string // to be named in a support case
	Retryable  bool   // the same call may work later
	RetryAfter time.Duration
	Role       string // that is missing, when the cause is ErrForbidden and the cmdlet is known
	Kind       error  // one of the Err values, nil: unknown
	Err        error  // what went wrong below: the network, the context, the source of tokens
}

// Error says what happened to what, and what to do if that is known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("m365: " + e.Cmdlet)
	if e.Object != "" {
		fmt.Fprintf(&b, " %q", e.Object)
	}
	if e.Kind != nil {
		b.WriteString(": " + e.Kind.Error())
	}
	if e.Role != "" {
		b.WriteString(" (needs " + e.Role + "; a role given just now takes minutes to hours to count)")
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
		if e.RequestID != "" {
			b.WriteString(", request " + e.RequestID)
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

// envelope is what both services wrap an error in.
type envelope struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Details []struct {
			Message string `json:"message"`
		} `json:"details"`
		Inner struct {
			Message  string `json:"message"`
			Type     string `json:"type"`
			Internal struct {
				Message string `json:"message"`
				Type    string `json:"type"`
			} `json:"internalexception"`
		} `json:"innererror"`
	} `json:"error"`
}

// replyError reads the error of a refused request. The outer message of the admin API is the same text
// whatever went wrong; what happened stands one or two levels deeper.
func replyError(name, object string, rep *reply) *Error {
	e := &Error{Cmdlet: name, Object: object, Status: rep.status, RequestID: rep.requestID()}
	var env envelope
	if json.Unmarshal(bytes.Trim(rep.body, "\x00 \r\n\t"), &env) == nil {
		in := env.Error.Inner
		e.Type, e.Message = in.Internal.Type, in.Internal.Message
		if len(env.Error.Details) > 0 {
			class, text := splitDetail(env.Error.Details[0].Message)
			e.Type, e.Message = first(e.Type, class), first(e.Message, text)
		}
		e.Type = first(e.Type, in.Type, env.Error.Code)
		e.Message = first(e.Message, in.Message, env.Error.Message)
	}
	if e.Message == "" {
		e.Message = first(rep.header.Get("x-ms-diagnostics"), rep.header.Get("x-ExceptionType"), http.StatusText(rep.status))
	}
	e.Message, e.Type = oneLine(e.Message, 1000), oneLine(e.Type, 200)
	e.Kind = kindOf(e)
	e.Retryable = e.Kind == ErrThrottled || e.Kind == nil && rep.status >= 500
	if e.Kind == ErrForbidden {
		e.Role = roleFor(name)
	}
	return e
}

// kinds tells causes apart by the .NET class first and by the English text after it: the status says
// little, since nearly everything is a 400.
var kinds = []struct {
	kind          error
	types, phrase []string
}{
	{ErrDehydrated, []string{"Dehydrated"}, []string{"Enable-OrganizationCustomization"}},
	{ErrThrottled, []string{"OverBudget", "ServerBusy", "Throttl", "TooManyRequests", "MailboxConcurrency"},
		[]string{"server is too busy"}},
	{ErrNotFound, []string{"ManagementObjectNotFound", "MemberNotFound", "ErrorItemNotFound", "ResourceNotFound"},
		[]string{"couldn't be found", "wasn't found", "doesn't exist"}},
	{ErrExists, []string{"AlreadyExists", "DuplicateName"}, []string{"already exists", "already a member", "is already being used"}},
	{ErrInUse, []string{"InUse"}, []string{"is being used by", "is referenced by", "still referenced"}},
	{ErrLimit, []string{"LimitExceeded", "QuotaExceeded", "TooMany"}, []string{"maximum number", "exceeds the limit", "reached the limit"}},
	{ErrForbidden, []string{"Authorization_RequestDenied", "AccessDenied", "UnauthorizedAccess"}, nil},
	{ErrInvalid, []string{"ParameterBinding", "DataValidation", "ArgumentException", "ArgumentOutOfRange", "AmbiguousParameterSet",
		"InvalidEnum", "InvalidPriority", "CommandNotFound"}, []string{"Cannot bind parameter", "cannot be resolved using the specified named parameters"}},
}

func kindOf(e *Error) error {
	switch e.Status {
	case http.StatusTooManyRequests:
		return ErrThrottled
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		return ErrForbidden
	}
	for _, k := range kinds {
		for _, t := range k.types {
			if strings.Contains(e.Type, t) {
				return k.kind
			}
		}
	}
	for _, k := range kinds {
		for _, p := range k.phrase {
			if strings.Contains(e.Message, p) {
				return k.kind
			}
		}
	}
	if e.Status == http.StatusNotFound {
		return ErrNotFound
	}
	return nil
}

// splitDetail takes "code|class|text" apart.
func splitDetail(s string) (class, text string) {
	parts := strings.SplitN(s, "|", 3)
	if len(parts) < 3 {
		return "", s
	}
	return parts[1], parts[2]
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

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
