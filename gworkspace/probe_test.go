package gworkspace_test

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

// world is Google, the gateway and a mailbox: what really happens to a probe, with switches for what can be
// wrong.
type world struct {
	mu   sync.Mutex
	sent map[string]gworkspace.ProbeMail

	noRule, noTenant, noOriginalTo, loops, untrusted, twice, lock, keepsForged, keepsSpam, forgedWorks, onlyUsers, down, noSecret, scanned, holds bool
	delay                                                                                                                                         time.Duration
	began                                                                                                                                         time.Time
}

func (w *world) Send(_ context.Context, m gworkspace.ProbeMail) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.down:
		return errors.New("no route to host")
	case w.lock && m.Direct:
		return fmt.Errorf("550 5.7.1: %w", gworkspace.ErrRefused)
	case m.To == "gone@ex.net":
		return fmt.Errorf("550 5.2.1: %w", gworkspace.ErrRefused)
	}
	w.sent[m.MessageID] = m
	return nil
}

// forged says whether a message claims to have been scanned.
func forged(m gworkspace.ProbeMail) bool {
	return slices.ContainsFunc(m.Header, func(v gworkspace.Value) bool { return v.Name == "X-Postreeve-Token" })
}

func (w *world) early() bool { return time.Since(w.began) < w.delay }

func (w *world) Passages(_ context.Context, m gworkspace.ProbeMail) ([]gworkspace.Passage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.sent[m.MessageID]
	if !ok || w.early() || w.noRule || w.forgedWorks && forged(m) || w.onlyUsers && m.To == "group@ex.net" {
		return nil, nil
	}
	p := gworkspace.Passage{ID: "7q2k", Class: "clean", Action: "deliver", Scanned: w.scanned}
	if m.Spam && !w.holds {
		p.Class, p.Action = "spam", "tag"
	}
	if m.Spam && w.holds {
		p.Class, p.Action = "spam", "hold"
	}
	if !w.noSecret {
		p.Tenant = new(!w.noTenant)
	}
	if w.noOriginalTo {
		p.OriginalTo = new(false)
	}
	if w.loops {
		return []gworkspace.Passage{p, p, p}, nil
	}
	return []gworkspace.Passage{p}, nil
}

func (w *world) Look(_ context.Context, _, id string) ([]gworkspace.Copy, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.sent[id]
	if !ok || w.early() {
		return nil, nil
	}
	c := gworkspace.Copy{Labels: []string{"INBOX"}, Header: textproto.MIMEHeader{"Authentication-Results": {"mx.google.com; spf=pass"}}}
	if m.Spam && !w.untrusted || w.untrusted && !m.Spam {
		c.Labels = []string{"SPAM"}
	}
	for _, v := range m.Header {
		if w.keepsForged && strings.HasSuffix(v.Name, "-Id") || w.keepsSpam && strings.HasSuffix(v.Name, "-Spam") {
			c.Header.Add(v.Name, v.Value)
		}
	}
	if w.twice {
		return []gworkspace.Copy{c, c}, nil
	}
	return []gworkspace.Copy{c}, nil
}

func TestProbes(t *testing.T) {
	t.Parallel()
	all := []string{"P1", "P2", "P3", "P4", "P5", "P6", "P7"}
	for _, c := range []struct {
		name   string
		change func(w *world)
		host   error
		mx     bool             // mode MXFirst, moved
		wrong  []string         // the probes
		maybe  []string         // those that stay unknown
		other  gworkspace.State // of the rest
		step   string           // a step whose state follows
		state  gworkspace.State
	}{
		{"all is well", func(w *world) {}, nil, false, nil, nil, gworkspace.Right, "host", gworkspace.Right},
		{"all is well", func(w *world) {}, nil, false, nil, nil, gworkspace.Right, "inbound-gateway", gworkspace.Right},
		{"late", func(w *world) { w.delay = 10 * time.Minute }, nil, false, nil, nil, gworkspace.Right, "host", gworkspace.Right},
		{"too late", func(w *world) { w.delay = time.Hour }, nil, false, []string{"P2", "P6", "P7"}, []string{"P4", "P5"}, gworkspace.Right, "host", gworkspace.Wrong},
		{"certificate", func(w *world) {}, errors.New("certificate has expired"), false, []string{"P1"}, nil, gworkspace.Right, "host", gworkspace.Wrong},
		{"no rule", func(w *world) { w.noRule = true }, nil, false, []string{"P2", "P6", "P7"}, []string{"P4", "P5"}, gworkspace.Right, "host", gworkspace.Wrong},
		{"no tenant header", func(w *world) { w.noTenant = true }, nil, false, []string{"P2"}, nil, gworkspace.Right, "", ""},
		{"no original recipient", func(w *world) { w.noOriginalTo = true }, nil, false, []string{"P2"}, nil, gworkspace.Right, "", ""},
		{"a loop", func(w *world) { w.loops = true }, nil, false, []string{"P4"}, nil, gworkspace.Right, "inbound-gateway", gworkspace.Wrong},
		{"untrusted gateway", func(w *world) { w.untrusted = true }, nil, false, []string{"P4", "P5", "P6"}, nil, gworkspace.Right, "inbound-gateway", gworkspace.Wrong},
		{"two copies", func(w *world) { w.twice = true }, nil, false, []string{"P4"}, nil, gworkspace.Right, "", ""},
		{"reject ticked in reroute", func(w *world) { w.lock = true }, nil, false, []string{"P3"}, nil, gworkspace.Right, "inbound-gateway", gworkspace.Wrong},
		{"forged header stays", func(w *world) { w.keepsForged = true }, nil, false, []string{"P6"}, nil, gworkspace.Right, "", ""},
		{"forged header works", func(w *world) { w.forgedWorks = true }, nil, false, []string{"P6"}, nil, gworkspace.Right, "", ""},
		{"groups left out", func(w *world) { w.onlyUsers = true }, nil, false, []string{"P7"}, nil, gworkspace.Right, "", ""},
		{"the gateway knows no secret", func(w *world) { w.noSecret = true }, nil, false, nil, []string{"P2"}, gworkspace.Right, "host", gworkspace.Unknown},
		{"a good loop secret from outside", func(w *world) { w.scanned = true }, nil, false, []string{"P2", "P6"}, nil, gworkspace.Right, "host", gworkspace.Wrong},
		{"spam is held", func(w *world) { w.holds = true }, nil, false, nil, []string{"P5"}, gworkspace.Right, "inbound-gateway", gworkspace.Unknown},
		{"forged spam header stays", func(w *world) { w.keepsSpam = true }, nil, false, []string{"P6"}, nil, gworkspace.Right, "", ""},
		{"the host cannot be reached from here", func(w *world) {}, gworkspace.ErrUnreached, false, nil, []string{"P1"}, gworkspace.Right, "host", gworkspace.Right},
		{"nothing can be sent", func(w *world) { w.down = true }, nil, false, nil, nil, gworkspace.Unknown, "host", gworkspace.Unknown},
		{"MX first, locked", func(w *world) { w.lock = true }, nil, true, nil, nil, gworkspace.Right, "inbound-gateway.reject", gworkspace.Right},
		{"MX first, open", func(w *world) {}, nil, true, []string{"P3"}, nil, gworkspace.Right, "inbound-gateway.reject", gworkspace.Wrong},
	} {
		t.Run(c.name+" "+c.step, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{sent: map[string]gworkspace.ProbeMail{}, began: time.Now()}
				c.change(w)
				p := reroute()
				tenant := &gworkspace.Tenant{Profile: p, LookupMX: googleMX, CheckHost: func(context.Context, string, int) error { return c.host }}
				tenant.Probes = &gworkspace.Probes{Mailbox: "pilot@ex.net", Send: w, Gateway: w, Look: w, Group: "group@ex.net", Alias: "alias@ex.net", Suspended: "gone@ex.net"}
				want := slices.Clone(all)
				if c.mx {
					tenant.Profile = mxFirst()
					tenant.Profile.MXMoved = true
					tenant.LookupMX = func(context.Context, string) ([]string, error) { return []string{"mx1.gw.example"}, nil }
					want = want[1:]
				}
				start := time.Now()
				r, err := tenant.Verify(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took > 15*time.Minute || len(c.wrong) == 0 && c.other == gworkspace.Right && took > w.delay+2*time.Minute {
					t.Errorf("took %s", took)
				}
				var ids []string
				for _, x := range r.Probes {
					ids = append(ids, x.ID)
					state := gworkspace.Right
					switch {
					case slices.Contains(c.wrong, x.ID):
						state = gworkspace.Wrong
					case slices.Contains(c.maybe, x.ID):
						state = gworkspace.Unknown
					case x.ID != "P1":
						state = c.other
					}
					if x.State != state {
						t.Errorf("%s is %s (%s), want %s", x.ID, x.State, x.Detail, state)
					}
				}
				if diff := cmp.Diff(want, ids); diff != "" {
					t.Errorf("probes (-want +got):\n%s", diff)
				}
				if c.step != "" && checkOf(r, c.step).State != c.state {
					t.Errorf("%s: %+v, want %s", c.step, checkOf(r, c.step), c.state)
				}
			})
		})
	}
}

// TestProbeByGmail: without something else to look with, the mailbox is looked into by the Gmail API.
func TestProbeByGmail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := gworkspacetest.New(gworkspacetest.Config{})
		onboarded(server)
		server.AddUser(gworkspacetest.User{Email: "pilot@ex.net"})
		w := &world{sent: map[string]gworkspace.ProbeMail{}, began: time.Now()}
		tenant := tenantOf(t, server, reroute())
		tenant.CheckHost = func(context.Context, string, int) error { return nil }
		tenant.Probes = &gworkspace.Probes{Mailbox: "pilot@ex.net", Gateway: w,
			Send: senderFunc(func(ctx context.Context, m gworkspace.ProbeMail) error {
				label := "INBOX"
				if m.Spam {
					label = "SPAM"
				}
				server.AddMessage(m.To, gworkspacetest.Message{MessageID: m.MessageID, Labels: []string{label}})
				return w.Send(ctx, m)
			})}
		r, err := tenant.Verify(t.Context())
		if err != nil || !r.Sure() || !r.Scanning {
			t.Errorf("%v: %+v %+v", err, r.Checks, r.Probes)
		}
	})
}

type senderFunc func(ctx context.Context, m gworkspace.ProbeMail) error

func (f senderFunc) Send(ctx context.Context, m gworkspace.ProbeMail) error { return f(ctx, m) }

// TestProbeDirect: what P3 has to find follows from where the MX records lead, and not from the profile alone: while one
// leads to Google, nobody is told to refuse mail there.
func TestProbeDirect(t *testing.T) {
	t.Parallel()
	both := func(context.Context, string) ([]string, error) {
		return []string{"mx1.gw.example", "smtp.google.com"}, nil
	}
	down := func(context.Context, string) ([]string, error) { return nil, errors.New("server misbehaving") }
	const on, off = `turn on "Reject`, `turn off "Reject`
	for name, c := range map[string]struct {
		profile *gworkspace.Profile
		mx      func(context.Context, string) ([]string, error)
		locked  bool // Google refuses it
		state   gworkspace.State
		do      string
		reject  gworkspace.State // of the step
	}{
		"moved, taken":               {movedMX(), ourMX, false, gworkspace.Wrong, on, gworkspace.Wrong},
		"moved, refused":             {movedMX(), ourMX, true, gworkspace.Right, "", gworkspace.Right},
		"back at Google, taken":      {movedMX(), googleMX, false, gworkspace.Right, "", gworkspace.Unknown},
		"back at Google, refused":    {movedMX(), googleMX, true, gworkspace.Wrong, off, gworkspace.Wrong},
		"one at Google, taken":       {movedMX(), both, false, gworkspace.Right, "", gworkspace.Unknown},
		"one at Google, refused":     {movedMX(), both, true, gworkspace.Wrong, off, gworkspace.Wrong},
		"DNS is down, taken":         {movedMX(), down, false, gworkspace.Unknown, "", gworkspace.Unknown},
		"DNS is down, refused":       {movedMX(), down, true, gworkspace.Unknown, "if one of them leads to Google", gworkspace.Unknown},
		"not moved, taken":           {mxFirst(), googleMX, false, gworkspace.Right, "", ""},
		"not moved, refused":         {mxFirst(), googleMX, true, gworkspace.Wrong, off, ""},
		"reroute, refused":           {reroute(), googleMX, true, gworkspace.Wrong, off, ""},
		"reroute, DNS down, refused": {reroute(), down, true, gworkspace.Wrong, off, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c.profile.Access = nil
				w := &world{sent: map[string]gworkspace.ProbeMail{}, lock: c.locked}
				tenant := &gworkspace.Tenant{Profile: c.profile, LookupMX: c.mx, Probes: &gworkspace.Probes{Mailbox: "a@ex.net", Send: w},
					Told: []gworkspace.Answer{ago("inbound-gateway.reject", 50, true)}}
				one, err := tenant.Verify(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				tenant.Told = append(tenant.Told, ago("inbound-gateway.reject-off", 1, true))
				r, err := tenant.Verify(t.Context()) // what is seen counts, whatever is told
				if diff := cmp.Diff(codes(one.Findings), codes(r.Findings)); err != nil || diff != "" {
					t.Errorf("%v: told on, and off (-on +off):\n%s", err, diff)
				}
				i := slices.IndexFunc(r.Probes, func(p gworkspace.Probe) bool { return p.ID == "P3" })
				if p := r.Probes[i]; p.State != c.state || (c.do == "") != (p.Do == "") || !strings.Contains(p.Do, c.do) {
					t.Errorf("%+v, want %s, %q", p, c.state, c.do)
				}
				if got := checkOf(r, "inbound-gateway.reject"); got.State != c.reject {
					t.Errorf("%+v, want %s", got, c.reject)
				}
				for _, d := range r.Drift {
					if c.do != on && d.Wanted == true {
						t.Errorf("%s: mail would be refused that DNS sends to Google", d)
					}
				}
				if want := c.profile.MXMoved && c.locked && c.do == off; slices.Contains(codes(r.Findings), "mx.reject") != want {
					t.Errorf("findings %v", r.Findings)
				}
			})
		})
	}
}
