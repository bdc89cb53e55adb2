// Package webhook is a verdict.Scanner that asks any HTTP server about a message, in JSON, signed:
//
//	scanner := &webhook.Scanner{URL: "https://scan.example/mail", Key: key}
//
// The request is a POST. Its header has Postreeve-Timestamp, the seconds since 1970, and Postreeve-Signature: "v1=" and
// the HMAC-SHA256, in hexadecimal, by the shared key, of the timestamp, a full stop and the body. Its body is
//
//	{
//	  "version": 1,
//	  "id": "k3f9…",                           ours, stands in logs and replies
//	  "received": "2026-01-02T03:04:05Z",
//	  "peer":   {"ip": "192.0.2.1", "helo": "mx.example.org", "name": "mx.example.org", "tls": "TLSv1.3 …"},
//	  "origin": {"ip": "192.0.2.1", …},        who sent it first, as far as a trusted upstream vouches for it
//	  "envelope": {"from": "ann@example.org", "to": ["bob@example.net"]},      from is "" for notifications
//	  "auth": {"spf": "pass", "dkim": [{"result": "pass", "domain": "example.org"}], "dmarc": "pass", "arc": "none"},
//	  "message": "…"                           the raw bytes in base64 (RFC 4648 section 4), always last
//	}
//
// Fields that are empty are left out, but for version, envelope and message; more may come. The answer is status 200 and
//
//	{
//	  "class": "clean",                        or "spam", "malicious", "unknown"; required
//	  "detail": "why, for people",
//	  "findings": [{"code": "fraud.invoice", "class": "spam", "score": 2.5, "detail": "…", "part": "1.2"}]
//	}
//
// The class is the finding "webhook.verdict", unless it is clean; a finding keeps its class and score, and its code
// gets "webhook." in front. "unknown" says that the server could not tell. That, any other status, a redirection, more
// than 1 MiB, and an answer without a class or with one that is none are errors, and never clean.
//
// A server verifies with [Verify] or, if it is written in Go, is a [Handler] around a scanner. testdata/hook.py is one
// in about 30 lines of Python. The answer itself is not signed: use https, or a server on this machine.
package webhook
