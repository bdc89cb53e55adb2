package store_test

import (
	"context"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// noticeOf has a hop refuse a message, and returns the notice and its envelope.
func noticeOf(t *testing.T, m *verdict.Message, body verdict.Source, host, reply string) (string, verdict.Envelope) {
	t.Helper()
	s := open(t, store.Config{Dir: t.TempDir(), Hostname: "mx.gw.example"}.Quick())
	type sent struct {
		text string
		e    verdict.Envelope
	}
	out := make(chan sent, 1)
	b := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
		r, err := body.Open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		text, err := io.ReadAll(r)
		if err == nil {
			out <- sent{string(text), e}
		}
		return taken(e), err
	})
	h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) (out []relay.Receipt, _ error) {
		for _, to := range e.To {
			out = append(out, relay.Receipt{Recipient: to.Address, Host: host, Reply: &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}, Text: reply}})
		}
		return out, nil
	})
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: b})
	if err := s.Enqueue(t.Context(), d, vouchedFor(m), m.Envelope, body, ""); err != nil {
		t.Fatal(err)
	}
	got := <-out
	return got.text, got.e
}

// A notice names the host that refused as RFC 3464 wants it.
func TestRemoteMTA(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"mx.ex.net:25":                    "mx.ex.net",
		"mx.ex.net":                       "mx.ex.net",
		"mx.ex.net [192.0.2.1:25]":        "mx.ex.net",
		"mx.ex.net [[2001:db8::1]:25]":    "mx.ex.net",
		"192.0.2.1:25":                    "[192.0.2.1]",
		"[2001:db8::1]:2525":              "[IPv6:2001:db8::1]",
		"[::ffff:192.0.2.1]:25":           "[192.0.2.1]",
		"2001:db8::1":                     "[IPv6:2001:db8::1]",
		"[fe80::1%eth0]:25":               "[IPv6:fe80::1]",
		"mx.ex.net\r\nX: y [192.0.2.1]":   "mx.ex.net  X", // no line of its own
		"m\xc3\xbcx.ex.net [192.0.2.1:2]": `m\x{FC}x.ex.net`,
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			got, _ := noticeOf(t, message("m1", "b@ex.net"), verdict.Bytes(mail), host, "no")
			if !strings.Contains(got, "\r\nRemote-MTA: dns; "+want+"\r\n") {
				t.Error(got)
			}
			wellFormed(t, got)
		})
	}
	got, _ := noticeOf(t, message("m1", "b@ex.net"), verdict.Bytes(mail), "", "no")
	if strings.Contains(got, "Remote-MTA") {
		t.Error(got)
	}
}

// Notices have short lines of ASCII, whatever others wrote.
func TestNoticeIsClean(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"8 bit":     "Subject: gr\xc3\xbc\xc3\x9fe\r\n",
		"not UTF-8": "Subject: gr\xfc\xdfe\r\n",
		"long":      "X-Long: " + strings.Repeat("y", 3000) + "\r\n",
		"bare CR":   "X-Bare: a\rb\r\n",
		"plain":     "X-Plain: a\r\n",
		"no end":    strings.Repeat("X-Many: "+strings.Repeat("z", 60)+"\r\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := message("m1", strings.Repeat("b", 300)+"\xc3\xbc@ex.net")
			got, e := noticeOf(t, m, verdict.Bytes(head+mail), "mx.ex.net:25", strings.Repeat("\xc3\xa9\xff", 600))
			wellFormed(t, got)
			for line := range strings.Lines(got) {
				if strings.ContainsFunc(line, func(r rune) bool { return r >= 0x80 || r == 0 }) || len(line) > 1000 || strings.Contains(line[:len(line)-2], "\r") {
					t.Errorf("line of %d bytes: %.80q", len(line), line)
				}
			}
			if e.Body != "" || e.UTF8 {
				t.Errorf("%+v", e)
			}
			if name == "no end" { // not all of it is returned
				return
			}
			_, part, _ := strings.Cut(got, "Content-Type: text/rfc822-headers\r\n")
			encoded := strings.HasPrefix(part, "Content-Transfer-Encoding: quoted-printable\r\n")
			if encoded != (name != "plain") {
				t.Errorf("encoded: %v", encoded)
			}
			if encoded {
				_, part, _ = strings.Cut(part, "\r\n\r\n")
				b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(part)))
				if err != nil {
					t.Fatal(err)
				}
				part = string(b)
			}
			if !strings.HasPrefix(strings.TrimPrefix(part, "\r\n"), head+"From: a@ex.org\r\n") {
				t.Errorf("returned: %.300q", part)
			}
		})
	}
}

// About internationalised addresses there are notices by RFC 6533, and they are sent as such.
func TestNoticeUTF8(t *testing.T) {
	t.Parallel()
	m := message("m1", "\xc3\xbc@ex.net")
	m.Envelope.UTF8, m.Envelope.From = true, "\xc3\xa4@ex.org"
	got, e := noticeOf(t, m, verdict.Bytes("Subject: gr\xc3\xbc\xc3\x9fe\r\n"+mail), "mx.ex.net:25", "no \xc3\xa9")
	for _, want := range []string{
		"\r\nContent-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", "\r\nFinal-Recipient: utf-8; \xc3\xbc@ex.net\r\n",
		"\r\nContent-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", "\r\nTo: <\xc3\xa4@ex.org>\r\n", "\r\nDiagnostic-Code: smtp; 550 5.1.1 no \xc3\xa9\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if e.Body != "8BITMIME" || !e.UTF8 {
		t.Errorf("%+v", e)
	}
	// Asked for without need: the notice needs nothing.
	m = message("m1", "b@ex.net")
	m.Envelope.UTF8 = true
	got, e = noticeOf(t, m, verdict.Bytes("Subject: gr\xc3\xbc\xc3\x9fe\r\n"+mail), "mx.ex.net:25", "no \xc3\xa9")
	wellFormed(t, got)
	if e.Body != "" || e.UTF8 || !strings.Contains(got, `no \x{E9}`) {
		t.Errorf("%+v\n%s", e, got)
	}
}
