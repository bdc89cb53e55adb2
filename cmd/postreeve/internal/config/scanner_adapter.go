package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/milter"
)

// PeerTLS says how a server proves who it is, and we to it. The zero value: by the system's roots.
type PeerTLS struct {
	Name      string // that its certificate must have; empty: that of its address
	Roots     string // PEM file
	Cert, Key string // PEM files, of ours
}

func (t *PeerTLS) read(base string) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{
			"name": text(&t.Name, hostOrIP), "roots": text(&t.Roots, path(base)),
			"cert": text(&t.Cert, path(base)), "key": text(&t.Key, path(base)),
		})
		if (t.Cert == "") != (t.Key == "") {
			d.fail(v, "wants both cert and key, or neither")
		}
	}
}

func (t PeerTLS) files() []string { return []string{t.Roots, t.Cert, t.Key} }

// Clamd has the settings of the scanner clamd.
type Clamd struct{ Address string }

func (c *Clamd) fields(string) fields { return fields{"address": text(&c.Address, daemon)} }

func (c *Clamd) lacks() string {
	return missing(c.Address, "address, as in address: \"unix:/run/clamav/clamd.ctl\" or 127.0.0.1:3310")
}

// Rspamd has the settings of the scanner rspamd.
type Rspamd struct {
	URL        string
	Password   Secret
	TLS        PeerTLS
	Settings   string
	AllSymbols bool
	Actions    map[string]verdict.Class
	Symbols    map[string]verdict.Class
}

func (r *Rspamd) fields(base string) fields {
	return fields{
		"url": text(&r.URL, endpoint("http", "https", "unix")), "password": secret(&r.Password, base), "tls": r.TLS.read(base),
		"settings": text(&r.Settings, password), "all-symbols": boolean(&r.AllSymbols),
		"actions": entriesOf(&r.Actions, class), "symbols": entriesOf(&r.Symbols, class),
	}
}

func (r *Rspamd) lacks() string { return missing(r.URL, "url, as in url: http://127.0.0.1:11333") }

// Spamd has the settings of the scanner spamd.
type Spamd struct {
	Address string
	TLS     *PeerTLS // nil: clear text
	User    string
	Report  bool
}

func (s *Spamd) fields(base string) fields {
	return fields{
		"address": text(&s.Address, daemon), "user": text(&s.User, password), "report": boolean(&s.Report),
		"tls": func(d *decoder, v value) { s.TLS = &PeerTLS{}; s.TLS.read(base)(d, v) },
	}
}

func (s *Spamd) lacks() string { return missing(s.Address, "address, as in address: 127.0.0.1:783") }

// ICAP has the settings of the scanner icap.
type ICAP struct {
	URL       string
	Socket    string
	TLS       PeerTLS
	Reqmod    bool
	NoPreview bool
	Class     verdict.Class // of what it does not let through; Unknown: malicious
	Headers   map[string]Secret
}

func (i *ICAP) fields(base string) fields {
	return fields{
		"url": text(&i.URL, endpoint("icap", "icaps")), "socket": text(&i.Socket, path(base)), "tls": i.TLS.read(base),
		"reqmod": boolean(&i.Reqmod), "no-preview": boolean(&i.NoPreview), "class": oneOf(&i.Class, classes),
		"headers": entriesOf(&i.Headers, func(s *Secret) reader { return secret(s, base) }),
	}
}

func (i *ICAP) lacks() string { return missing(i.URL, "url, as in url: icap://127.0.0.1:1344/avscan") }

// Milter has the settings of the scanner milter.
type Milter struct {
	Address                     string
	Reject, Discard, Quarantine verdict.Class // Unknown: spam
	Rules                       []milter.Rule // nil: those for well-known milters
}

func (m *Milter) fields(string) fields {
	return fields{
		"address": text(&m.Address, daemon), "reject": oneOf(&m.Reject, classes), "discard": oneOf(&m.Discard, classes),
		"quarantine": oneOf(&m.Quarantine, classes), "rules": milterRules(&m.Rules),
	}
}

func milterRules(dst *[]milter.Rule) reader {
	return func(d *decoder, v value) {
		*dst = []milter.Rule{}
		for _, item := range d.items(v) {
			r := milter.Rule{}
			d.mapping(item, fields{"name": text(&r.Name, argument), "prefix": text(&r.Prefix, argument), "class": oneOf(&r.Class, classes)})
			if d.lacks(item.path+".name") || d.lacks(item.path+".class") {
				d.fail(item, "wants name and class, as in {name: X-Virus-Status, prefix: Infected, class: malicious}")
			}
			*dst = append(*dst, r)
		}
	}
}

func (m *Milter) lacks() string {
	return missing(m.Address, "address, as in address: 127.0.0.1:8891 or unix:/run/filter.sock")
}

// Webhook has the settings of the scanner webhook.
type Webhook struct {
	URL      string
	Key      Secret
	Unsigned bool
	Headers  map[string]Secret
	TLS      PeerTLS
}

func (w *Webhook) fields(base string) fields {
	return fields{
		"url": text(&w.URL, endpoint("http", "https", "unix")), "key": secret(&w.Key, base), "unsigned": boolean(&w.Unsigned),
		"headers": entriesOf(&w.Headers, func(s *Secret) reader { return secret(s, base) }), "tls": w.TLS.read(base),
	}
}

func (w *Webhook) lacks() string {
	if w.Key.IsZero() && !w.Unsigned {
		return "key, with which requests are signed, as in key: \"env:HOOK_KEY\"; or unsigned: true"
	}
	return missing(w.URL, "url, as in url: https://scan.example/mail")
}

// Exec has the settings of the scanner exec.
type Exec struct {
	Path    string
	Args    []string
	Env     map[string]string
	Secrets map[string]Secret // variables too
	Dir     string
	Exit    map[int]verdict.Class
	JSON    bool
	Limit   int
}

func (e *Exec) fields(base string) fields {
	return fields{
		"path": text(&e.Path, program), "args": texts(&e.Args, argument), "dir": text(&e.Dir, path(base)),
		"env":     entriesOf(&e.Env, func(s *string) reader { return text(s, argument) }),
		"secrets": entriesOf(&e.Secrets, func(s *Secret) reader { return secret(s, base) }),
		"exit":    exitClasses(&e.Exit), "json": boolean(&e.JSON), "limit": natural(&e.Limit, 1000),
	}
}

func (e *Exec) lacks() string { return missing(e.Path, "path, as in path: /usr/local/bin/judge") }

// class reads what something is said to be.
func class(dst *verdict.Class) reader { return oneOf(dst, classes) }

func missing(have, want string) string {
	if have == "" {
		return want
	}
	return ""
}

// exitClasses reads what exit statuses mean: {0: clean, 1: malicious}.
func exitClasses(dst *map[int]verdict.Class) reader {
	return numbersOf(dst, class, "wants an exit status from 0 to 255")
}

func program(s string) (string, error) {
	if !filepath.IsAbs(s) {
		return "", errors.New(quote(s) + ": wants the whole path of a program: there is no shell to look for it")
	}
	return filepath.Clean(s), nil
}

func argument(s string) (string, error) {
	if len(s) > 4096 {
		return "", errors.New("wants at most 4096 bytes")
	}
	return s, nil
}

// daemon accepts host:port or unix:path.
func daemon(s string) (string, error) {
	if file, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(file) {
			return "", errors.New(quote(s) + ": wants the whole path of a socket, as in unix:/run/clamav/clamd.ctl")
		}
		return s, nil
	}
	host, port, err := splitPort(s)
	if err != nil || host == "" || port == "0" {
		return "", errors.New(quote(s) + " is no address of a daemon, as in 127.0.0.1:3310 or unix:/run/clamav/clamd.ctl")
	}
	if host, err = hostOrIP(host); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}

// endpoint accepts an address with one of these schemes. It may not hold secrets.
func endpoint(schemes ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		u, err := url.Parse(s)
		switch {
		case err != nil || !slices.Contains(schemes, u.Scheme):
			return "", fmt.Errorf("wants an address that begins with %s", strings.Join(schemes, ": or ")+":")
		case u.User != nil:
			return "", errors.New("must not hold a user or a password: see the keys for secrets")
		case u.Scheme == "unix" && !filepath.IsAbs(u.Path), u.Scheme != "unix" && u.Host == "":
			return "", errors.New(quote(s) + " is no whole address, as in http://127.0.0.1:11333 or unix:/run/rspamd/normal.sock")
		}
		return s, nil
	}
}

// Files are those that the settings of a scanner name: secrets and certificates.
func (s Scanner) Files() []string {
	var secrets []Secret
	var out []string
	switch k := s.Settings.(type) {
	case *Links:
		for _, l := range k.Lists {
			secrets = append(secrets, l.Key)
		}
	case *Blocklist:
		for _, l := range k.Lists {
			secrets = append(secrets, l.Key)
		}
	case *Rspamd:
		secrets, out = append(secrets, k.Password), k.TLS.files()
	case *Spamd:
		if k.TLS != nil {
			out = k.TLS.files()
		}
	case *ICAP:
		out = k.TLS.files()
		for _, v := range k.Headers {
			secrets = append(secrets, v)
		}
	case *Webhook:
		secrets, out = append(secrets, k.Key), k.TLS.files()
		for _, v := range k.Headers {
			secrets = append(secrets, v)
		}
	case *Exec:
		for _, v := range k.Secrets {
			secrets = append(secrets, v)
		}
	}
	for _, v := range secrets {
		out = append(out, v.File)
	}
	return out
}
