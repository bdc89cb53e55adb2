package store

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// maxTicket bounds what is read of a link.
const maxTicket = 2048

// ticket is what is signed into a link: who may release what to whom, and until when.
type ticket struct {
	held  string
	to    string // an address, or everyRecipient
	who   string // for the audit trail: whom the link was sent to
	until time.Time
}

// everyRecipient stands in a ticket for all recipients of a message: it is one of an administrator.
const everyRecipient = "*"

func (s *Store) seal(t ticket) string {
	claim := strings.Join([]string{strconv.FormatInt(t.until.Unix(), 10), t.held, address(t.to), address(t.who)}, "\n")
	return base64.RawURLEncoding.EncodeToString([]byte(claim)) + "." + s.sign("ticket", claim)
}

// errTicket is said of all that is wrong with a link but its age: nobody learns why.
var errTicket = errors.New("this link is not valid")

var errTicketOver = errors.New("this link has expired")

func (s *Store) openTicket(sealed string, now time.Time) (ticket, error) {
	claim64, sum, ok := strings.Cut(sealed, ".")
	claim, err := base64.RawURLEncoding.DecodeString(claim64)
	if !ok || err != nil || len(sealed) > maxTicket || base64.RawURLEncoding.EncodeToString(claim) != claim64 || // there is one way to write it
		!hmac.Equal([]byte(sum), []byte(s.sign("ticket", string(claim)))) {
		return ticket{}, errTicket
	}
	parts := strings.Split(string(claim), "\n")
	if len(parts) != 4 {
		return ticket{}, errTicket
	}
	until, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return ticket{}, errTicket
	}
	t := ticket{held: parts[1], to: parts[2], who: parts[3], until: time.Unix(until, 0)}
	if now.After(t.until) {
		return t, errTicketOver
	}
	return t, nil
}

// LinkHandler serves the links that l has made. GET shows what a link is for and a form; it changes nothing, so that
// programs that follow links in mail release nothing. POST, with the box ticked, which such programs do not do
// even where they send forms, releases the message to the recipient of the link, once. What is malicious is not
// released by links of recipients unless l.Malicious says so, whatever was said when they were sent. Serve it at l.Base,
// over HTTPS, with bounds for the time and number of connections; a release has time of its own.
func (s *Store) LinkHandler(l Links, deliver Deliver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Robots-Tag", "noindex, nofollow")
		h.Set("Content-Type", "text/html; charset=utf-8")
		code, page := s.servePage(w, r, l, deliver)
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
	Class                 string
	Ticket                string // empty: there is no form
}

func (s *Store) servePage(w http.ResponseWriter, r *http.Request, l Links, deliver Deliver) (int, page) {
	post := false
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		post = true
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		return http.StatusMethodNotAllowed, page{Title: "Not possible"}
	}
	sealed := r.URL.Query().Get("t")
	if post {
		r.Body = http.MaxBytesReader(w, r.Body, 2*maxTicket)
		if err := r.ParseForm(); err != nil {
			return http.StatusBadRequest, page{Title: "Not possible", Text: "The form cannot be read."}
		}
		sealed = r.PostForm.Get("t")
	}
	t, err := s.openTicket(sealed, time.Now())
	if errors.Is(err, errTicketOver) {
		return http.StatusGone, page{Title: "Too late", Text: "This link has expired. Ask your administrator."}
	}
	if err != nil {
		return http.StatusNotFound, page{Title: "Not found", Text: "This link is not valid."}
	}
	held, err := s.HeldMessage(r.Context(), t.held)
	if errors.Is(err, ErrNotFound) || err == nil && held.State == StateDeleted {
		return http.StatusGone, page{Title: "Gone", Text: "The message is not kept any more."}
	}
	if err != nil {
		s.config.Log.Error("a held message cannot be shown", "id", t.held, "error", err)
		return http.StatusServiceUnavailable, page{Title: "Not now", Text: "Try again later."}
	}
	p := page{From: shown(held.Author), Subject: shown(held.Subject), At: held.At.Format(time.DateTime), Class: held.Class.String(), To: t.to}
	to := []string{t.to}
	if t.to == everyRecipient {
		p.To, to = addressList(held.Recipients), nil
	} else if held.Class == verdict.Malicious && !l.Malicious {
		p.Title, p.Text = "Not possible", fmt.Sprintf("Only an administrator can release this message. Name the id %s.", t.held)
		return http.StatusForbidden, p
	}
	if p.Title, p.Text = settledPage(held, to); p.Title != "" {
		return http.StatusConflict, p
	}
	if !post || r.PostForm.Get("sure") != "yes" {
		p.Title, p.Ticket = "Release this message?", sealed
		return http.StatusOK, p
	}
	return s.releaseByLink(w, r, p, Release{ID: t.held, Recipients: to, Who: "link for " + t.who, Deliver: deliver})
}

// releaseByLink releases. A visitor who does not wait for the answer stops nothing: half a delivery would leave nobody
// knowing whether the next hop has it.
func (s *Store) releaseByLink(w http.ResponseWriter, r *http.Request, p page, release Release) (int, page) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(releaseTime + time.Minute)) // where there is one
	ctx := context.WithoutCancel(r.Context())
	_, err := s.Release(ctx, release)
	if err == nil {
		s.config.Log.Info("a held message was released by a link", "id", release.ID)
		p.Title, p.Text = "Released", "The message is on its way."
		return http.StatusOK, p
	}
	if held, herr := s.HeldMessage(ctx, release.ID); herr == nil { // somebody else may have been faster
		if p.Title, p.Text = settledPage(held, release.Recipients); p.Title != "" {
			return http.StatusConflict, p
		}
	}
	s.config.Log.Error("a held message was not released", "id", release.ID, "error", err)
	p.Title, p.Text = "Not released", fmt.Sprintf("The message could not be delivered now. Try again later, or ask your administrator and name the id %s.", release.ID)
	return http.StatusBadGateway, p
}

// settledPage says why nobody is left to release a message to; empty if there is somebody. to is nil for everybody.
func settledPage(h Held, to []string) (title, text string) {
	title, text = "Done already", "The message has been released, or is being released now."
	for _, r := range h.Recipients {
		switch {
		case to != nil && r.Address != to[0]:
		case r.State == StateHeld:
			return "", ""
		case r.State == StateUncertain:
			title, text = "Not certain", fmt.Sprintf("Nobody knows whether your mail server has this message already. If it does not arrive, ask your administrator and name the id %s.", h.ID)
		}
	}
	return title, text
}

var linkPage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title></head>
<body><h1>{{.Title}}</h1>
{{with .Text}}<p>{{.}}</p>{{end}}
{{if .At}}<dl><dt>From</dt><dd>{{.From}}</dd><dt>Subject</dt><dd>{{.Subject}}</dd><dt>For</dt><dd>{{.To}}</dd><dt>Held</dt><dd>{{.At}} UTC, as {{.Class}}</dd></dl>{{end}}
{{if and .Ticket (eq .Class "malicious")}}<p><strong>This message was found to be malicious.</strong> It may harm whoever opens it.</p>{{end}}
{{if .Ticket}}<form method="post" action="?"><input type="hidden" name="t" value="{{.Ticket}}">
<p><label><input type="checkbox" name="sure" value="yes" required> I know the sender and want this message.</label></p>
<p><button>Release</button></p></form>{{end}}
</body></html>
`))
