package app

import (
	"context"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/verdict"
)

// reweigh gives the findings of a scanner the weights of the configuration.
func reweigh(s verdict.Scanner, weights map[string]config.Weight) verdict.Scanner {
	if len(weights) == 0 {
		return s
	}
	w := weighed{s, weights}
	if e, ok := s.(verdict.EnvelopeScanner); ok {
		return weighedEnvelope{w, e}
	}
	return w
}

// weighed is a scanner whose findings weigh what the configuration says.
type weighed struct {
	verdict.Scanner
	weights map[string]config.Weight
}

// Scan implements verdict.Scanner.
func (w weighed) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	fs, err := w.Scanner.Scan(ctx, m)
	return w.weigh(fs), err
}

// Version implements verdict.Versioner.
func (w weighed) Version(ctx context.Context) (string, error) {
	return verdict.VersionOf(ctx, w.Scanner)
}

// weigh changes no finding that could not tell.
func (w weighed) weigh(fs []verdict.Finding) []verdict.Finding {
	out := make([]verdict.Finding, len(fs))
	for i, f := range fs {
		if to, ok := w.weights[f.Code]; ok && f.Err == nil {
			if to.Score != nil {
				f.Score = *to.Score
			}
			if to.Class != nil {
				f.Class = *to.Class
			}
		}
		out[i] = f
	}
	return out
}

// weighedEnvelope is weighed for a scanner that looks at envelopes.
type weighedEnvelope struct {
	weighed
	envelope verdict.EnvelopeScanner
}

// ScanEnvelope implements verdict.EnvelopeScanner.
func (w weighedEnvelope) ScanEnvelope(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	fs, err := w.envelope.ScanEnvelope(ctx, m)
	return w.weigh(fs), err
}
