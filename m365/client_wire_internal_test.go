package m365

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hostileReplies are bytes that a reply may consist of. Well-formed ones are among them.
var hostileReplies = []string{
	``, ` `, `null`, `[]`, `{}`, `"x"`, `0`, "\x00\x00\x00", "<html>", `{"value":null}`, `{"value":[]}`, `{"value":{}}`, `{"value":{"Name":"a"}}`,
	`{"value":[null,{"Name":"a"},null]}`, `{"value":[1]}`, `{"value":"x"}`, `{"value":[[]]}`, `{"@adminapi.warnings":"one","value":[]}`,
	`{"@adminapi.warnings":["a",1,null,{"x":1}],"@odata.nextLink":7}`, `{"@adminapi.errors":["boom"]}`, `{"@odata.nextLink":"http://x/?$skiptoken=1"}`,
	`{"value":[{"Priority@data.type":"System.Int32","Priority":"3","SenderIPAddresses":"192.0.2.1","EFSkipIPs":null,"Enabled":"True"}]}`,
	`{"value":[{"ExceptIfMessageSizeOver":"39.06 MB (40,960,000 bytes)","State":"Disabled","Conditions":["A.B.C",{"x":1},null,true,7]}]}`,
	`{"value":[{"Name":"\ud800","Priority":1e400,"Enabled":2,"ArcTrustedSealers":"A.example, ,b.example"}]}`, `{"value":[{"":0}]}`,
	`{"error":{"code":"BadRequest","message":"Invalid Operation","details":[{"message":"|A.B|text"}],"innererror":{"internalexception":{"message":"m\r\nn","type":"T"}}}}`,
	`{"error":{"details":[{"message":"|||"},{}],"innererror":null}}`, `{"error":[]}`, `{"error":"x"}`, strings.Repeat(`{"value":`, 200),
}

// FuzzReply reads whatever comes: it must not panic, and a row must hold no side-car keys.
func FuzzReply(f *testing.F) {
	for _, s := range hostileReplies {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e := replyError("Get-X", "", &reply{status: 400, header: http.Header{}, body: b})
		if strings.ContainsAny(e.Error(), "\r\n\x00") {
			t.Errorf("an error of more than one line: %q", e.Error())
		}
		p, err := decodePage(b)
		if err != nil {
			return
		}
		for _, r := range p.Rows {
			if r == nil {
				t.Fatal("a row that is none")
			}
			for k := range r {
				if strings.Contains(k, "@") {
					t.Errorf("side-car key %q", k)
				}
				r.Text(k)
				r.Strings(k)
				r.Int(k)
				r.Time(k)
				r.Size(k)
				if v, ok := r.Bool(k); v && !ok {
					t.Error("true and not there")
				}
			}
			var rule TransportRule
			load(r, &rule)
			rule.Params()
		}
		again, err := json.Marshal(p.Rows)
		if err != nil {
			t.Fatal(err)
		}
		var rows []Row
		if err := json.Unmarshal(again, &rows); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDecodePage(t *testing.T) {
	t.Parallel()
	p, err := decodePage([]byte(`{"@odata.nextLink":"n","@adminapi.warnings":["w"],"value":[{"Priority@data.type":"System.Int32","Priority":0,
		"A":["x"],"B":"y","C":null,"D":[],"E":false,"When":"2026-09-01T08:00:00.1234567Z","Local":"2026-09-01T08:00:00"}]}`))
	if err != nil || p.Next != "n" || !cmp.Equal(p.Warnings, []string{"w"}) || len(p.Rows) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	r := p.Rows[0]
	for field, want := range map[string][]string{"A": {"x"}, "B": {"y"}, "C": nil, "D": nil, "none": nil} {
		if d := cmp.Diff(want, r.Strings(field)); d != "" {
			t.Errorf("%s: %s", field, d)
		}
	}
	if v, ok := r.Bool("E"); v || !ok {
		t.Error("false is not absent")
	}
	if _, ok := r.Bool("none"); ok {
		t.Error("absent is not false")
	}
	if n, ok := r.Int("Priority"); n != 0 || !ok || r.Has("C") || !r.Has("D") {
		t.Error("0 and null")
	}
	for _, f := range []string{"When", "Local"} {
		if at, ok := r.Time(f); !ok || at.Year() != 2026 || at.Location().String() != "UTC" {
			t.Errorf("%s: %v %v", f, at, ok)
		}
	}
	for _, s := range []string{`[]`, `0`, `<html>`, "\x00", `{"value":[1]}`, `{"value":"x"}`} {
		if _, err := decodePage([]byte(s)); err == nil {
			t.Errorf("%q is no reply", s)
		}
	}
	for _, s := range []string{``, `{}`, `{"value":null}`, `{"value":[]}`} {
		if p, err := decodePage([]byte(s)); err != nil || len(p.Rows) != 0 {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	}
}

func TestReplyError(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Error{
		`{"error":{"message":"Invalid Operation","innererror":{"internalexception":{"message":"deep","type":"X.ManagementObjectNotFoundException"}}}}`: {Type: "X.ManagementObjectNotFoundException", Message: "deep", Kind: ErrNotFound},
		`{"error":{"message":"Invalid Operation","details":[{"message":"|X.ManagementObjectAlreadyExistsException|The name is taken."}]}}`:             {Type: "X.ManagementObjectAlreadyExistsException", Message: "The name is taken.", Kind: ErrExists},
		`{"error":{"message":"Invalid Operation"}}`: {Message: "Invalid Operation"},
		"\x00\x00": {Message: "Bad Request"},
		`{"error":{"code":"ErrorItemNotFound","message":"gone","innerError":{"request-id":"x"}}}`:                                     {Type: "ErrorItemNotFound", Message: "gone", Kind: ErrNotFound},
		`{"error":{"details":[{"message":"|X|The connector can't be removed because it is being used by the transport rule 'R'."}]}}`: {Type: "X", Message: "The connector can't be removed because it is being used by the transport rule 'R'.", Kind: ErrInUse},
		`{"error":{"details":[{"message":"|X|first you need to run: Enable-OrganizationCustomization."}]}}`:                           {Type: "X", Message: "first you need to run: Enable-OrganizationCustomization.", Kind: ErrDehydrated},
	} {
		got := replyError("Get-X", "", &reply{status: 400, header: http.Header{}, body: []byte(body)})
		if got.Type != want.Type || got.Message != want.Message || got.Kind != want.Kind {
			t.Errorf("%s\n%+v", body, got)
		}
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		base, to string
		want     bool
	}{
		{"https://outlook.office365.com", "https://eur.outlook.office365.com/adminapi/x", true},
		{"https://outlook.office365.com", "https://outlook.office365.com:443/x", true},
		{"https://outlook.office365.com", "https://OUTLOOK.office365.com/x", true},
		{"https://outlook.office365.com", "http://outlook.office365.com/x", false},
		{"https://outlook.office365.com", "https://outlook.office365.com.evil.example/x", false},
		{"https://outlook.office365.com", "https://eviloutlook.office365.com/x", false},
		{"https://outlook.office365.com", "https://outlook.office365.com:8443/x", false},
		{"https://outlook.office365.com", "https://u@outlook.office365.com/x", false},
		{"http://127.0.0.1:9/a", "http://127.0.0.1:9/a/eur/x", true},
		{"http://127.0.0.1:9/a", "http://127.0.0.1:9/ab", false},
		{"http://127.0.0.1:9/a", "http://x.127.0.0.1:9/a", false},
		{"http://127.0.0.1:9/a", "http://127.0.0.1:10/a/x", false},
	} {
		base, err := checkedURL("t", tc.base)
		if err != nil {
			t.Fatal(err)
		}
		to, err := base.Parse(tc.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := below(base, to); got != tc.want {
			t.Errorf("below(%s, %s) = %v", tc.base, tc.to, got)
		}
	}
}
