package ics_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postreeve/postreeve/verdict/internal/ics"
	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
)

var facts = cmp.Options{cmpopts.IgnoreUnexported(ics.File{}), cmpopts.EquateEmpty()}

func event(lines ...string) string {
	return "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}

func request(item ics.Item) ics.Report {
	item.Kind = "VEVENT"
	return ics.Report{Method: "REQUEST", Items: []ics.Item{item}}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       ics.Report
	}{
		{"an invitation", event("UID:1@a", "SUMMARY;LANGUAGE=en:Pay\\, now\\; or\\nnever", "LOCATION:Room", "ORGANIZER;CN=\"Boss; the\";SENT-BY=\"mailto:c@d.example\":MAILTO:a@b.example", "ATTENDEE;CN=You;ROLE=REQ-PARTICIPANT:mailto:you@e.example", "ATTENDEE:urn:x", "DESCRIPTION:See http://a.example"),
			request(ics.Item{UID: "1@a", Summary: "Pay, now; or\nnever", Location: "Room", Description: "See http://a.example", Organizer: ics.Person{"a@b.example", "Boss; the", "c@d.example"}, Attendees: []ics.Person{{"you@e.example", "You", ""}, {"urn:x", "", ""}}})},
		{"folded lines", event("SUM", " MARY:a", "\tb", " c"), request(ics.Item{Summary: "abc"})},
		{"lines of Unix", strings.ReplaceAll(event("SUMMARY:a", " b"), "\r\n", "\n"), request(ics.Item{Summary: "ab"})},
		{"links", event("URL:http://a.example", "ATTACH:http://b.example", "ATTACH;FMTTYPE=text/html:http://b.example", "CONFERENCE;VALUE=URI;FEATURE=VIDEO:https://c.example", "X-GOOGLE-CONFERENCE:https://d.example", "X-NOTE:see http://no.example", "DESCRIPTION;ALTREP=\"http://e.example\":x"),
			request(ics.Item{Description: "x", Links: []string{"http://a.example", "http://b.example", "https://c.example", "https://d.example", "http://e.example"}})},
		{"HTML", event("X-ALT-DESC;FMTTYPE=text/html:<a href=\"http://a.example\">x</a>"), request(ics.Item{HTML: `<a href="http://a.example">x</a>`})},
		{"an alarm", event("SUMMARY:a", "BEGIN:VALARM", "ACTION:procedure", "ATTACH:ftp://a.example/x.exe", "SUMMARY:no", "END:VALARM", "LOCATION:b"), request(ics.Item{Summary: "a", Location: "b", Alarms: []string{"PROCEDURE"}, Links: []string{"ftp://a.example/x.exe"}})},
		{"vCalendar", event("SUMMARY;ENCODING=QUOTED-PRINTABLE:=41=42"), request(ics.Item{Summary: "AB"})},
		{"a component that does not end", "BEGIN:VCALENDAR\nBEGIN:VTODO\nSUMMARY:a\nBEGIN:VEVENT\nSUMMARY:b\n", ics.Report{Items: []ics.Item{{Kind: "VTODO", Summary: "a"}, {Kind: "VEVENT", Summary: "b"}}}},
		{"an event without a calendar", "BEGIN:VEVENT\nSUMMARY:a\nEND:VEVENT", ics.Report{Items: []ics.Item{{Kind: "VEVENT", Summary: "a"}}}},
		{"two calendars", "BEGIN:VCALENDAR\nX-WR-CALNAME:n\nEND:VCALENDAR\nBEGIN:VCALENDAR\nMETHOD:cancel\nEND:VCALENDAR", ics.Report{Method: "CANCEL", Name: "n"}},
		{"lines of nothing", event("nothing", ":", ";:", "A;B", "A;B=\"", "SUMMARY;;=:x", "\xFF\xFE:x"), request(ics.Item{Summary: "x"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ics.Inspect(t.Context(), []byte(tt.text), ics.Limits{})
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(&tt.want, got, facts); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestAttachment(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("content ", 50)
	text := event("UID:1", "ATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=a.exe:"+base64.StdEncoding.EncodeToString([]byte(content)), "SUMMARY:s")
	got, err := ics.Inspect(t.Context(), []byte(text), ics.Limits{})
	if err != nil || len(got.Files) != 1 || got.Files[0].Name != "a.exe" || len(got.Items[0].Links) != 0 {
		t.Fatalf("%v, %+v", err, got)
	}
	if c := string(Content(t, got.Files[0])); c != content {
		t.Errorf("content %q", c)
	}
}

func TestCorpus(t *testing.T) {
	t.Parallel()
	for _, s := range Samples(t, "att-ics/") {
		got, err := ics.Inspect(t.Context(), s.Data, ics.Limits{})
		if err != nil && (!errors.Is(err, ics.ErrFormat) || strings.Contains(err.Error(), "gave up")) {
			t.Errorf("%s: %v", s.Path, err)
		}
		if n := strings.Count(strings.ToUpper(string(s.Data)), "BEGIN:VEVENT"); s.Label == "benign-attachment" && strings.HasSuffix(s.Path, ".ics") && n > 0 && len(got.Items) == 0 {
			t.Errorf("%s: %d events, none found; %v", s.Path, n, err)
		}
	}
}

func hostile() []string {
	return []string{"", "BEGIN", "BEGIN:", "BEGIN:VCALENDAR", "BEGIN:VEVENT\nBEGIN:" + strings.Repeat("A\nBEGIN:", 10), "END:VEVENT\nEND:VCALENDAR", " folded", "\r\r\n\n\r ",
		"BEGIN:VEVENT\nATTACH;ENCODING=BASE64:!!!!", "BEGIN:VEVENT\nATTACH;VALUE=BINARY:", "BEGIN:VEVENT\nORGANIZER:mailto:", "BEGIN:VEVENT\nSUMMARY;A=\"b\"c\"d\":e\\", "BEGIN:VEVENT\nSUMMARY;ENCODING=QUOTED-PRINTABLE:=\n=", "\xEF\xBB\xBFBEGIN:VCALENDAR"}
}

func check(t *testing.T, text []byte) {
	t.Helper()
	rep, err := ics.Inspect(t.Context(), text, ics.Limits{})
	if rep == nil || err != nil && (!errors.Is(err, ics.ErrFormat) && !errors.Is(err, ics.ErrLimit) || strings.Contains(err.Error(), "gave up")) {
		t.Fatalf("%v, %+v", err, rep)
	}
	for _, f := range rep.Files {
		if r, err := f.Open(); err == nil {
			io.Copy(io.Discard, r)
		}
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for _, text := range hostile() {
		check(t, []byte(text))
	}
	if _, err := ics.Inspect(t.Context(), []byte("no calendar"), ics.Limits{}); !errors.Is(err, ics.ErrFormat) {
		t.Errorf("got %v", err)
	}
}

func FuzzInspect(f *testing.F) {
	for _, text := range hostile() {
		f.Add([]byte(text))
	}
	f.Add([]byte(event("ATTENDEE;CN=\"x\":mailto:a", "URL:http://a", "BEGIN:VALARM", "ACTION:X", "END:VALARM")))
	f.Fuzz(check)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		lim        ics.Limits
	}{
		{"lines", strings.Repeat("A:b\n", 100), ics.Limits{Objects: 50}},
		{"items", strings.Repeat("BEGIN:VEVENT\n", 10), ics.Limits{Files: 5}},
		{"links", event(strings.Repeat("URL:", 1), "URL:1", "URL:2", "URL:3"), ics.Limits{Files: 2}},
		{"attendees", event(strings.Repeat("ATTENDEE:a\n", 30)), ics.Limits{Files: 2}},
		{"nesting", "BEGIN:VEVENT\n" + strings.Repeat("BEGIN:X\n", 10), ics.Limits{Depth: 5}},
		{"bytes", strings.Repeat("x", 100), ics.Limits{Bytes: 50}},
		{"kept", event("SUMMARY:" + strings.Repeat("x", 100)), ics.Limits{Kept: 50}},
	} {
		if _, err := ics.Inspect(t.Context(), []byte(tt.text), tt.lim); !errors.Is(err, ics.ErrLimit) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ics.Inspect(ctx, []byte("A:b"), ics.Limits{}); !errors.Is(err, ics.ErrLimit) {
		t.Errorf("without time: %v", err)
	}
}

func TestLinear(t *testing.T) {
	lim := ics.Limits{Files: 1 << 30, Objects: 1 << 30, Kept: 1 << 40}
	for _, body := range []string{"A\n b\n", "DESCRIPTION:x\n", "ATTENDEE;CN=x:y\n", "URL:x\n", "BEGIN:VEVENT\n", "A;\n", " x\n"} {
		Linear(t, 10_000, func(n int) string { return "BEGIN:VEVENT\n" + strings.Repeat(body, n) }, func(ctx context.Context, r io.ReaderAt, size int64) {
			text, _ := io.ReadAll(io.NewSectionReader(r, 0, size))
			ics.Inspect(ctx, text, lim)
		})
	}
}
