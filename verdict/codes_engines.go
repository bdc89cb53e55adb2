package verdict

// Codes of the guards and adapters that others look for.
const (
	CodeScannerSize = "scanner.size" // the message is larger than the scanner is asked about, see MaxSize
)

// enginesTable has the codes of the guards around scanners and of the adapters to engines. Where the class says
// Unknown the answer of the engine decides, by the rules of the adapter.
var enginesTable = []Code{
	{CodeScannerSize, "the message is larger than the scanner is asked about", "what was not looked at is not clean; the configured class decides", Unknown, 0},
	{"clamd.found", "ClamAV knows a signature in the message", "signatures are made of known malware; those for spam and unwanted programs say so in their names", Malicious, 0},
	{"clamd.limit", "ClamAV met a limit of its own inside the message", "what was not unpacked was not looked at", Unknown, 0},
	{"clamd.locked", "ClamAV met something encrypted inside the message", "legitimate senders encrypt too: evidence only", Unknown, 0},
	{"rspamd.action", "what rspamd would do with the message, with its score and symbols", "spam from \"add header\" on; below that evidence only, since its scores are on a scale of its own", Unknown, 0},
	{"rspamd.symbol", "a symbol of rspamd that has a class of its own", "an engine that rspamd asks has found malware, or the configuration names the symbol", Malicious, 0},
	{"rspamd.blind", "a symbol of rspamd that says that a part of it could not tell", "rspamd itself gives such a message score 0", Unknown, 0},
	{"spamd.spam", "SpamAssassin's score is above its threshold", "its own threshold was made for its rules", Spam, 0},
	{"spamd.score", "SpamAssassin's score below its threshold", "evidence only: its scores are on a scale of their own", Unknown, 0},
	{"icap.infected", "an ICAP service names what it has found", "such services look for malware", Malicious, 0},
	{"icap.blocked", "an ICAP service answers with a page of its own instead of the message", "it does so for what it does not let through", Malicious, 0},
	{"icap.modified", "an ICAP service gives back other content than it was given", "it does so where it has cut something out", Malicious, 0},
	{"milter.reject", "a milter refuses the message", "the adapter says what refusing means for this milter; spam if it says nothing", Spam, 0},
	{"milter.discard", "a milter lets the message vanish", "as above", Spam, 0},
	{"milter.quarantine", "a milter wants the message to be held", "as above", Spam, 0},
	{"milter.recipient", "a milter refuses some of the recipients", "evidence only: the content was not the reason", Unknown, 0},
	{"milter.header", "a milter adds or changes a header field", "a rule of the adapter decides what a field means; evidence only without one", Unknown, 0},
	{"milter.change", "a milter changes the envelope or the body", "evidence only: messages are not changed here", Unknown, 0},
	{"webhook.verdict", "the class that a webhook gave the message", "the answer decides; findings of its own have codes that begin with \"webhook.\"", Unknown, 0},
	{"exec.verdict", "the class that a program gave the message", "the answer decides; findings of its own have codes that begin with \"exec.\"", Unknown, 0},
}
