package smtpserver

import (
	"strings"

	"github.com/emersion/go-smtp"
)

// mail begins a transaction (RFC 5321 section 4.1.1.2).
func (c *Conn) mail(arg string) {
	from, params, ok := cutEnvelope(arg, "FROM:")
	if !ok || strings.EqualFold(from, "postmaster") {
		c.protest(501, enhanced{5, 1, 7}, "Use MAIL FROM:<address>")
		return
	}
	opts, err := c.mailParams(params)
	if err != nil {
		c.decline("MAIL", err)
		return
	}
	if !isASCII(from) && !opts.UTF8 {
		c.protest(553, enhanced{5, 6, 7}, "A non-ASCII address needs SMTPUTF8")
		return
	}
	c.utf8 = opts.UTF8
	if err := c.call("MAIL", func() error { return c.session.Mail(from, opts) }); err != nil && !c.fail("MAIL", err) {
		c.utf8 = false
		return
	} else if err == nil {
		c.reply(250, enhanced{2, 1, 0}, "OK")
	}
	c.state = mailed
	c.idling--
}

func (c *Conn) mailParams(s string) (*smtp.MailOptions, error) {
	params, err := parseParams(s)
	if err != nil {
		return nil, err
	}
	return c.mailOptions(params)
}

// rcpt adds a recipient (RFC 5321 section 4.1.1.3).
func (c *Conn) rcpt(arg string) {
	to, rest, ok := cutEnvelope(arg, "TO:")
	if !ok || to == "" {
		c.protest(501, enhanced{5, 1, 3}, "Use RCPT TO:<address>")
		return
	}
	opts, err := c.rcptParams(rest)
	if err != nil {
		c.decline("RCPT", err)
		return
	}
	if !isASCII(to) && !c.utf8 {
		c.protest(553, enhanced{5, 6, 7}, "A non-ASCII address needs SMTPUTF8")
		c.refused++
		return
	}
	if c.rcpts >= c.server.maxRecipients() {
		c.reply(452, enhanced{4, 5, 3}, "Too many recipients")
		return
	}
	if err := c.call("RCPT", func() error { return c.session.Rcpt(to, opts) }); err != nil && !c.fail("RCPT", err) {
		c.refused++
		return
	} else if err == nil {
		c.reply(250, enhanced{2, 1, 5}, "OK")
	}
	c.rcpts++
	c.state = rcpted
	c.idling--
}

func (c *Conn) rcptParams(s string) (*smtp.RcptOptions, error) {
	params, err := parseParams(s)
	if err != nil {
		return nil, err
	}
	return c.rcptOptions(params)
}

// cutEnvelope takes the word and the path off the argument of MAIL or RCPT. Spaces before the path are not
// allowed, but common.
func cutEnvelope(arg, word string) (address, params string, ok bool) {
	if len(arg) < len(word) || !strings.EqualFold(arg[:len(word)], word) {
		return "", "", false
	}
	return cutPath(strings.TrimLeft(arg[len(word):], " "))
}

// decline answers with an error of the parameters.
func (c *Conn) decline(doing string, err error) {
	c.errors++
	c.fail(doing, err)
	if c.errors >= c.server.maxErrors() && !c.closing {
		c.hangUp("Too many errors")
	}
}
