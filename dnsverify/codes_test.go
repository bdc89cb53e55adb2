package dnsverify_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// verified returns the problem of a check.
func verified(w *world) error {
	_, err := w.verifier.Verify(w.Context(), w.claim, w.others...)
	if err != nil {
		return err
	}
	if p := w.verify().Problem; p != nil {
		return p
	}
	return nil
}

// discovered returns the last problem with the MX records.
func discovered(w *world) error {
	d, err := w.net.Client().Discover(w.Context(), w.claim.Domain, own)
	if err != nil {
		return err
	}
	if len(d.Problems) == 0 {
		return nil
	}
	return d.Problems[len(d.Problems)-1]
}

// codeTests has a row for each code: what leads to it.
var codeTests = map[dnsverify.Code]func(w *world) error{
	dnsverify.NoSuchDomain: func(w *world) error {
		w.claim.Domain = "missing.com"
		return verified(w)
	},
	dnsverify.NotDelegated: func(w *world) error {
		w.net.Zone("org", dnstest.Records{"example": {"TXT reserved"}})
		w.claim.Domain = "example.org"
		return verified(w)
	},
	dnsverify.LameServers: func(w *world) error {
		w.zone.Fault(dnstest.Lame)
		return verified(w)
	},
	dnsverify.UnreachableServers: func(w *world) error {
		w.zone.Fault(dnstest.Silent)
		return verified(w)
	},
	dnsverify.Intercepted: func(w *world) error {
		w.zone.Fault(dnstest.Intercepted)
		return verified(w)
	},
	dnsverify.RecordAbsent: verified,
	dnsverify.RecordDoubledName: func(w *world) error {
		w.zone.Set(owner+".example.com", w.token())
		return verified(w)
	},
	dnsverify.RecordAtApex: func(w *world) error {
		w.zone.Set("@", w.token())
		return verified(w)
	},
	dnsverify.RecordWrongValue: func(w *world) error {
		w.zone.Set(owner, txt("hello"))
		return verified(w)
	},
	dnsverify.RecordOldToken: func(w *world) error {
		w.zone.Set(owner, w.token())
		w.claim.Epoch, w.claim.Spent = 3, 2
		return verified(w)
	},
	dnsverify.RecordOtherTenant: func(w *world) error {
		other := dnsverify.Claim{Tenant: "secret name", Domain: "example.com"}
		w.others = []dnsverify.Claim{other}
		w.zone.Set(owner, txt(w.value(other)))
		err := verified(w)
		var p *dnsverify.Problem
		if strings.Contains(fmt.Sprintf("%+v", err), "secret") || errors.As(err, &p) && p.Found != nil {
			w.Error("the other tenant or its token is named")
		}
		return err
	},
	dnsverify.PartialPropagation: func(w *world) error {
		w.zone.SetOn(1, owner, w.token())
		return verified(w)
	},
	dnsverify.CNAMELoop: func(w *world) error {
		w.zone.Fault(dnstest.CNAMELoop)
		return verified(w)
	},
	dnsverify.CNAMETooDeep: func(w *world) error {
		w.zone.Set(owner, "CNAME a0.example.com.")
		for i := range 12 {
			w.zone.Set(fmt.Sprint("a", i), fmt.Sprintf("CNAME a%d.example.com.", i+1))
		}
		return verified(w)
	},
	dnsverify.CNAMEBlocksTXT: func(w *world) error {
		w.zone.Set(owner, "CNAME www.example.com.")
		return verified(w)
	},
	dnsverify.DNSSECBogus: func(w *world) error {
		w.zone.Set(owner, w.token())
		w.zone.Fault(dnstest.Bogus)
		return verified(w)
	},
	dnsverify.VantageDisagree: func(w *world) error {
		w.zone.Set(owner, w.token())
		w.verifier.Vantages = []dnsverify.Vantage{place{id: "elsewhere"}}
		return verified(w)
	},
	dnsverify.PublicSuffix: func(w *world) error {
		w.claim.Domain = "co.uk"
		return verified(w)
	},
	dnsverify.InvalidName: func(w *world) error {
		w.claim.Domain = "a_b.example.com"
		return verified(w)
	},
	dnsverify.Temporary: func(w *world) error {
		w.zone.Set(owner, w.token())
		w.net.Resolver().Fault(dnstest.ServFail)
		return verified(w)
	},
	dnsverify.NullMX: func(w *world) error {
		w.zone.Set("@", "MX 0 .")
		return discovered(w)
	},
	dnsverify.NoMXImplicit: func(w *world) error {
		w.zone.Set("@", "A 127.0.0.9")
		return discovered(w)
	},
	dnsverify.MXIsCNAME: func(w *world) error {
		w.zone.Set("@", "MX 0 mail")
		w.zone.Set("mail", "CNAME host")
		w.zone.Set("host", "A 127.0.0.9")
		return discovered(w)
	},
	dnsverify.MXIsIP: func(w *world) error {
		w.zone.Set("@", "MX 0 192.0.2.1.")
		return discovered(w)
	},
	dnsverify.MXMixed: func(w *world) error {
		w.zone.Set("@", "MX 0 mx1.gw.example.net.", "MX 5 mail")
		w.zone.Set("mail", "A 127.0.0.9")
		w.net.Zone("example.net", dnstest.Records{"mx1.gw": {"A 127.0.0.8"}})
		return discovered(w)
	},
	dnsverify.MXPointsToSelf: func(w *world) error {
		return w.net.Client().CheckNextHop(w.Context(), "mx1.gw.example.net", own)
	},
	dnsverify.NextHopRefused: func(w *world) error {
		return w.net.Client().CheckNextHop(w.Context(), "smtp.office365.com", own)
	},
	dnsverify.MTASTSMultiple: func(w *world) error {
		w.zone.Set("_mta-sts", txt("v=STSv1; id=1;"), txt("v=STSv1; id=2;"))
		_, err := w.net.Client().MTASTS(w.Context(), "example.com")
		return err
	},
	dnsverify.MTASTSBlocksSwitch: func(w *world) error {
		j := newJourney(w.T)
		j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"))
		j.start()
		for _, p := range j.plan.Problems {
			if p.Code == dnsverify.MTASTSBlocksSwitch && p.Wait.Hours() == 24 {
				return p
			}
		}
		return nil
	},
	dnsverify.DANEFailed: func(w *world) error {
		ca := newAuthority(w.T, "hop.example.com")
		at := serveHop(w.T, &hop{}, serverTLS(ca))
		w.zone.Set("hop", "A 127.0.0.1")
		w.zone.Set("_25._tcp.hop", "TLSA 3 1 1 "+strings.Repeat("00", 32))
		w.zone.Sign()
		h, err := (&dnsverify.Prober{Client: w.net.Client(), Port: at.Port()}).Probe(w.Context(), "hop.example.com")
		if err != nil || len(h.Problems) == 0 {
			return err
		}
		return h.Problems[0]
	},
}

func TestCodes(t *testing.T) {
	t.Parallel()
	for code, info := range dnsverify.Codes() {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			run, ok := codeTests[code]
			if !ok {
				t.Fatal("no test leads to this code")
			}
			err := run(newWorld(t))
			var p *dnsverify.Problem
			if !errors.As(err, &p) || p.Code != code {
				t.Fatalf("got %v, want %s", err, code)
			}
			if info.Sentence == "" || !strings.HasSuffix(info.Sentence, ".") || info.Actor == "" {
				t.Errorf("incomplete: %+v", info)
			}
			if p.Retryable() != info.Retryable || p.Again() != max(info.Again, p.Wait) {
				t.Errorf("retryable %v, again %v; want %+v", p.Retryable(), p.Again(), info)
			}
			if !info.Retryable && info.Again != 0 {
				t.Error("looking again is no use, and still there is a time for it")
			}
			if !strings.Contains(p.Error(), string(code)) || !strings.Contains(p.Error(), info.Sentence) {
				t.Errorf("the error %q lacks its code or sentence", p.Error())
			}
		})
	}
	if dnsverify.Code("unheard_of").Info() != dnsverify.Temporary.Info() {
		t.Error("an unknown code is not treated as temporary")
	}
}
