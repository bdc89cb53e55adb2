package peertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-milter"
	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/verdict"
)

// authLab has a name server with the keys of signers (Knot), OpenDKIM as a milter, and dkimpy.
type authLab struct {
	t        *testing.T
	dir      string
	resolver string            // address, on port 53
	keys     map[string]string // files by "selector.domain"
	signers  map[string]string // OpenDKIM's sockets by canonicalization
	verifier string            // OpenDKIM's socket
}

// python is the one that Debian's packages are for.
const python = "/usr/bin/python3"

func newAuthLab(t *testing.T) *authLab {
	t.Helper()
	need(t, "knotd", "opendkim")
	if out, err := exec.Command(python, "-c", "import dkim, dns.resolver, nacl").CombinedOutput(); err != nil {
		missing(t, "python3-dkim, python3-dnspython and python3-nacl are not installed: "+strings.TrimSpace(string(out)))
	}
	l := &authLab{t: t, dir: t.TempDir(), keys: map[string]string{}, signers: map[string]string{}}
	l.resolver = fmt.Sprintf("127.%d.%d.5", 1+rand.IntN(250), 1+rand.IntN(250))
	need53(t, l.resolver)
	l.startDNS()
	l.startOpenDKIM()
	return l
}

func (l *authLab) file(name, content string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// startDNS serves example, with a record for each key as `postreeve dkim-key` prints it.
func (l *authLab) startDNS() {
	zone := "$ORIGIN example.\n$TTL 300\n" + soa + "@ NS ns\nns A " + l.resolver + "\n" +
		"b TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n_dmarc.b TXT \"v=DMARC1; p=reject\"\n_dmarc.a TXT \"v=DMARC1; p=reject\"\n"
	for name, kind := range map[string]string{"s1.a.example": "rsa", "s1.b.example": "rsa", "s2.b.example": "ed25519", "arc.gw.example": "rsa"} {
		selector, domain, _ := strings.Cut(name, ".")
		l.keys[name] = filepath.Join(l.dir, name+".pem")
		out := postreeve(l.t, "dkim-key", "--domain", domain, "--selector", selector, "--kind", kind, l.keys[name])
		_, record, ok := strings.Cut(out, "PowerDNS):\n")
		if !ok {
			l.t.Fatalf("no record in %s", out)
		}
		for line := range strings.Lines(record) {
			zone += strings.TrimPrefix(line, "  ")
		}
	}
	l.file("zone", zone)
	conf := l.file("knot.conf", fmt.Sprintf(`server:
  rundir: %[1]q
  listen: %[2]s@53
log:
  - target: stderr
    any: warning
database:
  storage: %[1]q
zone:
  - domain: example
    storage: %[1]q
    file: zone
`, l.dir, l.resolver))
	process(l.t, "knotd", "-c", conf)
	wait(l.t, "the name server", func() bool {
		m := new(dns.Msg)
		m.SetQuestion("s1._domainkey.a.example.", dns.TypeTXT)
		r, _, err := (&dns.Client{Timeout: time.Second, UDPSize: 4096}).Exchange(m, l.resolver+":53")
		return err == nil && len(r.Answer) > 0
	})
}

// postreeve runs a command to its end.
func postreeve(t testing.TB, args ...string) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("postreeve %q: %v\n%s", args, err, out)
	}
	return string(out)
}

var canonicalizations = []string{"simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"}

// startOpenDKIM starts a verifier, and a signer for each canonicalization.
func (l *authLab) startOpenDKIM() {
	unbound := l.file("unbound.conf", "server:\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n")
	common := func(name string) string {
		return fmt.Sprintf("Socket local:%s\nUserID root\nBackground no\nRequireSafeKeys no\nNameservers %s\nResolverConfiguration %s\nInternalHosts 127.0.0.0/8\nAuthservID opendkim.example\nSyslog no\n",
			filepath.Join(l.dir, name+".sock"), l.resolver, unbound)
	}
	run := func(name, conf string) string {
		process(l.t, "opendkim", "-f", "-x", l.file(name+".conf", conf))
		socket := filepath.Join(l.dir, name+".sock")
		wait(l.t, "opendkim", func() bool {
			c, err := net.Dial("unix", socket)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		return socket
	}
	l.verifier = run("verify", common("verify")+"Mode v\nOn-DNSError accept\n")
	for i, c := range canonicalizations {
		name := fmt.Sprintf("sign%d", i)
		l.signers[c] = run(name, common(name)+fmt.Sprintf("Mode s\nDomain a.example\nSelector s1\nKeyFile %s\nCanonicalization %s\nSignatureAlgorithm rsa-sha256\n", l.keys["s1.a.example"], c))
	}
}

// milter shows a message to a milter as a mail server does, and returns the fields that it adds.
func (l *authLab) milter(socket string, raw []byte) []string {
	l.t.Helper()
	c := milter.NewClientWithOptions("unix", socket, milter.ClientOptions{
		ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		ActionMask: milter.OptAddHeader | milter.OptChangeHeader, ProtocolMask: milter.OptHeaderLeadingSpace,
	})
	s, err := c.Session()
	if err != nil {
		l.t.Fatal(err)
	}
	defer s.Close()
	check := func(_ *milter.Action, err error) {
		l.t.Helper()
		if err != nil {
			l.t.Fatal(err)
		}
	}
	check(s.Conn("localhost", milter.FamilyInet, 25, "127.0.0.1"))
	check(s.Helo("client.example"))
	check(s.Mail("x@a.example", nil))
	check(s.Rcpt("b@ex.net", nil))
	h := verdict.NewMessage(verdict.Bytes(raw)).Header()
	spaced := s.ProtocolOption(milter.OptHeaderLeadingSpace)
	for f := range h.All() {
		name, value, _ := strings.Cut(string(f.Raw()), ":")
		value = strings.ReplaceAll(strings.TrimSuffix(value, "\r\n"), "\r\n", "\n")
		if !spaced {
			value = strings.TrimPrefix(value, " ")
		}
		check(s.HeaderField(name, value))
	}
	check(s.HeaderEnd())
	acts, _, err := s.BodyReadFrom(bytes.NewReader(raw[h.BodyOffset():]))
	if err != nil {
		l.t.Fatal(err)
	}
	var out []string
	for _, a := range acts {
		if a.HeaderName != "" {
			out = append(out, a.HeaderName+": "+strings.TrimPrefix(strings.ReplaceAll(a.HeaderValue, "\n", "\r\n"), " "))
		}
	}
	return out
}

// dkimpy signs and verifies many messages in one process: Debian's own scripts ask the system's resolver only.
const dkimpy = `
import dkim, dns.resolver, json, sys
r = dns.resolver.Resolver(configure=False)
r.nameservers = [sys.argv[1]]
dns.resolver.default_resolver = r
for line in sys.stdin:
    job = json.loads(line)
    with open(job["file"], "rb") as f:
        raw = f.read()
    out = {"file": job["file"]}
    try:
        if job["do"] == "sign":
            with open(job["key"], "rb") as f:
                key = f.read()
            head, body = job["canon"].split("/")
            sig = dkim.sign(raw, job["selector"].encode(), job["domain"].encode(), key,
                canonicalize=(head.encode(), body.encode()), signature_algorithm=job["algorithm"].encode())
            out["field"] = sig.decode()
        else:
            d = dkim.DKIM(raw)
            n = sum(1 for k, v in d.headers if k.lower() == b"dkim-signature")
            out["dkim"] = [bool(dkim.DKIM(raw).verify(idx=i)) for i in range(n)]
            cv, results, comment = dkim.arc_verify(raw)
            out["arc"] = cv.decode() if cv else "none"
            out["comment"] = str(comment)
    except Exception as e:
        out["error"] = repr(e)
    print(json.dumps(out), flush=True)
`

// dkimpyJob is one line for it, dkimpyResult one of its answers.
type dkimpyJob struct {
	Do        string `json:"do"`
	File      string `json:"file"`
	Key       string `json:"key,omitempty"`
	Selector  string `json:"selector,omitempty"`
	Domain    string `json:"domain,omitempty"`
	Canon     string `json:"canon,omitempty"`
	Algorithm string `json:"algorithm,omitempty"`
}

type dkimpyResult struct {
	File    string
	Field   string
	DKIM    []bool
	ARC     string
	Comment string
	Error   string
}

func (l *authLab) dkimpy(jobs []dkimpyJob) []dkimpyResult {
	l.t.Helper()
	var in bytes.Buffer
	for _, j := range jobs {
		b, err := json.Marshal(j)
		if err != nil {
			l.t.Fatal(err)
		}
		in.Write(append(b, '\n'))
	}
	cmd := exec.Command(python, "-W", "ignore", "-c", dkimpy, l.resolver)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = &in, &errs
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("dkimpy: %v\n%s", err, errs.String())
	}
	var results []dkimpyResult
	for line := range bytes.Lines(out) {
		var r dkimpyResult
		if err := json.Unmarshal(line, &r); err != nil {
			l.t.Fatalf("dkimpy: %v: %s", err, line)
		}
		results = append(results, r)
	}
	if len(results) != len(jobs) {
		l.t.Fatalf("dkimpy: %d answers to %d jobs\n%s", len(results), len(jobs), errs.String())
	}
	return results
}
