package peertest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/postreeve/postreeve/verdict"
	clam "github.com/postreeve/postreeve/verdict/clamd"
	"github.com/postreeve/postreeve/verdict/icap"
	"github.com/postreeve/postreeve/verdict/milter"
	rsp "github.com/postreeve/postreeve/verdict/rspamd"
	sa "github.com/postreeve/postreeve/verdict/spamd"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// started makes an Engine of a daemon that runs already.
func started(a net.Addr) func(testing.TB) net.Addr { return func(testing.TB) net.Addr { return a } }

// soon is a context for one question to a real engine.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// codesOf lists what was found, sorted.
func codesOf(fs []verdict.Finding) string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Code+"="+f.Class.String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestClamAV(t *testing.T) {
	t.Parallel()
	needEngine(t, "clamd")
	socket, _ := clamd(t, clamav(t, ""))
	s := &clam.Scanner{Address: socket.String()}
	if v, err := s.Version(soon(t)); err != nil || !strings.HasPrefix(v, "ClamAV ") {
		t.Errorf("version %q, %v", v, err)
	}
	for name, tt := range map[string]struct {
		m      *verdict.Message
		detail string
	}{
		"EICAR in base64":  {verdicttest.Malicious(t), "Eicar-Test-Signature.UNOFFICIAL"},
		"a mark in a body": {verdicttest.New(t, "Subject: x\n\nis "+mark+" here\n"), "Postreeve.Test.Mark.UNOFFICIAL"},
		"nothing":          {verdicttest.Clean(t), ""},
	} {
		fs, err := s.Scan(soon(t), tt.m)
		if err != nil || len(fs) == 0 != (tt.detail == "") || len(fs) > 0 && (fs[0].Detail != tt.detail || fs[0].Class != verdict.Malicious) {
			t.Errorf("%s: %+v, %v; want %q", name, fs, err, tt.detail)
		}
	}
	t.Run("suite", func(t *testing.T) {
		t.Parallel()
		verdicttest.Run(t, verdicttest.Suite{
			New: func(_ testing.TB, a net.Addr) verdict.Scanner {
				return &clam.Scanner{Address: a.Network() + ":" + a.String()}
			},
			Hit: verdicttest.Malicious, Want: verdict.Malicious, Engine: started(socket), Timeout: time.Minute,
		})
	})
	t.Run("corpus", func(t *testing.T) {
		t.Parallel()
		digests(t, s)
	})
	t.Run("limits", func(t *testing.T) {
		t.Parallel()
		socket, _ := clamd(t, clamav(t, "StreamMaxLength 1M\n"))
		s := &clam.Scanner{Address: "unix:" + socket.String()}
		if _, err := s.Scan(soon(t), verdicttest.Big(t, 20<<20)); !errors.Is(err, verdict.ErrUnscannable) {
			t.Errorf("20 MB, of which clamd takes one: %v", err)
		}
		if fs, err := s.Scan(soon(t), verdicttest.Malicious(t)); err != nil || len(fs) != 1 {
			t.Errorf("after that: %v, %v", fs, err)
		}
	})
}

func TestSpamAssassin(t *testing.T) {
	t.Parallel()
	needEngine(t, "spamd")
	addr := spamd(t, true)
	s := &sa.Scanner{Address: addr.String(), Hostname: "mx.gw.example"}
	if v, err := s.Version(soon(t)); err != nil || !strings.HasPrefix(v, "SpamAssassin ") {
		t.Errorf("version %q, %v", v, err)
	}
	for _, report := range []bool{false, true} {
		s := &sa.Scanner{Address: addr.String(), Report: report}
		fs, err := s.Scan(soon(t), verdicttest.Spam(t))
		if codesOf(fs) != "spamd.spam=spam" || err != nil || !strings.Contains(fs[0].Detail, "GTUBE") {
			t.Errorf("report %v: %+v, %v", report, fs, err)
		}
	}
	fs, err := s.Scan(soon(t), verdicttest.Clean(t))
	if codesOf(fs) != "spamd.score=unknown" || err != nil {
		t.Errorf("a clean one: %+v, %v", fs, err)
	}
	// Our Received field is one that it understands: it does not complain that there is none.
	if len(fs) == 1 && (strings.Contains(fs[0].Detail, "NO_RECEIVED") || strings.Contains(fs[0].Detail, "UNPARSEABLE_RELAY")) {
		t.Errorf("it does not see the client: %s", fs[0].Detail)
	}
	t.Run("suite", func(t *testing.T) {
		t.Parallel()
		verdicttest.Run(t, verdicttest.Suite{
			New: func(_ testing.TB, a net.Addr) verdict.Scanner { return &sa.Scanner{Address: a.String()} },
			Hit: verdicttest.Spam, Want: verdict.Spam, Engine: started(spamd(t, false)),
			Patience: time.Second, Recovery: 30 * time.Second,
		})
	})
}

func TestRspamd(t *testing.T) {
	t.Parallel()
	needEngine(t, "rspamd")
	addr, socket, proxy := rspamd(t)
	s := &rsp.Scanner{URL: "http://" + addr.String(), Hostname: "mx.gw.example", AllSymbols: true}
	if v, err := s.Version(soon(t)); err != nil || !strings.HasPrefix(v, "rspamd/") {
		t.Errorf("version %q, %v", v, err)
	}
	for _, u := range []string{"http://" + addr.String(), "unix:" + socket.String()} {
		s := &rsp.Scanner{URL: u}
		for name, tt := range map[string]struct {
			m    *verdict.Message
			want string
		}{"spam": {verdicttest.Spam(t), "rspamd.action=spam"}, "clean": {verdicttest.Clean(t), "rspamd.action=unknown"}} {
			if fs, err := s.Scan(soon(t), tt.m); codesOf(fs) != tt.want || err != nil {
				t.Errorf("%s, %s: %+v, %v; want %s", u, name, fs, err, tt.want)
			}
		}
	}
	// The envelope arrives: rspamd notices that the sender is another one than in From.
	m := verdicttest.Clean(t)
	m.Envelope.From = "bounce@other.example"
	s.Symbols = map[string]verdict.Class{"FROM_NEQ_ENVFROM": verdict.Spam}
	if fs, err := s.Scan(soon(t), m); codesOf(fs) != "rspamd.action=unknown rspamd.symbol=spam" || err != nil {
		t.Errorf("another sender: %+v, %v", fs, err)
	}
	t.Run("suite", func(t *testing.T) {
		t.Parallel()
		verdicttest.Run(t, verdicttest.Suite{
			New: func(_ testing.TB, a net.Addr) verdict.Scanner { return &rsp.Scanner{URL: "http://" + a.String()} },
			Hit: verdicttest.Spam, Want: verdict.Spam, Engine: started(addr), Timeout: time.Minute, Patience: time.Second,
		})
	})
	t.Run("corpus", func(t *testing.T) {
		t.Parallel()
		digests(t, &rsp.Scanner{URL: "http://" + addr.String()}, &milter.Scanner{Address: proxy.String()})
	})
	t.Run("suite, as a milter", func(t *testing.T) {
		t.Parallel()
		verdicttest.Run(t, verdicttest.Suite{
			New: func(_ testing.TB, a net.Addr) verdict.Scanner { return &milter.Scanner{Address: a.String()} },
			Hit: verdicttest.Spam, Want: verdict.Spam, Engine: started(proxy), Timeout: time.Minute, Patience: time.Second,
		})
	})
}

func TestCICAP(t *testing.T) {
	t.Parallel()
	needEngine(t, "c-icap")
	needEngine(t, "clamd")
	socket, stop := clamd(t, clamav(t, ""))
	addr := cicap(t, socket)
	for _, reqmod := range []bool{false, true} {
		for _, whole := range []bool{false, true} {
			s := &icap.Scanner{URL: "icap://" + addr.String() + "/avscan", Reqmod: reqmod, NoPreview: whole}
			fs, err := s.Scan(soon(t), verdicttest.Malicious(t))
			if codesOf(fs) != "icap.infected=malicious" || err != nil || !strings.Contains(fs[0].Detail, "Eicar") {
				t.Errorf("REQMOD %v, whole %v: EICAR: %+v, %v", reqmod, whole, fs, err)
			}
			for _, m := range []*verdict.Message{verdicttest.Clean(t), verdicttest.Big(t, 5<<20), verdicttest.New(t, "a: b\n\n")} {
				if fs, err := s.Scan(soon(t), m); err != nil || fs != nil {
					t.Errorf("REQMOD %v, whole %v: %d bytes: %+v, %v", reqmod, whole, m.Size(), fs, err)
				}
			}
			// The echo service gives back what it gets.
			echo := &icap.Scanner{URL: "icap://" + addr.String() + "/echo", Reqmod: reqmod, NoPreview: whole}
			if fs, err := echo.Scan(soon(t), verdicttest.Big(t, 5<<20)); err != nil || fs != nil {
				t.Errorf("REQMOD %v, whole %v: echo: %+v, %v", reqmod, whole, fs, err)
			}
		}
	}
	s := &icap.Scanner{URL: "icap://" + addr.String() + "/avscan"}
	if v, err := s.Version(soon(t)); err != nil || !strings.Contains(v, "Antivirus") {
		t.Errorf("version %q, %v", v, err)
	}
	if _, err := (&icap.Scanner{URL: "icap://" + addr.String() + "/nonesuch"}).Scan(soon(t), verdicttest.Clean(t)); err == nil {
		t.Error("a service that is not there: no error")
	}
	// Without the engine behind it the service must not let anything pass.
	t.Run("suite", func(t *testing.T) {
		verdicttest.Run(t, verdicttest.Suite{
			New: func(_ testing.TB, a net.Addr) verdict.Scanner {
				return &icap.Scanner{URL: "icap://" + a.String() + "/avscan"}
			},
			Hit: verdicttest.Malicious, Want: verdict.Malicious, Engine: started(addr), Timeout: time.Minute, Patience: time.Second,
		})
	})
	stop()
	if fs, err := s.Scan(soon(t), verdicttest.Malicious(t)); err == nil && len(fs) == 0 {
		t.Error("clamd behind it is dead, and EICAR passes")
	}
}

// signedForMilter is a message with a good signature of signed.example, and its key.
func signedForMilter(t *testing.T) (mail []byte, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw := verdicttest.Mail{From: "ann@signed.example", Text: "Pay to account 1234.\n"}.Bytes()
	var out bytes.Buffer
	if err := dkim.Sign(&out, bytes.NewReader(raw), &dkim.SignOptions{Domain: "signed.example", Selector: "s", Signer: private,
		HeaderCanonicalization: dkim.CanonicalizationSimple, BodyCanonicalization: dkim.CanonicalizationSimple}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), base64.StdEncoding.EncodeToString(public)
}

func TestOpenDKIM(t *testing.T) {
	t.Parallel()
	needEngine(t, "opendkim")
	good, key := signedForMilter(t)
	addr := opendkim(t, key)
	from := func(raw []byte) func(testing.TB) *verdict.Message {
		return func(testing.TB) *verdict.Message {
			m := verdict.NewMessage(verdict.Bytes(raw))
			m.ID = "x"
			m.Origin = verdict.Client{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Helo: "mx.signed.example"}
			m.Envelope = verdict.Envelope{From: "ann@signed.example", To: []verdict.Recipient{{Address: "b@example.net"}}}
			return m
		}
	}
	forged := bytes.Replace(good, []byte("1234"), []byte("6666"), 1)
	s := &milter.Scanner{Address: addr.String(), Reject: verdict.Malicious, Rules: []milter.Rule{{Name: "Authentication-Results", Prefix: "test; dkim=pass", Class: verdict.Clean}}}
	fs, err := s.Scan(soon(t), from(good)(t))
	if codesOf(fs) != "milter.header=clean" || err != nil {
		t.Errorf("a good signature, over a header and a body as they are: %+v, %v", fs, err)
	}
	fs, err = s.Scan(soon(t), from(forged)(t))
	if !strings.Contains(codesOf(fs), "milter.reject=malicious") || err != nil {
		t.Errorf("a forged one: %+v, %v", fs, err)
	}
	t.Run("suite", func(t *testing.T) {
		t.Parallel()
		verdicttest.Run(t, verdicttest.Suite{
			New:   func(_ testing.TB, a net.Addr) verdict.Scanner { return &milter.Scanner{Address: a.String()} },
			Clean: from(good), Hit: from(forged), Want: verdict.Spam, Engine: started(addr), Timeout: time.Minute, Patience: time.Second,
		})
	})
}

func TestOpenDMARC(t *testing.T) {
	t.Parallel()
	needEngine(t, "opendmarc")
	s := &milter.Scanner{Address: opendmarc(t).String()}
	fs, err := s.Scan(soon(t), verdicttest.New(t, "Subject: without From and Date\n\nx\n"))
	if codesOf(fs) != "milter.reject=spam" || err != nil {
		t.Errorf("without From: %+v, %v", fs, err)
	}
}

// digests asks scanners about real mail of every kind: none of them chokes on it.
func digests(t *testing.T, scanners ...verdict.Scanner) {
	t.Helper()
	var files []string
	filepath.WalkDir("../../../../shared/corpus", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.Contains(path, "/mime-") && strings.HasSuffix(path, ".eml") {
			files = append(files, path)
		}
		return nil
	})
	if len(files) == 0 {
		t.Skip("there is no corpus beside the module")
	}
	for i := 0; i < len(files); i += max(1, len(files)/60) {
		b, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		m := verdict.NewMessage(verdict.Bytes(b))
		m.Envelope = verdict.Envelope{From: "a@example.org", To: []verdict.Recipient{{Address: "b@example.net"}}}
		for _, s := range scanners {
			if _, err := s.Scan(soon(t), m); err != nil && !errors.Is(err, verdict.ErrUnscannable) && !errors.Is(err, verdict.ErrTooComplex) {
				t.Errorf("%s: %v", filepath.Base(files[i]), err)
			}
		}
	}
}
