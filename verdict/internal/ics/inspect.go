package ics

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Inspect reads the calendar in text, which is UTF-8.
//
// The report is never nil: with an error it has what was found up to there. Text without any component
// of a calendar is ErrFormat. Files of the report refer to text, which must not be changed.
func Inspect(ctx context.Context, text []byte, lim Limits) (rep *Report, err error) {
	rep = &Report{}
	defer inspect.Recover(&err)
	c := &calendar{b: inspect.NewBudget(ctx, lim), rep: rep}
	err = c.read(text)
	if err == nil && !c.begun {
		err = fmt.Errorf("%w: no calendar", ErrFormat)
	}
	if err != nil && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrFormat) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return rep, err
}

// calendar is a calendar under inspection.
type calendar struct {
	b     *inspect.Budget
	rep   *Report
	begun bool
	item  *Item    // that is open
	kind  string   // of the item
	inner []string // components in the item
	links map[string]bool
	texts int // of the item
}

func (c *calendar) read(text []byte) error {
	if err := c.b.Spend(int64(len(text))); err != nil {
		return err
	}
	l := lines{rest: bytes.TrimPrefix(text, []byte("\xEF\xBB\xBF"))}
	for {
		line, ok := l.next()
		if !ok {
			return c.end("")
		}
		if err := c.b.Object(); err != nil {
			return err
		}
		p, ok := parse(line)
		if !ok {
			continue
		}
		if err := c.property(&p); err != nil {
			return err
		}
	}
}

func (c *calendar) property(p *property) error {
	switch p.name {
	case "BEGIN":
		return c.begin(strings.ToUpper(string(bytes.TrimSpace(p.value[:min(len(p.value), 64)]))))
	case "END":
		return c.end(strings.ToUpper(string(bytes.TrimSpace(p.value[:min(len(p.value), 64)]))))
	case "METHOD":
		if c.rep.Method == "" {
			c.rep.Method = strings.ToUpper(strings.TrimSpace(p.text()))
		}
	case "X-WR-CALNAME":
		c.rep.Name = p.text()
	}
	if c.item == nil {
		return nil
	}
	if n := len(c.inner); n > 0 {
		return c.alarm(p)
	}
	if err := c.b.Keep(int64(min(len(p.value), maxValue))); err != nil {
		return err
	}
	return c.own(p)
}

// begin opens a component.
func (c *calendar) begin(kind string) error {
	switch kind {
	case "VCALENDAR":
		c.begun = true
	case "VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY":
		c.begun = true
		if err := c.end(""); err != nil {
			return err
		}
		c.item, c.kind, c.links, c.texts = &Item{Kind: kind}, kind, map[string]bool{}, 0
	default:
		if c.item != nil {
			if len(c.inner) >= c.b.Limits.Depth {
				return fmt.Errorf("%w: components nested more than %d deep", ErrLimit, c.b.Limits.Depth)
			}
			c.inner = append(c.inner, kind)
		}
	}
	return nil
}

// end closes a component, or with "" everything that is open.
func (c *calendar) end(kind string) error {
	if n := len(c.inner); n > 0 && kind != "" && kind != c.kind {
		if i := slices.Index(c.inner, kind); i >= 0 {
			c.inner = c.inner[:i]
		}
		return nil
	}
	if c.item == nil || kind != "" && kind != c.kind && kind != "VCALENDAR" {
		return nil
	}
	if len(c.rep.Items) >= c.b.Limits.Files {
		return fmt.Errorf("%w: more than %d items", ErrLimit, c.b.Limits.Files)
	}
	c.rep.Items = append(c.rep.Items, *c.item)
	c.item, c.inner = nil, c.inner[:0]
	return nil
}

// alarm takes what an alarm does, and links of any component within an item.
func (c *calendar) alarm(p *property) error {
	switch p.name {
	case "ACTION":
		action := strings.ToUpper(strings.TrimSpace(p.text()))
		if !slices.Contains(c.item.Alarms, action) && len(c.item.Alarms) < 20 {
			c.item.Alarms = append(c.item.Alarms, action)
		}
	case "ATTACH", "URL":
		return c.attach(p)
	}
	return nil
}

// own takes a property of the item itself.
func (c *calendar) own(p *property) error {
	it := c.item
	if ref := p.param("ALTREP"); ref != "" {
		if err := c.link(ref); err != nil {
			return err
		}
	}
	switch p.name {
	case "UID":
		it.UID = p.text()
	case "SUMMARY":
		it.Summary = p.text()
	case "DESCRIPTION", "COMMENT":
		it.Description = c.join(it.Description, p.text())
	case "X-ALT-DESC", "STYLED-DESCRIPTION":
		it.HTML = c.join(it.HTML, p.text())
	case "LOCATION":
		it.Location = p.text()
	case "ORGANIZER":
		it.Organizer = person(p)
	case "ATTENDEE":
		if len(it.Attendees) >= 10*c.b.Limits.Files {
			return fmt.Errorf("%w: more than %d attendees", ErrLimit, len(it.Attendees))
		}
		it.Attendees = append(it.Attendees, person(p))
	case "ATTACH":
		return c.attach(p)
	case "URL", "CONFERENCE", "SOURCE", "IMAGE":
		return c.link(p.uri())
	default:
		if strings.HasPrefix(p.name, "X-") && startsWeb(p.value) {
			return c.link(p.uri())
		}
	}
	return nil
}

func startsWeb(v []byte) bool {
	s := strings.ToLower(string(bytes.TrimSpace(v[:min(len(v), 16)])))
	return strings.HasPrefix(s, "http:") || strings.HasPrefix(s, "https:")
}

// join puts texts of an item together; there is hardly ever more than one.
func (c *calendar) join(a, b string) string {
	const most = 16
	if c.texts++; c.texts > most && a != "" {
		return a
	}
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n" + b
}

// person reads an address of a calendar user (RFC 5545 section 3.3.3).
func person(p *property) Person {
	return Person{Address: address(p.uri()), Name: p.param("CN"), SentBy: address(p.param("SENT-BY"))}
}

func address(uri string) string {
	if len(uri) > 7 && strings.EqualFold(uri[:7], "mailto:") {
		uri = uri[7:]
	}
	return strings.TrimSpace(uri)
}

// link adds a target once.
func (c *calendar) link(target string) error {
	if target == "" || c.links[target] {
		return nil
	}
	if len(c.item.Links) >= c.b.Limits.Files {
		return fmt.Errorf("%w: more than %d links", ErrLimit, c.b.Limits.Files)
	}
	if err := c.b.Keep(int64(len(target))); err != nil {
		return err
	}
	c.links[target] = true
	c.item.Links = append(c.item.Links, target)
	return nil
}

// attach takes an attachment: a link, or content that is in the line (RFC 5545 section 3.8.1.1).
func (c *calendar) attach(p *property) error {
	if !strings.EqualFold(p.param("ENCODING"), "BASE64") && !strings.EqualFold(p.param("VALUE"), "BINARY") {
		return c.link(p.uri())
	}
	if len(c.rep.Files) >= c.b.Limits.Files {
		return fmt.Errorf("%w: more than %d attachments", ErrLimit, c.b.Limits.Files)
	}
	name := ""
	for _, key := range []string{"FILENAME", "X-FILENAME", "X-LABEL", "X-APPLE-FILENAME"} {
		if name == "" {
			name = p.param(key)
		}
	}
	data := bytes.Clone(p.value)
	if err := c.b.Keep(int64(len(data))); err != nil {
		return err
	}
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(data))), nil
	}
	c.rep.Files = append(c.rep.Files, inspect.NewFile(name, c.item.UID, -1, open))
	return nil
}
