package links

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wrapped are links that services have rewritten, made up in the forms that are known of them.
var wrapped = []struct {
	name, in string
	want     string     // where it leads in the end
	kinds    []wrapping // what it goes through
}{
	{"plain", "https://example.com/x", "https://example.com/x", nil},
	{"Safe Links", "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fexample.com%2Fx%3Fa%3Db&data=05%7C01%7C&sdata=x&reserved=0", "https://example.com/x?a=b", []wrapping{wrapRewriter}},
	{"Safe Links in HTML twice", "https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2Fexample.com%2F&amp;data=x", "https://example.com/", []wrapping{wrapRewriter}},
	{"URL Defense 1", "https://urldefense.proofpoint.com/v1/url?u=http://example.com/x&k=abc%0A&r=def", "http://example.com/x", []wrapping{wrapRewriter}},
	{"URL Defense 2", "https://urldefense.proofpoint.com/v2/url?u=https-3A__example.com_a-2Db-3Fc-3Dd&d=DwMFaQ&c=x&r=y&m=z&s=q&e=", "https://example.com/a-b?c=d", []wrapping{wrapRewriter}},
	{"URL Defense 3", "https://urldefense.com/v3/__https://example.com/a__;!!key!abc$", "https://example.com/a", []wrapping{wrapRewriter}},
	{"URL Defense 3, characters", "https://urldefense.com/v3/__https://example.com/*a*b__;4p2kIw!!key!abc$", "https://example.com/❤a#b", []wrapping{wrapRewriter}},
	{"URL Defense 3, a run", "https://urldefense.com/v3/__https://example.com/**Ax__;w7zDtg!!key$", "https://example.com/üöx", []wrapping{wrapRewriter}},
	{"URL Defense 3, one slash", "https://urldefense.com/v3/__https:/example.com/a__;!!k$", "https://example.com/a", []wrapping{wrapRewriter}},
	{"Barracuda", "https://linkprotect.cudasvc.com/url?a=https%3a%2f%2fexample.com%2fx&c=E,1,abc&typo=1", "https://example.com/x", []wrapping{wrapRewriter}},
	{"Mimecast", "https://protect-eu.mimecast.com/s/AbCdEf?domain=example.com", "http://example.com/", []wrapping{wrapRewriter}},
	{"Mimecast, nothing said", "https://url.uk.m.mimecastprotect.com/s/AbCdEf", "https://url.uk.m.mimecastprotect.com/s/AbCdEf", []wrapping{wrapOpaque}},
	{"Cisco", "https://secure-web.cisco.com/1abcDEF/https%3A%2F%2Fexample.com%2Fx", "https://example.com/x", []wrapping{wrapRewriter}},
	{"Sophos", "https://eu-west-1.protection.sophos.com/?d=example.com&u=aHR0cHM6Ly9leGFtcGxlLmNvbS94&i=abc&t=x", "https://example.com/x", []wrapping{wrapRewriter}},
	{"Trend Micro", "https://imsva91-ctp.trendmicro.com:443/wis/clicktime/v1/query?url=https%3a%2f%2fexample.com%2fx&umid=1", "https://example.com/x", []wrapping{wrapRewriter}},
	{"FireEye", "https://protect2.fireeye.com/v1/url?k=1&q=1&e=2&u=https%3A%2F%2Fexample.com%2F", "https://example.com/", []wrapping{wrapRewriter}},
	{"Symantec", "https://clicktime.symantec.com/3abc?u=https%3A%2F%2Fexample.com%2F", "https://example.com/", []wrapping{wrapRewriter}},
	{"Check Point", "https://protect.checkpoint.com/v2/___https://example.com/x___.YXA", "https://example.com/x", []wrapping{wrapRewriter}},
	{"Google", "https://www.google.com/url?q=https%3A%2F%2Fexample.com%2Fx&sa=D", "https://example.com/x", []wrapping{wrapRedirect}},
	{"Google of a country", "https://www.google.co.uk/url?sa=t&url=https://example.com/", "https://example.com/", []wrapping{wrapRedirect}},
	{"Google without address", "https://www.google.com/search?q=example", "https://www.google.com/search?q=example", nil},
	{"AMP", "https://www.google.com/amp/s/example.com/x", "https://example.com/x", []wrapping{wrapProxy}},
	{"AMP cache", "https://example-com.cdn.ampproject.org/c/s/example.com/x", "https://example.com/x", []wrapping{wrapProxy}},
	{"translation", "https://www-example--x-com.translate.goog/a", "https://www.example-x.com/a", []wrapping{wrapProxy}},
	{"advertising", "https://www.googleadservices.com/pagead/aclk?sa=L&adurl=https://example.com/", "https://example.com/", []wrapping{wrapRedirect}},
	{"DoubleClick", "https://ad.doubleclick.net/ddm/clk/1;2;?https://example.com/x", "https://example.com/x", []wrapping{wrapRedirect}},
	{"Facebook", "https://l.facebook.com/l.php?u=https%3A%2F%2Fexample.com%2F&h=x", "https://example.com/", []wrapping{wrapRedirect}},
	{"LinkedIn", "https://www.linkedin.com/redir/redirect?url=https%3A%2F%2Fexample.com&urlhash=x", "https://example.com/", []wrapping{wrapRedirect}},
	{"Bing", "https://www.bing.com/ck/a?!&&p=x&u=a1aHR0cHM6Ly9leGFtcGxlLmNvbS8&ntb=1", "https://example.com/", []wrapping{wrapRedirect}},
	{"YouTube", "https://www.youtube.com/redirect?event=x&q=https%3A%2F%2Fexample.com%2F", "https://example.com/", []wrapping{wrapRedirect}},
	{"Yahoo", "https://r.search.yahoo.com/_ylt=x/RV=2/RE=1/RO=10/RU=https%3a%2f%2fexample.com%2f/RK=2/RS=x", "https://example.com/", []wrapping{wrapRedirect}},
	{"Amazon SES", "https://abc.r.eu-west-1.awstrack.me/L0/https:%2F%2Fexample.com%2Fx/1/0102-000000/x=1", "https://example.com/x", []wrapping{wrapRewriter}},
	{
		"one in another", "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fwww.google.com%2Furl%3Fq%3Dhttps%253A%252F%252Fexample.com%252F&data=x",
		"https://example.com/", []wrapping{wrapRewriter, wrapRedirect},
	},
	{"into itself", "https://urldefense.com/v3/__https://urldefense.com/v3/__https://example.com/__;!!a$__;!!b$", "https://example.com/", []wrapping{wrapRewriter, wrapRewriter}},
}

func TestFollow(t *testing.T) {
	t.Parallel()
	for _, c := range wrapped {
		a, ok := parseAddress(c.in, "")
		if !ok {
			t.Fatalf("%s: no address", c.name)
		}
		l := &link{at: a}
		l.follow()
		if diff := cmp.Diff([]any{c.want, c.kinds}, []any{l.at.String(), l.kinds}); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestFollowEnds nests services without end.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	a, _ := parseAddress("https://example.com/", "")
	for range maxWraps + 5 {
		b, ok := parseAddress("https://www.facebook.com/l.php?u="+escapeAll(a.String()), "")
		if !ok {
			t.Fatal("no address")
		}
		a = b
		if len(a.query) > maxAddress/4 {
			break
		}
	}
	l := &link{at: a}
	l.follow()
	if len(l.passes) > maxWraps {
		t.Errorf("%d services", len(l.passes))
	}
	loop, _ := parseAddress("https://www.youtube.com/redirect?q=https://www.youtube.com/redirect?q=https://www.youtube.com/", "")
	l = &link{at: loop}
	l.follow()
	if l.deep || len(l.passes) == 0 {
		t.Errorf("%+v", l)
	}
}

// escapeAll escapes what has a meaning in a query.
func escapeAll(s string) string {
	out := ""
	for i := range len(s) {
		switch s[i] {
		case '%':
			out += "%25"
		case '&':
			out += "%26"
		default:
			out += s[i : i+1]
		}
	}
	return out
}

func TestCarried(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://a.example.com/go?to=https://b.example.net/":               "https://b.example.net/",
		"https://a.example.com/go?id=1&to=https%3A%2F%2Fb.example.net%2F":  "https://b.example.net/",
		"https://a.example.com/go?//b.example.net/":                        "https://b.example.net/",
		"https://a.example.com/#https://b.example.net/":                    "https://b.example.net/",
		"https://a.example.com/go?to=https://www.example.com/":             "",
		"https://a.example.com/go?to=/b":                                   "",
		"https://a.example.com/go?text=see%20https://b.example.net/%20now": "",
	} {
		a, _ := parseAddress(in, "")
		got, ok := carried(a)
		if got != want && (want != "" || ok) {
			t.Errorf("%q: %q", in, got)
		}
	}
}
