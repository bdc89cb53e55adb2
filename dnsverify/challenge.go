package dnsverify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Claim says who claims which domain. It is all that is needed to make and to check a token.
type Claim struct {
	Tenant string `json:"tenant"`           // the operator's name for the account; not empty
	Domain string `json:"domain"`           // as Names.Normalize returns it
	Region string `json:"region,omitempty"` // only of use with Challenge.PerRegion
	// Epoch counts the tokens of this claim. Asking for a new token adds one.
	Epoch uint32 `json:"epoch,omitempty"`
	// Spent is the first epoch that may still count: tokens of earlier ones are spent for ever.
	Spent uint32 `json:"spent,omitempty"`
}

// Form is what the record looks like.
type Form uint8

const (
	TokenForm  Form = iota // _brand-challenge.domain TXT "token=<32 characters of base32>"
	AmazonForm             // _amazonses.domain TXT "<44 characters of base64>", as Amazon SES had it
)

// Challenge makes the records that prove control of a domain. It may be used by many goroutines at once;
// its fields must not change while it is in use.
type Challenge struct {
	// Key is the secret the tokens are made with, at least 16 bytes. Without one nothing can be made
	// or checked. Keep it as long as there are customers: a new key means new records for everybody.
	Key []byte
	// OldKey, if not empty, is the key before: its tokens are still taken, so that Key can be replaced.
	OldKey []byte
	// Brand goes into the name: _<brand>-challenge. Empty means "postreeve"; for AmazonForm the name
	// is _<brand>, and empty means "amazonses".
	Brand string
	// Form is the form of the record.
	Form Form
	// PerRegion gives every region a token of its own, at the same name. If false, one record
	// does for all regions.
	PerRegion bool
	// PerTenant puts a label made from the tenant in front of the name, so that two accounts can
	// delegate by CNAME at once.
	PerTenant bool
	// Pool is the zone of the operator into which customers may point a CNAME instead of making a TXT
	// record: <token>.<pool>. Empty means that this is not offered, and not taken.
	Pool string
	// Names says which domains are taken.
	Names Names
}

const (
	tokenBytes = 20 // 160 bit
	maxOld     = 8  // epochs that are tried to tell an old token from a foreign one
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Record is what the customer has to add to the zone.
type Record struct {
	Name  string        `json:"name"` // full name without the final dot
	Type  string        `json:"type"` // "TXT" or "CNAME"
	Value string        `json:"value"`
	TTL   time.Duration `json:"ttl"` // advice: short until it is proven
}

// ZoneLine returns the record as a line of a zone file.
func (r Record) ZoneLine() string {
	if r.Type == "TXT" {
		return fmt.Sprintf("%s. %d IN TXT %q", r.Name, int(r.TTL.Seconds()), r.Value)
	}
	return fmt.Sprintf("%s. %d IN %s %s.", r.Name, int(r.TTL.Seconds()), r.Type, r.Value)
}

// Host returns the name as most providers want it typed: without the zone, "@" for the zone itself.
// If the record is not in the zone, the full name is returned.
func (r Record) Host(zone string) string {
	zone = canonical(zone)
	if r.Name == zone {
		return "@"
	}
	return strings.TrimSuffix(r.Name, "."+zone)
}

// Record returns the TXT record for a claim.
func (c *Challenge) Record(cl Claim) (Record, error) {
	name, err := c.check(cl)
	if err != nil {
		return Record{}, err
	}
	t := c.token(c.Key, cl, cl.Epoch)
	if c.Form == TokenForm {
		t = "token=" + t
	}
	return Record{Name: name, Type: "TXT", Value: t, TTL: 5 * time.Minute}, nil
}

// Delegation returns the CNAME record that does the same as the TXT record. The token stands in the target:
// an alias to one target for all would prove nothing.
func (c *Challenge) Delegation(cl Claim) (Record, error) {
	name, err := c.check(cl)
	if err != nil {
		return Record{}, err
	}
	if c.Pool == "" || c.Form != TokenForm {
		return Record{}, errors.New("dnsverify: delegation needs Challenge.Pool and TokenForm")
	}
	target := c.token(c.Key, cl, cl.Epoch) + "." + canonical(c.Pool)
	if len(target) > maxName {
		return Record{}, invalid(show(target, 80), "the pool leaves no room for the token")
	}
	return Record{Name: name, Type: "CNAME", Value: target, TTL: 5 * time.Minute}, nil
}

// TokenID returns a short name for the current token of a claim, for logs and records: it cannot be
// turned back into the token.
func (c *Challenge) TokenID(cl Claim) string {
	sum := sha256.Sum256([]byte(c.token(c.Key, cl, cl.Epoch)))
	return hex.EncodeToString(sum[:6])
}

// check returns the name of the record, after making sure that there can be one.
func (c *Challenge) check(cl Claim) (string, error) {
	if len(c.Key) < 16 || len(c.OldKey) > 0 && len(c.OldKey) < 16 {
		return "", errors.New("dnsverify: Challenge.Key needs at least 16 bytes")
	}
	if cl.Tenant == "" {
		return "", errors.New("dnsverify: Claim.Tenant is empty")
	}
	if cl.Epoch < cl.Spent {
		return "", errors.New("dnsverify: the claim's token is spent: ask for a new one")
	}
	d, err := c.Names.Normalize(cl.Domain)
	if err != nil {
		return "", err
	}
	if d != cl.Domain {
		return "", invalid(show(cl.Domain, 80), "it is not in normal form, which is "+d)
	}
	label, err := c.label()
	if err != nil {
		return "", err
	}
	if c.PerTenant {
		sum := sha256.Sum256([]byte(cl.Tenant))
		label = "_" + base32Lower.EncodeToString(sum[:10]) + "." + label
	}
	if len(label)+1+len(d) > maxName {
		return "", invalid(show(d, 80), "there is no room for the name of the record in front of it")
	}
	return label + "." + d, nil
}

func (c *Challenge) label() (string, error) {
	brand, suffix := canonical(c.Brand), "-challenge"
	if c.Form == AmazonForm {
		suffix = ""
	}
	switch {
	case brand != "":
	case c.Form == AmazonForm:
		brand = "amazonses"
	default:
		brand = "postreeve"
	}
	l := "_" + brand + suffix
	if len(l) > 63 || strings.ContainsFunc(brand, func(r rune) bool { return !isLDH(r) }) {
		return "", fmt.Errorf("dnsverify: Challenge.Brand %q does not fit into a label", show(c.Brand, 80))
	}
	switch l {
	case "_acme-challenge", "_dmarc", "_domainkey", "_mta-sts", "_smtp", "_spf", "_tls", "_tcp", "_udp", "_psl":
		return "", fmt.Errorf("dnsverify: the label %s belongs to somebody else: choose another Challenge.Brand", l)
	}
	return l, nil
}

// token is the keyed hash of the claim. Every part stands behind its length, so that no two claims
// hash the same bytes.
func (c *Challenge) token(key []byte, cl Claim, epoch uint32) string {
	h := hmac.New(sha256.New, key)
	region := ""
	if c.PerRegion {
		region = cl.Region
	}
	var n [4]byte
	for _, s := range []string{"dnsverify token 1", cl.Tenant, cl.Domain, region} {
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	binary.BigEndian.PutUint32(n[:], epoch)
	h.Write(n[:])
	if c.Form == AmazonForm {
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	return base32Lower.EncodeToString(h.Sum(nil)[:tokenBytes])
}

// live returns the tokens that count: the current one and at most one before it. While the key
// is being replaced, the one before is that of the old key.
func (c *Challenge) live(cl Claim) []string {
	if cl.Epoch < cl.Spent {
		return nil
	}
	out := []string{c.token(c.Key, cl, cl.Epoch)}
	switch {
	case len(c.OldKey) > 0:
		out = append(out, c.token(c.OldKey, cl, cl.Epoch))
	case cl.Epoch > cl.Spent:
		out = append(out, c.token(c.Key, cl, cl.Epoch-1))
	}
	return out
}

// old returns tokens that counted once, newest first.
func (c *Challenge) old(cl Claim) []string {
	var out []string
	for e := int64(cl.Epoch) - 1; e >= 0 && len(out) < maxOld; e-- {
		out = append(out, c.token(c.Key, cl, uint32(e)))
		if len(c.OldKey) > 0 {
			out = append(out, c.token(c.OldKey, cl, uint32(e)))
		}
	}
	return out
}

// matches says whether a TXT value carries one of the tokens.
func (c *Challenge) matches(value string, tokens []string) bool {
	t := tokenOf(value)
	for _, want := range tokens {
		if c.same(t, want) {
			return true
		}
	}
	return false
}

// same compares two tokens: base32 in any case, base64 exactly.
func (c *Challenge) same(got, want string) bool {
	if c.Form == TokenForm {
		got = asciiLower(got)
	}
	return hmac.Equal([]byte(got), []byte(want))
}

// tokenOf returns the token in a value: behind "token=" and up to the first blank (what follows is metadata
// such as expiry=never), or the whole value.
func tokenOf(value string) string {
	if rest, ok := cutPrefixFold(value, "token="); ok {
		t, _, _ := strings.Cut(rest, " ")
		return t
	}
	return value
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// asciiLower lowers A to Z only: no other character may turn into a letter.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// looksLikeToken says whether a text has the form of a token of ours, whoever it was issued to.
func (c *Challenge) looksLikeToken(s string) bool {
	if c.Form == AmazonForm {
		b, err := base64.StdEncoding.DecodeString(s)
		return err == nil && len(b) == sha256.Size
	}
	b, err := base32Lower.DecodeString(asciiLower(s))
	return err == nil && len(b) == tokenBytes
}
