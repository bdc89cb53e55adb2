package mailauth

import (
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// addReported takes over what a trusted upstream reports and we could not see ourselves.
func addReported(m *verdict.Message, id string, out *verdict.AuthResults) {
	r, ok := topmost(m.Header(), id)
	if !ok {
		return
	}
	for _, s := range r.Results {
		switch s.Method {
		case "spf":
			if out.SPF.Result == "" {
				out.SPF = s.spf()
			}
		case "dkim":
			d := s.dkim()
			known := slices.ContainsFunc(out.DKIM, func(o verdict.DKIMResult) bool {
				return o.Result == verdict.Pass && o.Domain == d.Domain
			})
			if d.Result == verdict.Pass && d.Domain != "" && !known {
				out.DKIM = append(out.DKIM, d)
			}
		}
	}
}

// topmost returns the highest field with an authserv-id. Those below it may have been there before.
func topmost(h verdict.Header, id string) (Reported, bool) {
	for _, v := range h.Values("Authentication-Results") {
		r, err := ParseAuthenticationResults(v)
		if err == nil && strings.EqualFold(r.By, strings.TrimSuffix(id, ".")) {
			return r, true
		}
	}
	return Reported{}, false
}

// spf reads a reported SPF result. One that is none of RFC 7208 says nothing.
func (r ReportedResult) spf() verdict.SPFResult {
	switch r.Result {
	case "none", "neutral", "pass", "fail", "softfail", "temperror", "permerror":
	default:
		return verdict.SPFResult{}
	}
	from, identity := r.Properties["smtp.mailfrom"], mailFrom
	if from == "" {
		from, identity = r.Properties["smtp.helo"], helo
	}
	return verdict.SPFResult{Result: r.Result, Domain: asciiDomain(from[strings.LastIndexByte(from, '@')+1:]), Identity: identity}
}

func (r ReportedResult) dkim() verdict.DKIMResult {
	d := r.Properties["header.d"]
	if d == "" {
		i := r.Properties["header.i"]
		d = i[strings.LastIndexByte(i, '@')+1:]
	}
	return verdict.DKIMResult{Result: r.Result, Domain: asciiDomain(d), Selector: r.Properties["header.s"]}
}
