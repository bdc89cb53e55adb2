package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postreeve/postreeve/relay/store"
)

// backends are the databases and places for bodies that every test of the store runs on.
var backends = []struct {
	name   string
	config func(t *testing.T) store.Config
}{
	{"sqlite", func(t *testing.T) store.Config { return store.Config{Dir: t.TempDir()} }},
	{"postgres", func(t *testing.T) store.Config {
		dir := t.TempDir()
		return store.Config{Database: database(t), Bodies: "file:" + dir, Node: "n1"}
	}},
	{"postgres+s3", func(t *testing.T) store.Config {
		return store.Config{Database: database(t), Bodies: bucket(t), S3Keys: s3Keys, Node: "n1"}
	}},
}

// everywhere runs a test on each of them.
func everywhere(t *testing.T, test func(t *testing.T, c store.Config)) {
	t.Parallel()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(t, b.config(t))
		})
	}
}

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		victim()
		return
	}
	code := m.Run()
	peers.Lock()
	for _, stop := range peers.stop {
		stop()
	}
	peers.Unlock()
	os.Exit(code)
}

// peers are the servers that tests have started.
var peers struct {
	sync.Mutex
	stop []func()
}

func atEnd(stop func()) {
	peers.Lock()
	defer peers.Unlock()
	peers.stop = append(peers.stop, stop)
}

// absent skips a test, or fails it where all peers are required.
func absent(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("POSTREEVE_PEERS") == "required" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// postgres starts a cluster of its own, which refuses root, and returns the URL of its first database.
var postgres = sync.OnceValues(func() (string, error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(bins) == 0 {
		return "", errors.New("PostgreSQL is not installed: apt-get install postgresql")
	}
	sort.Strings(bins)
	bin := filepath.Dir(bins[len(bins)-1])
	dir, err := os.MkdirTemp("", "store-pg-*")
	if err != nil {
		return "", err
	}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return "", err
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := errors.Join(os.Chown(dir, int(uid), int(gid)), os.Chmod(dir, 0o700)); err != nil {
			return "", err
		}
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w\n%s", err, out)
	}
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-h", "127.0.0.1", "-p", port,
		"-c", "fsync=on", "-c", "max_connections=300", "-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal")
	server.SysProcAttr, server.Dir = attr, dir
	if err := start(server, dir); err != nil {
		return "", err
	}
	url := "postgres://tester@127.0.0.1:" + port + "/postgres?sslmode=disable"
	return url, eventually(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c, err := pgx.Connect(ctx, url)
		if err == nil {
			err = c.Close(ctx)
		}
		return err
	})
})

// start runs a server until the tests end, and removes its directory then.
func start(cmd *exec.Cmd, dir string) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	atEnd(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	return nil
}

func eventually(do func() error) error {
	var err error
	for range 600 {
		if err = do(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// freePort returns a port on which nobody listens. It is below those that a system gives out by itself: one of these
// could be the end of a test's connection before the server that it is meant for has started.
func freePort() (string, error) {
	var err error
	for range 100 {
		port := strconv.Itoa(10000 + rand.IntN(22000))
		var ln net.Listener
		if ln, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, ln.Close()
		}
	}
	return "", err
}

var places atomic.Int64

// database returns the URL of an empty database.
func database(t testing.TB) string {
	t.Helper()
	url, err := postgres()
	if err != nil {
		absent(t, err)
	}
	ctx := context.Background()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	name := fmt.Sprintf("t%d", places.Add(1))
	if _, err := c.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(url, "/postgres?", "/"+name+"?pool_max_conns=8&", 1)
}

func s3Keys() (string, string, error) { return "testing", "testing-secret", nil }

type gateway struct{ addr, dir string }

// versitygw starts an S3 server over a directory.
var versitygw = sync.OnceValues(func() (gateway, error) {
	bin, err := exec.LookPath("versitygw")
	if err != nil {
		if bin, err = exec.LookPath(filepath.Join(os.Getenv("HOME"), "go/bin/versitygw")); err != nil {
			return gateway{}, errors.New("versitygw is not installed: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
		}
	}
	var g gateway
	for range 3 { // a port that was free a moment ago may have been taken by somebody's connection
		if g, err = startVersity(bin); err == nil {
			break
		}
	}
	return g, err
})

func startVersity(bin string) (gateway, error) {
	dir, err := os.MkdirTemp("", "store-s3-*")
	if err != nil {
		return gateway{}, err
	}
	port, err := freePort()
	if err != nil {
		return gateway{}, err
	}
	id, secret, _ := s3Keys()
	g := gateway{"127.0.0.1:" + port, dir}
	cmd := exec.Command(bin, "--access", id, "--secret", secret, "--port", g.addr, "--quiet", "posix", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	if err := start(cmd, dir); err != nil {
		return g, err
	}
	client := &http.Client{Timeout: 10 * time.Second}
	return g, eventually(func() error {
		r, err := client.Get("http://" + g.addr) // it refuses, but it speaks
		if err == nil {
			err = r.Body.Close()
		}
		return err
	})
}

// bucket returns the URL of an empty place for bodies.
func bucket(t testing.TB) string {
	t.Helper()
	g, err := versitygw()
	if err != nil {
		absent(t, err)
	}
	name := fmt.Sprintf("bucket-%d", places.Add(1))
	if err := os.Mkdir(filepath.Join(g.dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	return "s3://" + name + "/mail?insecure=1&region=us-east-1&endpoint=" + g.addr
}
