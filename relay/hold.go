package relay

import (
	"context"

	"github.com/postreeve/postreeve/verdict"
)

// Judge says what a message is. *verdict.Engine is one. Judge must return a report, and soon after ctx has
// ended; nil counts as Unknown. The report is not changed, so one report may stand for many messages.
type Judge interface {
	Judge(ctx context.Context, m *verdict.Message) *verdict.Report
}

// EnvelopeJudge is a Judge that can object before the content is sent. *verdict.Engine is one. Its
// objections are answered at RCPT, when the recipient's policy is known, also those made at MAIL. A report
// without runs and findings, or nil, says that nobody looked.
type EnvelopeJudge interface {
	Judge
	JudgeEnvelope(ctx context.Context, m *verdict.Message) *verdict.Report
}

// Holder keeps messages in quarantine. It gets the message as it came in, without our header fields; its
// Envelope says whom it was for, d whose policy holds it, and the id that Hold returns stands in the log as
// "held".
//
// Hold returns only after the message, its envelope and the report are durable: the sender is told 250
// after that. It must stop when ctx ends. The message is valid until Hold returns. An error defers the message.
type Holder interface {
	Hold(ctx context.Context, d *Domain, m *verdict.Message, r *verdict.Report) (id string, err error)
}

// HolderFunc makes a Holder of a function.
type HolderFunc func(ctx context.Context, d *Domain, m *verdict.Message, r *verdict.Report) (id string, err error)

// Hold calls f.
func (f HolderFunc) Hold(ctx context.Context, d *Domain, m *verdict.Message, r *verdict.Report) (string, error) {
	return f(ctx, d, m, r)
}

// Releaser is a Holder that knows its own releases again, where the way of mail leads through the gateway a
// second time. mark is what Server.Release was given, taken from the message.
type Releaser interface {
	Holder
	Released(ctx context.Context, m *verdict.Message, mark string) bool
}

// Ledger takes note of every message whose content was received, and what became of it. RecordMessage is
// called before the sender is told, and must stop when ctx ends. An error is logged and changes nothing: the
// message has been dealt with. The message is valid until RecordMessage returns.
type Ledger interface {
	RecordMessage(ctx context.Context, d *Domain, m *verdict.Message, o Outcome) error
}

// Queue keeps messages whose next hop is away, for domains in Continuity mode, and all messages for those in
// StoreAndForward mode.
//
// Enqueue returns only after the message is durable, exactly as body has it, for all recipients of the
// envelope. In Continuity mode it is called when the hop has neither taken nor refused any of them, as far as is
// known: see ErrUncertain. It must stop when ctx ends. Message and body are valid until Enqueue returns. An error
// defers the message. why is what the hop has just said, or why it could not be asked, for those who look after the
// queue; it is empty where nobody has tried yet.
type Queue interface {
	Enqueue(ctx context.Context, domain *Domain, m *verdict.Message, e verdict.Envelope, body verdict.Source, why string) error
}
