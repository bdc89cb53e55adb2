package webhook_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/verdicttest"
	"github.com/postreeve/postreeve/verdict/webhook"
)

var key = []byte("0123456789abcdef0123456789abcdef")

func server(tb testing.TB, h http.Handler) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s
}

func TestSuite(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(_ testing.TB, engine net.Addr) verdict.Scanner {
			return &webhook.Scanner{URL: "http://" + engine.String() + "/hook", Key: key}
		},
		Hit:  verdicttest.Malicious,
		Want: verdict.Malicious,
		Engine: func(tb testing.TB) net.Addr {
			return server(tb, &webhook.Handler{Scanner: &teststring.Scanner{}, Key: key}).Listener.Addr()
		},
	})
}

// The example in Python finds what it looks for, and takes nothing that is not signed.
func TestPython(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.Command(python, "testdata/hook.py", "0")
	cmd.Env = append(os.Environ(), "HOOK_KEY="+string(key))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := "http://127.0.0.1:" + strings.TrimSpace(port)
	s := &webhook.Scanner{URL: url, Key: key}
	fs, err := s.Scan(t.Context(), verdicttest.New(t, "Subject: You have won\n\n"))
	want := []verdict.Finding{{Code: "webhook.lottery.subject", Class: verdict.Spam}, {Code: "webhook.verdict", Class: verdict.Spam, Detail: "promises a prize"}}
	if d := cmp.Diff(want, fs); d != "" || err != nil {
		t.Error(err, d)
	}
	if fs, err := s.Scan(t.Context(), verdicttest.Big(t, 3<<20)); err != nil || fs != nil {
		t.Errorf("a clean one: %v, %v", fs, err)
	}
	for _, s := range []*webhook.Scanner{{URL: url, Key: []byte("another")}, {URL: url, Unsigned: true}} {
		if _, err := s.Scan(t.Context(), verdicttest.Clean(t)); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("not signed as it should be: %v", err)
		}
	}
}

// Everything that the schema has arrives, and nothing is left out of the message.
func TestRequest(t *testing.T) {
	t.Parallel()
	var got struct {
		Version                int
		ID                     string
		Received               time.Time
		Peer, Origin           map[string]string
		Envelope               map[string]any
		Auth                   map[string]any
		Message                []byte
		contentType, authorize string
	}
	srv := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if err := webhook.Verify(key, r.Header, b); err != nil {
			t.Error(err)
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Error(err)
		}
		got.contentType, got.authorize = r.Header.Get("Content-Type"), r.Header.Get("Authorization")
		io.WriteString(w, `{"class":"clean"}`)
	}))
	for _, size := range []int{0, 1, 2, 3, 24 << 10, 24<<10 + 1, 100000} {
		raw := strings.Repeat("\xff\x00x", size)[:size]
		m := verdict.NewMessage(verdict.Bytes(raw))
		m.ID, m.Received = `a"b`, time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
		m.Origin = verdict.Client{Addr: netip.MustParseAddrPort("[2001:db8::1]:5"), Helo: "h"}
		m.Envelope = verdict.Envelope{To: []verdict.Recipient{{Address: "b@example.net"}}}
		m.Auth.SPF.Result = "pass"
		m.Auth.DKIM = []verdict.DKIMResult{{Result: "fail", Domain: "example.org"}}
		s := &webhook.Scanner{URL: srv.URL, Key: key, Header: http.Header{"Authorization": {"Bearer hunter2"}}}
		if fs, err := s.Scan(t.Context(), m); err != nil || fs != nil {
			t.Errorf("%v, %v", fs, err)
		}
		if string(got.Message) != raw || got.Version != 1 || got.ID != `a"b` || !got.Received.Equal(m.Received) ||
			got.contentType != "application/json" || got.authorize != "Bearer hunter2" || got.Peer != nil {
			t.Errorf("%d bytes: got %d bytes, %+v", size, len(got.Message), got)
		}
		want := []any{map[string]string{"ip": "2001:db8::1", "helo": "h"}, map[string]any{"from": "", "to": []any{"b@example.net"}},
			map[string]any{"spf": "pass", "dkim": []any{map[string]any{"result": "fail", "domain": "example.org"}}}}
		if d := cmp.Diff(want, []any{got.Origin, got.Envelope, got.Auth}); d != "" {
			t.Error(d)
		}
	}
}

// answers are what a server may say, and what becomes of it.
var answers = []struct{ answer, want, err string }{
	{`{"class":"clean"}`, "", ""},
	{`{"class":"clean","more":1}` + "\n", "", ""},
	{`{"class":"spam","detail":"a\r\nb"}`, "webhook.verdict=spam a b", ""},
	{`{"class":"malicious"}`, "webhook.verdict=malicious ", ""},
	{`{"class":"clean","findings":[{"code":"a.b","class":"unknown","score":1.5,"detail":"x"}]}`, "webhook.a.b=unknown x", ""},
	{`{"class":"unknown","detail":"down"}`, "", "could not tell: down"},
	{`{"class":""}`, "", "cannot be read"},
	{`{"class":"CLEAN"}`, "", "cannot be read"},
	{`{"class":null}`, "", "no class"},
	{`{"class":1}`, "", "cannot be read"},
	{`{}`, "", "no class"},
	{`null`, "", "no class"},
	{`[]`, "", "cannot be read"},
	{`{"class":"clean"`, "", "cannot be read"},
	{`{"class":"clean"}{"class":"spam"}`, "", "something follows"},
	{`{"class":"clean"}x`, "", "something follows"},
	{``, "", "cannot be read"},
	{`ok`, "", "cannot be read"},
	{`{"class":"clean","findings":[{"code":"NOT A CODE\r\nX: y","class":"spam"}]}`, "", "want noun.detail"},
	{`{"class":"clean","findings":[{"code":"","class":"spam"}]}`, "", "want noun.detail"},
	{`{"class":"clean","findings":[{"code":"a","class":"evil"}]}`, "", "cannot be read"},
	{`{"class":"clean","findings":[{"code":"a","score":1e300}]}`, "", "score"},
	{`{"class":"clean","findings":[{"code":"a","score":-1e300}]}`, "", "score"},
	{`{"class":"clean","findings":{}}`, "", "cannot be read"},
	{`{"class":"clean","findings":[` + strings.Repeat(`{"code":"a"},`, 1000) + `{"code":"a"}]}`, "", "1001 findings"},
	{`{"class":"clean","detail":"` + strings.Repeat("x", 2<<20) + `"}`, "", "longer"},
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		t.Run(tt.answer[:min(60, len(tt.answer))], func(t *testing.T) {
			t.Parallel()
			s := &webhook.Scanner{Unsigned: true, URL: server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				io.WriteString(w, tt.answer)
			})).URL}
			fs, err := s.Scan(t.Context(), verdicttest.Clean(t))
			var got []string
			for _, f := range fs {
				got = append(got, f.Code+"="+f.Class.String()+" "+f.Detail)
			}
			if s := strings.Join(got, ","); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestWiring(t *testing.T) {
	t.Parallel()
	srv := server(t, &webhook.Handler{Scanner: verdict.Nothing, Key: key, MaxBody: 1 << 20})
	for name, tt := range map[string]struct {
		s    *webhook.Scanner
		want string
	}{
		"no key":           {&webhook.Scanner{URL: srv.URL}, "no key"},
		"another key":      {&webhook.Scanner{URL: srv.URL, Key: []byte("x")}, "403"},
		"no URL":           {&webhook.Scanner{Key: key}, "want http"},
		"secret in URL":    {&webhook.Scanner{Key: key, URL: "http://u:hunter2@127.0.0.1/"}, "want http"},
		"secret in query":  {&webhook.Scanner{Key: key, URL: "http://127.0.0.1:1/?token=hunter2"}, "refused"},
		"malformed":        {&webhook.Scanner{Key: key, URL: "http://[::1/?token=hunter2"}, "no URL"},
		"malformed header": {&webhook.Scanner{Key: key, URL: srv.URL, Header: http.Header{"Token": {"hunter2\r\nX: y"}}}, "header"},
	} {
		_, err := tt.s.Scan(t.Context(), verdicttest.Clean(t))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
	s := &webhook.Scanner{URL: srv.URL, Key: key}
	if _, err := s.Scan(t.Context(), verdicttest.Big(t, 2<<20)); err == nil {
		t.Error("too large: no error")
	}
	if fs, err := s.Scan(t.Context(), verdicttest.Clean(t)); err != nil || fs != nil {
		t.Errorf("got %v, %v", fs, err)
	}
}

// What a handler's scanner cannot tell, the other side cannot tell.
func TestHandler(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		scanner verdict.Scanner
		want    []verdict.Finding
		fails   bool
	}{
		"finds":    {verdicttest.Finds(t, "x", verdict.Finding{Code: "x.y", Class: verdict.Spam, Score: 2}), []verdict.Finding{{Code: "webhook.x.y", Class: verdict.Spam, Score: 2}, {Code: "webhook.verdict", Class: verdict.Spam}}, false},
		"evidence": {verdicttest.Finds(t, "x", verdict.Finding{Code: "x.y"}), []verdict.Finding{{Code: "webhook.x.y"}}, false},
		"fails":    {verdicttest.Fails(t, "x", errors.New("hunter2")), nil, true},
		"blind":    {verdicttest.Finds(t, "x", verdict.Finding{Code: "x.y", Err: errors.New("no")}), []verdict.Finding{{Code: "webhook.x.y"}}, true},
		"garbage":  {verdicttest.Garbage(t, "x"), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &webhook.Handler{Key: key, Scanner: verdict.Func("x", func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				ctx, cancel := context.WithTimeout(ctx, time.Minute) // fakes want one
				defer cancel()
				return tt.scanner.Scan(ctx, m)
			})}
			fs, err := (&webhook.Scanner{URL: server(t, h).URL, Key: key}).Scan(t.Context(), verdicttest.Clean(t))
			if d := cmp.Diff(tt.want, fs, cmpopts.EquateEmpty()); d != "" || (err != nil) != tt.fails {
				t.Error(err, d)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error went over the wire: %v", err)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body := []byte(`{"version":1}`)
		sign := func(at time.Time) http.Header {
			h := http.Header{}
			webhook.Sign(key, h, at, body)
			return h
		}
		for name, tt := range map[string]struct {
			h    http.Header
			key  []byte
			body string
			ok   bool
		}{
			"good":              {sign(time.Now()), key, string(body), true},
			"a little old":      {sign(time.Now().Add(-webhook.Tolerance)), key, string(body), true},
			"too old":           {sign(time.Now().Add(-webhook.Tolerance - time.Second)), key, string(body), false},
			"of the future":     {sign(time.Now().Add(webhook.Tolerance + time.Second)), key, string(body), false},
			"another key":       {sign(time.Now()), []byte("x"), string(body), false},
			"no key":            {sign(time.Now()), nil, string(body), false},
			"another body":      {sign(time.Now()), key, string(body) + " ", false},
			"no header":         {http.Header{}, key, string(body), false},
			"another timestamp": {with(sign(time.Now()), "Postreeve-Timestamp", strconv.FormatInt(time.Now().Unix()+1, 10)), key, string(body), false},
			"no number":         {with(sign(time.Now()), "Postreeve-Timestamp", "now"), key, string(body), false},
			"huge":              {with(sign(time.Now()), "Postreeve-Timestamp", "9223372036854775807"), key, string(body), false},
			"two timestamps":    {with(sign(time.Now()), "Postreeve-Timestamp", "1", "2"), key, string(body), false},
			"empty signature":   {with(sign(time.Now()), "Postreeve-Signature", "v1="), key, string(body), false},
			"no version":        {with(sign(time.Now()), "Postreeve-Signature", sign(time.Now()).Get("Postreeve-Signature")[3:]), key, string(body), false},
			"no hexadecimal":    {with(sign(time.Now()), "Postreeve-Signature", "v1="+base64.StdEncoding.EncodeToString(key)), key, string(body), false},
		} {
			err := webhook.Verify(tt.key, tt.h, []byte(tt.body))
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, webhook.ErrSignature) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func with(h http.Header, name string, values ...string) http.Header {
	h[name] = values
	return h
}
