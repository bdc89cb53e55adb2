package app

import (
	"fmt"
	"os"
	"strings"

	"github.com/postreeve/postreeve/gworkspace"
)

// gworkspaceAuth says who reads the tenant, and where.
type gworkspaceAuth struct {
	Auth            string `enum:"auto,key,keyless,token,none" default:"auto" help:"Who reads: key (of a service account), keyless (Google signs), token, or none. By default what the other flags say, else none."`
	KeyFile         string `placeholder:"FILE" help:"The key of the service account, in JSON as the console hands it out."`
	MailKeyFile     string `placeholder:"FILE" help:"The key of the service account that takes mail back, where the profile names another one for it."`
	ServiceAccount  string `placeholder:"ADDRESS" help:"With --auth keyless: the service account that signs."`
	CallerTokenFile string `placeholder:"FILE" help:"With --auth keyless: a token of a caller that may let it sign."`
	TokenFile       string `placeholder:"FILE" help:"A token for one user and what it may read; read again for every request."`
	Admin           string `placeholder:"ADDRESS" help:"The super administrator to act as. By default that of the profile."`
	APIURL          string `name:"api-url" placeholder:"URL" help:"Instead of Google's services; http on loopback only."`
	TokenURL        string `name:"token-url" placeholder:"URL" help:"Instead of where tokens come from; http on loopback only."`
	IAMURL          string `name:"iam-url" placeholder:"URL" help:"Instead of IAM Credentials; http on loopback only."`
}

// client returns nil if nobody reads.
func (a *gworkspaceAuth) client(e *env, admin string) (*gworkspace.Client, error) {
	tokens, err := a.tokens(e)
	if err == nil && tokens == nil && a.MailKeyFile != "" && a.Auth == "auto" {
		err = usage(e, "--mail-key-file is for mailboxes alone: the settings and the directory are read with --key-file, or --auth keyless")
	}
	if err != nil || tokens == nil {
		return nil, err
	}
	cfg := gworkspace.ClientConfig{Admin: admin, Tokens: tokens, BaseURL: a.APIURL}
	if a.MailKeyFile != "" {
		if cfg.MailTokens, err = a.account("--mail-key-file", a.MailKeyFile); err != nil {
			return nil, err
		}
	}
	return gworkspace.NewClient(cfg)
}

// account reads the key of a service account.
func (a *gworkspaceAuth) account(flag, path string) (gworkspace.TokenSource, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	defer f.Close()
	account, err := gworkspace.ReadServiceAccount(f)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %s", flag, show(path), strings.TrimPrefix(err.Error(), "gworkspace: service account: "))
	}
	account.Exchange = gworkspace.Exchange{TokenURL: a.TokenURL}
	return account, nil
}

func (a *gworkspaceAuth) tokens(e *env) (gworkspace.TokenSource, error) {
	way := a.Auth
	if way == "auto" {
		switch {
		case a.KeyFile != "":
			way = "key"
		case a.CallerTokenFile != "" || a.ServiceAccount != "":
			way = "keyless"
		case a.TokenFile != "":
			way = "token"
		default:
			way = "none"
		}
	}
	flags := []need{{"key", "--key-file", a.KeyFile}, {"token", "--token-file", a.TokenFile},
		{"keyless", "--service-account", a.ServiceAccount}, {"keyless", "--caller-token-file", a.CallerTokenFile}}
	if err := needed(e, way, flags...); err != nil {
		return nil, err
	}
	for _, n := range flags { // what is given and not used is a mistake; --auth none leaves all out
		if n.value != "" && n.way != way && way != "none" {
			return nil, usage(e, "%s goes with --auth %s, and this is --auth %s", n.flag, n.way, way)
		}
	}
	switch way {
	case "key":
		return a.account("--key-file", a.KeyFile)
	case "keyless":
		return &gworkspace.Keyless{Exchange: gworkspace.Exchange{TokenURL: a.TokenURL}, Email: a.ServiceAccount, Caller: gworkspace.TokenFile(a.CallerTokenFile), IAMURL: a.IAMURL}, nil
	case "token":
		return gworkspace.TokenFile(a.TokenFile), nil
	}
	return nil, nil
}
