package icap_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
)

// service is an ICAP service.
type service struct {
	options string // fields of the answer to OPTIONS
	// early answers by the preview alone; "" asks for the rest. Nil does so always.
	early func(preview []byte) string
	// answer says what is answered to the whole content.
	answer func(request string, content []byte) string
}

// asked is a request up to its content.
type asked struct {
	line    string
	header  textproto.MIMEHeader
	heads   string
	content []byte
}

const usual = "Methods: RESPMOD, REQMOD\r\nService: test\r\nISTag: \"tag-1\"\r\nOptions-TTL: 3600\r\nPreview: 64\r\nAllow: 204\r\n"

func (s service) start(tb testing.TB) net.Addr {
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
				s.serve(c)
			}()
		}
	}()
	return ln.Addr()
}

func (s service) serve(c io.ReadWriter) {
	in := bufio.NewReader(c)
	a, err := readHead(in)
	if err != nil {
		return
	}
	if strings.HasPrefix(a.line, "OPTIONS ") {
		io.WriteString(c, "ICAP/1.0 200 OK\r\n"+s.options+"Encapsulated: null-body=0\r\n\r\n")
		return
	}
	if a.header.Get("Preview") != "" {
		preview, whole, err := readChunks(in)
		if err != nil {
			return
		}
		a.content = preview
		if s.early != nil {
			if reply := s.early(preview); reply != "" {
				io.WriteString(c, reply)
				return
			}
		}
		if !whole {
			io.WriteString(c, "ICAP/1.0 100 Continue\r\n\r\n")
		} else {
			io.WriteString(c, s.answer(a.line, a.content))
			return
		}
	}
	rest, _, err := readChunks(in)
	if err != nil {
		return
	}
	io.WriteString(c, s.answer(a.line, append(a.content, rest...)))
}

func readHead(in *bufio.Reader) (a asked, err error) {
	tp := textproto.NewReader(in)
	if a.line, err = tp.ReadLine(); err != nil {
		return a, err
	}
	if a.header, err = tp.ReadMIMEHeader(); err != nil {
		return a, err
	}
	_, at, ok := strings.Cut(a.header.Get("Encapsulated"), "-body=")
	n, err := strconv.Atoi(at)
	if !ok || err != nil {
		return a, fmt.Errorf("encapsulated %q", a.header.Get("Encapsulated"))
	}
	b := make([]byte, n)
	_, err = io.ReadFull(in, b)
	a.heads = string(b)
	return a, err
}

// readChunks reads chunks to their end, and says whether that is the end of the content.
func readChunks(in *bufio.Reader) (content []byte, whole bool, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, false, err
		}
		size, ext, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 32)
		if err != nil {
			return nil, false, err
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, false, err
		}
		if n == 0 {
			return content, strings.TrimSpace(ext) == "ieof", nil
		}
		content = append(content, b[:n]...)
	}
}

const unchanged = "ICAP/1.0 204 No Content\r\nISTag: \"tag-1\"\r\nEncapsulated: null-body=0\r\n\r\n"

// back is an answer of status 200 with an HTTP head of a kind and a content, in chunks of 1000.
func back(kind, head string, content []byte, more ...string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "ICAP/1.0 200 OK\r\nISTag: \"tag-1\"\r\n%sEncapsulated: %s-hdr=0, %s-body=%d\r\n\r\n%s", strings.Join(more, ""), kind, kind, len(head), head)
	w := httputil.NewChunkedWriter(&b)
	for len(content) > 0 {
		n := min(1000, len(content))
		w.Write(content[:n])
		content = content[n:]
	}
	w.Close()
	b.WriteString("\r\n")
	return b.String()
}

const (
	ok      = "HTTP/1.1 200 OK\r\nContent-Type: message/rfc822\r\n\r\n"
	forbids = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\r\n"
	post    = "POST http://mail.postreeve.invalid/message.eml HTTP/1.1\r\nHost: mail.postreeve.invalid\r\n\r\n"
)

// eicar finds the test file where samples have it, in base64.
func eicar(content []byte) bool {
	return bytes.Contains(content, []byte("WDVPIVAlQEFQWzRcUFpYNTQoUF4pN0NDKTd9JEVJQ0FSLVNUQU5EQVJE"))
}

// antivirus answers as c-icap's does.
func antivirus(_ string, content []byte) string {
	if eicar(content) {
		return back("res", forbids, []byte("<p>virus</p>"), "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test-Signature;\r\n")
	}
	return unchanged
}
