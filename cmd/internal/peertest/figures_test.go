package peertest

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
)

// figures skips what only measures: it passes or fails nobody, and prints with -v.
//
//	FIGURES=1 go test -run Figure -v ./cmd/internal/peertest
func figures(t *testing.T) {
	t.Helper()
	if os.Getenv("FIGURES") == "" {
		t.Skip("only measures: set FIGURES=1")
	}
}

// resident is the memory of a process in KiB, from /proc.
func resident(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	return status(t, cmd, "VmRSS")
}

// status is a number of KiB that /proc tells of a process.
func status(t *testing.T, cmd *exec.Cmd, field string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(field+":")); ok {
			n, _ := strconv.Atoi(strings.Fields(string(rest))[0])
			return n
		}
	}
	t.Fatal("no " + field)
	return 0
}

// converse opens a connection from one of many loopback addresses and says a few commands.
func converse(addr string, from int, lines ...string) (net.Conn, error) {
	d := net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(from>>8), byte(from))}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(2 * time.Minute))
	c := textproto.NewConn(nc)
	if _, _, err = c.ReadResponse(220); err != nil {
		return nc, err
	}
	for _, l := range lines {
		if err := c.PrintfLine("%s", l); err != nil {
			return nc, err
		}
		if _, _, err := c.ReadResponse(0); err != nil {
			return nc, err
		}
	}
	return nc, nil
}

// Memory with many connections that do nothing.
func TestFigureIdle(t *testing.T) {
	figures(t)
	n := 10_000
	sink := &relaytest.Sink{}
	addr, _, cmd := gateway(t, sink.Start(t), "")
	before := resident(t, cmd)
	conns := make([]net.Conn, n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	var wg sync.WaitGroup
	for w := range 20 {
		wg.Go(func() {
			for i := w; i < n; i += 20 {
				var err error
				if conns[i], err = converse(addr, i/50, "EHLO idle.example"); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	time.Sleep(5 * time.Second)
	after := resident(t, cmd)
	t.Logf("%d idle connections: %d KiB before, %d KiB after, %.1f KiB each", n, before, after, float64(after-before)/float64(n))
}

// Memory with many sessions, each in the middle of a large message.
func TestFigureLarge(t *testing.T) {
	figures(t)
	const sessions, half = 500, 20 << 20
	sink := &relaytest.Sink{Discard: true}
	addr, _, cmd := gateway(t, sink.Start(t), "state: "+t.TempDir()+"\nlimits: {bytes-in-flight: 40GiB}")
	before := resident(t, cmd)
	block := []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 1000))
	var wg sync.WaitGroup
	hold, worst := make(chan bool), 0
	half1, slots := make(chan bool, sessions), make(chan bool, 16)
	for i := range sessions {
		wg.Go(func() {
			nc, err := converse(addr, i, "EHLO large.example", "MAIL FROM:<a@ex.org>", "RCPT TO:<b@ex.net>", "DATA")
			if err != nil {
				t.Error(err)
				half1 <- false
				return
			}
			defer nc.Close()
			slots <- true
			for sent := 0; sent < half; sent += len(block) {
				if _, err := nc.Write(block); err != nil {
					t.Error(err)
					break
				}
			}
			<-slots
			half1 <- true
			<-hold // the other half never comes
		})
	}
	for i := range sessions {
		<-half1
		if i%10 == 0 {
			worst = max(worst, resident(t, cmd))
		}
	}
	now := resident(t, cmd)
	t.Logf("%d sessions 20 MiB into a message of 40 MiB: %d MiB before, %d MiB now, %d MiB at the most", sessions, before>>10, now>>10, max(worst, now)>>10)
	close(hold)
	wg.Wait()
}

// From the start of the process to the first greeting.
func TestFigureStart(t *testing.T) {
	figures(t)
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	var took []string
	for range 10 {
		addr := free(t)
		file := t.TempDir() + "/postreeve.yaml"
		os.WriteFile(file, []byte(fmt.Sprintf("hostname: mx.gw.example\nlisten: [%q]\ndomains:\n  ex.net: {next-hop: \"127.0.0.1:1\", verification: waived}\n", addr)), 0o600)
		cmd := exec.Command(bin, "serve", "-c", file)
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for !greets(addr) {
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(start).Round(time.Millisecond).String())
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Log("from start to greeting:", strings.Join(took, " "))
}
