package store

import (
	"encoding/json"
	"errors"

	"github.com/postreeve/postreeve/verdict"
)

// resultsRow is verdict.AuthResults as it is kept. Its form is never changed.
type resultsRow struct {
	SPF   resultRow   `json:"spf,omitzero"`
	DKIM  []resultRow `json:"dkim,omitempty"`
	DMARC resultRow   `json:"dmarc,omitzero"`
	ARC   resultRow   `json:"arc,omitzero"`
}

// resultRow is a result of any of them.
type resultRow struct {
	Result   string `json:"result,omitempty"`
	Domain   string `json:"domain,omitempty"` // of ARC the sealer
	Identity string `json:"identity,omitempty"`
	Selector string `json:"selector,omitempty"`
	Policy   string `json:"policy,omitempty"`
	Applied  string `json:"applied,omitempty"`
	Vouches  bool   `json:"vouches,omitempty"`
	Err      string `json:"err,omitempty"`
}

// mostSignatures bounds what is kept of a message with very many signatures.
const mostSignatures = 50

func resultsOf(a verdict.AuthResults) resultsRow {
	short := func(s string) string { return text(s, 512) }
	why := func(err error) string {
		if err == nil {
			return ""
		}
		return short(err.Error())
	}
	out := resultsRow{
		SPF:   resultRow{Result: short(string(a.SPF.Result)), Domain: short(a.SPF.Domain), Identity: short(a.SPF.Identity), Err: why(a.SPF.Err)},
		DMARC: resultRow{Result: short(string(a.DMARC.Result)), Domain: short(a.DMARC.Domain), Policy: short(a.DMARC.Policy), Applied: short(a.DMARC.Applied), Err: why(a.DMARC.Err)},
		ARC:   resultRow{Result: short(string(a.ARC.Result)), Domain: short(a.ARC.Sealer), Vouches: a.ARC.Vouches, Err: why(a.ARC.Err)},
	}
	for _, d := range a.DKIM[:min(len(a.DKIM), mostSignatures)] {
		out.DKIM = append(out.DKIM, resultRow{Result: short(string(d.Result)), Domain: short(d.Domain), Selector: short(d.Selector), Err: why(d.Err)})
	}
	return out
}

// unpackAuth reads what is in a client column. What cannot be read is not known.
func unpackAuth(client string) verdict.AuthResults {
	var c clientRow
	if json.Unmarshal([]byte(client), &c) != nil {
		return verdict.AuthResults{}
	}
	why := func(s string) error {
		if s == "" {
			return nil
		}
		return errors.New(s)
	}
	r := c.Results
	out := verdict.AuthResults{
		SPF:   verdict.SPFResult{Result: verdict.AuthResult(r.SPF.Result), Domain: r.SPF.Domain, Identity: r.SPF.Identity, Err: why(r.SPF.Err)},
		DMARC: verdict.DMARCResult{Result: verdict.AuthResult(r.DMARC.Result), Domain: r.DMARC.Domain, Policy: r.DMARC.Policy, Applied: r.DMARC.Applied, Err: why(r.DMARC.Err)},
		ARC:   verdict.ARCResult{Result: verdict.AuthResult(r.ARC.Result), Sealer: r.ARC.Domain, Vouches: r.ARC.Vouches, Err: why(r.ARC.Err)},
	}
	for _, d := range r.DKIM {
		out.DKIM = append(out.DKIM, verdict.DKIMResult{Result: verdict.AuthResult(d.Result), Domain: d.Domain, Selector: d.Selector, Err: why(d.Err)})
	}
	return out
}
