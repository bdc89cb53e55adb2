package config

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/postreeve/postreeve/relay"
)

// Store says where mail, the ledger and the state of domains are kept. Without State and Database nothing is.
type Store struct {
	Database Database // zero: SQLite in the state directory
	Bodies   Bodies   // zero: files in the state directory
	Node     string   // name of this node; empty: the host name

	HeldFor   time.Duration // 0: the default, and so below
	LedgerFor time.Duration
	QueuedFor time.Duration

	HeldBytes   int64
	QueuedBytes int64
	MinFree     int64 // that stay free on the disks of this node; negative: none

	Bounces *Bounces // nil: only senders in domains of ours are told
}

// Database is a PostgreSQL. Its password never stands in the file.
type Database struct {
	URL      string // without a password
	Password Secret
	Whole    Secret // the whole URL, instead of both
}

// IsZero says whether there is none.
func (b Database) IsZero() bool { return b == Database{} }

// Read returns the URL with its password. Errors name references and never what they lead to.
func (b Database) Read() (string, error) {
	raw := b.URL
	if !b.Whole.IsZero() {
		var err error
		if raw, err = b.Whole.read(maxURL); err != nil {
			return "", err
		}
		if _, err := postgresURL(raw, true); err != nil {
			return "", fmt.Errorf("secret %v: it holds no URL of a PostgreSQL, as in postgres://user:password@host/name", b.Whole)
		}
		return raw, nil
	}
	password, err := b.Password.ReadAny()
	if err != nil {
		return "", err
	}
	if password == "" {
		return raw, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", err // the file was checked
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), nil
}

// Bodies is where the bytes of messages are.
type Bodies struct {
	URL    string // s3://BUCKET/PREFIX?endpoint=HOST&region=REGION, or file:PATH
	ID     Secret // of the access key; zero: where AWS tools look for it
	Secret Secret
}

// Bounces says how notices to senders leave.
type Bounces struct {
	MX        bool          // to the hosts that MX records of the sender's domain name
	Route     Route         // else
	WarnAfter time.Duration // 0: senders are not told of a delay
}

// Keeps says whether there is a store.
func (c *Config) Keeps() bool { return c.State != "" || !c.Store.Database.IsZero() }

const maxURL = 2048

func database(dst *Database, base string) reader {
	return func(d *decoder, v value) {
		if _, ok := v.node.(ast.MapNode); ok {
			d.mapping(v, fields{
				"url":      text(&dst.URL, func(s string) (string, error) { return postgresURL(s, false) }),
				"password": secret(&dst.Password, base),
			})
			if d.lacks(v.path + ".url") {
				d.failAt(d.keys[v.path], v.path, "wants url, as in {url: \"postgres://postreeve@db.example/postreeve\", password: \"file:db.password\"}")
			}
			return
		}
		s, ok := d.text(v)
		if !ok {
			return
		}
		if strings.HasPrefix(s, "file:") || strings.HasPrefix(s, "env:") {
			secret(&dst.Whole, base)(d, v)
			return
		}
		text(&dst.URL, func(s string) (string, error) { return postgresURL(s, false) })(d, v)
	}
}

// postgresURL accepts the URL of a PostgreSQL. What is wrong is not repeated: there may be a password in it.
func postgresURL(s string, password bool) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || len(s) > maxURL || strings.Trim(u.Path, "/") == "" {
		return "", errors.New("wants the URL of a PostgreSQL, as in postgres://postreeve@db.example/postreeve, or a reference to it, as in file:/etc/postreeve/database or env:DATABASE_URL; SQLite needs nothing but state")
	}
	if _, has := u.User.Password(); (has || u.Query().Has("password")) && !password {
		return "", errors.New("has a password in it: take it out and say {url: …, password: \"file:NAME\"}, or put the whole URL into a file and say \"file:NAME\"")
	}
	return s, nil
}

func bodies(dst *Bodies, base string) reader {
	return func(d *decoder, v value) {
		where := text(&dst.URL, func(s string) (string, error) { return bodiesURL(s, base) })
		if _, ok := v.node.(ast.MapNode); !ok {
			where(d, v)
			return
		}
		d.mapping(v, fields{"url": where, "id": secret(&dst.ID, base), "secret": secret(&dst.Secret, base)})
		if d.lacks(v.path + ".url") {
			d.failAt(d.keys[v.path], v.path, "wants url, as in {url: \"s3://bucket?endpoint=s3.example\", id: \"env:S3_ID\", secret: \"file:s3.secret\"}")
		}
		if d.has(v.path+".id") != d.has(v.path+".secret") {
			d.failAt(d.keys[v.path], v.path, "wants both id and secret, or neither: then they come from where AWS tools look for them")
		}
	}
}

func bodiesURL(s, base string) (string, error) {
	if name, ok := strings.CutPrefix(s, "file:"); ok && name != "" {
		file, err := path(base)(name)
		return "file:" + file, err
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil {
		return "", errors.New("wants a bucket, as in s3://bucket/prefix?endpoint=s3.example&region=eu-1, or a directory, as in file:/srv/mail")
	}
	for k := range u.Query() {
		if !isOneOf(k, "endpoint", "region", "insecure") {
			return "", fmt.Errorf("unknown parameter %s: %s", quote(k), Suggest(k, []string{"endpoint", "region", "insecure"}))
		}
	}
	return s, nil
}

func retention(s *Store) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{"held": days(&s.HeldFor), "ledger": days(&s.LedgerFor), "queue": days(&s.QueuedFor)})
	}
}

func quota(s *Store) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{"held": size(&s.HeldBytes), "queue": size(&s.QueuedBytes)})
		for _, n := range []*int64{&s.HeldBytes, &s.QueuedBytes} {
			if *n < 0 {
				*n = math.MaxInt64
			}
		}
	}
}

// days reads a time in days, or with another unit, from a minute to ten years.
func days(dst *time.Duration) reader {
	return func(d *decoder, v value) {
		s, _ := v.node.(*ast.StringNode)
		var t time.Duration
		ok := s != nil
		if ok {
			t, ok = ParseDays(s.Value)
		}
		if !ok || t < time.Minute || t > 3650*24*time.Hour {
			d.fail(v, "wants a time from 1m to 3650d, as in 30d or 12h")
			return
		}
		*dst = t
	}
}

// ParseDays reads a duration that may be in days: 30d, 12h, 90m.
func ParseDays(s string) (time.Duration, bool) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.ParseUint(n, 10, 16)
		return time.Duration(days) * 24 * time.Hour, err == nil
	}
	t, err := time.ParseDuration(s)
	return t, err == nil && t >= 0
}

// Days writes a duration as people would set it: 60d, 24h, 1h30m.
func Days(t time.Duration) string {
	const day = 24 * time.Hour
	if t > day && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func bounces(dst **Bounces, base string) reader {
	return func(d *decoder, v value) {
		b := &Bounces{}
		*dst = b
		if s, ok := v.node.(*ast.StringNode); ok && s.Value == "mx" {
			b.MX = true
			return
		}
		if _, ok := v.node.(ast.MapNode); !ok {
			d.fail(v, "wants mx, for the hosts that MX records of the sender's domain name, or a smart host, as in {next-hop: \"smart.example:25\"}")
			return
		}
		var hosts []string
		d.mapping(v, fields{
			"mx":          boolean(&b.MX),
			"next-hop":    some(&hosts, hopAddr),
			"tls":         hopTLS(&b.Route, base),
			"connections": natural(&b.Route.Conns, 10_000),
			"warn-after":  days(&b.WarnAfter),
		})
		b.Route.Hosts = strings.Join(hosts, " ")
		switch hop := d.has(v.path + ".next-hop"); {
		case b.MX && hop:
			d.failKey(v.path+".mx", "next-hop is set too: keep one of them")
		case !b.MX && d.lacks(v.path+".next-hop"):
			d.failAt(d.keys[v.path], v.path, "wants next-hop, as in {next-hop: \"smart.example:25\"}, or mx: true")
		}
		d.nameless(&b.Route, v)
	}
}

// store judges what needs a store, and what a store needs.
func (d *decoder) store(c *Config) {
	const how = "set state: to a directory, or database"
	keeps := d.has("state") || d.has("database") || d.meant["state"] || d.meant["database"]
	if !keeps {
		for _, key := range []string{"bodies", "node", "retention", "quota", "min-free", "bounces", "digest", "remediation"} {
			if d.has(key) {
				d.failKey(key, "says nothing without a place to keep mail: %s", how)
			}
		}
	}
	if d.has("database") && !d.has("bodies") && !d.meant["bodies"] {
		if d.lacks("state") {
			d.failKey("database", "keeps rows, and the bytes of messages need a place too: set bodies: to a bucket, or state: to a directory if this is the only node")
		} else {
			d.warn("database", "the bytes of messages stay in the state directory of this node: set bodies: to a bucket before a second node shares the database")
		}
	}
	told := false
	for _, dom := range c.Domains {
		if !keeps && dom.Mode != relay.Synchronous {
			d.failKey(dom.path+".mode", "needs a queue: %s", how)
		}
		if keeps && dom.Mode != relay.Synchronous && c.Store.Bounces == nil && !d.has("bounces") && !told {
			d.warn(dom.path+".mode", "senders are not told of what cannot be delivered in the end: set bounces: to mx, or to a smart host")
			told = true
		}
		for key, a := range map[string]relay.Action{"spam": dom.Policy.Spam, "unknown": dom.Policy.Unknown} {
			if !keeps && a == relay.Hold {
				d.failKey(dom.path+".policy."+key, "hold needs a quarantine: %s", how)
			}
		}
		if !keeps && dom.Policy.Malicious == relay.Hold {
			d.warn(dom.path+".policy.malicious", "without a quarantine malicious mail is refused with 550 5.7.1 instead of held: %s", how)
		}
	}
}
