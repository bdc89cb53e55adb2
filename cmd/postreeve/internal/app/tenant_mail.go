package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"os"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// mailFlags say who is told of the result.
type mailFlags struct {
	ReportTo   []string `placeholder:"ADDRESS" help:"Mail the result to these, the escalation contacts."`
	ReportVia  string   `placeholder:"HOST[:PORT]" help:"The server that takes the mail of --report-to: the gateway."`
	ReportFrom string   `placeholder:"ADDRESS" help:"Who it is from. By default postreeve at the host name of this machine."`
}

// valid looks at the flags before anything is done.
func (f *mailFlags) valid(e *env) error {
	if len(f.ReportTo) > 0 && f.ReportVia == "" {
		return usage(e, "--report-to needs --report-via: the server that takes the mail, as in mx.gw.example:25")
	}
	for _, a := range append([]string{f.from()}, f.ReportTo...) {
		if got, err := mail.ParseAddress(a); err != nil || got.Address != a || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return usage(e, "%q is no address to send a report from or to", a)
		}
	}
	return nil
}

func (f *mailFlags) from() string {
	if f.ReportFrom != "" {
		return f.ReportFrom
	}
	return "postreeve@" + reportHost()
}

// reportHost is the name of this machine, if it is one that can stand in an address.
func reportHost() string {
	name, err := os.Hostname()
	if err != nil || !strings.Contains(name, ".") {
		return "localhost.localdomain"
	}
	return name
}

// report mails what a command did. That nobody could be told does not undo it: it is said, and is an error only
// if all else went well.
func (f *mailFlags) report(e *env, subject string, print func(*screen)) error {
	if len(f.ReportTo) == 0 {
		return nil
	}
	var text bytes.Buffer
	print(newScreen(&text))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), time.Minute)
	defer cancel()
	if err := f.send(ctx, subject, text.Bytes()); err != nil {
		return fmt.Errorf("the result could not be mailed by %s: %w", f.ReportVia, err)
	}
	e.err.printf("mailed to %s\n", show(strings.Join(f.ReportTo, ", ")))
	return nil
}

func (f *mailFlags) send(ctx context.Context, subject string, text []byte) error {
	hop := &relay.SMTP{Hosts: []string{f.ReportVia}, TLS: relay.TLSOpportunistic, MaxIdle: -1}
	if _, _, err := net.SplitHostPort(f.ReportVia); err != nil {
		hop.Hosts = []string{net.JoinHostPort(strings.Trim(f.ReportVia, "[]"), "25")}
	}
	defer hop.Close()
	env := verdict.Envelope{From: f.from()}
	for _, to := range f.ReportTo {
		env.To = append(env.To, verdict.Recipient{Address: to})
	}
	receipts, err := hop.Deliver(ctx, env, verdict.Bytes(reportMessage(f.from(), f.ReportTo, subject, text, time.Now())))
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range receipts {
		if !r.Accepted() {
			errs = append(errs, fmt.Errorf("%s: %w", r.Recipient, r.Reply))
		}
	}
	return errors.Join(errs...)
}

// reportMessage writes a message of plain text (RFC 5322), in base64 so that no line can be too long.
func reportMessage(from string, to []string, subject string, text []byte, at time.Time) string {
	var b strings.Builder
	_, domain, _ := strings.Cut(from, "@")
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n", from, strings.Join(to, ">, <"), mime.QEncoding.Encode("utf-8", show(subject)))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <%d.report@%s>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n", at.Format(time.RFC1123Z), at.UnixNano(), domain)
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	encoded := base64.StdEncoding.EncodeToString(text)
	for len(encoded) > 0 {
		n := min(76, len(encoded))
		b.WriteString(encoded[:n] + "\r\n")
		encoded = encoded[n:]
	}
	return b.String()
}
