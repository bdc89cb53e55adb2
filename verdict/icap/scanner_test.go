package icap_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/icap"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reqmod, whole bool
		engine        service
	}{
		"RESPMOD":         {false, false, service{options: usual, answer: antivirus}},
		"REQMOD":          {true, false, service{options: usual, answer: antivirus}},
		"without preview": {false, true, service{options: usual, answer: antivirus}},
		"gives back what passes": {false, false, service{options: usual, answer: func(line string, content []byte) string {
			if eicar(content) {
				return antivirus(line, content)
			}
			return back("res", ok, content)
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdicttest.Run(t, verdicttest.Suite{
				New: func(_ testing.TB, engine net.Addr) verdict.Scanner {
					return &icap.Scanner{URL: "icap://" + engine.String() + "/av", Reqmod: tt.reqmod, NoPreview: tt.whole}
				},
				Hit:    verdicttest.Malicious,
				Want:   verdict.Malicious,
				Engine: tt.engine.start,
			})
		})
	}
}

var content = []byte("Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 10))

// answers are what a service may say about content, and what becomes of it.
var answers = []struct {
	name, answer string
	want, err    string
}{
	{"204", unchanged, "", ""},
	{"204, infected all the same", strings.Replace(unchanged, "ISTag", "X-Virus-ID: EICAR\r\nISTag", 1), "icap.infected=malicious EICAR", ""},
	{"not infected, in so many words", strings.Replace(unchanged, "ISTag", "X-Virus-ID: none\r\nISTag", 1), "", ""},
	{"the same", back("res", ok, content), "", ""},
	{"the same, HTTP/1.0", back("res", strings.Replace(ok, "1.1", "1.0", 1), content), "", ""},
	{"a page", back("res", forbids, content), "icap.blocked=malicious HTTP/1.1 403 Forbidden", ""},
	{"a redirection", back("res", strings.Replace(ok, "200 OK", "307 X", 1), content), "icap.blocked=malicious HTTP/1.1 307 X", ""},
	{"2000 is not 200", back("res", strings.Replace(ok, "200 OK", "2000", 1), content), "icap.blocked=malicious HTTP/1.1 2000", ""},
	{"less", back("res", ok, content[:100]), "icap.modified=malicious 100 bytes came back of 194", ""},
	{"more", back("res", ok, append([]byte("x"), content...)), "icap.modified=malicious 195 bytes came back of 194", ""},
	{"other", back("res", ok, bytes.ToUpper(content)), "icap.modified=malicious 194 bytes came back of 194", ""},
	{"nothing", "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body=" + fmt.Sprint(len(ok)) + "\r\n\r\n" + ok, "icap.modified=malicious 0 bytes came back of 194", ""},
	{"violations", back("res", ok, content, "X-Violations-Found: 1\r\n\ta.zip\r\n\tEicar\r\n"), "icap.infected=malicious 1 a.zip Eicar", ""},
	{"cut", back("res", ok, content)[:250], "", "cannot be read"},
	{"without its last chunk", strings.TrimSuffix(back("res", ok, content), "0\r\n\r\n"), "", "cannot be read"},
	{"no Encapsulated", strings.Replace(back("res", ok, content), "Encapsulated", "X", 1), "", "cannot be read"},
	{"a gap", strings.Replace(back("res", ok, content), "res-hdr=0", "res-hdr=1", 1), "", "cannot be read"},
	{"far away", strings.Replace(back("res", ok, content), "res-body=", "res-body=99999", 1), "", "cannot be read"},
	{"backwards", strings.Replace(back("res", ok, content), "res-hdr=0, res-body", "res-body=0, res-hdr", 1), "", "cannot be read"},
	{"opt-body", strings.Replace(back("res", ok, content), "res-body", "opt-body", 1), "", "cannot be read"},
	{"no HTTP", back("res", "FTP 200 OK\r\n\r\n", content), "", "cannot be read"},
	{"an empty head", back("res", "", content), "", "cannot be read"},
	{"100 again", "ICAP/1.0 100 Continue\r\n\r\n", "", "answers 100"},
	{"206", strings.Replace(back("res", ok, content), "200", "206", 1), "", "answers 206"},
	{"404", "ICAP/1.0 404 Service not found\r\n\r\n", "", "answers 404"},
	{"500", "ICAP/1.0 500 Server error\r\nEncapsulated: null-body=0\r\n\r\n", "", "answers 500"},
	{"HTTP", "HTTP/1.1 204 No Content\r\n\r\n", "", "cannot be read"},
	{"no number", "ICAP/1.0 abc\r\n\r\n", "", "cannot be read"},
	{"a long number", "ICAP/1.0 0204 x\r\n\r\n", "", "cannot be read"},
	{"no end of the header", "ICAP/1.0 204 No Content\r\nISTag: x\r\n", "", "cannot be read"},
	{"no header", "ICAP/1.0 204 No Content\r\n", "", "cannot be read"},
	{"nothing at all", "", "", "cannot be read"},
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		for _, preview := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/preview %v", tt.name, preview), func(t *testing.T) {
				t.Parallel()
				srv := service{options: usual, answer: func(string, []byte) string { return tt.answer }}
				s := &icap.Scanner{URL: "icap://" + srv.start(t).String() + "/av", NoPreview: !preview}
				fs, err := s.Scan(t.Context(), verdict.NewMessage(verdict.Bytes(content)))
				got := ""
				for _, f := range fs {
					got += f.Code + "=" + f.Class.String() + " " + f.Detail
				}
				if got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
			})
		}
	}
}

// A service may let a message pass by its preview, or block it, but not by half of it otherwise.
func TestPreview(t *testing.T) {
	t.Parallel()
	var seen []byte
	srv := service{options: usual, answer: antivirus, early: func(p []byte) string { seen = p; return unchanged }}
	s := &icap.Scanner{URL: "icap://" + srv.start(t).String() + "/av"}
	if fs, err := s.Scan(t.Context(), verdicttest.Malicious(t)); err != nil || fs != nil || len(seen) != 64 {
		t.Errorf("%v, %v, after %d bytes", fs, err, len(seen))
	}
	s.NoPreview = true
	if fs, err := s.Scan(t.Context(), verdicttest.Malicious(t)); err != nil || len(fs) != 1 {
		t.Errorf("%v, %v", fs, err)
	}
	for name, reply := range map[string]string{"a page": back("res", forbids, nil), "half of it": back("res", ok, content[:64])} {
		srv.early = func([]byte) string { return reply }
		s := &icap.Scanner{URL: "icap://" + srv.start(t).String() + "/av"}
		if fs, err := s.Scan(t.Context(), verdict.NewMessage(verdict.Bytes(content))); err != nil || len(fs) != 1 {
			t.Errorf("%s: %v, %v", name, fs, err)
		}
	}
	// The whole message is in the preview, and the service wants more.
	srv.early = func([]byte) string { return "ICAP/1.0 100 Continue\r\n\r\n" }
	s = &icap.Scanner{URL: "icap://" + srv.start(t).String() + "/av"}
	if _, err := s.Scan(t.Context(), verdict.NewMessage(verdict.Bytes("a: b\r\n\r\n"))); err == nil {
		t.Error("no error")
	}
}

// A service that says 204 when it has not seen everything has not looked.
func TestHasty(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer ln.Close()
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				a, err := readHead(in)
				if err != nil {
					return
				}
				if strings.HasPrefix(a.line, "OPTIONS") {
					io.WriteString(c, "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nEncapsulated: null-body=0\r\n\r\n")
					return
				}
				io.WriteString(c, unchanged)
				in.WriteTo(io.Discard)
			})
		}
	})
	s := &icap.Scanner{URL: "icap://" + ln.Addr().String() + "/av"}
	start := time.Now()
	if _, err := s.Scan(t.Context(), verdicttest.Text(t, 32<<20)); err == nil || !strings.Contains(err.Error(), "before the message was sent") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// What is sent, byte for byte.
func TestRequest(t *testing.T) {
	t.Parallel()
	for _, reqmod := range []bool{false, true} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		got := make(chan string, 2)
		go func() {
			for _, reply := range []string{"ICAP/1.0 200 OK\r\nMethods: RESPMOD REQMOD\r\nPreview: 4\r\n\r\n", unchanged} {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				var b bytes.Buffer
				p := make([]byte, 4096)
				for !bytes.HasSuffix(b.Bytes(), []byte("\r\n\r\n")) || bytes.Contains(b.Bytes(), []byte("Preview:")) && !bytes.HasSuffix(b.Bytes(), []byte("\r\n0\r\n\r\n")) {
					n, err := c.Read(p)
					if err != nil {
						break
					}
					b.Write(p[:n])
				}
				got <- strings.ReplaceAll(b.String(), ln.Addr().String(), "HOST")
				io.WriteString(c, reply)
				c.Close()
			}
		}()
		s := &icap.Scanner{URL: "icap://" + ln.Addr().String() + "/a%20v?x=1", Reqmod: reqmod, Header: map[string]string{"Proxy-Authorization": "Basic hunter2"}}
		m := verdicttest.New(t, "Subject: x\n\nbody\n")
		if fs, err := s.Scan(t.Context(), m); err != nil || fs != nil {
			t.Errorf("%v, %v", fs, err)
		}
		common := "Host: HOST\r\nUser-Agent: postreeve\r\nConnection: close\r\nProxy-Authorization: Basic hunter2\r\n"
		want := []string{"OPTIONS icap://HOST/a%20v?x=1 ICAP/1.0\r\n" + common + "Encapsulated: null-body=0\r\n\r\n"}
		about := "Content-Type: message/rfc822\r\nContent-Length: 20\r\n\r\n"
		if reqmod {
			head := "POST http://mail.postreeve.invalid/message.eml HTTP/1.1\r\nHost: mail.postreeve.invalid\r\n" + about
			want = append(want, "REQMOD icap://HOST/a%20v?x=1 ICAP/1.0\r\n"+common+"Allow: 204\r\nPreview: 4\r\nX-Client-IP: 192.0.2.1\r\n"+
				fmt.Sprintf("Encapsulated: req-hdr=0, req-body=%d\r\n\r\n", len(head))+head+"4\r\nSubj\r\n0\r\n\r\n")
		} else {
			get, res := "GET http://mail.postreeve.invalid/message.eml HTTP/1.1\r\nHost: mail.postreeve.invalid\r\n\r\n", "HTTP/1.1 200 OK\r\n"+about
			want = append(want, "RESPMOD icap://HOST/a%20v?x=1 ICAP/1.0\r\n"+common+"Allow: 204\r\nPreview: 4\r\nX-Client-IP: 192.0.2.1\r\n"+
				fmt.Sprintf("Encapsulated: req-hdr=0, res-hdr=%d, res-body=%d\r\n\r\n", len(get), len(get)+len(res))+get+res+"4\r\nSubj\r\n0\r\n\r\n")
		}
		if d := cmp.Diff(want, []string{<-got, <-got}); d != "" {
			t.Error(d)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	asked := 0
	srv := service{options: usual, answer: func(string, []byte) string { asked++; return unchanged }}
	addr := srv.start(t).String()
	s := &icap.Scanner{URL: "icap://" + addr + "/av"}
	if v, err := s.Version(t.Context()); v != "test tag-1" || err != nil {
		t.Errorf("version %q, %v", v, err)
	}
	for _, tt := range []struct{ options, want string }{
		{"Methods: REQMOD\r\n", "does not know RESPMOD"},
		{"", "does not know RESPMOD"},
		{"Methods: RESPMOD\r\nPreview: many\r\n", "cannot be read"},
		{"Methods: RESPMOD\r\nX: " + strings.Repeat("x", 100000) + "\r\n", "cannot be read"},
	} {
		srv := service{options: tt.options, answer: antivirus}
		s := &icap.Scanner{URL: "icap://" + srv.start(t).String() + "/av"}
		if _, err := s.Scan(t.Context(), verdicttest.Clean(t)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: error %v, want %q", tt.options, err, tt.want)
		}
	}
	for _, u := range []string{"", "127.0.0.1:1344", "http://127.0.0.1/", "icap://u:hunter2@127.0.0.1/", "icap://127.0.0.1:1/", "icap://h\r\n/", "icap:///x", "icap://%zz"} {
		s := &icap.Scanner{URL: u}
		if _, err := s.Version(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v", u, err)
		}
		if _, err := s.Scan(t.Context(), verdicttest.Clean(t)); err == nil {
			t.Errorf("%q: no error", u)
		}
	}
	for _, h := range []map[string]string{{"A b": "x"}, {"A": "hunter2\r\nB: c"}, {"": "x"}} {
		s := &icap.Scanner{URL: "icap://" + addr + "/av", Header: h}
		if _, err := s.Scan(t.Context(), verdicttest.Clean(t)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v", h, err)
		}
	}
	if asked != 0 {
		t.Errorf("%d messages were sent", asked)
	}
}
