package store

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxTicket bounds what is read of a link.
const maxTicket = 2048

// ticket is what is signed into a link: who may release what, and until when.
func (s *Store) ticket(held, recipient string, until time.Time) string {
	claim := strconv.FormatInt(until.Unix(), 10) + "\n" + held + "\n" + address(recipient)
	return base64.RawURLEncoding.EncodeToString([]byte(claim)) + "." + s.sign("ticket", claim)
}

// errTicket is said of all that is wrong with a link but its age: nobody learns why.
var errTicket = errors.New("this link is not valid")

var errTicketOver = errors.New("this link has expired")

func (s *Store) openTicket(ticket string, now time.Time) (held, recipient string, err error) {
	claim64, sum, ok := strings.Cut(ticket, ".")
	claim, err := base64.RawURLEncoding.DecodeString(claim64)
	if !ok || err != nil || len(ticket) > maxTicket || !hmac.Equal([]byte(sum), []byte(s.sign("ticket", string(claim)))) {
		return "", "", errTicket
	}
	parts := strings.Split(string(claim), "\n")
	if len(parts) != 3 {
		return "", "", errTicket
	}
	until, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return "", "", errTicket
	}
	if now.Unix() > until {
		return "", "", errTicketOver
	}
	return parts[1], parts[2], nil
}

// LinkHandler serves the links of digests. GET shows what the link is for and a form; it changes nothing, so that
// programs that follow links in mail release nothing. POST, with the box ticked, which such programs do not do
// even where they send forms, releases the message to the recipient of the link, once. Serve it at Links.Base, over
// HTTPS.
func (s *Store) LinkHandler(deliver Deliver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Robots-Tag", "noindex, nofollow")
		h.Set("Content-Type", "text/html; charset=utf-8")
		code, page := s.servePage(w, r, deliver)
		w.WriteHeader(code)
		if r.Method != http.MethodHead {
			_ = linkPage.Execute(w, page) // whoever asked has gone
		}
	})
}

// page is what a visitor sees.
type page struct {
	Title, Text           string
	From, Subject, To, At string
	Ticket                string // empty: there is no form
}

func (s *Store) servePage(w http.ResponseWriter, r *http.Request, deliver Deliver) (int, page) {
	post := false
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		post = true
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		return http.StatusMethodNotAllowed, page{Title: "Not possible"}
	}
	ticket := r.URL.Query().Get("t")
	if post {
		r.Body = http.MaxBytesReader(w, r.Body, 2*maxTicket)
		if err := r.ParseForm(); err != nil {
			return http.StatusBadRequest, page{Title: "Not possible", Text: "The form cannot be read."}
		}
		ticket = r.PostForm.Get("t")
	}
	id, recipient, err := s.openTicket(ticket, time.Now())
	if errors.Is(err, errTicketOver) {
		return http.StatusGone, page{Title: "Too late", Text: "This link has expired. Ask your administrator."}
	}
	if err != nil {
		return http.StatusNotFound, page{Title: "Not found", Text: "This link is not valid."}
	}
	held, err := s.HeldMessage(r.Context(), id)
	if errors.Is(err, ErrNotFound) || err == nil && held.State == StateDeleted {
		return http.StatusGone, page{Title: "Gone", Text: "The message is not kept any more."}
	}
	if err != nil {
		s.config.Log.Error("a held message cannot be shown", "id", id, "error", err)
		return http.StatusServiceUnavailable, page{Title: "Not now", Text: "Try again later."}
	}
	p := page{From: oneLine(held.Author), Subject: oneLine(held.Subject), At: held.At.Format(time.DateTime), To: recipient}
	var to []string
	if recipient == everyRecipient {
		p.To = addressList(held.Recipients)
	} else {
		to = []string{recipient}
	}
	if !anyHeld(held, to) {
		p.Title, p.Text = "Done already", "The message has been released, or is being released now."
		return http.StatusConflict, p
	}
	if !post || r.PostForm.Get("sure") != "yes" {
		p.Title, p.Ticket = "Release this message?", ticket
		return http.StatusOK, p
	}
	_, err = s.Release(r.Context(), Release{ID: id, Recipients: to, Who: "link for " + recipient, Deliver: deliver})
	if err != nil {
		s.config.Log.Error("a held message was not released", "id", id, "error", err)
		p.Title, p.Text = "Not released", fmt.Sprintf("The message could not be delivered now. Try again later, or ask your administrator and name the id %s.", id)
		return http.StatusBadGateway, p
	}
	p.Title, p.Text = "Released", "The message is on its way."
	return http.StatusOK, p
}

// anyHeld says whether there is somebody to release a message to.
func anyHeld(h Held, to []string) bool {
	for _, r := range h.Recipients {
		if r.State == StateHeld && (to == nil || r.Address == to[0]) {
			return true
		}
	}
	return false
}

var linkPage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title></head>
<body><h1>{{.Title}}</h1>
{{with .Text}}<p>{{.}}</p>{{end}}
{{if .At}}<dl><dt>From</dt><dd>{{.From}}</dd><dt>Subject</dt><dd>{{.Subject}}</dd><dt>For</dt><dd>{{.To}}</dd><dt>Held</dt><dd>{{.At}} UTC</dd></dl>{{end}}
{{if .Ticket}}<form method="post" action="?"><input type="hidden" name="t" value="{{.Ticket}}">
<p><label><input type="checkbox" name="sure" value="yes" required> I know the sender and want this message.</label></p>
<p><button>Release</button></p></form>{{end}}
</body></html>
`))
