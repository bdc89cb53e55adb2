package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// probeFlags say how messages are sent through the loop.
type probeFlags struct {
	Probe          string        `placeholder:"ADDRESS" help:"Send test messages (P2 to P7) from outside to this protected mailbox, and follow them through the ledger of -c and, where the delegation allows it, in the mailbox."`
	ProbeVia       string        `placeholder:"HOST[:PORT]" help:"The server outside that takes them. By default what the MX records of the domain name; then this must be no machine of the gateway, whose addresses Google trusts."`
	ProbeFrom      string        `placeholder:"ADDRESS" help:"A sender outside the tenant, best one that may send from there by SPF: Gmail judges it too. By default nobody, as of a bounce."`
	ProbeByHand    bool          `help:"Send nothing: say what a person has to send from outside, and wait for that."`
	ProbeGroup     string        `placeholder:"ADDRESS" help:"A group (P7)."`
	ProbeAlias     string        `placeholder:"ADDRESS" help:"An alias (P7)."`
	ProbeCatchAll  string        `placeholder:"ADDRESS" help:"An address that only the catch-all knows (P7)."`
	ProbeSuspended string        `placeholder:"ADDRESS" help:"A suspended user, whose mail Google does not reroute (P7)."`
	ProbeTime      time.Duration `default:"15m" help:"How long the messages may take."`
	ProbeGoogle    string        `default:"smtp.google.com:25" placeholder:"HOST[:PORT]" help:"Where P3 is sent to, past all MX records."`
	ProbePause     time.Duration `default:"20s" hidden:""`
}

// valid refuses flags that would have no effect.
func (f *probeFlags) valid(e *env, noWait bool) error {
	if f.Probe != "" && noWait {
		return usage(e, "--probe sends messages, and --no-wait sends none: leave one of them out")
	}
	if f.Probe != "" {
		return nil
	}
	for _, x := range []struct {
		flag string
		set  bool
	}{{"via", f.ProbeVia != ""}, {"from", f.ProbeFrom != ""}, {"by-hand", f.ProbeByHand}, {"group", f.ProbeGroup != ""}, {"alias", f.ProbeAlias != ""},
		{"catch-all", f.ProbeCatchAll != ""}, {"suspended", f.ProbeSuspended != ""}} {
		if x.set {
			return usage(e, "--probe-%s goes with --probe, which names the mailbox", x.flag)
		}
	}
	return nil
}

// probes returns nil without a mailbox.
func (f *probeFlags) probes(e *env, p *gworkspace.Profile, side *ourSide) (*gworkspace.Probes, error) {
	if f.Probe == "" {
		return nil, nil
	}
	for _, a := range []string{f.Probe, f.ProbeFrom, f.ProbeGroup, f.ProbeAlias, f.ProbeCatchAll, f.ProbeSuspended} {
		if a != "" && (verdict.Domain(a) == "" || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' })) {
			return nil, usage(e, "%q is no address for a probe, as in pilot@ex.net", a)
		}
	}
	if !slices.ContainsFunc(p.Domains, func(d string) bool { return strings.EqualFold(verdict.Domain(f.Probe), d) }) {
		return nil, usage(e, "--probe %s is in none of the domains of the profile", f.Probe)
	}
	x := &gworkspace.Probes{Mailbox: f.Probe, Group: f.ProbeGroup, Alias: f.ProbeAlias, Unrecognized: f.ProbeCatchAll, Suspended: f.ProbeSuspended,
		Within: f.ProbeTime, Every: f.ProbePause, Send: &probeSender{flags: f, egress: egressOf(p), addrs: net.InterfaceAddrs}, Unwatched: side.why}
	if f.ProbeByHand {
		x.Send = handSender{e}
	}
	if side.st != nil {
		x.Gateway = &ledgerWitness{side: side, since: time.Now().Add(-time.Minute)}
	}
	return x, nil
}

// egressOf are the addresses that Google takes for the gateway.
func egressOf(p *gworkspace.Profile) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range p.Regions {
		out = append(out, prefixes(r.Egress)...)
	}
	return out
}

// prefixes reads addresses and networks, and leaves out what is none.
func prefixes(all []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range all {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		} else if n, err := netip.ParsePrefix(s); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// probeSender sends by SMTP.
type probeSender struct {
	flags  *probeFlags
	egress []netip.Prefix
	addrs  func() ([]net.Addr, error) // of this machine
}

// Send implements gworkspace.Sender.
func (s *probeSender) Send(ctx context.Context, m gworkspace.ProbeMail) error {
	hop := &relay.SMTP{MX: verdict.Domain(m.To), MaxIdle: -1}
	direct := s.flags.ProbeVia == ""
	switch {
	case m.Direct:
		hop, direct = &relay.SMTP{Hosts: []string{s.flags.ProbeGoogle}, MaxIdle: -1}, true
	case !direct:
		hop = &relay.SMTP{Hosts: []string{s.flags.ProbeVia}, MaxIdle: -1}
	}
	defer hop.Close()
	if a := s.trusted(); direct && a.IsValid() {
		return fmt.Errorf("%w: %v is an address of the gateway, which Google trusts: send from another machine, with --probe-via HOST, or with --probe-by-hand", gworkspace.ErrNotSent, a)
	}
	env := verdict.Envelope{From: s.flags.ProbeFrom, To: []verdict.Recipient{{Address: m.To}}}
	receipts, err := hop.Deliver(ctx, env, verdict.Bytes(probeMessage(s.flags.ProbeFrom, m, time.Now())))
	if err == nil && !receipts[0].Accepted() {
		err = receipts[0].Reply
	}
	if err != nil && !relay.Temporary(err) {
		return fmt.Errorf("%w: %w", gworkspace.ErrRefused, err)
	}
	return err
}

// trusted is an address of this machine that belongs to the gateway.
func (s *probeSender) trusted() netip.Addr { return addressIn(s.addrs, s.egress) }

// addressIn is an address of this machine that is in one of some networks.
func addressIn(addrs func() ([]net.Addr, error), nets []netip.Prefix) netip.Addr {
	return firstIn(machineAddrs(addrs), nets)
}

// firstIn is the first address that is in one of some networks; the zero one if none is.
func firstIn(all []netip.Addr, nets []netip.Prefix) netip.Addr {
	for _, ip := range all {
		if slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			return ip
		}
	}
	return netip.Addr{}
}

// machineAddrs are the addresses of this machine, none if they cannot be had.
func machineAddrs(addrs func() ([]net.Addr, error)) []netip.Addr {
	all, err := addrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out
}

// probeBody is what stands in a test message.
func probeBody(m gworkspace.ProbeMail) string {
	if m.Spam {
		return "This message shows that marked mail goes to Spam. It may be deleted.\r\n" + teststring.Spam + "\r\n"
	}
	return "This message shows that mail takes the right way. It may be deleted.\r\n"
}

func probeMessage(from string, m gworkspace.ProbeMail, at time.Time) string {
	var b strings.Builder
	for _, v := range m.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", v.Name, v.Value)
	}
	fmt.Fprintf(&b, "From: Probe <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: %s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s",
		cmp.Or(from, "probe@"+reportHost()), m.To, m.Subject, at.Format(time.RFC1123Z), m.MessageID, probeBody(m))
	return b.String()
}

// handSender says what a person has to send.
type handSender struct{ e *env }

// Send implements gworkspace.Sender.
func (s handSender) Send(_ context.Context, m gworkspace.ProbeMail) error {
	w := s.e.err
	if m.Direct || len(m.Header) > 0 { // no mail program does that
		args := []string{"swaks", "--to", m.To, "--header", "'Subject: " + m.Subject + "'", "--header", "'Message-ID: " + m.MessageID + "'"}
		if m.Direct {
			args = append(args, "--server", s.google())
		}
		for _, v := range m.Header {
			args = append(args, "--header", "'"+v.Name+": "+v.Value+"'")
		}
		w.printf("%s: on a machine outside run\n  %s\n", m.Probe, show(strings.Join(args, " ")))
		if m.Direct { // what the receiver said is seen there alone
			return fmt.Errorf("%w: see what swaks says: 250 is right unless mail is taken from the gateway only, then 550", gworkspace.ErrNotSent)
		}
		return nil
	}
	w.printf("%s: from a mailbox outside send\n  To: %s\n  Subject: %s\n", m.Probe, show(m.To), show(m.Subject))
	if m.Spam {
		w.printf("  Text: %s\n", teststring.Spam)
	}
	return nil
}

func (handSender) google() string { return "smtp.google.com" }

// ledgerWitness sees what came by in the ledger of the gateway.
type ledgerWitness struct {
	side  *ourSide
	since time.Time
}

// Passages implements gworkspace.Witness.
func (w *ledgerWitness) Passages(ctx context.Context, m gworkspace.ProbeMail) ([]gworkspace.Passage, error) {
	rows, err := w.side.st.Messages(ctx, store.Filter{MessageID: m.MessageID, Since: w.since, Limit: 50})
	if err == nil && len(rows) == 0 { // somebody sent it by hand
		rows, err = w.side.st.Messages(ctx, store.Filter{Subject: m.Subject, Since: w.since, Limit: 50})
	}
	if err != nil {
		return nil, errors.New(plainStore(err))
	}
	slices.Reverse(rows) // the list has the newest first
	out := make([]gworkspace.Passage, len(rows))
	for i, r := range rows {
		out[i] = w.passage(r)
	}
	return out, nil
}

// passage reads a row. The gateway gives a message another origin than its peer if, and only if, it believed who
// sent it; in a domain with a tenant's secret that takes the secret.
func (w *ledgerWitness) passage(r store.Entry) gworkspace.Passage {
	p := gworkspace.Passage{At: r.At, ID: r.ID, MessageID: r.MessageID, Node: r.Node, Class: r.Class.String(), Action: r.Action.String(),
		Hop: r.Hop, Reply: r.Reply, Queued: r.Queued, Scanned: strings.HasPrefix(r.Reply, "554 5.4.6")}
	if d := serving(w.side.cfg, r.Domain); d != nil && d.Upstream.Proof != nil {
		p.Tenant = new(r.Origin != r.Peer)
	}
	return p
}

// printProbes prints what became of each.
func printProbes(s *screen, all []gworkspace.Probe) {
	if len(all) == 0 {
		return
	}
	t := (&table{}).row("PROBE", "STATE", "WHAT", "SEEN")
	for _, p := range all {
		t.row(p.ID, string(p.State), p.Title, p.Detail)
		t.paint(1, map[gworkspace.State]string{gworkspace.Right: green, gworkspace.Wrong: red}[p.State])
	}
	t.print(s, "")
	for _, p := range all {
		if p.Do != "" && p.State == gworkspace.Unknown { // the others are among the findings
			s.printf("%s, by hand: %s\n", p.ID, show(p.Do))
		}
	}
}
