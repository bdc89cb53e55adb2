package config

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/postreeve/postreeve/relay"
)

// config reads the whole file. base is the directory for relative file names.
func (d *decoder) config(c *Config, v value, base string) {
	if base == "." {
		base = ""
	}
	file := path(base)
	d.mapping(v, fields{
		"hostname":     text(&c.Hostname, hostname),
		"listen":       some(&c.Listen, listenAddr),
		"state":        text(&c.State, file),
		"engine":       oneOf(&c.Engine, map[string]string{"strict": "strict", "go-smtp": "go-smtp"}),
		"tls":          serverTLS(&c.TLS, file),
		"clients":      texts(&c.Clients, prefix),
		"proxies":      texts(&c.Proxies, prefix),
		"xclient":      texts(&c.XClient, prefix),
		"normalize":    boolean(&c.Normalize),
		"postmaster":   text(&c.Postmaster, mailbox),
		"log":          logging(&c.Log),
		"metrics":      text(&c.Metrics, listenAddr),
		"limits":       limits(&c.Limits),
		"spool":        spool(&c.Spool),
		"timeouts":     timeouts(&c.Timeouts),
		"headers":      headers(&c.Headers),
		"dns":          dns(&c.DNS),
		"verification": verification(&c.Verification, base),
		"auth":         auth(&c.Auth),
		"arc":          sealKeys(&c.ARC, base),
		"protect":      protect(&c.Protect),
		"scanners":     scanners(&c.Scanners, base),
		"scan":         scan(&c.Scan),
		"weights":      weights(&c.Weights),
		"domains":      domains(&c.Domains, base),
		"database":     database(&c.Store.Database, base),
		"bodies":       bodies(&c.Store.Bodies, base),
		"node":         text(&c.Store.Node, node),
		"retention":    retention(&c.Store),
		"quota":        quota(&c.Store),
		"min-free":     size(&c.Store.MinFree),
		"bounces":      bounces(&c.Store.Bounces, base),
		"digest":       digest(&c.Digest, file),
		"remediation":  remediation(&c.Remediation, base),
	})
}

func serverTLS(dst **TLS, file func(string) (string, error)) reader {
	return func(d *decoder, v value) {
		t := &TLS{}
		d.mapping(v, fields{"cert": text(&t.Cert, file), "key": text(&t.Key, file)})
		for _, key := range []string{"cert", "key"} {
			if d.lacks(v.path + "." + key) {
				d.failAt(d.keys[v.path], v.path, "wants both cert and key, the names of two PEM files; %s is missing", key)
			}
		}
		*dst = t
	}
}

func logging(l *Log) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{
			"level": oneOf(&l.Level, map[string]slog.Level{
				"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
			}),
			"format": oneOf(&l.JSON, map[string]bool{"text": false, "json": true}),
		})
	}
}

func limits(l *relay.Limits) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{
			"connections":     count(&l.Connections),
			"per-address":     count(&l.PerAddress),
			"connection-rate": count(&l.ConnectionRate),
			"message-rate":    count(&l.MessageRate),
			"recipient-rate":  count(&l.RecipientRate),
			"recipients":      count(&l.Recipients),
			"message":         size(&l.MessageBytes),
			"line":            size(&l.LineBytes),
			"hops":            count(&l.Hops),
			"bytes-in-flight": size(&l.BytesInFlight),
			"errors":          count(&l.Errors),
			"exempt":          texts(&l.Exempt, prefix),
		})
	}
}

func spool(s *Spool) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{"message": size(&s.Message), "total": size(&s.Total)})
		for key, n := range map[string]int64{"message": s.Message, "total": s.Total} {
			if n < 0 {
				d.failKey(v.path+"."+key, "memory needs a limit: what is above it goes to disk")
			}
		}
	}
}

func timeouts(t *relay.Timeouts) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{
			"command":  duration(&t.Command),
			"block":    duration(&t.Block),
			"message":  duration(&t.Message),
			"write":    duration(&t.Write),
			"lookup":   duration(&t.Lookup),
			"judge":    duration(&t.Judge),
			"deliver":  duration(&t.Deliver),
			"drain":    duration(&t.Drain),
			"proxy":    duration(&t.Proxy),
			"greeting": duration(&t.Greeting),
		})
	}
}

func headers(h *relay.Headers) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{"prefix": text(&h.Prefix, func(s string) (string, error) {
			if err := (relay.Headers{Prefix: s}).Valid(); err != nil {
				return "", errors.New(strings.TrimPrefix(err.Error(), "relay: "))
			}
			return s, nil
		})})
	}
}
