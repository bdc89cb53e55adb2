package peertest

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict/teststring"
)

// enginePackages says which package an engine comes in.
var enginePackages = map[string]string{
	"clamd": "clamav-daemon", "rspamd": "rspamd", "spamd": "spamd", "c-icap": "c-icap", "opendkim": "opendkim", "opendmarc": "opendmarc",
}

// virusScan is the module of c-icap that asks clamd.
const virusScan = "/usr/lib/*/c_icap/virus_scan.so"

// needEngine skips the test if an engine is missing.
func needEngine(t *testing.T, program string) {
	t.Helper()
	if _, err := lookPath(program); err != nil {
		missing(t, fmt.Sprintf("%s is not installed: apt-get install --no-install-recommends %s", program, cmp.Or(enginePackages[program], program)))
	}
}

// folder is a folder of its own for a daemon that runs as user, with a name that is short enough for sockets.
func folder(t testing.TB, user string, files map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer-engine-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/.keep") {
			continue
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(content, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		sh(t, `chown -R "$2" "$1"`, dir, user)
	}
	return dir
}

// as is arg if the tests run as root, and nothing otherwise: the daemon is then ours already.
func as(arg string) string {
	if os.Getuid() != 0 {
		return ""
	}
	return arg
}

// engine runs a daemon and all that it starts, until stop is called or the test ends.
func engine(t testing.TB, program string, args ...string) (stop func()) {
	t.Helper()
	path, err := lookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	out := &log{}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		cmd.Wait()
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(3 * time.Second):
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-done
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			s := out.String()
			t.Logf("%s said:\n%s", program, s[max(0, len(s)-4000):])
		}
	})
	return stop
}

// ready waits for a daemon to listen. Some read megabytes of rules first, and machines are busy.
func ready(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(25 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not listen after two minutes", what)
		}
	}
}

// listens says whether somebody does.
func listens(network, addr string) bool {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// mark is what the second signature of our ClamAV database finds.
const mark = "POSTREEVE-PEERTEST-MARK"

// clamav is a folder for a clamd with two signatures of our own: EICAR by its digest, and mark by its bytes.
func clamav(t testing.TB, more string) (dir string) {
	return folder(t, "clamav", map[string]string{
		"db/own.hdb": fmt.Sprintf("44d88612fea8a8f36de82e1278abb02f:%d:Eicar-Test-Signature\n", len(teststring.EICAR())),
		"db/own.ndb": fmt.Sprintf("Postreeve.Test.Mark:0:*:%x\n", mark),
		"tmp/.keep":  "",
		"clamd.conf": "Foreground yes\nLocalSocket DIR/s\nLocalSocketMode 666\nDatabaseDirectory DIR/db\nTemporaryDirectory DIR/tmp\nAlertEncrypted yes\n" + as("User clamav\n") + more,
	})
}

// clamd runs in a folder that clamav has made.
func clamd(t testing.TB, dir string) (socket net.Addr, stop func()) {
	t.Helper()
	stop = engine(t, "clamd", "-c", filepath.Join(dir, "clamd.conf"))
	socket = &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, "s")}
	ready(t, "clamd", func() bool { return listens("unix", socket.String()) })
	return socket, stop
}

// spamd runs SpamAssassin's daemon without network tests, with its stock rules, or with none but GTUBE: that is fast.
func spamd(t testing.TB, stock bool) net.Addr {
	t.Helper()
	dir := folder(t, "debian-spamd", map[string]string{
		"home/.keep":  "",
		"rules/10.cf": "required_score 5\nbody GTUBE /GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL/\nscore GTUBE 1000\n",
	})
	addr := free(t)
	args := []string{"--local", "--nouser-config", "--helper-home-dir=" + dir + "/home", "--max-children=8", "--min-children=2", "--timeout-child=5", "--listen=" + addr, "--syslog=stderr"}
	if !stock {
		args = append(args, "--configpath="+dir+"/rules")
	}
	if as("x") != "" {
		args = append(args, "--username=debian-spamd")
	}
	engine(t, "spamd", args...)
	ready(t, "spamd", func() bool { return listens("tcp", addr) })
	return tcp(addr)
}

func tcp(addr string) net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", addr)
	return a
}

// rspamd runs with its stock rules, but for those that ask the network, and returns where it speaks HTTP, on both kinds
// of sockets, and milter.
func rspamd(t testing.TB) (http, socket, milter net.Addr) {
	t.Helper()
	worker, proxy := free(t), free(t)
	files := map[string]string{
		"db/.keep": "", "run/.keep": "", "log/.keep": "", "etc/override.d/.keep": "",
		// With the stock list of public suffixes and without compiled patterns it takes 20 s to start.
		"tld":                               "com\nnet\norg\nexample\n",
		"etc/local.d/options.inc":           "disable_hyperscan = true;\nurl_tld = \"DIR/tld\";\ndns { nameserver = [\"127.0.0.1:9\"]; timeout = 100ms; retransmits = 1; }\n",
		"etc/local.d/logging.inc":           "level = \"warning\";\n",
		"etc/local.d/worker-normal.inc":     fmt.Sprintf("bind_socket = %q;\nbind_socket = \"DIR/run/s mode=0666\";\ncount = 2;\n", worker),
		"etc/local.d/worker-proxy.inc":      fmt.Sprintf("bind_socket = %q;\nmilter = yes;\nupstream \"local\" { default = yes; self_scan = yes; }\ncount = 2;\n", proxy),
		"etc/local.d/worker-controller.inc": "enabled = false;\ncount = 0;\n",
		"etc/local.d/worker-fuzzy.inc":      "enabled = false;\n",
	}
	for m := range strings.FieldsSeq("rbl surbl fuzzy_check asn dkim_signing phishing mx_check rspamd_update url_redirector emails bimi arc dmarc spf dkim greylist ratelimit neural replies history_redis reputation hfilter") {
		files["etc/local.d/"+m+".conf"] = "enabled = false;\n"
	}
	dir := folder(t, "_rspamd", files)
	args := []string{"-f", "-c", "/etc/rspamd/rspamd.conf", "--var=DBDIR=" + dir + "/db", "--var=RUNDIR=" + dir + "/run", "--var=LOGDIR=" + dir + "/log", "--var=LOCAL_CONFDIR=" + dir + "/etc"}
	if as("x") != "" {
		args = append(args, "-u", "_rspamd", "-g", "_rspamd")
	}
	engine(t, "rspamd", args...)
	ready(t, "rspamd", func() bool { return listens("tcp", worker) && listens("tcp", proxy) })
	return tcp(worker), &net.UnixAddr{Net: "unix", Name: dir + "/run/s"}, tcp(proxy)
}

// cicap runs c-icap with its echo service and, where there is the module, its anti-virus service before clamd.
func cicap(t testing.TB, clamd net.Addr) net.Addr {
	t.Helper()
	modules, _ := filepath.Glob(virusScan)
	if len(modules) == 0 {
		missing(t.(*testing.T), "the anti-virus module of c-icap is not installed: apt-get install --no-install-recommends libc-icap-mod-virus-scan")
	}
	at := filepath.Dir(modules[0])
	addr := free(t)
	dir := folder(t, "c-icap", map[string]string{"tmp/.keep": "", "c.conf": fmt.Sprintf(`PidFile DIR/pid
CommandsSocket DIR/ctl
Timeout 60
StartServers 1
MaxServers 4
MinSpareThreads 10
MaxSpareThreads 40
ThreadsPerChild 40
Port %s
%sServerName test
TmpDir DIR/tmp
ModulesDir %s
ServicesDir %s
TemplateDir /usr/share/c_icap/templates/
TemplateDefaultLanguage en
LoadMagicFile /etc/c-icap/c-icap.magic
ServerLog DIR/server.log
AccessLog DIR/access.log
Service echo srv_echo.so
Module common clamd_mod.so
clamd_mod.ClamdSocket %s
Service antivirus_module virus_scan.so
ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE
virus_scan.MaxObjectSize 50M
virus_scan.DefaultEngine clamd
`, addr, as("User c-icap\nGroup nogroup\n"), at, at, clamd)})
	engine(t, "c-icap", "-N", "-D", "-d", "1", "-f", dir+"/c.conf")
	ready(t, "c-icap", func() bool { return listens("tcp", addr) })
	return tcp(addr)
}

// opendkim verifies with a key of ours, by selector s of signed.example, and rejects what is signed badly.
func opendkim(t testing.TB, key string) net.Addr {
	t.Helper()
	addr := free(t)
	dir := folder(t, "opendkim", map[string]string{
		"keys": "s._domainkey.signed.example v=DKIM1; k=ed25519; p=" + key + "\n",
		"conf": "Mode v\nSocket inet:" + port(addr) + "@127.0.0.1\nTestPublicKeys DIR/keys\nOn-BadSignature reject\nAlwaysAddARHeader yes\nAuthservID test\nSyslog no\nBackground no\nPidFile DIR/pid\n" + as("UserID opendkim\n"),
	})
	engine(t, "opendkim", "-f", "-x", dir+"/conf")
	ready(t, "opendkim", func() bool { return listens("tcp", addr) })
	return tcp(addr)
}

// opendmarc refuses what is malformed; about the rest it would have to ask the DNS.
func opendmarc(t testing.TB) net.Addr {
	t.Helper()
	addr := free(t)
	dir := folder(t, "opendmarc", map[string]string{
		"conf": "Socket inet:" + port(addr) + "@127.0.0.1\nRequiredHeaders true\nRejectFailures true\nAuthservID test\nSyslog false\nBackground false\nPidFile DIR/pid\n" + as("UserID opendmarc\n"),
	})
	engine(t, "opendmarc", "-f", "-c", dir+"/conf")
	ready(t, "opendmarc", func() bool { return listens("tcp", addr) })
	return tcp(addr)
}
