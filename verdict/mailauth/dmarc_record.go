package mailauth

import (
	"net/url"
	"strings"
)

// dmarcRecord is a DMARC policy record (RFC 9989 section 4.7). Policies are "none", "quarantine" or
// "reject", or "" where the record has none.
type dmarcRecord struct {
	policy     string // p=
	subdomain  string // sp=
	absent     string // np=
	suffix     byte   // psd=: 'y', 'n' or 'u'
	testing    bool   // t=y
	strictDKIM bool   // adkim=s
	strictSPF  bool   // aspf=s
	void       bool   // no valid policy and nowhere to report: no DMARC processing
}

// parseDMARC reads a TXT record. It is false for what is no DMARC record.
//
// Tags that nobody knows, those of RFC 7489 that are gone (pct, rf, ri), and values that break the grammar are
// ignored, as the RFC has it. Of a tag that comes twice the first counts.
func parseDMARC(txt string) (*dmarcRecord, bool) {
	first, rest, _ := strings.Cut(txt, ";")
	name, value, ok := strings.Cut(first, "=")
	if !ok || !strings.EqualFold(strings.Trim(name, " \t"), "v") || strings.Trim(value, " \t") != "DMARC1" {
		return nil, false
	}
	tags := make(map[string]string)
	for piece := range strings.SplitSeq(rest, ";") {
		name, value, ok := strings.Cut(piece, "=")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if _, twice := tags[name]; ok && !twice && len(tags) < maxTags {
			tags[name] = strings.Trim(value, " \t")
		}
	}
	r := &dmarcRecord{suffix: 'u'}
	r.testing = strings.EqualFold(tags["t"], "y")
	r.strictDKIM = strings.EqualFold(tags["adkim"], "s")
	r.strictSPF = strings.EqualFold(tags["aspf"], "s")
	switch strings.ToLower(tags["psd"]) {
	case "y":
		r.suffix = 'y'
	case "n":
		r.suffix = 'n'
	}
	r.readPolicies(tags)
	return r, true
}

// readPolicies applies RFC 9989 section 4.10.1: without a valid p=, or with a bad sp= or np=, the record
// asks for reports and nothing else, or, if it does not even do that, for nothing.
func (r *dmarcRecord) readPolicies(tags map[string]string) {
	good := true
	for tag, field := range map[string]*string{"p": &r.policy, "sp": &r.subdomain, "np": &r.absent} {
		value, given := tags[tag]
		switch value = strings.ToLower(value); {
		case value == "none" || value == "quarantine" || value == "reject":
			*field = value
		case given || tag == "p":
			good = false
		}
	}
	if good {
		return
	}
	r.policy, r.subdomain, r.absent = "none", "", ""
	r.void = !hasReportURI(tags["rua"])
}

// hasReportURI says whether one of the addresses is a URI (RFC 3986), whatever its scheme. The size that
// RFC 7489 allowed behind it does not count.
func hasReportURI(list string) bool {
	for uri := range strings.SplitSeq(list, ",") {
		uri, _, _ = strings.Cut(strings.Trim(uri, " \t"), "!")
		if strings.ContainsAny(uri, " \t<>\"") {
			continue
		}
		if u, err := url.Parse(uri); err == nil && u.Scheme != "" {
			return true
		}
	}
	return false
}

// weaker is the policy one step below, which is applied while its owner is testing it (RFC 9989 section 4.7,
// tag t).
func weaker(policy string) string {
	if policy == "reject" {
		return "quarantine"
	}
	return "none"
}
