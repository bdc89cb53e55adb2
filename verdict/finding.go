package verdict

import "context"

// Finding is one thing that a scanner has to say about a message.
type Finding struct {
	// Scanner is the name of the scanner; the engine sets it.
	Scanner string
	// Code says what was found, as noun.detail: "attachment.executable". Codes are listed in Codes and
	// are never renamed. Codes of scanners outside this module begin with a noun of their own.
	Code string
	// Class is what this finding alone makes the message. Unknown means evidence only, unless Err is set.
	Class Class
	// Score is the finding's weight in a merge that adds up; 0 if it does not take part.
	Score float64
	// Detail is for people. It may quote the message: whoever shows it escapes it.
	Detail string
	// Part is the path of the part it was found in, with its file name where there is one: "1.2 invoice.zip".
	Part string
	// Err says that the scanner could not tell, and why. With Class Unknown such a finding keeps
	// the message from being Clean or Spam; with another class it is that class (see OnError).
	Err error
}

// Scanner looks at a message and says what it found.
//
// Scan may be called for many messages at once. It must stop when ctx ends; an engine does not wait
// longer for one that does not. No findings and a nil error mean: looked, found nothing. An error means:
// could not tell, whatever was found before. A scanner must not change the message and must not keep it,
// or anything opened from it, after it has returned.
type Scanner interface {
	// Name is short, lower case and constant: it stands in reports, logs and metrics.
	Name() string
	Scan(ctx context.Context, m *Message) ([]Finding, error)
}

// EnvelopeScanner is a Scanner that can object before the message is sent.
//
// ScanEnvelope is called after MAIL, with no recipient in the envelope, and after each RCPT, with the
// recipients so far: the last is the new one. The message has a client and an envelope; its content is
// not there yet. It should answer within 100 ms: the client is waiting with every command.
type EnvelopeScanner interface {
	Scanner
	ScanEnvelope(ctx context.Context, m *Message) ([]Finding, error)
}

// Func makes a Scanner of a function.
func Func(name string, scan func(ctx context.Context, m *Message) ([]Finding, error)) Scanner {
	return funcScanner{name, scan}
}

type funcScanner struct {
	name string
	scan func(ctx context.Context, m *Message) ([]Finding, error)
}

func (f funcScanner) Name() string { return f.name }

func (f funcScanner) Scan(ctx context.Context, m *Message) ([]Finding, error) { return f.scan(ctx, m) }
