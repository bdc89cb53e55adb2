package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/relay/relaytest"
)

// checkRow is a line of check --json.
type checkRow struct {
	Check, Subject, State, Detail, Advice string
	TookMS                                float64 `json:"took_ms"`
}

// certificate makes a certificate that signs itself, and returns it as a pair and as PEM files.
func certificate(t testing.TB, name string, until time.Time) (pair tls.Certificate, cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-100 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})
	dir := write(t, map[string]string{"cert.pem": string(certPEM), "key.pem": string(keyPEM)})
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return pair, cert, key
}

// zone answers DNS queries from a map of records, by "name type". A value of SILENCE is not answered.
func zone(t testing.TB, records map[string]string) string {
	t.Helper()
	return answering(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		name := strings.ToLower(q.Question[0].Name)
		text, ok := records[name+" "+dns.TypeToString[q.Question[0].Qtype]]
		switch {
		case text == "SILENCE":
			return
		case ok:
			for line := range strings.SplitSeq(text, "\n") {
				rr, err := dns.NewRR(name + " 60 IN " + dns.TypeToString[q.Question[0].Qtype] + " " + line)
				if err != nil {
					t.Error(err)
				}
				m.Answer = append(m.Answer, rr)
			}
		default:
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
}

// closed is an address on which nothing listens, nor will while the tests run: a port that was free a moment ago may be
// the next one that a test beside is given.
const closed = "127.0.0.1:1"

func TestCheck(t *testing.T) {
	t.Parallel()
	year := time.Now().Add(365 * 24 * time.Hour)
	_, goodCert, goodKey := certificate(t, "gw.example", year)
	_, oldCert, oldKey := certificate(t, "gw.example", time.Now().Add(-time.Hour))
	_, soonCert, soonKey := certificate(t, "gw.example", time.Now().Add(49*time.Hour))
	hopPair, hopRoots, _ := certificate(t, "mail.ex.net", year)
	start := func(s *relaytest.Sink) string { return s.Start(t) }
	plain := start(&relaytest.Sink{Hostname: "mail.ex.net"})
	secure := start(&relaytest.Sink{Hostname: "mail.ex.net", TLS: &tls.Config{Certificates: []tls.Certificate{hopPair}}})
	broken := start(&relaytest.Sink{TLS: &tls.Config{Certificates: []tls.Certificate{hopPair}}, Faults: []relaytest.Fault{{At: relaytest.AtTLS, Drop: true}}})
	ourselves := start(&relaytest.Sink{Hostname: "GW.example"})
	refusing := start(&relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtConnect, Reply: "554 go away", Drop: true}}})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	_, plainPort, _ := net.SplitHostPort(plain)
	resolver := zone(t, map[string]string{
		"gw.example. A": "192.0.2.1", "1.2.0.192.in-addr.arpa. PTR": "gw.example.",
		"wrong.example. A": "192.0.2.2", "2.2.0.192.in-addr.arpa. PTR": "other.example.",
		"ex.net. MX": "10 mail.ex.net.\n20 backup.ex.net.", "mail.ex.net. A": "127.0.0.1",
		"loop.ex.net. MX": "10 gw.example.\n20 mail.ex.net.", "slow.example. A": "SILENCE",
	})
	mute := zone(t, map[string]string{"gw.example. A": "SILENCE", "gw.example. AAAA": "SILENCE"})

	const head = "hostname: gw.example\n"
	listen := "listen: [\"127.0.0.1:0\"]\n"
	dnsServers := "dns: {servers: [\"" + resolver + "\"]}\n"
	tlsFiles := fmt.Sprintf("tls: {cert: %s, key: %s}\n", goodCert, goodKey)
	base := head + listen + dnsServers + tlsFiles
	domain := func(settings string) string {
		return "domains:\n  ex.net: {" + settings + ", verification: waived}\n"
	}
	hop := func(addr, more string) string { return domain("next-hop: \"" + addr + "\"" + more) }

	google := func(tokens string) string {
		return ", connection: gworkspace, upstream: {tenant-token: [\"" + tokens + "\"]}"
	}
	tenant := filepath.Join(write(t, map[string]string{"t": "0123456789abcdef0123456789\n"}), "t")
	corrupt := write(t, map[string]string{"postreeve.db": strings.Repeat("no database ", 400)})

	for name, c := range map[string]struct {
		yaml string
		code int
		want string // state, check and a part of the detail
	}{
		"all well":           {base + hop(plain, ""), 0, "ok next-hop mail.ex.net answers, without STARTTLS"},
		"config errors":      {head + "zzzzzz: 1\n", 1, "FAIL config unknown key"},
		"config warnings":    {base + hop(plain, ", policy: {malicious: deliver}"), 0, "warn config malicious mail is delivered"},
		"port free":          {base + hop(plain, ""), 0, "ok listen free"},
		"port of ours":       {head + dnsServers + "listen: [\"" + ourselves + "\"]\n" + hop(plain, ""), 0, "ok listen held by a running gateway"},
		"port of others":     {head + dnsServers + "listen: [\"" + secure + "\"]\n" + hop(plain, ""), 1, "FAIL listen another mail server listens there: mail.ex.net"},
		"port of something":  {head + dnsServers + "listen: [\"" + silent.Addr().String() + "\"]\n" + hop(plain, ""), 1, "FAIL listen something that is no SMTP server"},
		"address of others":  {head + dnsServers + "listen: [\"192.0.2.1:2525\"]\n" + hop(plain, ""), 1, "FAIL listen cannot assign"},
		"metrics in use":     {base + "metrics: \"" + plain + "\"\n" + hop(secure, ""), 0, "warn metrics in use"},
		"no tls":             {head + listen + dnsServers + hop(plain, ""), 0, "warn tls STARTTLS is not offered"},
		"certificate":        {base + hop(plain, ""), 0, "ok tls valid until"},
		"expired":            {head + listen + dnsServers + fmt.Sprintf("tls: {cert: %s, key: %s}\n", oldCert, oldKey) + hop(plain, ""), 1, "FAIL tls expired on"},
		"expires soon":       {head + listen + dnsServers + fmt.Sprintf("tls: {cert: %s, key: %s}\n", soonCert, soonKey) + hop(plain, ""), 0, "warn tls in 2 days"},
		"key of another":     {head + listen + dnsServers + fmt.Sprintf("tls: {cert: %s, key: %s}\n", goodCert, oldKey) + hop(plain, ""), 1, "FAIL tls private key does not match"},
		"another name":       {strings.Replace(base, "gw.example", "wrong.example", 1) + hop(plain, ""), 0, "warn tls not wrong.example"},
		"scanners":           {base + hop(plain, ""), 0, "ok scanner clean text, GTUBE and EICAR were judged as they should be"},
		"no scanners":        {base + "scanners: []\n" + hop(plain, ""), 0, "warn scanner nothing is judged"},
		"other scanners":     {base + "scanners: [structure]\n" + hop(plain, ""), 0, "warn scanner judged clean, and malicious by those who know it"},
		"only monitors":      {base + "scanners: [{name: teststring, monitor: true}]\n" + hop(plain, ""), 1, "FAIL scanner nobody could tell"},
		"state":              {base + "state: " + t.TempDir() + "\n" + hop(plain, ""), 0, "ok state can be written"},
		"no state":           {base + "state: /dev/null/x\n" + hop(plain, ""), 1, "FAIL state not a directory"},
		"no secret":          {base + hop(plain, ", token: \"env:POSTREEVE_TEST_NO_SUCH_VARIABLE\""), 1, "FAIL secret the variable is not set"},
		"no tenant token":    {base + hop(plain, google("file:missing")), 1, "FAIL secret no such file"},
		"no tenant tokens":   {base + hop(plain, google("file:missing\", \"env:POSTREEVE_TEST_NO_SUCH_VARIABLE")), 1, "FAIL secret the variable is not set"},
		"one tenant token":   {base + hop(plain, google("env:POSTREEVE_TEST_NO_SUCH_VARIABLE\", \"file:"+tenant)), 0, "warn secret the variable is not set -> mail goes on"},
		"hop down":           {base + hop(closed, ""), 1, "FAIL next-hop Until then mail is deferred"},
		"hop down, queue":    {base + "state: " + t.TempDir() + "\n" + hop(closed, ", mode: queue"), 1, "FAIL next-hop Until then mail is queued"},
		"hop down, kept":     {base + "state: " + t.TempDir() + "\n" + hop(closed, ", mode: continuity"), 1, "FAIL next-hop Until then mail is queued"},
		"no database":        {base + "state: " + corrupt + "\n" + hop(plain, ""), 1, "FAIL store file is not a database (26) -> restore it from a backup, or move it away"},
		"hop silent":         {base + hop(silent.Addr().String(), ""), 1, "FAIL next-hop greeting"},
		"hop refuses":        {base + hop(refusing, ""), 1, "FAIL next-hop 554"},
		"hop is ourselves":   {base + hop(ourselves, ""), 1, "FAIL next-hop which is this gateway"},
		"hop unknown":        {base + hop("nowhere.example:25", ""), 1, "FAIL next-hop no such host"},
		"one of two hops":    {base + domain("next-hop: [\""+closed+"\", \""+plain+"\"]"), 0, "warn next-hop connection refused"},
		"mx":                 {base + domain("mx: \"ex.net:"+plainPort+"\""), 0, "ok next-hop mail.ex.net answers at 127.0.0.1"},
		"mx is ourselves":    {base + domain("mx: loop.ex.net"), 1, "FAIL next-hop lead to this gateway"},
		"encrypt refused":    {base + hop(plain, ", tls: encrypt"), 1, "FAIL next-hop STARTTLS is not offered"},
		"encrypt":            {base + hop(secure, ", tls: encrypt"), 0, "ok next-hop TLS 1.3; the certificate would not be accepted"},
		"opportunistic":      {base + hop(secure, ""), 0, "ok next-hop TLS 1.3"},
		"tls broken":         {base + hop(broken, ""), 0, "warn next-hop TLS handshake"},
		"encrypt and broken": {base + hop(broken, ", tls: encrypt"), 1, "FAIL next-hop TLS handshake"},
		"tls switched off":   {base + hop(secure, ", tls: none"), 0, "warn next-hop without TLS as configured"},
		"verify refused":     {base + hop(secure, ", tls: verify"), 1, "FAIL next-hop certificate"},
		"verify": {
			base + hop(secure, ", tls: {mode: verify, name: mail.ex.net, roots: "+hopRoots+"}"), 0, "ok next-hop certificate valid for mail.ex.net",
		},
		"verify another name": {
			base + hop(secure, ", tls: {mode: verify, name: other.ex.net, roots: "+hopRoots+"}"), 1, "FAIL next-hop certificate",
		},
		"no roots":    {base + hop(secure, ", tls: {mode: verify, roots: /dev/null}"), 1, "FAIL next-hop no certificate in PEM form"},
		"dns":         {base + hop(plain, ""), 0, "ok dns answers"},
		"dns silent":  {head + listen + tlsFiles + "dns: {servers: [\"" + mute + "\"]}\n" + hop(plain, ""), 1, "FAIL dns timeout"},
		"ptr":         {base + hop(plain, ""), 0, "ok dns 192.0.2.1, whose PTR record names it"},
		"another ptr": {strings.Replace(base, "gw.example", "wrong.example", 1) + hop(plain, ""), 0, "warn dns the PTR record of 192.0.2.2 does not name it"},
		"no address":  {strings.Replace(base, "gw.example", "absent.example", 1) + hop(plain, ""), 0, "warn dns has no address in DNS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(write(t, map[string]string{"c.yaml": c.yaml}), "c.yaml")
			patience := "30s"
			if strings.Contains(c.yaml, silent.Addr().String()) || strings.Contains(c.yaml, mute) { // which would take all of it
				patience = "2s"
			}
			got := run(t, "", "check", "--json", "--timeout", patience, "-c", file)
			state, rest, _ := strings.Cut(c.want, " ")
			check, detail, _ := strings.Cut(rest, " ")
			found := false
			for _, r := range lines[checkRow](t, got.out) {
				found = found || r.State == state && r.Check == check && strings.Contains(r.Detail+" -> "+r.Advice, detail)
				if r.State == "FAIL" && r.Check != "config" && r.Advice == "" {
					t.Errorf("a failure without advice: %+v", r)
				}
			}
			if !found || got.code != c.code {
				t.Errorf("exit %d, want %d with %q:\n%s%s", got.code, c.code, c.want, got.out, got.err)
			}
		})
	}
}

func TestCheckPlain(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtHello, Reply: "250 \x1b[31mmail"}}}
	file := filepath.Join(write(t, map[string]string{"c.yaml": configFor(sink.Start(t), "dns: {servers: [\""+zone(t, nil)+"\"]}")}), "c.yaml")
	got := run(t, "", "check", "-c", file)
	if got.code != 0 || !strings.Contains(got.out, "ok    next-hop  ex.net via 127.0.0.1:") || !strings.Contains(got.out, " 0 failures\n") {
		t.Errorf("got %+v", got)
	}
	if strings.Contains(got.out, "\x1b") {
		t.Errorf("the server speaks to the terminal: %q", got.out)
	}
	if got := run(t, "", "check", "-c", file+".none"); got.code != 1 || !strings.Contains(got.out, "FAIL") {
		t.Errorf("a file that is not there: %+v", got)
	}
}
