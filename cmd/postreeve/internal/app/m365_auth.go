package app

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/postreeve/postreeve/m365"
)

// m365Auth says who signs in, and where.
type m365Auth struct {
	Auth             string `enum:"auto,device,pkce,secret,certificate,token" default:"auto" help:"How to sign in: device, pkce, secret, certificate or token. By default what the other flags say, else device."`
	TokenFile        string `placeholder:"FILE" help:"A token for Exchange; read again for every request."`
	GraphTokenFile   string `placeholder:"FILE" help:"A token for Microsoft Graph."`
	ClientID         string `name:"client-id" placeholder:"ID" help:"The application that signs in. People can do without, but then there is no access to Graph."`
	ClientSecretFile string `placeholder:"FILE" help:"The secret of the application."`
	CertificateFile  string `placeholder:"FILE" help:"The certificate of the application, in PEM."`
	KeyFile          string `placeholder:"FILE" help:"Its RSA key, in PEM. By default in the file of the certificate."`
	TokenCache       string `placeholder:"FILE" help:"Keep who signed in here, encrypted with --token-cache-key-file. By default nothing is kept."`
	TokenCacheKey    string `name:"token-cache-key-file" placeholder:"FILE" help:"32 bytes in hexadecimal or base64, as openssl rand -hex 32 makes them."`
	Admin            string `placeholder:"ADDRESS" help:"User name of the person who signs in; routes requests faster."`
	Cloud            string `enum:"worldwide,gcc,gcc-high,dod,china" default:"worldwide" help:"Where the tenant lives: worldwide, gcc, gcc-high, dod or china."`
	ExchangeURL      string `name:"exchange-url" placeholder:"URL" help:"Instead of the Exchange admin API; http on loopback only."`
	GraphURL         string `name:"graph-url" placeholder:"URL" help:"Instead of Microsoft Graph; http on loopback only."`
	LoginURL         string `name:"login-url" placeholder:"URL" help:"Instead of the sign-in service; http on loopback only."`
}

// way is the way to sign in, "" after something was wrong with the flags.
func (a *m365Auth) way(e *env) (string, error) {
	way := a.Auth
	if way == "auto" {
		switch {
		case a.TokenFile != "" || a.GraphTokenFile != "":
			way = "token"
		case a.ClientSecretFile != "":
			way = "secret"
		case a.CertificateFile != "":
			way = "certificate"
		default:
			way = "device"
		}
	}
	if err := needed(e, way,
		need{"secret", "--client-secret-file", a.ClientSecretFile}, need{"certificate", "--certificate-file", a.CertificateFile},
		need{"secret", "--client-id", a.ClientID}, need{"certificate", "--client-id", a.ClientID},
	); err != nil {
		return "", err
	}
	if (a.TokenCache == "") != (a.TokenCacheKey == "") {
		return "", usage(e, "--token-cache and --token-cache-key-file go together: tokens are kept encrypted or not at all")
	}
	return way, nil
}

// sources returns the tokens for Exchange and for Graph. The second is nil without access to Graph.
func (a *m365Auth) sources(e *env, tenant string) (exchange, graph m365.TokenSource, err error) {
	way, err := a.way(e)
	if err != nil {
		return nil, nil, err
	}
	if a.GraphTokenFile != "" {
		graph = m365.TokenFile(a.GraphTokenFile)
	}
	if way == "token" {
		if a.TokenFile == "" {
			return missingToken{}, graph, nil
		}
		return m365.TokenFile(a.TokenFile), graph, nil
	}
	exchange, err = a.signIn(e, way, tenant)
	if graph == nil && a.ClientID != "" && err == nil { // the public application gets tokens for Exchange alone
		graph = exchange
	}
	return exchange, graph, err
}

func (a *m365Auth) signIn(e *env, way, tenant string) (m365.TokenSource, error) {
	cloud, err := m365.CloudByName(a.Cloud)
	if err != nil {
		return nil, err
	}
	cfg := m365.AuthConfig{Tenant: tenant, ClientID: a.ClientID, Cloud: cloud, LoginURL: a.LoginURL}
	if a.TokenCache != "" {
		text, err := readText("token cache key", a.TokenCacheKey, 1<<10)
		if err != nil {
			return nil, err
		}
		key, err := m365.ParseCacheKey(text)
		if err != nil {
			return nil, err
		}
		if cfg.Cache, err = m365.NewTokenCache(a.TokenCache, key); err != nil {
			return nil, err
		}
	}
	switch way {
	case "secret":
		secret, err := readText("client secret", a.ClientSecretFile, 1<<12)
		if err != nil {
			return nil, err
		}
		return m365.ClientSecret(cfg, secret)
	case "certificate":
		key := a.KeyFile
		if key == "" {
			key = a.CertificateFile
		}
		pair, err := tls.LoadX509KeyPair(a.CertificateFile, key)
		if err != nil {
			return nil, err
		}
		return m365.ClientCertificate(cfg, pair)
	case "pkce":
		return m365.BrowserSignIn(cfg, func(address string) error {
			e.err.printf("To sign in, open this address in a browser on this machine:\n  %s\n", show(address))
			return nil
		})
	}
	return m365.DeviceCode(cfg, func(p m365.DevicePrompt) { e.err.printf("%s\n", show(p.String())) })
}

// missingToken stands for the token of Exchange where only one of Graph was given.
type missingToken struct{}

// Token implements m365.TokenSource.
func (missingToken) Token(context.Context, m365.TokenRequest) (m365.Token, error) {
	return m365.Token{}, errors.New("there is no token for Exchange: name its file with --token-file")
}
