package peertest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// contents are messages in which canonicalization has something to do, without their From.
func contents() map[string]string {
	head := "To: b@ex.net\r\nSubject: hello\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\nMessage-ID: <1@client.example>\r\n"
	mime := "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
	return map[string]string{
		"plain":        head + "\r\nHello.\r\n",
		"8 bit":        head + mime + "\r\nCaf\xc3\xa9 \xe2\x80\xa6\r\n\xff\xfe in no charset\r\n",
		"long lines":   head + "\r\n" + strings.Repeat("x", 998) + "\r\n" + strings.Repeat("long ", 2000) + "\r\n",
		"blanks":       strings.Replace(head, "Subject: hello", "Subject:   two  blanks\t and a tab \r\n\tfolded\r\n  twice", 1) + "\r\n trailing \t \r\n\r\n\t\r\n  two  blanks\r\n\r\n\r\n\r\n",
		"dots":         head + "\r\n.\r\n..\r\n.dot\r\n\r\n.\r\n\r\nend\r\n",
		"no body":      head + "\r\n",
		"empty lines":  head + "\r\n\r\n\r\n\r\n",
		"many lines":   head + "\r\n" + strings.Repeat("The quick brown fox jumps over the lazy dog. \r\n", 2000),
		"parts":        head + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\npreamble\r\n--=_x\r\nContent-Type: text/html\r\n\r\n<p>hi</p>\r\n--=_x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--=_x--\r\nepilogue\r\n",
		"From in text": head + "\r\nFrom here it is text.\r\n>From there too.\r\n",
		"fields of ours and results of others": "X-Postreeve-Verdict: CLEAN\r\nAuthentication-Results: mx.gw.example; spf=pass\r\nAuthentication-Results: mx.other.example; dkim=pass\r\n" +
			"Received: from x by y; Fri, 02 Jan 2026 03:04:05 +0000\r\n" + head + "List-Id: <l.example>\r\n\r\nHello.\r\n",
	}
}

// signed is a message on its way.
type signed struct {
	name, domain string
	raw          []byte
}

// sign has each content signed by OpenDKIM and by dkimpy, in every way.
func (l *authLab) sign() []signed {
	var out []signed
	var jobs []dkimpyJob
	all := contents()
	for i, name := range slices.Sorted(maps.Keys(all)) {
		for _, c := range canonicalizations {
			raw := []byte("From: Ann <ann@a.example>\r\n" + all[name])
			fields := l.milter(l.signers[c], raw)
			if len(fields) != 1 || !strings.HasPrefix(fields[0], "DKIM-Signature: ") {
				l.t.Fatalf("OpenDKIM does not sign %q: %q", name, fields)
			}
			out = append(out, signed{name + ", OpenDKIM, " + c, "a.example", append([]byte(fields[0]+"\r\n"), raw...)})
			for selector, algorithm := range map[string]string{"s1": "rsa-sha256", "s2": "ed25519-sha256"} {
				file := l.file(fmt.Sprintf("in-%d.eml", i), "From: Ann <ann@b.example>\r\n"+all[name])
				jobs = append(jobs, dkimpyJob{"sign", file, l.dkimpyKey(selector), selector, "b.example", c, algorithm})
				out = append(out, signed{name + ", dkimpy " + algorithm + ", " + c, "b.example", nil})
			}
		}
	}
	results := l.dkimpy(jobs)
	for n := range out {
		if out[n].raw != nil {
			continue
		}
		r := results[0]
		results = results[1:]
		if r.Error != "" {
			l.t.Fatalf("dkimpy does not sign %s: %s", out[n].name, r.Error)
		}
		raw, err := os.ReadFile(r.File)
		if err != nil {
			l.t.Fatal(err)
		}
		out[n].raw = append([]byte(r.Field), raw...)
	}
	return out
}

// dkimpyKey returns the key of b.example as dkimpy wants it: an Ed25519 key as its seed in base64.
func (l *authLab) dkimpyKey(selector string) string {
	file := l.keys[selector+".b.example"]
	key, err := mailauth.ReadKey(file)
	if err != nil {
		l.t.Fatal(err)
	}
	if ed, ok := key.(ed25519.PrivateKey); ok {
		return l.file("seed", base64.StdEncoding.EncodeToString(ed.Seed()))
	}
	return file
}

// submitAs sends a message by DATA, or in chunks.
func submitAs(t *testing.T, addr, from string, raw []byte, chunks bool) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(60 * time.Second))
	r := textproto.NewReader(bufio.NewReader(nc))
	say := func(line string, want int) {
		t.Helper()
		if line != "" {
			fmt.Fprintf(nc, "%s\r\n", line)
		}
		if _, msg, err := r.ReadResponse(want); err != nil {
			t.Fatalf("%.60q: %v %s", line, err, msg)
		}
	}
	say("", 220)
	say("EHLO client.example", 250)
	say("MAIL FROM:<"+from+"> BODY=8BITMIME", 250)
	say("RCPT TO:<b@ex.net>", 250)
	if chunks {
		cut := len(raw) / 2
		fmt.Fprintf(nc, "BDAT %d\r\n%s", cut, raw[:cut])
		say("", 250)
		fmt.Fprintf(nc, "BDAT %d LAST\r\n%s", len(raw)-cut, raw[cut:])
		say("", 250)
		return
	}
	say("DATA", 354)
	w := textproto.NewWriter(bufio.NewWriter(nc))
	d := w.DotWriter()
	d.Write(raw)
	d.Close()
	w.W.Flush()
	say("", 250)
}

// Messages that OpenDKIM and dkimpy have signed pass the gateway, and OpenDKIM, dkimpy and we ourselves find
// the signatures good behind it, with every canonicalization, by DATA and in chunks, through both engines and
// to next hops with and without CHUNKING. The seal that the gateway adds is good for dkimpy, too.
func TestDKIMThroughGateway(t *testing.T) {
	t.Parallel()
	l := newAuthLab(t)
	mail := l.sign()
	ours := &mailauth.Authenticator{Resolver: &mailauth.DNS{Servers: []string{l.resolver}}}
	tally := map[string]int{}
	for _, way := range []struct {
		engine string
		chunks bool
		hop    []string // extensions that the next hop lacks
	}{
		{"strict", false, nil},
		{"strict", true, []string{"CHUNKING"}},
		{"go-smtp", true, nil},
		{"go-smtp", false, []string{"CHUNKING"}},
	} {
		sink := &relaytest.Sink{Without: way.hop}
		gw, _, _ := gateway(t, sink.Start(t), fmt.Sprintf("engine: %s\ndns: {servers: [%s]}\narc: {domain: gw.example, selector: arc, key: %q}\n", way.engine, l.resolver, l.keys["arc.gw.example"]))
		var jobs []dkimpyJob
		for i, m := range mail {
			submitAs(t, gw, "x@"+m.domain, m.raw, way.chunks)
			got := sink.Messages()[i].Data
			name := fmt.Sprintf("%s (%s, chunks %v, hop without %v)", m.name, way.engine, way.chunks, way.hop)
			tally["messages"]++
			if !bytes.HasSuffix(bytes.TrimSuffix(got, []byte("\r\n")), bytes.TrimSuffix(m.raw[bytes.Index(m.raw, []byte("\r\n\r\n")):], []byte("\r\n"))) {
				t.Errorf("%s: the body has changed", name)
			}
			if results := fieldsOf(got, "Authentication-Results", "mx.gw.example;"); len(results) == 1 && strings.Contains(results[0], "; dkim=pass header.d="+m.domain) && strings.Contains(results[0], "; dmarc=pass header.from="+m.domain) {
				tally["found good by the gateway"]++
			} else {
				t.Errorf("%s: the gateway says %q", name, results)
			}
			if results := fieldsOf([]byte(strings.Join(l.milter(l.verifier, got), "\r\n")+"\r\n\r\n"), "Authentication-Results", "opendkim.example;"); len(results) == 1 && strings.Contains(results[0], "dkim=pass") {
				tally["good behind it, says OpenDKIM"]++
			} else {
				t.Errorf("%s: OpenDKIM says %q", name, results)
			}
			r := ours.Authenticate(context.Background(), verdict.NewMessage(verdict.Bytes(got)))
			if len(r.DKIM) == 1 && r.DKIM[0].Result == verdict.Pass && r.ARC.Result == verdict.Pass {
				tally["good behind it, with the seal, say we"]++
			} else {
				t.Errorf("%s: we say %+v", name, r)
			}
			jobs = append(jobs, dkimpyJob{Do: "verify", File: l.file(fmt.Sprintf("out-%s-%v-%d.eml", way.engine, way.chunks, i), string(got))})
		}
		for i, r := range l.dkimpy(jobs) {
			if r.Error == "" && len(r.DKIM) == 1 && r.DKIM[0] {
				tally["good behind it, says dkimpy"]++
			} else {
				t.Errorf("%s (%s): dkimpy says %+v", mail[i].name, way.engine, r)
			}
			if r.ARC == "pass" {
				tally["sealed well, says dkimpy"]++
			} else {
				t.Errorf("%s (%s): dkimpy says of the seal %+v", mail[i].name, way.engine, r)
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("%-40s %4d", k, tally[k])
	}
}

// fieldsOf returns the fields of a name that begin in a way.
func fieldsOf(data []byte, name, begin string) []string {
	var out []string
	for _, v := range verdict.NewMessage(verdict.Bytes(data)).Header().Values(name) {
		if strings.HasPrefix(v, begin) {
			out = append(out, v)
		}
	}
	return out
}
