package links

import "testing"

func TestSkeleton(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"paypal", "PayPal", "paypa1", "раураӏ", "рayрal", "pаypаl", "𝐩𝐚𝐲𝐩𝐚𝐥", "ｐａｙｐａｌ", "páypál"},
		{"microsoft", "rnicrosoft", "micr0soft", "mıcrosoft", "мicrosoft", "microѕoft"},
		{"wikipedia", "vvikipedia", "wlklpedla"},
	} {
		for _, s := range same[1:] {
			if skeleton(s) != skeleton(same[0]) {
				t.Errorf("%q: %q, and %q: %q", same[0], skeleton(same[0]), s, skeleton(s))
			}
		}
	}
	for _, other := range [][2]string{{"paypal", "paypai2"}, {"apple", "ample"}, {"postbank", "postdank"}} {
		if skeleton(other[0]) == skeleton(other[1]) {
			t.Errorf("%q and %q look the same", other[0], other[1])
		}
	}
}

func TestMixedScript(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]bool{
		"paypal": false, "pаypal": true, "раура": true, "почта": false, "bücher": false, "αβγ": false, "ονο": true, "пример": false, "中文a": false, "": false,
	} {
		if got := mixedScript(label); got != want {
			t.Errorf("%q: %v", label, got)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		most int
		want int
	}{
		{"", "", 2, 0}, {"a", "", 2, 1}, {"paypal", "paypal", 2, 0}, {"paypal", "payapl", 2, 1}, {"paypal", "paypall", 1, 1},
		{"paypal", "pypal", 1, 1}, {"paypal", "poypol", 2, 2}, {"paypal", "google", 2, 3}, {"kitten", "sitting", 3, 3}, {"abcdef", "abc", 2, 3},
	} {
		if got := distance(c.a, c.b, c.most); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.b, c.a, c.most); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestRandomLabel(t *testing.T) {
	t.Parallel()
	for org, want := range map[string]bool{
		"example.com": false, "stackoverflow.com": false, "x7k2q9w4z1.com": true, "qwrtzpsdfg.net": true, "strengths.com": false,
		"covid19help.org": false, "web2print24.de": false, "rhythmandblues.com": false, "schwarzschild.de": false, "deutschlandcard.de": false,
	} {
		if got := randomLabel(org); got != want {
			t.Errorf("%q: %v", org, got)
		}
	}
}
