package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

// checker has what the probes of one configuration share.
type checker struct {
	cfg      *config.Config
	timeout  time.Duration
	resolver *net.Resolver
}

// probes lists everything to look at, in the order in which it is shown.
func (k *checker) probes() []probe {
	out := []probe{k.secrets, k.state, k.kept}
	for _, addr := range k.cfg.Listen {
		out = append(out, func(ctx context.Context) []checked { return k.port(ctx, "listen", addr) })
	}
	if k.cfg.Metrics != "" {
		out = append(out, func(ctx context.Context) []checked { return k.port(ctx, "metrics", k.cfg.Metrics) })
	}
	out = append(out, k.digest)
	out = append(out, k.remedies()...)
	out = append(out, k.certificate, k.seals, k.scanners)
	for _, s := range k.cfg.DNS.Servers {
		out = append(out, func(ctx context.Context) []checked { return k.dnsServer(ctx, s) })
	}
	out = append(out, k.name)
	return append(out, k.hops()...)
}

func one(check, subject string, s state, detail, advice string) []checked {
	return []checked{{Check: check, Subject: subject, State: s, Detail: detail, Advice: advice}}
}

// secrets says nothing if all is well: a line for each secret would not help.
func (k *checker) secrets(context.Context) []checked {
	var out []checked
	for _, d := range k.cfg.Domains {
		if _, err := d.Token.Read(); err != nil {
			out = append(out, one("secret", d.Name, stateFail, err.Error(), "make the token readable for the user that runs the gateway")...)
		}
	}
	out = append(out, k.tenantTokens()...)
	if b := k.cfg.Store.Bodies; !b.ID.IsZero() {
		for _, s := range []config.Secret{b.ID, b.Secret} {
			if _, err := s.ReadAny(); err != nil {
				out = append(out, one("secret", "bodies", stateFail, err.Error(), "make the key readable for the user that runs the gateway")...)
			}
		}
	}
	if _, err := k.cfg.Verification.Key.Read(); err != nil {
		out = append(out, one("secret", "verification.key", stateFail, err.Error(), "make the key readable for the user that runs the gateway")...)
	}
	return out
}

// state tries to write where the gateway will.
func (k *checker) state(context.Context) []checked {
	dir := k.cfg.State
	if dir == "" {
		return nil
	}
	err := os.MkdirAll(tempDir(k.cfg), 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(tempDir(k.cfg), "check-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return one("state", dir, stateFail, err.Error(), "make a directory that the user of the gateway can write into, or take state out")
	}
	return k.space(dir)
}

// port tries to listen. A port that is held by a gateway of this name is fine too.
func (k *checker) port(ctx context.Context, what, addr string) []checked {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err == nil {
		ln.Close()
		return one(what, addr, stateOK, "free", "")
	}
	if errors.Is(err, fs.ErrPermission) {
		return one(what, addr, stateFail, err.Error(), "ports below 1024 need root or CAP_NET_BIND_SERVICE: give the service that right, or use another port")
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return one(what, addr, stateFail, err.Error(), "name an address that this machine has")
	}
	if what != "listen" { // it says no SMTP
		return one(what, addr, stateWarn, "in use, perhaps by the running gateway", "if the gateway does not run, free the port or use another")
	}
	host, port, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	d, greeting, derr := dial(ctx, net.JoinHostPort(host, port), min(k.timeout, 3*time.Second), nil)
	if derr != nil {
		return one(what, addr, stateFail, "something that is no SMTP server listens there: "+derr.Error(), "end what listens there, or use another port")
	}
	defer d.close()
	name, _, _ := strings.Cut(greeting, " ")
	if !strings.EqualFold(name, k.cfg.Hostname) {
		return one(what, addr, stateFail, "another mail server listens there: "+name, "end it, or use another port")
	}
	return one(what, addr, stateOK, "held by a running gateway", "")
}

// soon is when the end of a certificate is worth a warning.
const soon = 14 * 24 * time.Hour

// certificate looks at the certificate as a client would.
func (k *checker) certificate(context.Context) []checked {
	if k.cfg.TLS == nil {
		return one("tls", "certificate", stateWarn, "STARTTLS is not offered: mail comes in as clear text", "set tls: {cert: …, key: …}")
	}
	file := k.cfg.TLS.Cert
	pair, err := tls.LoadX509KeyPair(k.cfg.TLS.Cert, k.cfg.TLS.Key)
	if err != nil {
		return one("tls", file, stateFail, err.Error(), "both files have to be PEM, belong together, and be readable for the user of the gateway")
	}
	out := judgeCertificate(file, pair.Leaf, k.cfg.Hostname)
	return append(out, openKey("tls", k.cfg.TLS)...)
}

func judgeCertificate(subject string, leaf *x509.Certificate, hostname string) []checked {
	out := judgeDates("tls", subject, leaf)
	if out[0].State == stateFail {
		return out
	}
	if err := leaf.VerifyHostname(hostname); err != nil {
		out = append(out, one("tls", subject, stateWarn, err.Error(), "senders that verify will not send: get a certificate for "+hostname)...)
	}
	return out
}

// judgeDates says whether a certificate is valid now, and for how long.
func judgeDates(check, subject string, leaf *x509.Certificate) []checked {
	left := time.Until(leaf.NotAfter)
	switch {
	case left <= 0:
		return one(check, subject, stateFail, "expired on "+leaf.NotAfter.Format(time.DateOnly), "renew it; the gateway takes the new one without a restart")
	case time.Now().Before(leaf.NotBefore):
		return one(check, subject, stateFail, "not valid before "+leaf.NotBefore.Format(time.DateTime), "look at the clock of this machine")
	case left < soon:
		return one(check, subject, stateWarn, fmt.Sprintf("expires on %s, in %s", leaf.NotAfter.Format(time.DateOnly), plural(int(left.Hours()/24), "day")), "renew it; the gateway takes the new one without a restart")
	}
	return one(check, subject, stateOK, "valid until "+leaf.NotAfter.Format(time.DateOnly), "")
}

// dnsServer asks a configured resolver. That a name does not exist is an answer.
func (k *checker) dnsServer(ctx context.Context, server string) []checked {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	if _, err := newResolver([]string{server}).LookupNetIP(ctx, "ip", k.cfg.Hostname+"."); err != nil && !isNotFound(err) {
		return one("dns", server, stateFail, err.Error(), "name a resolver that answers, or take dns out to use the system's")
	}
	return one("dns", server, stateOK, "answers", "")
}

func isNotFound(err error) bool {
	var de *net.DNSError
	return errors.As(err, &de) && de.IsNotFound
}

// name looks whether others can find the gateway by its name, and its name by its address.
func (k *checker) name(ctx context.Context) []checked {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	host := k.cfg.Hostname
	addrs, err := k.resolver.LookupNetIP(ctx, "ip", host+".")
	switch {
	case err != nil && !isNotFound(err):
		return one("dns", host, stateWarn, err.Error(), "the resolver has to answer, or next hops that are names cannot be found")
	case len(addrs) == 0:
		return one("dns", host, stateWarn, "has no address in DNS", "add an A or AAAA record: some servers refuse mail from names that they cannot find")
	}
	var out []checked
	for _, a := range addrs {
		a = a.Unmap()
		names, err := k.resolver.LookupAddr(ctx, a.String())
		matches := false
		for _, n := range names {
			matches = matches || strings.EqualFold(strings.TrimSuffix(n, "."), host)
		}
		switch {
		case matches:
			out = append(out, one("dns", host, stateOK, a.String()+", whose PTR record names it", "")...)
		case err != nil && !isNotFound(err):
			out = append(out, one("dns", host, stateWarn, err.Error(), "")...)
		default:
			out = append(out, one("dns", host, stateWarn, "the PTR record of "+a.String()+" does not name it", "set it at whoever owns the address: many servers refuse mail from addresses without")...)
		}
	}
	return out
}
