package mailauth

import (
	"errors"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

var (
	errTooMany   = errors.New("more signatures than are verified for one message")
	errExpired   = errors.New("the signature has expired")
	errStrictKey = errors.New("the signing identity is not of the very domain that signs")
)

// dkimSignature is a DKIM-Signature field and what is known of it so far.
type dkimSignature struct {
	*signature
	identity string             // domain of i=
	result   verdict.AuthResult // "" while nothing has settled it
	err      error
}

// parseDKIM reads every DKIM-Signature field of the message (RFC 6376 section 6.1.1). Those beyond most are
// neutral: nobody looked at them.
func (c *content) parseDKIM(most int, now time.Time) []dkimSignature {
	var out []dkimSignature
	for _, f := range c.fields {
		if !strings.EqualFold(f.name, "DKIM-Signature") {
			continue
		}
		if len(out) >= most {
			out = append(out, dkimSignature{signature: new(signature), result: "neutral", err: errTooMany})
			continue
		}
		s, err := newSignature(f.raw)
		d := dkimSignature{signature: s}
		if err == nil {
			err = d.parse(now)
		}
		if err != nil {
			d.result, d.err = "permerror", err
		}
		out = append(out, d)
	}
	return out
}

func (d *dkimSignature) parse(now time.Time) error {
	if v, _ := d.tags.get("v"); v != "1" {
		return malformed("v= is not 1")
	}
	if err := d.parseBase(); err != nil {
		return err
	}
	if err := d.parseMessage("simple/simple"); err != nil {
		return err
	}
	if !d.signs("From") {
		return malformed("From is not signed")
	}
	if q, ok := d.tags.get("q"); ok && !listHas(q, "dns/txt") {
		return malformed("q=%.30q is not supported", q)
	}
	d.identity = d.domain
	if i, ok := d.tags.get("i"); ok {
		at := strings.LastIndexByte(i, '@')
		if at < 0 {
			return malformed("i= has no domain")
		}
		d.identity = asciiDomain(dropFWS(i[at+1:]))
		if d.identity == "" || !within(d.identity, d.domain) {
			return malformed("i= is not of the domain in d=")
		}
	}
	if !d.expires.IsZero() && now.After(d.expires) {
		return errExpired
	}
	return nil
}

// verify settles a signature that nothing has settled yet.
func (d *dkimSignature) verify(c *content, k fetchedKey) {
	switch {
	case d.result != "":
		return
	case k.key == nil:
		d.result, d.err = k.result, k.err
		return
	case k.key.strict && d.identity != d.domain:
		d.result, d.err = "permerror", errStrictKey
		return
	}
	switch err := c.verify(d.signature, k.key); {
	case err == nil:
		d.result = verdict.Pass
	case errors.Is(err, errKeyOfKind):
		d.result, d.err = "permerror", err
	default:
		d.result, d.err = "fail", err
	}
}

func (d *dkimSignature) outcome() verdict.DKIMResult {
	return verdict.DKIMResult{Result: d.result, Domain: d.domain, Selector: d.selector, Err: d.err}
}
