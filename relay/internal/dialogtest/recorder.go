package dialogtest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
)

// Recorder makes sessions that keep what they are given. The local part of an address tells them what to
// do. In MAIL and RCPT:
//
//	deny    550 5.1.1          defer   451 4.2.0          bye     421 4.7.0
//	error   an error that is no *smtp.SMTPError           panic   a panic
//	text    an error of class 2: "250 2.1.9 As you like"
//
// The sender's local part also tells Data what to do:
//
//	data-deny, data-defer, data-bye, data-error, data-text   as above, after reading the message
//	data-panic     panics after reading the message
//	early-deny     550 without reading
//	early-ok       no error without reading
//	early-panic    panics without reading
//	blind          reads, and returns no error whatever Read says; then the body is recorded as "(in part)"
//	copy           reads with io.Copy, so that WriterTo is used; everybody else calls Read with a small buffer
//
// Errors and panics say "secret cause": that must not reach the client. A Recorder may be used by many
// connections at once. It keeps note of an engine that breaks the rules of smtp.Session.
type Recorder struct {
	mu         sync.Mutex
	messages   []Message
	sessions   int
	logouts    int
	resets     int
	violations []string
}

// Message is what a session was given, all of it escaped and in one line each.
type Message struct {
	Envelope string // "FROM:<a@b> SIZE=5 TO:<c@d> NOTIFY=NEVER TO:<e@f>"
	Body     string
}

// String returns the message as an M line of a dialog has it.
func (m Message) String() string { return m.Envelope + " DATA:" + m.Body }

// Messages returns the messages that Data has accepted.
func (r *Recorder) Messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Message(nil), r.messages...)
}

// Sessions returns how many sessions were made and how many were logged out.
func (r *Recorder) Sessions() (made, loggedOut int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions, r.logouts
}

// Violations says what the engine did wrong.
func (r *Recorder) Violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.violations...)
}

func (r *Recorder) violate(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, fmt.Sprintf(format, args...))
}

// Session returns a new session.
func (r *Recorder) Session() smtp.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions++
	return &session{rec: r}
}

type session struct {
	rec      *Recorder
	busy     sync.Mutex // held while a method runs
	out      bool
	from     string
	envelope string // empty: no transaction
	rcpts    int
}

// enter notes a call, and that no other one is under way.
func (s *session) enter(name string) func() {
	if !s.busy.TryLock() {
		s.rec.violate("%s called while another method runs", name)
		return func() {}
	}
	if s.out {
		s.rec.violate("%s called after Logout", name)
	}
	return s.busy.Unlock
}

var errSecret = errors.New("secret cause")

func behave(what string) error {
	switch what {
	case "deny":
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No"}
	case "defer":
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "Later"}
	case "bye":
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Bye"}
	case "text":
		return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 1, 9}, Message: "As you like"}
	case "error":
		return errSecret
	case "panic":
		panic(errSecret)
	}
	return nil
}

func local(address string) string {
	l, _, _ := strings.Cut(address, "@")
	return l
}

// succeeded says whether the peer was told that something went well.
func succeeded(err error) bool {
	var se *smtp.SMTPError
	return err == nil || errors.As(err, &se) && se.Code/100 == 2
}

func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	defer s.enter("Mail")()
	if s.envelope != "" {
		s.rec.violate("Mail in the middle of a transaction")
	}
	err := behave(local(from))
	if succeeded(err) {
		s.from = from
		s.envelope = "FROM:<" + Escape(from) + ">" + Escape(mailOptions(opts))
	}
	return err
}

func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	defer s.enter("Rcpt")()
	if s.envelope == "" {
		s.rec.violate("Rcpt without Mail")
	}
	err := behave(local(to))
	if succeeded(err) {
		s.rcpts++
		s.envelope += " TO:<" + Escape(to) + ">" + Escape(rcptOptions(opts))
	}
	return err
}

func (s *session) Data(r io.Reader) error {
	defer s.enter("Data")()
	if s.rcpts == 0 {
		s.rec.violate("Data without recipient")
	}
	who := local(s.from)
	if what, ok := strings.CutPrefix(who, "early-"); ok {
		return behave(what)
	}
	body, err := readAll(r, who == "copy")
	if err != nil && who != "blind" {
		return err
	} else if err != nil {
		body = "(in part)" // how much of it depends on what arrived together
	}
	what, _ := strings.CutPrefix(who, "data-")
	err = behave(what)
	if succeeded(err) {
		s.rec.mu.Lock()
		s.rec.messages = append(s.rec.messages, Message{s.envelope, Escape(body)})
		s.rec.mu.Unlock()
	}
	return err
}

func readAll(r io.Reader, whole bool) (string, error) {
	var b strings.Builder
	if whole {
		_, err := io.Copy(&b, r)
		return b.String(), err
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{&b}, struct{ io.Reader }{r}, make([]byte, 61))
	return b.String(), err
}

func (s *session) Reset() {
	defer s.enter("Reset")()
	s.from, s.envelope, s.rcpts = "", "", 0
	s.rec.mu.Lock()
	s.rec.resets++
	s.rec.mu.Unlock()
}

func (s *session) Logout() error {
	defer s.enter("Logout")()
	s.out = true
	s.rec.mu.Lock()
	s.rec.logouts++
	s.rec.mu.Unlock()
	return nil
}

func mailOptions(o *smtp.MailOptions) string {
	var b strings.Builder
	add := func(key, value string) {
		if value != "" {
			b.WriteString(" " + key + "=" + value)
		}
	}
	add("BODY", string(o.Body))
	if o.Size != 0 {
		add("SIZE", fmt.Sprint(o.Size))
	}
	if o.UTF8 {
		b.WriteString(" SMTPUTF8")
	}
	if o.RequireTLS {
		b.WriteString(" REQUIRETLS")
	}
	add("RET", string(o.Return))
	add("ENVID", o.EnvelopeID)
	return b.String()
}

func rcptOptions(o *smtp.RcptOptions) string {
	var b strings.Builder
	if len(o.Notify) > 0 {
		words := make([]string, len(o.Notify))
		for i, n := range o.Notify {
			words[i] = string(n)
		}
		b.WriteString(" NOTIFY=" + strings.Join(words, ","))
	}
	if o.OriginalRecipient != "" {
		b.WriteString(" ORCPT=" + string(o.OriginalRecipientType) + ";" + o.OriginalRecipient)
	}
	return b.String()
}
