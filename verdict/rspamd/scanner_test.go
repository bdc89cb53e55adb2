package rspamd_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/rspamd"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

const clean = `{"is_skipped":false,"score":1.2,"required_score":15,"action":"no action","symbols":{"MIME_GOOD":{"name":"MIME_GOOD","score":-0.1,"options":["text/plain"]}},"messages":{}}`

// worker is rspamd as far as the adapter sees it.
func worker(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "rspamd/3.4")
	if r.URL.Path == "/ping" {
		io.WriteString(w, "pong\r\n")
		return
	}
	b, err := io.ReadAll(r.Body)
	switch {
	case err != nil || r.URL.Path != "/checkv2" || r.Method != http.MethodPost:
		w.WriteHeader(http.StatusBadRequest)
	case bytes.Contains(b, []byte(teststring.GTUBE)):
		io.WriteString(w, `{"is_skipped":true,"score":15.0,"required_score":15.0,"action":"reject","symbols":{"GTUBE":{"name":"GTUBE","score":0.0}},"messages":{"smtp_message":"Gtube pattern"}}`)
	default:
		io.WriteString(w, clean)
	}
}

func server(tb testing.TB, h http.HandlerFunc) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s
}

func TestSuite(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(_ testing.TB, engine net.Addr) verdict.Scanner {
			return &rspamd.Scanner{URL: "http://" + engine.String()}
		},
		Hit:    verdicttest.Spam,
		Want:   verdict.Spam,
		Engine: func(tb testing.TB) net.Addr { return server(tb, worker).Listener.Addr() },
	})
}

func TestSuiteUnix(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(_ testing.TB, engine net.Addr) verdict.Scanner {
			return &rspamd.Scanner{URL: "unix:" + engine.String()}
		},
		Hit:  verdicttest.Spam,
		Want: verdict.Spam,
		Engine: func(tb testing.TB) net.Addr {
			ln, err := net.Listen("unix", filepath.Join(shortDir(tb), "s"))
			if err != nil {
				tb.Fatal(err)
			}
			s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(worker)}}
			s.Start()
			tb.Cleanup(s.Close)
			return ln.Addr()
		},
	})
}

// answers are what rspamd may say, and what becomes of it.
var answers = []struct {
	name   string
	answer string
	want   string // codes and classes
	err    string
}{
	{"no action", clean, "rspamd.action=unknown", ""},
	{"greylist", strings.Replace(clean, "no action", "greylist", 1), "rspamd.action=unknown", ""},
	{"add header", strings.Replace(clean, "no action", "add header", 1), "rspamd.action=spam", ""},
	{"rewrite subject", strings.Replace(clean, "no action", "rewrite subject", 1), "rspamd.action=spam", ""},
	{"quarantine", strings.Replace(clean, "no action", "quarantine", 1), "rspamd.action=spam", ""},
	{"discard", strings.Replace(clean, "no action", "discard", 1), "rspamd.action=spam", ""},
	{"reject", strings.Replace(clean, "no action", "reject", 1), "rspamd.action=spam", ""},
	{"soft reject", strings.Replace(clean, "no action", "soft reject", 1), "", "asked again later"},
	{"an action by another name", strings.Replace(clean, "no action", "fold", 1), "", "unknown"},
	{"an action of the configuration", strings.Replace(clean, "no action", "burn", 1), "rspamd.action=malicious", ""},
	{"skipped", strings.Replace(clean, "false", "true", 1), "", "does not look"},
	{"skipped by a test string", strings.NewReplacer("false", "true", "no action", "reject").Replace(clean), "rspamd.action=spam", ""},
	{"a virus", strings.Replace(clean, "MIME_GOOD", "CLAM_VIRUS", 1), "rspamd.action=unknown rspamd.symbol=malicious", ""},
	{"an anti-virus engine that failed", strings.Replace(clean, "MIME_GOOD", "CLAM_VIRUS_FAIL", 1), "rspamd.action=unknown rspamd.blind=unknown", "could not tell"},
	{"SPF failed", strings.Replace(clean, "MIME_GOOD", "R_SPF_FAIL", 1), "rspamd.action=unknown", ""},
	{"without symbols", `{"is_skipped":false,"score":0,"required_score":15,"action":"no action"}`, "rspamd.action=unknown", ""},
	{"without action", `{"is_skipped":false,"score":0,"required_score":15}`, "", "cannot be read"},
	{"without score", `{"is_skipped":false,"required_score":15,"action":"no action"}`, "", "cannot be read"},
	{"without is_skipped", `{"score":0,"required_score":15,"action":"no action"}`, "", "cannot be read"},
	{"action is null", strings.Replace(clean, `"no action"`, "null", 1), "", "cannot be read"},
	{"action is a number", strings.Replace(clean, `"no action"`, "1", 1), "", "cannot be read"},
	{"score is text", strings.Replace(clean, "1.2", `"low"`, 1), "", "cannot be read"},
	{"two objects", clean + clean, "", "cannot be read"},
	{"half", clean[:len(clean)-1], "", "cannot be read"},
	{"nothing", "", "", "cannot be read"},
	{"an error", `{"error":"invalid command"}`, "", "cannot be read"},
	{"a list", "[]", "", "cannot be read"},
	{"control bytes in a symbol", strings.Replace(clean, `"text/plain"`, `"\r\n\u001b"`, 1), "rspamd.action=unknown", ""},
	{"much too long", `"` + strings.Repeat("x", 5<<20), "", "longer"},
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &rspamd.Scanner{
				URL: server(t, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					io.WriteString(w, tt.answer)
				}).URL,
				Actions: map[string]verdict.Class{"burn": verdict.Malicious},
			}
			fs, err := s.Scan(t.Context(), verdicttest.Clean(t))
			var got []string
			for _, f := range fs {
				got = append(got, f.Code+"="+f.Class.String())
				if f.Err != nil {
					err = f.Err
				}
				if strings.ContainsAny(f.Detail, "\r\n\x1b") {
					t.Errorf("detail %q", f.Detail)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{302: "302", 400: "400", 403: "password", 413: "cannot be scanned", 500: "500", 503: "503"} {
		s := &rspamd.Scanner{Password: "hunter2", URL: server(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(status)
			io.WriteString(w, clean)
		}).URL}
		_, err := s.Scan(t.Context(), verdicttest.Clean(t))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d: error %v, want %q", status, err, want)
		}
	}
}

// An answer that comes before rspamd has the message is none.
func TestHasty(t *testing.T) {
	t.Parallel()
	s := &rspamd.Scanner{URL: server(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, clean) }).URL}
	if _, err := s.Scan(t.Context(), verdicttest.Big(t, 8<<20)); err == nil {
		t.Error("no error")
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	var got http.Header
	srv := server(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		worker(w, r)
	})
	m := verdicttest.Clean(t)
	m.ID = "abc"
	m.Origin = verdict.Client{Addr: netip.MustParseAddrPort("[::ffff:192.0.2.9]:1"), Helo: "he\r\nPass: all", Name: "mx.example", TLS: "TLSv1.3 TLS_AES_128_GCM_SHA256"}
	m.Envelope = verdict.Envelope{To: []verdict.Recipient{{Address: "b@example.net"}, {Address: "ü@example.net"}}}
	s := &rspamd.Scanner{URL: srv.URL, Password: "hunter2", Hostname: "gw.example", Settings: "inbound"}
	if _, err := s.Scan(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"Content-Length", "Accept-Encoding"} {
		got.Del(k)
	}
	want := http.Header{"Ip": {"192.0.2.9"}, "Helo": {"he??Pass: all"}, "Hostname": {"mx.example"}, "From": {"<>"},
		"Rcpt": {"<b@example.net>", "<ü@example.net>"}, "Queue-Id": {"abc"}, "Mta-Name": {"gw.example"}, "Settings-Id": {"inbound"},
		"Password": {"hunter2"}, "Tls-Version": {"TLSv1.3"}, "Tls-Cipher": {"TLS_AES_128_GCM_SHA256"}, "User-Agent": {"postreeve"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(worker))
	defer srv.Close()
	config := srv.Client().Transport.(*http.Transport).TLSClientConfig
	if _, err := (&rspamd.Scanner{URL: srv.URL, TLS: config}).Scan(t.Context(), verdicttest.Clean(t)); err != nil {
		t.Error(err)
	}
	if _, err := (&rspamd.Scanner{URL: srv.URL}).Scan(t.Context(), verdicttest.Clean(t)); err == nil {
		t.Error("a certificate of nobody was believed")
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	s := &rspamd.Scanner{URL: server(t, worker).URL}
	if v, err := s.Version(t.Context()); v != "rspamd/3.4" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	for _, u := range []string{"", "127.0.0.1:11333", "ftp://x", "http://user:hunter2@x", "unix:", "http://%zz", "http://127.0.0.1:1"} {
		_, err := (&rspamd.Scanner{URL: u}).Version(t.Context())
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v", u, err)
		}
		if _, err := (&rspamd.Scanner{URL: u}).Scan(t.Context(), verdicttest.Clean(t)); err == nil {
			t.Errorf("%q: no error", u)
		}
	}
}

func TestPattern(t *testing.T) {
	t.Parallel()
	s := &rspamd.Scanner{URL: server(t, worker).URL, Symbols: map[string]verdict.Class{"[": verdict.Spam}}
	if _, err := s.Scan(t.Context(), verdicttest.Clean(t)); err == nil || errors.Is(err, verdict.ErrUnscannable) {
		t.Errorf("a malformed pattern: %v", err)
	}
	s = &rspamd.Scanner{URL: s.URL, Symbols: map[string]verdict.Class{"MIME_*": verdict.Unknown, "*_GOOD": verdict.Spam}}
	if fs, err := s.Scan(t.Context(), verdicttest.Clean(t)); err != nil || len(fs) != 2 || fs[1].Class != verdict.Spam {
		t.Errorf("the highest class of those that match: %v, %v", fs, err)
	}
}

// A connection that rspamd has closed in between is not noticed.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	srv := server(t, worker)
	s := &rspamd.Scanner{URL: srv.URL}
	for range 20 {
		if _, err := s.Scan(t.Context(), verdicttest.Clean(t)); err != nil {
			t.Fatal(err)
		}
		srv.CloseClientConnections()
		time.Sleep(time.Millisecond)
	}
}
