package detection_test

import (
	"bytes"
	"strings"
)

// receiving are the beginnings of the names of fields that systems on the receiving side add, in lower case.
var receiving = []string{
	"x-ms-exchange-", "x-ms-office365-", "x-ms-publictraffictype", "x-ms-traffictypediagnostic", "x-ms-userlastlogontime",
	"x-ms-has-attach", "x-ms-tnef-correlator", "x-forefront-", "x-microsoft-", "x-eopattributedmessage", "x-eoptenantattributedmessage",
	"x-incomingtopheadermarker", "x-incomingheadercount", "x-sid-", "x-sender-ip", "x-message-delivery", "x-message-info", "x-originatororg",
	"x-messagesentrepresentingtype", "x-ms-exchange", "authentication-results", "received-spf", "arc-", "x-spam-", "x-virus-", "x-amavis",
	"x-barracuda", "x-proofpoint", "x-mimecast", "x-google-smtp-source", "x-gm-", "x-received", "x-clientproxiedby", "x-entity-id",
	"x-apparently-to", "x-originalarrivaltime", "x-status", "status", "x-keywords", "x-uid", "x-mozilla-", "delivered-to", "return-path",
	"x-pstn-", "x-original-to", "x-getmail", "x-fetchmail", "x-rspamd", "x-scanned-by", "x-greylist", "x-delivery-time", "x-ham-report",
	"delivery-date", "x-sieve",
}

// collectors are hosts that took in the messages of a set: Received fields that name them go.
var collectors = []string{
	"outlook.com", "exchangelabs.com", "hotmail.com", "outlook.office365.com", "netnoteinc.com", "taint.org", "jmason.org", "labs.netnoteinc",
	"dogma.slashnull.org", "localhost", "127.0.0.1",
}

// clean removes what the receiving side and the collector have left in a message. Line ends stay as they are.
func clean(raw []byte) []byte {
	end := len(raw)
	for _, gap := range []string{"\n\r\n", "\n\n"} {
		if i := bytes.Index(raw, []byte(gap)); i >= 0 && i+1 < end {
			end = i + 1
		}
	}
	var out bytes.Buffer
	keep := true
	for line := range bytes.Lines(raw[:end]) {
		if line[0] != ' ' && line[0] != '\t' {
			name, value, _ := bytes.Cut(line, []byte(":"))
			keep = !isReceiving(strings.ToLower(strings.TrimSpace(string(name))), strings.ToLower(string(value)))
		}
		if keep {
			out.Write(line)
		}
	}
	out.Write(raw[end:])
	return neutral(out.Bytes())
}

func isReceiving(name, value string) bool {
	for _, p := range receiving {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	if name != "received" {
		return false
	}
	for _, c := range collectors {
		if strings.Contains(value, c) {
			return true
		}
	}
	return false
}

// neutral puts an ordinary address in place of those that the collector of a set made unusable.
func neutral(raw []byte) []byte {
	return bytes.ReplaceAll(raw, []byte("phishing@pot"), []byte("lee.walker@example.net"))
}
