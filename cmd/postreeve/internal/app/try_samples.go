package app

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// sample is a message and what should become of it.
type sample struct {
	name, what string
	from       string
	message    []byte

	code   string // of the reply
	class  verdict.Class
	action string
	place  string
	header []string // fields that it must arrive with
}

// differs says in which way the outcome is not as it should be, or "".
func (s sample) differs(t tried) string {
	switch {
	case !strings.HasPrefix(t.Reply, s.code+" "):
		return fmt.Sprintf("the reply is %q and not %s", t.Reply, s.code)
	case t.Class != s.class:
		return fmt.Sprintf("it was judged %v and not %v", t.Class, s.class)
	case t.Action != s.action:
		return fmt.Sprintf("the action is %s and not %s", t.Action, s.action)
	case t.Place != s.place:
		return fmt.Sprintf("it is in: %s, and not in: %s", t.Place, s.place)
	}
	for _, h := range s.header {
		if !slices.Contains(t.Headers, h) {
			return fmt.Sprintf("it arrived without %q", h)
		}
	}
	return ""
}

// samples are the three messages of try.
func samples() []sample {
	return []sample{
		{
			name: "clean", what: "an ordinary message", from: "friend@sender.example",
			message: textMessage("friend@sender.example", "Lunch on Friday?", "Shall we say half past twelve?\r\n"),
			code:    "250", class: verdict.Clean, action: "deliver", place: "mailbox",
			header: []string{"X-Postreeve-Verdict: CLEAN"},
		},
		{
			name: "spam", what: "text with GTUBE, the test string that spam filters know", from: "offers@sender.example",
			message: textMessage("offers@sender.example", "Only today", teststring.GTUBE+"\r\n"),
			code:    "250", class: verdict.Spam, action: "tag", place: "mailbox",
			header: []string{"X-Postreeve-Verdict: SPAM", "X-Postreeve-Spam: FAIL"},
		},
		{
			name: "malicious", what: "a zip file with the EICAR test file, which every virus scanner knows", from: "billing@sender.example",
			message: zipMessage("billing@sender.example", "Your invoice"),
			code:    "250", class: verdict.Malicious, action: "hold", place: "quarantine",
		},
	}
}

func commonHeader(from, subject string) string {
	return "From: <" + from + ">\r\nTo: <you@" + labDomain + ">\r\nSubject: " + subject + "\r\nDate: " + time.Now().Format(time.RFC1123Z) +
		"\r\nMessage-ID: <" + strconv.FormatInt(time.Now().UnixNano(), 36) + "@sender.example>\r\nMIME-Version: 1.0\r\n"
}

func textMessage(from, subject, body string) []byte {
	return []byte(commonHeader(from, subject) + "Content-Type: text/plain; charset=us-ascii\r\n\r\n" + body)
}

// zipMessage has the test file in invoice.zip. It is made in memory: a file of it would alarm others.
func zipMessage(from, subject string) []byte {
	var z bytes.Buffer
	w := zip.NewWriter(&z)
	f, err := w.Create("invoice.com")
	if err == nil {
		_, err = f.Write([]byte(teststring.EICAR()))
	}
	if err != nil || w.Close() != nil { // a bytes.Buffer takes everything
		return nil
	}
	var b strings.Builder
	b.WriteString(commonHeader(from, subject) + "Content-Type: multipart/mixed; boundary=part\r\n\r\n" +
		"--part\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nPlease find the invoice attached.\r\n" +
		"--part\r\nContent-Type: application/zip; name=invoice.zip\r\nContent-Disposition: attachment; filename=invoice.zip\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n")
	for chunk := range slices.Chunk(z.Bytes(), 54) {
		b.WriteString(base64.StdEncoding.EncodeToString(chunk) + "\r\n")
	}
	b.WriteString("--part--\r\n")
	return []byte(b.String())
}
