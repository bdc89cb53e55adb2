package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Remedy is a tenant whose delivered mail the gateway can take back, and give back. There is M365 or Google, never both.
type Remedy struct {
	Profile string // file of the tenant's profile; its domains are those whose mail can be taken back
	M365    *M365Remedy
	Google  *GoogleRemedy
}

// M365Remedy says as which application mail is taken back in Microsoft 365, and where to.
type M365Remedy struct {
	Tenant       string // id or one of its domains; empty: the first domain of the profile
	ClientID     string // empty: remediation-app of the profile
	ClientSecret Secret
	Certificate  string // PEM file; there is this or ClientSecret
	Key          string // PEM file; empty: in that of the certificate
	Cure         string // junk, deleted or soft
	Cloud        string // empty: worldwide
	GraphURL     string // instead of those of the cloud
	LoginURL     string
}

// GoogleRemedy says as which service account mail is taken back in Google Workspace, and where to.
type GoogleRemedy struct {
	Key            string // JSON file of the service account; empty: Google signs for ServiceAccount
	MailKey        string // JSON file of the one for mailboxes; empty: the same account
	ServiceAccount string
	CallerToken    string // file with a token of whoever may let it sign
	Admin          string // who the directory is read as; empty: access.admin of the profile
	Cure           string // trash or spam
	APIURL         string // instead of Google's services
	TokenURL       string
	IAMURL         string
}

func remediation(dst *[]*Remedy, base string) reader {
	return func(d *decoder, v value) {
		for _, item := range d.items(v) {
			r := &Remedy{}
			n := len(d.errs)
			d.mapping(item, fields{
				"profile":    text(&r.Profile, path(base)),
				"m365":       m365Remedy(&r.M365, base),
				"gworkspace": googleRemedy(&r.Google, base),
			})
			switch at := item.path; {
			case len(d.errs) > n && r.Profile == "" && r.M365 == nil && r.Google == nil: // it is something else
			case d.lacks(at + ".profile"):
				d.fail(item, "wants profile, the file with the profile of the tenant, whose domains are those whose mail can be taken back")
			case r.M365 != nil && r.Google != nil:
				d.failKey(at+".gworkspace", "m365 is set too: keep one of them, and give the other tenant an entry of its own")
			case d.lacks(at+".m365") && d.lacks(at+".gworkspace"):
				d.fail(item, "wants m365 or gworkspace, which say how to sign in, as in m365: {client-id: ID, client-secret: \"file:NAME\"}")
			}
			if i := slices.IndexFunc(*dst, func(o *Remedy) bool { return o.Profile == r.Profile }); i >= 0 && r.Profile != "" {
				d.failKey(item.path+".profile", "the same profile as in entry %d of the list: one tenant has one entry", i+1)
			}
			*dst = append(*dst, r)
		}
		if len(*dst) == 0 {
			d.fail(v, "the list is empty: it wants at least one tenant, or leave remediation out")
		}
	}
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

func m365Remedy(dst **M365Remedy, base string) reader {
	return func(d *decoder, v value) {
		r := &M365Remedy{Cure: "soft"}
		*dst = r
		if _, ok := v.node.(ast.MapNode); !ok {
			d.fail(v, "wants keys with values, as in {client-id: ID, client-secret: \"file:NAME\"}")
			return
		}
		d.mapping(v, fields{
			"tenant": text(&r.Tenant, func(s string) (string, error) {
				if guid.MatchString(s) {
					return s, nil
				}
				name, err := hostname(s)
				if err != nil {
					return "", fmt.Errorf("%s is no tenant: its id, or one of its domains", quote(s))
				}
				return name, nil
			}),
			"client-id": text(&r.ClientID, func(s string) (string, error) {
				if !guid.MatchString(s) {
					return "", fmt.Errorf("%s is no client id, as in 00000000-0000-0000-0000-000000000000: it stands in the registration of the application", quote(s))
				}
				return s, nil
			}),
			"client-secret": secret(&r.ClientSecret, base),
			"certificate":   text(&r.Certificate, path(base)),
			"key":           text(&r.Key, path(base)),
			"cure":          cure(&r.Cure, "purge", "junk", "deleted", "soft"),
			"cloud":         text(&r.Cloud, oneWord("worldwide", "gcc", "gcc-high", "dod", "china")),
			"graph-url":     text(&r.GraphURL, serviceURL),
			"login-url":     text(&r.LoginURL, serviceURL),
		})
		secret, cert := v.path+".client-secret", v.path+".certificate"
		switch {
		case d.has(secret) && d.has(cert):
			d.failKey(cert, "client-secret is set too: keep one of them")
		case d.lacks(secret) && d.lacks(cert):
			d.failAt(d.keys[v.path], v.path, "wants client-secret, a reference as in \"file:NAME\", or certificate, a PEM file that may hold the key too")
		case d.has(v.path+".key") && !d.has(cert):
			d.failKey(v.path+".key", "goes with certificate only")
		}
	}
}

func googleRemedy(dst **GoogleRemedy, base string) reader {
	return func(d *decoder, v value) {
		r := &GoogleRemedy{Cure: "trash"}
		*dst = r
		if _, ok := v.node.(ast.MapNode); !ok {
			d.fail(v, "wants keys with values, as in {key: key.json}")
			return
		}
		d.mapping(v, fields{
			"key":             text(&r.Key, path(base)),
			"mail-key":        text(&r.MailKey, path(base)),
			"service-account": text(&r.ServiceAccount, mailbox),
			"caller-token":    text(&r.CallerToken, path(base)),
			"admin":           text(&r.Admin, mailbox),
			"cure":            cure(&r.Cure, "permanent", "trash", "spam"),
			"api-url":         text(&r.APIURL, serviceURL),
			"token-url":       text(&r.TokenURL, serviceURL),
			"iam-url":         text(&r.IAMURL, serviceURL),
		})
		keyless := []string{v.path + ".service-account", v.path + ".caller-token"}
		if d.has(v.path + ".key") {
			for _, key := range keyless {
				if d.has(key) {
					d.failKey(key, "key is set too: with the key of the account nobody else signs for it")
				}
			}
			return
		}
		if d.lacks(v.path+".key") && (d.lacks(keyless[0]) || d.lacks(keyless[1])) {
			d.failAt(d.keys[v.path], v.path, "wants key, the JSON file of a service account; or service-account and caller-token, to let Google sign")
		}
	}
}

// cure reads where mail is taken to. What is done for good is refused: it could not be given back.
func cure(dst *string, forGood string, words ...string) reader {
	return text(dst, func(s string) (string, error) {
		if s == forGood {
			return "", fmt.Errorf("%s is for good, and postreeve message absolve has to be able to give mail back: %s", s, Suggest("", words))
		}
		return oneWord(words...)(s)
	})
}

func oneWord(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("%s is not one of the words for this: %s", quote(s), Suggest(s, words))
		}
		return s, nil
	}
}

// serviceURL accepts where a service is that gets tokens and secrets.
func serviceURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err == nil && u.User != nil {
		return "", errors.New("has a user or a password in it, which no service here asks for")
	}
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New(quote(s) + " is no URL of a service, as in https://graph.microsoft.com")
	}
	if u.Scheme == "http" && !isLoopback(net.JoinHostPort(u.Hostname(), "80")) {
		return "", errors.New(quote(s) + " is not https: it gets tokens and secrets")
	}
	return s, nil
}
