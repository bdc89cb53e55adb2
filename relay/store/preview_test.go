package store_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

const head = "From: A <a@ex.org>\r\nSubject: s\r\n"

// previews are messages, and what is shown of them below the header.
var previews = []struct{ name, mail, want string }{
	{"plain", head + "\r\nSee http://evil.example/x and HTTPS://Evil.Example.\r\n",
		"See hxxp://evil[.]example/x and hxxpS://Evil[.]Example[.]\n"},
	{"other schemes", head + "\r\nftp://a.b/ file:///etc javascript:alert(1) MailTo:x@y www.Evil.example\r\n",
		"ftp[x]://a[.]b/ file[x]:///etc javascript[:]alert(1) mailto[:]x@y www[.]Evil.example\n"},
	{"letters that change their length with their case", head + "Content-Type: text/plain; charset=utf-8\r\n\r\n\u0130 \u212a WWW.Evil.example JavaScript:x MAILTO:x@y Data:x\r\n",
		"\u0130 \u212a www[.]Evil.example javascript[:]x mailto[:]x@y data[:]x\n"},
	{"scheme twice", head + "\r\nhttphttp://a.b http://http://c.d\r\n", "httphxxp://a[.]b hxxp://hxxp://c[.]d\n"},
	{"terminal", head + "\r\na\x1b[31mred\x07 \u202etxt\r\n", `a\u001b[31mred\u0007 \u202etxt` + "\n"},
	{"html", head + "Content-Type: text/html; charset=utf-8\r\n\r\n<html><head><title>t</title><style>x{}</style></head><body><p>Hello&nbsp;<b>W</b>orld</p>" +
		"<script>alert('x')</script><a href=\"http://evil.example/log&#105;n\">your <i>bank</i></a><img src=http://t.example/p.gif alt=\"logo\"></body></html>\r\n",
		"[part 1: text/html ]\nHello World\nyour bank <hxxp://evil[.]example/login> [image: logo]\n"},
	{"html with text beside it", head + "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n--b--\r\n",
		"plain\n[part 2: text/html ]\n"},
	{"attachment", head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: application/pdf; name=\"http://a.b.pdf\"\r\nContent-Disposition: attachment\r\n\r\n%PDF-1.4\r\n--b--\r\n",
		"plain\n[part 2: application/pdf hxxp://a[.]b[.]pdf]\n"},
}

func preview(t *testing.T, mail string) string {
	t.Helper()
	var b strings.Builder
	if err := store.Preview(&b, verdict.NewMessage(verdict.Bytes(mail))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPreview(t *testing.T) {
	t.Parallel()
	for _, tt := range previews {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := preview(t, tt.mail)
			_, body, _ := strings.Cut(got, "\n\n")
			var lines []string
			for l := range strings.Lines(body) {
				if strings.TrimSpace(l) != "" {
					lines = append(lines, l)
				}
			}
			if d := cmp.Diff(strings.TrimSuffix(tt.want, "\n"), strings.TrimSuffix(strings.Join(lines, ""), "\n")); d != "" {
				t.Error(d)
			}
		})
	}
}

// What is shown is bounded, whatever the message.
func TestPreviewBounded(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"text": strings.Repeat("x\x1b", 1<<20), "html": "<html>" + strings.Repeat("<div>x", 1<<18), "tag": "<html><a href=\"" + strings.Repeat("x", 2<<20),
	} {
		got := preview(t, head+"Content-Type: text/"+map[bool]string{true: "plain", false: "html"}[name == "text"]+"\r\n\r\n"+body)
		if len(got) > 70<<10 {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
}

func FuzzPreview(f *testing.F) {
	for _, tt := range previews {
		f.Add(tt.mail)
	}
	f.Add(head + "Content-Type: text/html\r\n\r\nht<b>tp://</b>x <a href=' htt\np://x'>")
	f.Fuzz(func(t *testing.T, mail string) {
		got := preview(t, mail)
		low := strings.ToLower(got)
		for _, live := range []string{"http://", "https://", "ftp://", "javascript:", "mailto:", "www."} {
			if strings.Contains(low, live) {
				t.Errorf("%q in %q", live, got)
			}
		}
		for _, r := range got {
			if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Errorf("%U in %q", r, got)
			}
		}
		if len(got) > 70<<10 {
			t.Errorf("%d bytes", len(got))
		}
	})
}
