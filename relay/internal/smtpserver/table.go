package smtpserver

// state is how far a session has come.
type state uint8

const (
	fresh  state = iota // no HELO or EHLO yet, or not since STARTTLS or XCLIENT
	ready               // no transaction
	mailed              // MAIL was accepted, no recipient yet
	rcpted              // at least one recipient was accepted
	broken              // a message in chunks failed in its middle; the client has to notice
	numStates
)

func (s state) String() string {
	return [...]string{"fresh", "ready", "mail", "rcpt", "broken"}[s]
}

// busy says whether breaking off now would break off a transaction.
func (s state) busy() bool { return s == mailed || s == rcpted }

// verb is a command that is known.
type verb uint8

const (
	unknown verb = iota
	helo
	ehlo
	starttls
	xclient
	xforward
	mail
	rcpt
	data
	bdat
	rset
	noop
	quit
	vrfy
	expn
	help
	auth
	foreign // HTTP and the like
	numVerbs
)

// rule says what becomes of a command in a state.
type rule uint8

const (
	obey     rule = iota
	tooEarly      // say HELO or EHLO first
	nested        // a transaction is under way
	noMail        // MAIL first
	noRcpt        // RCPT first, or no recipient was accepted
	mustRset      // RSET first
)

// table is the order of commands (RFC 5321 section 4.1.4). Where it says nothing, the command is obeyed
// in every state.
var table = [numStates][numVerbs]rule{
	fresh: {
		starttls: tooEarly, xforward: tooEarly, mail: tooEarly, rcpt: tooEarly, data: tooEarly, bdat: tooEarly,
	},
	ready: {
		rcpt: noMail, data: noMail, bdat: noMail,
	},
	mailed: {
		starttls: nested, xclient: nested, xforward: nested, mail: nested, data: noRcpt, bdat: noRcpt,
	},
	rcpted: {
		starttls: nested, xclient: nested, xforward: nested, mail: nested,
	},
	broken: {
		starttls: mustRset, xclient: mustRset, xforward: mustRset, mail: mustRset, rcpt: mustRset, data: mustRset, bdat: mustRset,
	},
}

// refuse answers a command that the table does not allow.
func (c *Conn) refuse(r rule) {
	switch r {
	case tooEarly:
		c.protest(503, enhanced{5, 5, 1}, "Say EHLO first")
	case nested:
		c.protest(503, enhanced{5, 5, 1}, "Not in the middle of a transaction")
	case noMail:
		c.protest(503, enhanced{5, 5, 1}, "MAIL first")
	case noRcpt:
		if c.refused > 0 {
			c.reply(554, enhanced{5, 5, 1}, "No valid recipients")
			return
		}
		c.protest(503, enhanced{5, 5, 1}, "RCPT first")
	default:
		c.protest(503, enhanced{5, 5, 1}, "The transaction has failed, RSET first")
	}
}
