package peertest

import (
	"fmt"
	gobuild "go/build"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// postgres starts a PostgreSQL of its own, which ends with the test, and returns the URL of a database.
func postgres(t *testing.T) string {
	t.Helper()
	addr := free(t)
	postgresAt(t, addr)
	return postgresURL(addr)
}

func postgresURL(addr string) string {
	return "postgres://postreeve@127.0.0.1:" + port(addr) + "/postgres?sslmode=disable"
}

// postgresAt is postgres at an address that is known before.
func postgresAt(t *testing.T, addr string) {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		missing(t, "PostgreSQL is not installed: apt-get install postgresql")
	}
	slices.Sort(found)
	bin := filepath.Dir(found[len(found)-1])
	dir, err := os.MkdirTemp("", "peer-postgres-*") // t.TempDir is not open to the user postgres
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() == 0 { // as which PostgreSQL refuses to run
		u, err := user.Lookup("postgres")
		if err != nil {
			missing(t, err.Error())
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postreeve", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	out := &log{}
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-h", "127.0.0.1", "-p", port(addr))
	server.SysProcAttr, server.Dir, server.Stdout, server.Stderr = attr, dir, out, out
	server.WaitDelay = 10 * time.Second // its children have the same output
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT)
		kill := time.AfterFunc(10*time.Second, func() { server.Process.Signal(syscall.SIGQUIT) })
		server.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("PostgreSQL said:\n%s", out)
		}
	})
	ready := filepath.Join(bin, "pg_isready")
	wait(t, "PostgreSQL", func() bool {
		return exec.Command(ready, "-q", "-h", "127.0.0.1", "-p", port(addr)).Run() == nil
	})
}

// bucket starts an S3 server of its own over a directory, which ends with the test, and returns the lines of a
// configuration that keep bodies in a bucket there.
func bucket(t *testing.T) string {
	t.Helper()
	program := "versitygw"
	if _, err := lookPath(program); err != nil {
		program = filepath.Join(gobuild.Default.GOPATH, "bin", program)
		if _, err := lookPath(program); err != nil {
			missing(t, "versitygw is not installed: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
		}
	}
	const id, key = "testing", "testing-secret"
	root, secrets, addr := t.TempDir(), t.TempDir(), free(t)
	if err := os.Mkdir(filepath.Join(root, "mail"), 0o755); err != nil { // a directory is a bucket
		t.Fatal(err)
	}
	for name, s := range map[string]string{"id": id, "key": key} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	process(t, program, "--access", id, "--secret", key, "--port", addr, "--quiet", "posix", root)
	wait(t, "versitygw", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return fmt.Sprintf("bodies: {url: %q, id: %q, secret: %q}\n", "s3://mail/bodies?insecure=1&region=us-east-1&endpoint="+addr,
		"file:"+filepath.Join(secrets, "id"), "file:"+filepath.Join(secrets, "key"))
}
