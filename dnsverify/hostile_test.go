package dnsverify_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// checkSafe walks through a value as JSON and wants every text in it safe to show, and none too long.
func checkSafe(t *testing.T, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 256<<10 {
		t.Errorf("a result of %d octets", len(data))
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	walk(t, tree)
}

func walk(t *testing.T, v any) {
	t.Helper()
	switch v := v.(type) {
	case string:
		if !safe(v) {
			t.Errorf("not safe to show: %q", v)
		}
	case []any:
		for _, x := range v {
			walk(t, x)
		}
	case map[string]any:
		for _, x := range v {
			walk(t, x)
		}
	}
}

func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	const nasty = `\000\010\013\027[31m<img src=x onerror=alert\(1\)>&"'` + "`\\226\\128\\174"
	tests := []struct {
		name   string
		setup  func(w *world)
		status dnsverify.Status
	}{
		{"control characters and markup in a value", func(w *world) {
			w.zone.Set(owner, `TXT "`+strings.ReplaceAll(nasty, `"`, `\"`)+`"`)
		}, dnsverify.Wrong},
		{"the same in the target of an alias", func(w *world) {
			w.zone.Set(owner, `CNAME a\010\027\<b\>\"\'.b\.c.example.com.`)
		}, dnsverify.Absent},
		{"1,000 records, the right one among them", func(w *world) {
			records := []string{}
			for i := range 999 {
				records = append(records, txt(fmt.Sprint("value ", i)))
			}
			w.zone.Set(owner, append(records, w.token())...)
		}, dnsverify.Verified},
		{"1,000 records, none right", func(w *world) {
			records := []string{}
			for i := range 1000 {
				records = append(records, txt(fmt.Sprintf("token=%d <script>", i)))
			}
			w.zone.Set(owner, records...)
		}, dnsverify.Wrong},
		{"one record of 60 KB", func(w *world) {
			w.zone.Set(owner, "TXT "+strings.Repeat(`"`+strings.Repeat("<", 250)+`" `, 240))
		}, dnsverify.Wrong},
		{"more than 64 KB", func(w *world) {
			// It cannot be sent. What is missing might be the record: that is an error, not another value.
			w.zone.Set(owner, "TXT "+strings.Repeat(`"`+strings.Repeat("x", 250)+`" `, 200), "TXT "+strings.Repeat(`"`+strings.Repeat("y", 250)+`" `, 200))
		}, dnsverify.Failed},
		{"alias to itself", func(w *world) { w.zone.Set(owner, "CNAME "+owner+".example.com.") }, dnsverify.Absent},
		{"aliases in a circle over two zones", func(w *world) {
			w.net.Zone("example.net", dnstest.Records{"a": {"CNAME " + owner + ".example.com."}})
			w.zone.Set(owner, "CNAME a.example.net.")
		}, dnsverify.Absent},
		{"markup in the name of a dead name server", func(w *world) {
			dead := w.net.Servers(1)[0]
			dead.Fault(dnstest.Silent)
			w.net.Zone("org", dnstest.Records{"evil": {"NS <i>&.evil.org."}, "<i>&.evil": {"A " + dead.Addr().String()}})
			w.claim.Domain = "evil.org"
		}, dnsverify.Failed},
		{"markup in the name of a zone behind an alias, which is lame", func(w *world) {
			lame := w.net.Servers(1)[0]
			lame.Fault(dnstest.Lame)
			w.net.Zone("org", dnstest.Records{"<b>": {"NS <i>.<b>.org."}, "<i>.<b>": {"A " + lame.Addr().String()}})
			w.zone.Set(owner, "CNAME x.y.<b>.org.")
		}, dnsverify.Failed},
		{"markup in the name of a name server without address", func(w *world) {
			w.net.Zone("org", dnstest.Records{"evil": {`NS <i>\"\027.example.com.`}})
			w.claim.Domain = "evil.org"
		}, dnsverify.Failed},
		{"name servers that need each other", func(w *world) {
			a, b := w.net.Zone("example.net", nil), w.net.Zone("example.org", nil)
			a.HostedBy(b)
			b.HostedBy(a)
			w.claim.Domain = "example.net"
		}, dnsverify.Failed},
		{"a delegation to many names that do not exist", func(w *world) {
			var ns []string
			for i := range 60 {
				ns = append(ns, fmt.Sprintf("NS ns%d.victim.net.", i))
			}
			w.net.Zone("victim.net", nil)
			w.net.Zone("org", dnstest.Records{"attack": ns})
			w.claim.Domain = "attack.org"
		}, dnsverify.Failed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tt.setup(w)
			start, before := time.Now(), w.net.Count()
			r := w.verify()
			if r.Status != tt.status {
				t.Errorf("status %s, want %s: %v %+v", r.Status, tt.status, r.Problem, r.Servers)
			}
			if n := w.net.Count() - before; n > 400 {
				t.Errorf("%d questions were asked", n)
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			checkSafe(t, r)
			checkSafe(t, r.Evidence())
			if r.Problem != nil && !safe(r.Problem.Error()) {
				t.Errorf("error %q is not safe to show", r.Problem.Error())
			}
		})
	}
}

// TestEvidence wants what an auditor needs, and neither values nor the token.
func TestEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zone.Sign()
	w.zone.Set(owner, w.token(), txt("a secret of somebody else"))
	r := w.verify()
	data, err := json.Marshal(r.Evidence())
	if err != nil {
		t.Fatal(err)
	}
	tok := strings.TrimPrefix(w.value(w.claim), "token=")
	if strings.Contains(string(data), tok) || strings.Contains(string(data), "secret") {
		t.Errorf("values in the evidence: %s", data)
	}
	e := r.Evidence()
	if e.Decision != dnsverify.Verified || e.Zone != "example.com" || len(e.NameServers) != 2 || len(e.Answers) != 3 || !e.Secure ||
		e.TokenID != w.verifier.Challenge.TokenID(w.claim) || e.At.IsZero() || e.Rules == "" {
		t.Errorf("%+v", e)
	}
	for _, a := range e.Answers[:2] {
		if !a.AA || a.Rcode != "NOERROR" || a.TTL != time.Minute || a.Outcome != dnsverify.Match {
			t.Errorf("%+v", a)
		}
	}
}

// TestStopped wants a check that is stopped to be no absence.
func TestStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.zone.Fault(dnstest.Silent)
	w.verifier.Client.Timeout = 5 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := w.verifier.Verify(ctx, w.claim)
	if err != nil || r.Status != dnsverify.Failed {
		t.Errorf("%+v, %v; want error", r, err)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"192.0.2.1": false, "127.0.0.1": false, "10.1.1.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "198.18.0.1": false, "203.0.113.9": false,
		"::1": false, "::": false, "fe80::1": false, "fd00::1": false, "ff02::1": false, "2001:db8::1": false, "::ffff:10.0.0.1": false,
		"64:ff9b::a00:1": false, "2002:a00:1::": false, "fe80::1%eth0": false, "100::1": false,
		"8.8.8.8": true, "198.41.0.4": true, "2001:4860:4860::8888": true, "::ffff:8.8.8.8": true,
	} {
		if got := dnsverify.Public(netip.MustParseAddr(s)); got != want {
			t.Errorf("Public(%s) = %v, want %v", s, got, want)
		}
	}
}

// parrot is an Exchanger that answers every question with the same octets behind the right header and question.
type parrot struct{ flags, tail []byte }

func (p parrot) Exchange(_ context.Context, _ string, _ netip.AddrPort, query []byte) ([]byte, error) {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	if len(p.flags) < 8 || end > len(query) {
		return nil, errors.New("no answer")
	}
	out := append([]byte{}, query[:end]...)
	copy(out[2:], p.flags[:2])
	out[2] |= 0x80
	binary.BigEndian.PutUint16(out[4:], 1)
	copy(out[6:12], p.flags[2:8])
	return append(out, p.tail...), nil
}

// rr is a record for the name in the question, in wire form.
func rr(typ byte, rdata string) []byte {
	out := []byte{0xc0, 12, 0, typ, 0, 1, 0, 0, 0, 60, byte(len(rdata) >> 8), byte(len(rdata))}
	return append(out, rdata...)
}

var answerSeeds = []struct{ flags, tail []byte }{
	{[]byte{0x84, 0, 0, 1, 0, 0, 0, 0}, rr(16, "\x05hello")},
	{[]byte{0x84, 0, 0, 1, 0, 0, 0, 0}, rr(16, "\x05he<\"\x00\x03abc")},
	{[]byte{0x84, 0, 0, 1, 0, 0, 0, 0}, rr(15, "\x00\x0a\x04ma\x00il\x03<b>\x00")},
	{[]byte{0x84, 0, 0, 1, 0, 0, 0, 0}, rr(15, "\x00\x00\x00")},
	{[]byte{0x84, 0, 0, 1, 0, 0, 0, 0}, rr(5, "\x01a\xc0\x0c")},
	{[]byte{0x84, 0, 0, 1, 0, 0, 0, 0}, rr(5, "\xc0\x0c")},
	{[]byte{0x80, 0, 0, 0, 0, 1, 0, 0}, rr(2, "\x02ns\xc0\x0c")},
	{[]byte{0x84, 3, 0, 0, 0, 0, 0, 0}, nil},
	{[]byte{0x84, 1, 0, 0, 0, 0, 0, 0}, nil},
	{[]byte{0x86, 0, 0, 0, 0, 0, 0, 0}, nil},
	{[]byte{0x84, 0, 0, 9, 0, 9, 0, 9}, []byte{0xc0, 0xc0}},
}

// FuzzAnswer feeds answers to everything that reads TXT and MX records.
func FuzzAnswer(f *testing.F) {
	for _, s := range answerSeeds {
		f.Add(s.flags, s.tail)
	}
	f.Fuzz(func(t *testing.T, flags, tail []byte) {
		c := &dnsverify.Client{Exchanger: parrot{flags, tail}, Roots: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Queries: 60,
			Allow: func(netip.Addr) bool { return true }, Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}}
		v := &dnsverify.Verifier{Client: c, Challenge: &dnsverify.Challenge{Key: make([]byte, 16)}}
		r, err := v.Verify(t.Context(), dnsverify.Claim{Tenant: "t", Domain: "example.com"})
		if err != nil || r.Status == dnsverify.Verified {
			t.Fatalf("%+v, %v", r, err)
		}
		checkSafe(t, r)
		if d, err := c.Discover(t.Context(), "example.com", own); err == nil {
			checkSafe(t, d)
		} else if !safe(err.Error()) {
			t.Errorf("%q", err)
		}
		if recs, _, err := c.TLSA(t.Context(), "example.com"); err == nil {
			checkSafe(t, recs)
		}
	})
}
