package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/impostor"
)

// engineParts are what an engine uses and does not make itself.
type engineParts struct {
	trace    verdict.Trace
	resolver lookup           // for lists over DNS; nil: they are left out
	contacts *impostor.Memory // nil: nobody is called new
}

// newEngine makes the engine of a configuration; nil is one of its own with all built-in scanners. The error has
// all that is wrong with scanners: files that cannot be read.
func newEngine(c *config.Config, p engineParts) (*verdict.Engine, error) {
	if c == nil {
		c = &config.Config{}
	}
	e := &verdict.Engine{
		Timeout: c.Scan.Timeout, ScannerTimeout: c.Scan.ScannerTimeout, OnError: c.Scan.OnError,
		StopAtMalicious: c.Scan.StopAtMalicious, Trace: p.trace,
		Merge: verdict.Weigh{Spam: c.Scan.SpamScore, Malicious: c.Scan.MaliciousScore}.Merge,
	}
	var errs []error
	want := wanted(c)
	for _, w := range want {
		if w.Kind == "blocklist" && p.resolver == nil {
			continue
		}
		s, err := newScanner(c, w, p)
		if err != nil {
			errs = append(errs, fmt.Errorf("scanner %s: %w", w.Name, err))
			continue
		}
		e.Scanners = append(e.Scanners, guarded(renamed(reweigh(s, c.Weights), w), w))
	}
	if len(want) == 0 {
		e.Scanners = []verdict.Scanner{verdict.Nothing}
	}
	return e, errors.Join(errs...)
}

// wanted lists the scanners of a configuration: all built-in ones if it does not say.
func wanted(c *config.Config) []config.Scanner {
	if c.Scanners != nil {
		return c.Scanners
	}
	var out []config.Scanner
	for _, name := range config.ScannerNames {
		out = append(out, config.Scanner{Kind: name, Name: name})
	}
	return out
}

// guarded puts the wrappers around a scanner that its configuration asks for, in the order in which they fit.
func guarded(s verdict.Scanner, w config.Scanner) verdict.Scanner {
	if w.Timeout > 0 {
		s = verdict.Deadline(s, w.Timeout)
	}
	if b := w.Breaker; !b.Off && (w.Adapter() || b.Failures > 0 || b.Pause > 0) {
		s = verdict.Breaker(s, b.Failures, b.Pause)
	}
	if w.Cache.Age > 0 {
		s = verdict.Cache(s, verdict.CacheOptions{ContentOnly: contentOnly(w.Kind), Age: w.Cache.Age, Entries: w.Cache.Entries})
	}
	if w.MaxSize.Bytes > 0 {
		s = verdict.MaxSize(s, w.MaxSize.Bytes, w.MaxSize.Class)
	}
	if w.OnError != nil {
		s = verdict.OnError(s, *w.OnError)
	}
	if w.Monitor {
		s = verdict.MonitorOnly(s)
	}
	return s
}

// contentOnly says whether the answers of a kind of scanner depend on the bytes of a message alone.
func contentOnly(kind string) bool {
	switch kind {
	case "structure", "teststring", "attach", "clamd", "icap":
		return true
	}
	return false
}

// renamed gives a scanner the name of its configuration.
func renamed(s verdict.Scanner, w config.Scanner) verdict.Scanner {
	if w.Name == s.Name() {
		return s
	}
	n := named{s, w.Name}
	if e, ok := s.(verdict.EnvelopeScanner); ok {
		return namedEnvelope{n, e}
	}
	return n
}

type named struct {
	verdict.Scanner
	name string
}

// Name implements verdict.Scanner.
func (n named) Name() string { return n.name }

// Version implements verdict.Versioner.
func (n named) Version(ctx context.Context) (string, error) { return verdict.VersionOf(ctx, n.Scanner) }

type namedEnvelope struct {
	named
	envelope verdict.EnvelopeScanner
}

// ScanEnvelope implements verdict.EnvelopeScanner.
func (n namedEnvelope) ScanEnvelope(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	return n.envelope.ScanEnvelope(ctx, m)
}
