package m365

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// A Cloud is one of the separate instances of Microsoft 365: where its services are and what their tokens
// are for. The zero value stands for the worldwide one wherever a Cloud is taken.
type Cloud struct {
	Name     string // as CloudByName takes it
	Exchange string // base URL of the Exchange admin API
	Graph    string // base URL of Microsoft Graph
	Login    string // base URL of the sign-in service
}

// CloudByName returns the cloud of that name: "worldwide" (or nothing at all), "gcc", "gcc-high", "dod" or
// "china".
func CloudByName(name string) (Cloud, error) {
	const azure, us = "https://login.microsoftonline.com", "https://login.microsoftonline.us"
	switch n := cmp.Or(strings.ToLower(name), "worldwide"); n {
	case "worldwide", "gcc":
		return Cloud{n, "https://outlook.office365.com", "https://graph.microsoft.com", azure}, nil
	case "gcc-high":
		return Cloud{n, "https://outlook.office365.us", "https://graph.microsoft.us", us}, nil
	case "dod":
		return Cloud{n, "https://outlook-dod.office365.us", "https://dod-graph.microsoft.us", us}, nil
	case "china":
		return Cloud{n, "https://partner.outlook.cn", "https://microsoftgraph.chinacloudapi.cn",
			"https://login.partner.microsoftonline.cn"}, nil
	}
	return Cloud{}, fmt.Errorf("m365: unknown cloud %q: use worldwide, gcc, gcc-high, dod or china", name)
}

// orWorldwide gives the zero Cloud its meaning.
func (c Cloud) orWorldwide() Cloud {
	if c == (Cloud{}) {
		c, _ = CloudByName("")
	}
	return c
}

// ExchangeScope is the scope of a token for the Exchange admin API. A Graph token is refused there.
func (c Cloud) ExchangeScope() string { return c.orWorldwide().Exchange + "/.default" }

// GraphScope is the scope of a token for Microsoft Graph.
func (c Cloud) GraphScope() string { return c.orWorldwide().Graph + "/.default" }

// checkedURL parses the base URL of a service. Tokens and secrets go to it, so plain http is taken for
// loopback addresses only.
func checkedURL(what, raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("m365: %s URL: %w", what, err)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return nil, fmt.Errorf("m365: %s URL %q: want scheme, host and at most a path", what, u.Redacted())
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("m365: %s URL %q: plain http is accepted on loopback only", what, raw)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("m365: %s URL %q: want https", what, raw)
	}
	return u, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// below says whether to is a place that a service at base may send us: the same scheme and port, the same
// host or a name under it (the regional hosts are), and no path above the one of the base.
func below(base, to *url.URL) bool {
	if to.Scheme != base.Scheme || portOf(to) != portOf(base) || to.User != nil || strings.Contains(to.Path, "..") {
		return false
	}
	host, under := strings.ToLower(to.Hostname()), strings.ToLower(base.Hostname())
	if host == under {
		return base.Path == "" || to.Path == base.Path || strings.HasPrefix(to.Path, base.Path+"/")
	}
	return net.ParseIP(under) == nil && strings.HasSuffix(host, "."+under)
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
