package app

import (
	"log/slog"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay/store"
)

// NewRemediator makes what takes delivered mail back.
func NewRemediator(c *config.Config, log *slog.Logger) (store.Remediator, error) {
	return newRemediator(c, log)
}

// ShellWord writes text as one word for a shell.
func ShellWord(s string) string { return shellWord(s) }
