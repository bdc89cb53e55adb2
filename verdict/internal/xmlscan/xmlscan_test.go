package xmlscan_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
	"github.com/postreeve/postreeve/verdict/internal/xmlscan"
)

// tokens writes down the tokens of a document, text put together.
func tokens(t testing.TB, r io.Reader) (string, error) {
	t.Helper()
	s := xmlscan.New(inspect.NewBudget(t.Context(), inspect.Limits{}), r)
	var sb strings.Builder
	text := ""
	for s.Next() {
		if s.Kind == xmlscan.Text {
			text += string(s.Text)
			continue
		}
		if text != "" {
			fmt.Fprintf(&sb, "%q ", text)
			text = ""
		}
		switch s.Kind {
		case xmlscan.Start:
			fmt.Fprintf(&sb, "<%s", s.Name)
			for _, a := range s.Attrs() {
				fmt.Fprintf(&sb, " %s=%q", a.Name, a.Value)
			}
			if s.Empty {
				sb.WriteString("/")
			}
			sb.WriteString("> ")
		case xmlscan.End:
			fmt.Fprintf(&sb, "</%s> ", s.Name)
		case xmlscan.Doctype:
			fmt.Fprintf(&sb, "<!%d %v> ", s.Entities, s.External)
		}
	}
	if text != "" {
		fmt.Fprintf(&sb, "%q ", text)
	}
	return strings.TrimSpace(sb.String()), s.Err()
}

func TestTokens(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x&amp;", 20_000)
	for _, tt := range []struct{ data, want string }{
		{"", ""},
		{`<a b="c"/>`, `<a b="c"/>`},
		{`<p:a q:b = 'c>"' d=e>t</p:a >`, `<a b="c>\"" d="e"> "t" </a>`},
		{`<?x a>b?><!-- <a> --><a>1<!-- x -->2<![CDATA[<b>&amp;]]>3</a>`, `<a> "12<b>&amp;3" </a>`},
		{`<a>&lt;&#65;&#x42;&quot;&unknown;&;&#xD800;&</a>`, `<a> "<AB\"&unknown;&;&#xD800;&" </a>`},
		{`<!DOCTYPE a [<!ENTITY b "<!ENTITY x>"><!ENTITY % c SYSTEM 'u'>]><a/>`, `<!2 true> <a/>`},
		{`<!DOCTYPE a><a/>`, `<!0 false> <a/>`},
		{"\xEF\xBB\xBF<a/>", `<a/>`},
		{"\xFF\xFE" + Wide(`<a b="ü">€</a>`), `<a b="ü"> "€" </a>`},
		{Wide(`<a/>`), `<a/>`},
		{`<a>` + long + `</a>`, `<a> ` + fmt.Sprintf("%q", strings.ReplaceAll(long, "&amp;", "&")) + ` </a>`},
		{`<a><![CDATA[` + strings.Repeat("]]x", 20_000) + `]]></a>`, `<a> ` + fmt.Sprintf("%q", strings.Repeat("]]x", 20_000)) + ` </a>`},
		{`<a><b`, `<a>`},
		{`<a`, ``},
		{`a < b`, `"a "`},
	} {
		for _, r := range []io.Reader{strings.NewReader(tt.data), iotest.HalfReader(strings.NewReader(tt.data)), iotest.OneByteReader(strings.NewReader(tt.data))} {
			got, err := tokens(t, r)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%.80q: %v (-want +got)\n%s", tt.data, err, diff)
			}
		}
	}
}

func TestTagLimit(t *testing.T) {
	t.Parallel()
	if _, err := tokens(t, strings.NewReader("<a "+strings.Repeat("x", 2<<20))); !errors.Is(err, inspect.ErrLimit) {
		t.Errorf("got %v", err)
	}
}

func TestProlog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		data  string
		found bool
	}{
		{`<?xml version="1.0"?><a><!DOCTYPE b></a>`, false},
		{`<?xml version="1.0"?><!-- c --><!doctype a [ <!ENTITY x "y"> ]><a/>`, true},
		{`no markup`, false},
	} {
		_, found, err := xmlscan.Prolog(inspect.NewBudget(t.Context(), inspect.Limits{}), strings.NewReader(tt.data))
		if found != tt.found || err != nil {
			t.Errorf("%q: %v, %v", tt.data, found, err)
		}
	}
}

func FuzzScanner(f *testing.F) {
	for _, s := range []string{`<a b="c">&lt;<![CDATA[x]]></a>`, `<!DOCTYPE a [<!ENTITY b "c">]><a/>`, "\xFF\xFE<\x00a\x00>\x00", "<!--", "<?", "<![CDATA["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		whole, err := tokens(t, strings.NewReader(data))
		parts, err2 := tokens(t, iotest.OneByteReader(strings.NewReader(data)))
		if whole != parts || (err == nil) != (err2 == nil) {
			t.Errorf("at once %q, %v; byte by byte %q, %v", whole, err, parts, err2)
		}
	})
}
