package smtpserver

import (
	"log/slog"
	"strings"
)

// command is one command line.
type command struct {
	verb verb
	arg  string // behind the verb and a space, without spaces at its end
}

var verbs = map[string]verb{
	"HELO": helo, "EHLO": ehlo, "STARTTLS": starttls, "XCLIENT": xclient, "XFORWARD": xforward,
	"MAIL": mail, "RCPT": rcpt, "DATA": data, "BDAT": bdat, "RSET": rset, "NOOP": noop, "QUIT": quit,
	"VRFY": vrfy, "EXPN": expn, "HELP": help, "AUTH": auth,
	"GET": foreign, "POST": foreign, "PUT": foreign, "CONNECT": foreign, "OPTIONS": foreign, "HOST:": foreign,
}

// parseCommand takes a line apart. It keeps nothing of line.
func parseCommand(line []byte) command {
	word, arg, _ := strings.Cut(strings.TrimRight(string(line), " \t"), " ")
	if len(word) > len("STARTTLS") {
		return command{}
	}
	return command{verb: verbs[strings.ToUpper(word)], arg: strings.TrimLeft(arg, " ")}
}

// handlers say how a command is obeyed that the table allows.
var handlers = [numVerbs]func(*Conn, string){
	unknown:  (*Conn).unknown,
	helo:     (*Conn).doHelo,
	ehlo:     (*Conn).doEhlo,
	starttls: (*Conn).startTLS,
	xclient:  (*Conn).xclient,
	xforward: (*Conn).xforward,
	mail:     (*Conn).mail,
	rcpt:     (*Conn).rcpt,
	data:     (*Conn).data,
	bdat:     (*Conn).bdat,
	rset:     (*Conn).rset,
	noop:     (*Conn).noop,
	quit:     (*Conn).quit,
	vrfy:     (*Conn).vrfy,
	expn:     (*Conn).expn,
	help:     (*Conn).help,
	auth:     (*Conn).expn,
	foreign:  (*Conn).foreign,
}

// obey does what a command says, or says why not.
func (c *Conn) obey(cmd command) {
	if c.idling++; c.idling > c.server.maxCommands() {
		c.hangUp("Too many commands without a message")
		return
	}
	switch r := table[c.state][cmd.verb]; {
	case r == obey:
		handlers[cmd.verb](c, cmd.arg)
	case cmd.verb == bdat:
		c.refuseChunk(cmd.arg, r)
	default:
		c.refuse(r)
	}
}

// bare says whether a command came without an argument, as it must, and protests if not.
func (c *Conn) bare(arg string) bool {
	if arg != "" {
		c.protest(501, enhanced{5, 5, 4}, "This command takes no argument")
		return false
	}
	return true
}

func (c *Conn) unknown(string) {
	c.protest(500, enhanced{5, 5, 1}, "Command not recognized")
}

// foreign ends a session with a client that speaks another protocol: a web browser, say, which somebody
// made to post a form to this port.
func (c *Conn) foreign(string) {
	c.reply(554, enhanced{5, 5, 1}, "This is SMTP, closing connection")
	c.log(slog.LevelInfo, "not an SMTP client")
	c.closing, c.lingers = true, true
}

func (c *Conn) rset(arg string) {
	if !c.bare(arg) {
		return
	}
	c.reset()
	c.done(250, enhanced{2, 0, 0}, "OK")
}

// done answers unless the session has ended meanwhile.
func (c *Conn) done(code int, e enhanced, text string) {
	if !c.closing {
		c.reply(code, e, text)
	}
}

func (c *Conn) noop(string) { c.reply(250, enhanced{2, 0, 0}, "OK") }

func (c *Conn) quit(arg string) {
	if !c.bare(arg) {
		return
	}
	c.reply(221, enhanced{2, 0, 0}, c.server.hostname()+" closing connection")
	c.closing = true
}

// vrfy tells nobody which addresses exist (RFC 5321 section 7.3).
func (c *Conn) vrfy(arg string) {
	if arg == "" {
		c.protest(501, enhanced{5, 5, 4}, "VRFY needs an address")
		return
	}
	c.reply(252, enhanced{2, 5, 0}, "Cannot verify, but will take mail for it and try")
}

func (c *Conn) expn(string) { c.reply(502, enhanced{5, 5, 1}, "Command not implemented") }

func (c *Conn) help(string) {
	c.reply(214, enhanced{2, 0, 0}, "See RFC 5321. Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS QUIT")
}
