package verdict_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
)

// bulkMail is a message with an attachment of about size bytes in base64.
func bulkMail(size int) verdict.Bytes {
	b := make([]byte, size/4*3)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	var s strings.Builder
	s.WriteString("From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n" +
		"--=_x\r\n\r\nhello\r\n--=_x\r\nContent-Type: application/zip; name=a.zip\r\n" +
		"Content-Disposition: attachment; filename=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for line := range chunks(base64.StdEncoding.EncodeToString(b), 76) {
		s.WriteString(line)
		s.WriteString("\r\n")
	}
	s.WriteString("--=_x--\r\n")
	return verdict.Bytes(s.String())
}

func chunks(s string, n int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for ; s != "" && yield(s[:min(n, len(s))]); s = s[min(n, len(s)):] {
		}
	}
}

// textMail is a message of about 10 KB with 25 fields and two parts.
func textMail(parts bool) verdict.Bytes {
	var s strings.Builder
	s.WriteString("Return-Path: <a@example.org>\r\n")
	for i := range 5 {
		fmt.Fprintf(&s, "Received: from mx%d.example.org (mx%d.example.org [192.0.2.%d])\r\n\tby mx.example.net (Postfix) with ESMTPS id 4ABCDEF%d\r\n\tfor <b@example.net>; Mon, 1 Jan 2024 10:00:0%d +0000 (UTC)\r\n", i, i, i, i, i)
	}
	s.WriteString("From: =?utf-8?q?J=C3=B6rg?= <a@example.org>\r\nTo: b@example.net\r\nSubject: Re: the minutes of our meeting\r\n" +
		"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nMessage-ID: <1234@example.org>\r\nIn-Reply-To: <1233@example.org>\r\n" +
		"References: <1231@example.org>\r\n <1232@example.org> <1233@example.org>\r\nMIME-Version: 1.0\r\n")
	for i := range 10 {
		fmt.Fprintf(&s, "X-Header-%d: some value that is neither short nor long, number %d\r\n", i, i)
	}
	if !parts {
		s.WriteString("Content-Type: text/plain; charset=utf-8\r\n\r\n")
		s.WriteString(strings.Repeat("The quick brown fox jumps over the lazy dog, and then it sleeps.\r\n", 110))
		return verdict.Bytes(s.String())
	}
	s.WriteString("Content-Type: multipart/alternative; boundary=b1\r\n\r\n--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	s.WriteString(strings.Repeat("The quick brown fox jumps over the lazy dog, and then it sleeps.\r\n", 40))
	s.WriteString("--b1\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	s.WriteString(strings.Repeat("<p>The quick brown fox jumps =C3=BCber the lazy dog, and then it sleeps.</p>=\r\n", 60))
	s.WriteString("--b1--\r\n")
	return verdict.Bytes(s.String())
}

func walk(tb testing.TB, m *verdict.Message) (n int) {
	for _, err := range m.Parts() {
		if err != nil {
			tb.Fatal(err)
		}
		n++
	}
	return n
}

func BenchmarkHeader(b *testing.B) {
	src := textMail(false)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if n := verdict.NewMessage(src).Header().Len(); n < 25 {
			b.Fatal(n)
		}
	}
}

func BenchmarkParts10KB(b *testing.B) {
	src := textMail(true)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		walk(b, verdict.NewMessage(src))
	}
}

func BenchmarkParts5MB(b *testing.B) {
	src := bulkMail(5 << 20)
	path := filepath.Join(b.TempDir(), "mail")
	if err := os.WriteFile(path, src, 0o600); err != nil {
		b.Fatal(err)
	}
	file, err := verdict.OpenFile(path)
	if err != nil {
		b.Fatal(err)
	}
	spool := &verdict.Spool{}
	buffer := spool.New()
	defer buffer.Close()
	if _, err := buffer.Write(src); err != nil {
		b.Fatal(err)
	}
	for _, s := range []struct {
		name string
		src  verdict.Source
	}{{"memory", src}, {"buffer", buffer}, {"file", file}} {
		b.Run("walk/"+s.name, func(b *testing.B) {
			b.SetBytes(s.src.Size())
			b.ReportAllocs()
			for b.Loop() {
				walk(b, verdict.NewMessage(s.src))
			}
		})
		b.Run("decode/"+s.name, func(b *testing.B) {
			b.SetBytes(s.src.Size())
			b.ReportAllocs()
			for b.Loop() {
				for p, err := range verdict.NewMessage(s.src).Parts() {
					if err != nil {
						b.Fatal(err)
					}
					r, err := p.Open()
					if err != nil {
						b.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, r); err != nil {
						b.Fatal(err)
					}
					r.Close()
				}
			}
		})
		b.Run("anomalies+digest/"+s.name, func(b *testing.B) {
			b.SetBytes(s.src.Size())
			b.ReportAllocs()
			for b.Loop() {
				verdict.NewMessage(s.src).Anomalies()
			}
		})
	}
}
