package app

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay"
)

// byHand are the command lines that take a message back, or put it back, without remediation in the configuration. Which
// of the two products a domain has is guessed; if nobody can tell there is a line for each.
func byHand(c *config.Config, restore bool, m ordered) []string {
	cures := map[string]string{"m365": "soft", "gworkspace": "trash"}
	if restore {
		cures = map[string]string{"m365": "restore", "gworkspace": "untrash"}
	}
	access := map[string]string{"m365": "--auth secret --client-id ID --client-secret-file FILE", "gworkspace": "--key-file KEY.json"}
	var out []string
	for _, product := range productsOf(c, m.domain) {
		line := "postreeve " + product + " remediate --profile PROFILE " + access[product] + " --cure " + cures[product] +
			" --message-id=" + shellWord(m.messageID) + " --our-id=" + shellWord(m.id)
		if h := idHeader(c); h != "X-Postreeve-Id" {
			line += " --id-header=" + shellWord(h)
		}
		for _, to := range m.to {
			line += " --to=" + shellWord(to)
		}
		out = append(out, line)
	}
	return out
}

// productsOf says what the mail of a domain is kept in, as far as its configuration shows.
func productsOf(c *config.Config, domain string) []string {
	all := []string{"m365", "gworkspace"}
	i := slices.IndexFunc(c.Domains, func(d *config.Domain) bool { return d.Name == domain })
	if i < 0 {
		return all
	}
	d := c.Domains[i]
	hosts := " " + strings.ToLower(cmp.Or(d.Route.Hosts, d.Route.MX)) + " "
	switch {
	case d.Upstream.Kind == relay.ExchangeOnline, strings.Contains(hosts, ".mail.protection.outlook."):
		return all[:1]
	case d.Upstream.Kind == relay.Gmail, strings.Contains(hosts, ".google.com:"), strings.Contains(hosts, ".googlemail.com:"):
		return all[1:]
	}
	return all
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// shellWord writes text as one word for a shell of POSIX. It may come from a stranger: what is copied runs nothing else.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
