package milter

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-milter"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const (
	codeReject     = "milter.reject"
	codeDiscard    = "milter.discard"
	codeQuarantine = "milter.quarantine"
	codeRecipient  = "milter.recipient"
	codeHeader     = "milter.header"
	codeChange     = "milter.change"

	maxFindings = 100
)

// talk is one session.
type talk struct {
	*Scanner
	session  *milter.ClientSession
	m        *verdict.Message
	findings []verdict.Finding
}

// step is one step of a session. done says that the milter has decided.
type step func() (done bool, err error)

func (t *talk) run() error {
	for _, s := range []step{t.connect, t.helo, t.mail, t.recipients, t.header, t.body, t.end} {
		if done, err := s(); done || err != nil {
			return err
		}
	}
	return nil
}

func (t *talk) macros(code milter.Code, kv ...string) error {
	for i := 1; i < len(kv); i += 2 {
		kv[i] = remote.Line(kv[i], maxValue)
	}
	return t.session.Macros(code, kv...)
}

func (t *talk) connect() (bool, error) {
	name, family, port, addr := t.client()
	err := t.macros(milter.CodeConn, "j", cmp.Or(t.Hostname, "localhost"), "{daemon_name}", "postreeve", "{client_addr}", addr)
	if err != nil {
		return false, err
	}
	return t.decide("connect")(t.session.Conn(name, family, port, addr))
}

func (t *talk) helo() (bool, error) {
	version, cipher, _ := strings.Cut(t.m.Origin.TLS, " ")
	if err := t.macros(milter.CodeHelo, "{tls_version}", version, "{cipher}", cipher); err != nil {
		return false, err
	}
	return t.decide("HELO")(t.session.Helo(remote.Line(cmp.Or(t.m.Origin.Helo, "unknown"), maxValue)))
}

func (t *talk) mail() (bool, error) {
	from := remote.Line(t.m.Envelope.From, maxValue)
	if err := t.macros(milter.CodeMail, "i", t.m.ID, "{mail_addr}", from); err != nil {
		return false, err
	}
	var args []string
	if b := t.m.Envelope.Body; b != "" {
		args = append(args, "BODY="+remote.Line(b, maxValue))
	}
	if t.m.Envelope.UTF8 {
		args = append(args, "SMTPUTF8")
	}
	return t.decide("MAIL")(t.session.Mail(from, args))
}

// recipients tells the recipients. A milter that refuses some of them does not object to the message.
func (t *talk) recipients() (bool, error) {
	refused := 0
	last := &milter.Action{}
	all := t.m.Envelope.To
	if len(all) == 0 { // a message from a file; libmilter waits for one without a word
		all = []verdict.Recipient{{Address: "postmaster"}}
	}
	for _, r := range all {
		to := remote.Line(r.Address, maxValue)
		if err := t.macros(milter.CodeRcpt, "{rcpt_addr}", to); err != nil {
			return false, err
		}
		a, err := t.session.Rcpt(to, nil)
		if err == nil && refuses(a) {
			refused, last = refused+1, a
			continue
		}
		if done, err := t.decide("RCPT")(a, err); done || err != nil {
			return done, err
		}
	}
	if refused == len(all) {
		return t.decide("RCPT")(last, nil)
	}
	if refused > 0 {
		t.found(codeRecipient, verdict.Unknown, fmt.Sprintf("%d of %d recipients refused", refused, len(all)))
	}
	return false, nil
}

func (t *talk) header() (bool, error) {
	h := t.m.Header()
	if err := h.Err(); err != nil {
		return false, &remote.ErrSource{Err: err}
	}
	for f := range h.All() {
		if f.Name == "" {
			continue
		}
		v := value(string(f.Raw()))
		if len(f.Name)+len(v) > maxField {
			return false, fmt.Errorf("%w: a header field of %d bytes does not fit the protocol", verdict.ErrUnscannable, f.Len())
		}
		if done, err := t.decide("header")(t.session.HeaderField(strings.ReplaceAll(f.Name, "\x00", "?"), v)); done || err != nil {
			return done, err
		}
	}
	return t.decide("header")(t.session.HeaderEnd())
}

func (t *talk) body() (bool, error) {
	if t.session.ProtocolOption(milter.OptNoBody) {
		return false, nil
	}
	r, err := remote.Open(t.m)
	if err != nil {
		return false, err
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, t.m.Header().BodyOffset()); err != nil && err != io.EOF {
		return false, err
	}
	buf := make([]byte, milter.MaxBodyChunk)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if done, err := t.decide("body")(t.session.BodyChunk(buf[:n])); done || err != nil {
				return done, err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (t *talk) end() (bool, error) {
	if err := t.macros(milter.CodeEOB, "i", t.m.ID); err != nil {
		return false, err
	}
	changes, a, err := t.session.End()
	if err != nil {
		return false, unreadable(err)
	}
	for _, c := range changes {
		if len(t.findings) >= maxFindings {
			return false, fmt.Errorf("%w: more than %d changes", remote.ErrAnswer, maxFindings)
		}
		t.change(c)
	}
	return t.decide("end of message")(a, nil)
}

// refuses says whether an action is about a recipient alone when it is the answer to one.
func refuses(a *milter.Action) bool {
	return a.Code == milter.ActReject || a.Code == milter.ActReplyCode && a.SMTPCode/100 == 5
}

// decide makes findings of what a milter has answered.
func (t *talk) decide(stage string) func(a *milter.Action, err error) (done bool, _ error) {
	return func(a *milter.Action, err error) (bool, error) {
		if err != nil {
			return false, unreadable(err)
		}
		text := remote.Excerpt(stage+" "+a.SMTPText, maxDetail)
		switch {
		case a.Code == milter.ActContinue:
			return false, nil
		case a.Code == milter.ActAccept:
			return true, nil
		case refuses(a):
			t.found(codeReject, t.Reject, text)
			return true, nil
		case a.Code == milter.ActDiscard:
			t.found(codeDiscard, t.Discard, text)
			return true, nil
		case a.Code == milter.ActTempFail, a.Code == milter.ActReplyCode && a.SMTPCode/100 == 4:
			return true, fmt.Errorf("it wants to be asked again later: %s", text)
		}
		return false, fmt.Errorf("%w: action %q with %d at %s", remote.ErrAnswer, a.Code, a.SMTPCode, stage)
	}
}

// found adds a finding, with a class other than that of the table if there is one.
func (t *talk) found(code string, class verdict.Class, detail string) {
	f := verdict.Found(code)
	f.Class = cmp.Or(class, f.Class)
	f.Detail = detail
	t.findings = append(t.findings, f)
}

// change makes a finding of what a milter would have changed.
func (t *talk) change(c milter.ModifyAction) {
	switch c.Code {
	case milter.ActQuarantine:
		t.found(codeQuarantine, t.Quarantine, remote.Excerpt(c.Reason, maxDetail))
	case milter.ActAddHeader, milter.ActInsertHeader, milter.ActChangeHeader:
		t.field(c.HeaderName, c.HeaderValue)
	case milter.ActReplBody:
		if n := len(t.findings); n == 0 || t.findings[n-1].Detail != newBody { // it comes in pieces
			t.found(codeChange, verdict.Unknown, newBody)
		}
	default:
		t.found(codeChange, verdict.Unknown, remote.Excerpt(fmt.Sprintf("envelope: %c %s%s", c.Code, c.Rcpt, c.From), maxDetail))
	}
}

const newBody = "another body"

func (t *talk) field(name, value string) {
	rules := t.Rules
	if rules == nil {
		rules = DefaultRules()
	}
	class, ruled := verdict.Unknown, false
	v := strings.Join(strings.Fields(value), " ") // without folding
	for _, r := range rules {
		if strings.EqualFold(r.Name, name) && len(v) >= len(r.Prefix) && strings.EqualFold(v[:len(r.Prefix)], r.Prefix) {
			class, ruled = max(class, r.Class), true
		}
	}
	f := verdict.Found(codeHeader)
	f.Class, f.Detail = class, remote.Excerpt(name+": "+value, maxDetail)
	if ruled && class == verdict.Unknown {
		f.Err = fmt.Errorf("milter: it could not tell: %s", f.Detail)
	}
	t.findings = append(t.findings, f)
}
