package clamd_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// daemon speaks the protocol of clamd and answers what judge returns for the content of a stream.
func daemon(tb testing.TB, judge func(content []byte) string) net.Addr {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, converse(bufio.NewReader(c), judge))
			}()
		}
	}()
	return ln.Addr()
}

func converse(r *bufio.Reader, judge func(content []byte) string) string {
	command, err := r.ReadString(0)
	switch {
	case err != nil:
		return ""
	case command == "zVERSION\x00":
		return "ClamAV 1.4.6/1/x\x00"
	case command != "zINSTREAM\x00":
		return "UNKNOWN COMMAND\x00"
	}
	var content bytes.Buffer
	for {
		var n uint32
		if binary.Read(r, binary.BigEndian, &n) != nil {
			return ""
		}
		if n == 0 {
			return judge(content.Bytes())
		}
		if _, err := io.CopyN(&content, r, int64(n)); err != nil {
			return ""
		}
	}
}

// eicar finds the test file where samples have it, in base64.
func eicar(content []byte) string {
	if bytes.Contains(content, []byte("WDVPIVAlQEFQWzRcUFpYNTQoUF4pN0NDKTd9JEVJQ0FSLVNUQU5EQVJELUFOVElWSVJVUy1URVNU")) ||
		bytes.Contains(content, []byte("WDVPIVAlQEFQWzRcUFpYNTQoUF4pN0NDKTd9JEVJQ0FSLVNUQU5EQVJE")) {
		return "stream: Eicar-Test-Signature FOUND\x00"
	}
	return "stream: OK\x00"
}
