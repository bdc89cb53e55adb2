package peertest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// dnsLab is an Internet of real name servers on loopback addresses, all on port 53: a registry (NSD) with the root,
// net and example; ex.net on a primary that signs it (Knot) and a secondary that only follows when it is told to
// (NSD); and a validating resolver (Unbound) that knows the key of ex.net.
type dnsLab struct {
	running                                      map[string]*exec.Cmd
	t                                            *testing.T
	dir                                          string
	registry, primary, secondary, resolver       string // addresses
	mail, gateway                                string // of MX hosts
	knotConf, secondaryConf, unboundConf, anchor string
}

// newDNSLab starts the servers. The MX record of ex.net names mail.ex.net.
func newDNSLab(t *testing.T) *dnsLab {
	t.Helper()
	need(t, "knotd", "knotc", "keymgr", "nsd", "nsd-control", "unbound", "unbound-control")
	net127 := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), 1+rand.IntN(250))
	l := &dnsLab{t: t, dir: t.TempDir(), running: map[string]*exec.Cmd{}, registry: net127 + "1", primary: net127 + "2", secondary: net127 + "3", resolver: net127 + "4",
		mail: net127 + "25", gateway: net127 + "26"}
	need53(t, l.registry)
	l.startRegistry()
	l.startPrimary()
	l.startSecondary()
	l.startResolver()
	return l
}

// need53 skips the test if there can be no name server at an address.
func need53(t *testing.T, addr string) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "port 53 is for root only")
	}
	probe, err := net.ListenPacket("udp", addr+":53")
	if err != nil {
		missing(t, "port 53 is taken on "+addr+": "+err.Error())
	}
	probe.Close()
}

// file writes a file of the lab.
func (l *dnsLab) file(name, content string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// start starts one of the servers.
func (l *dnsLab) start(name, program string, args ...string) {
	l.t.Helper()
	l.running[name], _ = process(l.t, program, args...)
}

// stop ends one of the servers.
func (l *dnsLab) stop(name string) {
	l.t.Helper()
	l.running[name].Process.Signal(syscall.SIGTERM)
	l.running[name].Wait()
	l.t.Logf("### the %s is stopped", name)
}

// answers waits until a server answers a question with authority, or with recursion.
func (l *dnsLab) answers(server, name string, qtype uint16) {
	l.t.Helper()
	wait(l.t, "an answer from "+server+" about "+name, func() bool { return len(l.ask(server, name, qtype)) > 0 })
}

// ask puts one question and returns the records of that type.
func (l *dnsLab) ask(server, name string, qtype uint16) []dns.RR {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	r, _, err := (&dns.Client{Timeout: 2 * time.Second}).Exchange(m, server+":53")
	if err != nil || r.Rcode != dns.RcodeSuccess {
		return nil
	}
	var out []dns.RR
	for _, rr := range r.Answer {
		if rr.Header().Rrtype == qtype {
			out = append(out, rr)
		}
	}
	return out
}

const soa = "@ 3600 SOA ns hostmaster 1 3600 600 86400 60\n"

func nsd(dir, addr, zones string) string {
	return fmt.Sprintf(`server:
  ip-address: %s
  port: 53
  username: root
  server-count: 1
  zonesdir: %[2]q
  database: ""
  zonelistfile: "%[2]s/zone.list"
  xfrdfile: "%[2]s/xfrd.state"
  xfrdir: %[2]q
  pidfile: "%[2]s/nsd.pid"
remote-control:
  control-enable: yes
  control-interface: "%[2]s/nsd.sock"
%s`, addr, dir, zones)
}

func (l *dnsLab) startRegistry() {
	l.file("registry/root", "$ORIGIN .\n$TTL 300\n"+soa+"@ NS ns\nns A "+l.registry+"\nnet NS ns\nexample NS ns\n")
	l.file("registry/net", "$ORIGIN net.\n$TTL 300\n"+soa+"@ NS ns.\nex NS ns1.ex\nex NS ns2.ex\nns1.ex A "+l.primary+"\nns2.ex A "+l.secondary+"\n")
	l.file("registry/example", "$ORIGIN example.\n$TTL 300\n"+soa+"@ NS ns.\nmx.gw A "+l.gateway+"\n")
	zones := ""
	for _, z := range []string{"root", "net", "example"} {
		zones += fmt.Sprintf("zone:\n  name: %q\n  zonefile: %q\n", strings.TrimPrefix(z+".", "root"), z)
	}
	l.start("registry", "nsd", "-d", "-c", l.file("registry/nsd.conf", nsd(filepath.Join(l.dir, "registry"), l.registry, zones)))
	l.answers(l.registry, "net.", dns.TypeSOA)
}

func (l *dnsLab) startPrimary() {
	dir := filepath.Join(l.dir, "knot")
	l.file("knot/ex.net.zone", fmt.Sprintf("$ORIGIN ex.net.\n$TTL 300\n%s@ NS ns1\n@ NS ns2\nns1 A %s\nns2 A %s\n@ 3600 MX 10 mail\nmail A %s\n",
		soa, l.primary, l.secondary, l.mail))
	l.knotConf = l.file("knot/knot.conf", fmt.Sprintf(`server:
  rundir: %[1]q
  listen: %s@53
log:
  - target: stderr
    any: info
database:
  storage: %[1]q
acl:
  - id: all
    address: 127.0.0.0/8
    action: transfer
policy:
  - id: sign
    algorithm: ecdsap256sha256
    single-type-signing: on
zone:
  - domain: ex.net
    storage: %[1]q
    file: ex.net.zone
    zonefile-sync: -1
    dnssec-signing: on
    dnssec-policy: sign
    acl: all
`, dir, l.primary))
	l.start("primary", "knotd", "-c", l.knotConf)
	l.answers(l.primary, "ex.net.", dns.TypeDNSKEY)
}

func (l *dnsLab) startSecondary() {
	dir := filepath.Join(l.dir, "secondary")
	l.secondaryConf = l.file("secondary/nsd.conf", nsd(dir, l.secondary,
		"zone:\n  name: ex.net\n  zonefile: ex.net\n  request-xfr: AXFR "+l.primary+" NOKEY\n"))
	l.start("secondary", "nsd", "-d", "-c", l.secondaryConf)
	l.answers(l.secondary, "ex.net.", dns.TypeDNSKEY)
}

func (l *dnsLab) startResolver() {
	dir := filepath.Join(l.dir, "unbound")
	hints := l.file("unbound/hints", ". 3600000 NS ns.\nns. 3600000 A "+l.registry+"\n")
	for line := range strings.Lines(l.run("keymgr", "-c", l.knotConf, "ex.net", "ds")) {
		if f := strings.Fields(line); len(f) > 5 && f[4] == "2" { // SHA-256
			l.anchor = strings.Join(append([]string{"ex.net."}, f[1:]...), " ")
		}
	}
	l.unboundConf = l.file("unbound/unbound.conf", fmt.Sprintf(`server:
  interface: %s
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  chroot: ""
  username: ""
  directory: %[2]q
  pidfile: "%[2]s/unbound.pid"
  use-syslog: no
  root-hints: %q
  trust-anchor: %q
  module-config: "validator iterator"
remote-control:
  control-enable: yes
  control-interface: "%[2]s/unbound.sock"
`, l.resolver, dir, hints, l.anchor))
	l.start("resolver", "unbound", "-d", "-c", l.unboundConf)
	l.answers(l.resolver, "ex.net.", dns.TypeMX)
}

// run runs a program to its end and returns what it says.
func (l *dnsLab) run(program string, args ...string) string {
	l.t.Helper()
	path, err := lookPath(program)
	if err != nil {
		l.t.Fatal(err)
	}
	out, err := exec.Command(path, args...).Output()
	if err != nil {
		l.t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// edit replaces all records of a type at a name on the primary: "@" is the zone. No records remove it.
func (l *dnsLab) edit(owner, rrtype string, records ...string) {
	l.t.Helper()
	l.run("knotc", "-c", l.knotConf, "zone-begin", "ex.net")
	qtype := dns.StringToType[rrtype]
	if len(l.ask(l.primary, strings.TrimPrefix(owner+".ex.net.", "@."), qtype)) > 0 {
		l.run("knotc", "-c", l.knotConf, "zone-unset", "ex.net", owner, rrtype)
	}
	for _, r := range records {
		ttl, data, _ := strings.Cut(r, " ")
		l.run("knotc", "-c", l.knotConf, "zone-set", "ex.net", owner, ttl, rrtype, data)
	}
	l.run("knotc", "-c", l.knotConf, "zone-commit", "ex.net")
	l.t.Logf("### at the primary: %s %s is now %s", owner, rrtype, cmp.Or(strings.Join(records, " and "), "gone"))
}

// transfer has the secondary follow, and the resolver forget.
func (l *dnsLab) transfer() {
	l.t.Helper()
	serial := l.ask(l.primary, "ex.net.", dns.TypeSOA)[0].(*dns.SOA).Serial
	l.run("nsd-control", "-c", l.secondaryConf, "force_transfer", "ex.net")
	wait(l.t, "the transfer", func() bool {
		rr := l.ask(l.secondary, "ex.net.", dns.TypeSOA)
		return len(rr) > 0 && rr[0].(*dns.SOA).Serial == serial
	})
	l.t.Logf("### the secondary has followed, serial %d", serial)
}

// forget empties the cache of the resolver, as time would.
func (l *dnsLab) forget() {
	l.t.Helper()
	l.run("unbound-control", "-c", l.unboundConf, "flush_zone", "ex.net")
	l.t.Log("### the resolver has forgotten")
}
