package gworkspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// observeMX looks up the MX records of all domains. That a domain has none is no error.
func (t *Tenant) observeMX(ctx context.Context, o *observation) {
	look := t.LookupMX
	if look == nil {
		look = systemMX
	}
	for _, d := range t.Profile.Domains {
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		hosts, err := look(ctx, d)
		cancel()
		hosts = slices.Clone(hosts)
		for i, h := range hosts {
			hosts[i] = strings.ToLower(strings.TrimSuffix(h, "."))
		}
		slices.Sort(hosts) // DNS gives those of one preference in any order
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			err = nil
		}
		o.mx[d], o.mxErr[d] = hosts, lookupReason(err)
	}
}

// lookupReason is why a look-up failed, without the addresses and ports of it: they differ each time, and name the
// system's resolver where another one was asked.
func lookupReason(err error) error {
	text := ""
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		text = dns.Err
	} else if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		text = op.Err.Error()
	} else {
		return err
	}
	return errors.New(first(strings.TrimSpace(text[strings.LastIndex(text, ": ")+1:]), "no answer"))
}

func systemMX(ctx context.Context, domain string) ([]string, error) {
	all, err := net.DefaultResolver.LookupMX(ctx, domain)
	var out []string
	for _, m := range all {
		out = append(out, m.Host)
	}
	if len(out) > 0 {
		return out, nil // records that are no host names are left out with an error
	}
	return out, err
}

// googleMX says whether a host takes mail of Workspace. The hosts of consumer Gmail do not.
func googleMX(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "smtp.google.com" || host == "aspmx.l.google.com" || strings.HasSuffix(host, ".aspmx.l.google.com") {
		return true
	}
	n, ok := strings.CutPrefix(host, "aspmx")
	return ok && (n == "2.googlemail.com" || n == "3.googlemail.com" || n == "4.googlemail.com" || n == "5.googlemail.com")
}

// mxState is where the MX records lead, of those domains that were answered for.
type mxState struct {
	google, ours bool   // all of them lead there
	someGoogle   bool   // a host of Google is among them
	text         string // in words
	err          error  // DNS could not be asked about the others; nil: there are none
}

func (o *observation) mxState(p *Profile) mxState {
	s := mxState{google: true, ours: true}
	var parts []string
	var errs []error
	for _, d := range p.Domains {
		hosts := o.mx[d]
		if err := o.mxErr[d]; err != nil {
			errs = append(errs, fmt.Errorf("%s: %s", d, oneLine(err.Error(), 300)))
			parts = append(parts, d+": not known")
			continue
		}
		if len(hosts) == 0 {
			s.google, s.ours = false, false
			parts = append(parts, d+": none found")
			continue
		}
		for _, h := range hosts {
			s.google, s.someGoogle = s.google && googleMX(h), s.someGoogle || googleMX(h)
			s.ours = s.ours && slices.Contains(p.mxHosts(), h)
		}
		parts = append(parts, d+": "+strings.Join(hosts, " "))
	}
	s.text, s.err = strings.Join(parts, "; "), errors.Join(errs...)
	return s
}

// checkMX says where the MX records lead.
func (t *Tenant) checkMX(o *observation, f *findings) {
	p := t.Profile
	s := o.mxState(p)
	domains := strings.Join(p.Domains, ", ")
	if s.err != nil {
		f.problem(Problem{Code: problemMXUnread, Object: domains, Text: "DNS could not be asked: " + oneLine(s.err.Error(), 500),
			Do: "look again when it answers, or name other resolvers: where mail comes in is not known", Blocks: true})
	}
	if p.Mode == MXFirst {
		c := Check{Step: idMX, Object: "MX records of " + domains, How: Read, From: "DNS", State: Right}
		switch {
		case !s.ours:
			c.State = Wrong
			f.wrong(c, Drift{Field: "MX", Wanted: strings.Join(p.mxHosts(), " "), Found: s.text})
		case s.err != nil:
			c.State, c.How, c.From, c.Note = Unknown, "", "", "DNS could not be asked: "+oneLine(s.err.Error(), 500)
			f.check(c)
		default:
			f.check(c)
		}
		return
	}
	if !s.google {
		f.problem(Problem{Code: problemMX, Object: domains, Text: "the MX records do not lead to Google: " + s.text,
			Do: "in mode " + string(Reroute) + " mail has to come in at Google: point them at smtp.google.com, or use mode " + string(MXFirst), Blocks: true})
	}
}

// wantsLock says whether Google has to refuse what comes from anywhere but the gateway. It must not while MX records
// lead to it, whatever the profile says. Not known: the profile says that they moved, and DNS could not be asked.
func (t *Tenant) wantsLock(s mxState) (lock, known bool) {
	if t.Profile.Mode != MXFirst || !t.Profile.MXMoved || s.someGoogle {
		return false, true
	}
	return true, s.err == nil
}

// lockedOut says that Google may refuse all mail: the MX records lead there, and whoever moved them away from it may
// have told it to take mail from the gateway alone. Nothing if a person or probe P3 says that it takes all.
func (t *Tenant) lockedOut(o *observation, probes []Probe) []Problem {
	s := o.mxState(t.Profile)
	if t.Profile.Mode != MXFirst || !t.Profile.MXMoved || !s.someGoogle {
		return nil
	}
	switch x, a := probeOf(probes, "P3"), t.answer(idReject); {
	case x != nil && x.State == Right: // Google takes mail from anywhere
		return nil
	case x != nil && x.State == Wrong: // it refuses it, whatever anybody says
	case a != nil && !a.Done:
		return nil
	}
	return []Problem{{Code: problemLockedOut, Object: "setting Inbound gateway", Blocks: true,
		Text: "the MX records lead to Google (" + s.text + "), the profile says mx-moved, and nobody says that \"" + labelReject + "\" is off: while it is on, Google refuses every message",
		Do:   "turn \"" + labelReject + "\" off now, and say that the step " + idRejectOff + " is done. If the records never moved, set mx-moved to false"}}
}
