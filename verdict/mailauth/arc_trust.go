package mailauth

import (
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// vouchedFor says whether every seal of a good chain is of a trusted domain and its first set says that DMARC
// passed (RFC 8617 section 7.2). The fields it reads are authenticated by the chain.
func vouchedFor(h verdict.Header, r verdict.AuthResults, trusted []string) bool {
	if r.ARC.Result != verdict.Pass || len(trusted) == 0 {
		return false
	}
	for _, v := range h.Values("ARC-Seal") {
		tags, err := parseTags(v)
		d, _ := tags.get("d")
		if err != nil || !containsFold(trusted, asciiDomain(d)) {
			return false
		}
	}
	for _, v := range h.Values("ARC-Authentication-Results") {
		instance, payload, ok := strings.Cut(v, ";")
		if _, i, _ := strings.Cut(instance, "="); !ok || trimFWS(i) != "1" {
			continue
		}
		first, err := ParseAuthenticationResults(payload)
		if err != nil {
			return false
		}
		for _, s := range first.Results {
			from := s.Properties["header.from"]
			if s.Method == "dmarc" && s.Result == verdict.Pass &&
				asciiDomain(from[strings.LastIndexByte(from, '@')+1:]) == r.DMARC.Domain {
				return true
			}
		}
	}
	return false
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}
