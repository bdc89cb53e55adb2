package peertest

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// packages says where a program comes from.
var packages = map[string]string{
	"postfix": "postfix", "smtp-source": "postfix", "smtp-sink": "postfix", "sendmail": "postfix",
	"swaks": "swaks", "haproxy": "haproxy",
	"knotd": "knot", "knotc": "knot", "keymgr": "knot", "nsd": "nsd", "nsd-control": "nsd", "unbound": "unbound", "unbound-control": "unbound",
}

// need skips the test if a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := lookPath(p); err != nil {
			missing(t, fmt.Sprintf("%s is not installed: apt-get install %s", p, cmp.Or(packages[p], p)))
		}
	}
}

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("POSTREEVE_PEERS") == "required" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// lookPath looks where daemons are, too.
func lookPath(p string) (string, error) {
	if path, err := exec.LookPath(p); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + p)
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "postreeve-peertest-*")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "postreeve")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/postreeve/postreeve/cmd/postreeve").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

var given sync.Map // ports that free returned

// free returns an address on which nobody listens, another one each time. Its port is below those that a system gives
// out by itself: one of these could be the end of a test's connection before the server that it is meant for starts.
func free(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := 10000 + mathrand.IntN(22000)
		if _, twice := given.LoadOrStore(port, true); twice {
			continue
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			ln.Close()
			return ln.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// wait calls ok until it is true, and fails the test after a time that is long even for a busy machine.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1200 {
		if ok() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("waited 30 s for %s", what)
}

// greets says whether an SMTP server is there.
func greets(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 4)
	_, err = c.Read(buf)
	return err == nil && string(buf[:3]) == "220"
}

// log collects what a process says.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// process starts a program that runs until the test ends, and shows its output if the test fails.
func process(t testing.TB, program string, args ...string) (*exec.Cmd, *log) {
	t.Helper()
	path, err := lookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	out := &log{}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		kill.Stop()
		if t.Failed() {
			s := out.String()
			t.Logf("%s said:\n%s", program, s[max(0, len(s)-4000):])
		}
	})
	return cmd, out
}

// gateway runs `postreeve serve` for ex.net, with more lines of configuration, and returns where it listens.
func gateway(t testing.TB, hop, more string) (addr string, out *log, cmd *exec.Cmd) {
	t.Helper()
	return gatewayAt(t, free(t), hop, more)
}

func gatewayAt(t testing.TB, addr, hop, more string) (string, *log, *exec.Cmd) {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "postreeve.yaml")
	config := fmt.Sprintf("hostname: mx.gw.example\nlisten: [%q]\n%s\ndomains:\n  ex.net: {next-hop: %q, verification: waived}\n", addr, more, hop)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := process(t, bin, "serve", "-c", file)
	wait(t, "the gateway", func() bool {
		if cmd.ProcessState != nil {
			t.Fatal("the gateway has ended")
		}
		return strings.Contains(more, "proxies") || greets(addr)
	})
	return addr, out, cmd
}

// postfix runs an instance of its own and returns its directory.
func postfix(t testing.TB, listen, main string) string {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t.(*testing.T), "Postfix can only be started by root")
	}
	dir, err := os.MkdirTemp("", "peer-postfix-*") // t.TempDir is not open to the user postfix
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := filepath.Join(dir, "conf")
	for _, d := range []string{conf, filepath.Join(dir, "queue"), filepath.Join(dir, "data")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(dir, 0o755)
	sh(t, `chown postfix "$1/data"; cp /usr/share/postfix/* "$1/conf/" 2>/dev/null || true
		cp /etc/postfix/dynamicmaps.cf /etc/postfix/postfix-files "$1/conf/" 2>/dev/null || true
		sed -E "s/^smtp +inet.*/$2 inet n - n - - smtpd/; s/^([a-z]+ +(unix|unix-dgram) +[-ny] +[-ny] +)y/\1n/" /etc/postfix/master.cf.proto | grep -v '^#' > "$1/conf/master.cf"`, dir, listen)
	config := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_recipient_restrictions = permit_mynetworks,reject
smtpd_relay_restrictions = permit_mynetworks,reject
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtputf8_enable = yes
minimal_backoff_time = 5s
queue_run_delay = 5s
maillog_file = %[1]s/mail.log
maillog_file_prefixes = /tmp
%[2]s
`, dir, main)
	if err := os.WriteFile(filepath.Join(conf, "main.cf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	sh(t, `postfix -c "$1/conf" start`, dir)
	t.Cleanup(func() {
		exec.Command("postfix", "-c", conf, "stop").Run()
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "mail.log"))
			t.Logf("Postfix on %s said:\n%s", listen, b[max(0, len(b)-4000):])
		}
	})
	wait(t, "Postfix", func() bool { return greets(listen) })
	return dir
}

// sh runs a small script with arguments.
func sh(t testing.TB, script string, args ...string) string {
	t.Helper()
	out, err := exec.Command("bash", append([]string{"-euc", script, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// certificate writes a self-signed certificate and its key for a name, and returns their files.
func certificate(t testing.TB, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kb}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
