package smtpserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/internal/smtpserver"
)

// seen is what a session learns from its connection.
type seen struct {
	When, Peer, Helo, Protocol string
	TLS                        bool
	Forwarded                  smtpserver.Forwarded
}

func look(when string, c *smtpserver.Conn) seen {
	return seen{when, c.Peer().Addr().String(), c.Helo(), c.Protocol(), c.TLS() != nil, c.Forwarded()}
}

type looker struct {
	smtp.Session
	c    *smtpserver.Conn
	list *[]seen
}

func (l looker) Mail(from string, o *smtp.MailOptions) error {
	*l.list = append(*l.list, look("MAIL", l.c))
	return l.Session.Mail(from, o)
}

func TestConn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var list []seen
		var r *rig
		peer := netip.MustParseAddr("2001:db8::7")
		s := &smtpserver.Server{TLSConfig: withTLS(), SMTPUTF8: true, XClient: func(a netip.Addr) bool { return a == peer }}
		s.NewSession = func(c *smtpserver.Conn) (smtp.Session, error) {
			list = append(list, look("new", c))
			return looker{r.rec.Session(), c, &list}, nil
		}
		r = start(t, s)
		r.Client = peer
		cl := connect(t, r)
		cl.send("HELO one.test\r\nMAIL FROM:<a@x>\r\nEHLO two.test\r\nMAIL FROM:<a@x>\r\nRSET\r\nMAIL FROM:<a@x> SMTPUTF8\r\n" +
			"RSET\r\nXFORWARD NAME=n.test ADDR=192.0.2.3 PORT=25\r\nXFORWARD HELO=h.test PROTO=smtp\r\nMAIL FROM:<a@x>\r\nRSET\r\nMAIL FROM:<a@x>\r\nRSET\r\n")
		cl.expect("220", "250", "250", "250", "250", "250", "250", "250", "250", "250", "250", "250", "250", "250")
		cl.send("XCLIENT ADDR=IPV6:2001:db8::9 NAME=[UNAVAILABLE]\r\nEHLO three.test\r\n")
		cl.expect("220", "250")
		cl.send("STARTTLS\r\n")
		cl.expect("220")
		cl.startTLS(tls.VersionTLS13)
		cl.send("EHLO four.test\r\nMAIL FROM:<a@x> SMTPUTF8\r\nRSET\r\nMAIL FROM:<a@x>\r\nQUIT\r\n")
		cl.expect("250", "250", "250", "250", "221")
		cl.conn.Close()
		r.end()

		p := peer.String()
		forward := smtpserver.Forwarded{Name: "n.test", Addr: netip.MustParseAddrPort("192.0.2.3:25"), Helo: "h.test", Proto: "SMTP"}
		client := smtpserver.Forwarded{Addr: netip.AddrPortFrom(netip.MustParseAddr("2001:db8::9"), 0)}
		want := []seen{
			{"new", p, "one.test", "SMTP", false, smtpserver.Forwarded{}},
			{"MAIL", p, "one.test", "SMTP", false, smtpserver.Forwarded{}},
			{"MAIL", p, "two.test", "ESMTP", false, smtpserver.Forwarded{}},
			{"MAIL", p, "two.test", "UTF8SMTP", false, smtpserver.Forwarded{}},
			{"MAIL", p, "two.test", "ESMTP", false, forward},
			{"MAIL", p, "two.test", "ESMTP", false, smtpserver.Forwarded{}},
			{"new", p, "three.test", "ESMTP", false, client},
			{"new", p, "four.test", "ESMTPS", true, client},
			{"MAIL", p, "four.test", "UTF8SMTPS", true, client},
			{"MAIL", p, "four.test", "ESMTPS", true, client},
		}
		if diff := cmp.Diff(want, list, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"busy", &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too many of you"}, "421 4.7.0 Too many of you"},
		{"unwanted", &smtp.SMTPError{Code: 554, Message: "Go away"}, "554 5.0.0 Go away"},
		{"broken", errors.New("secret cause"), "451 4.3.0 Temporary local problem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := start(t, &smtpserver.Server{Admit: func(*smtpserver.Conn) error { return c.err }})
				cl := connect(t, r)
				cl.expect(c.want)
				cl.conn.Close()
				r.end()
			})
		})
	}
}

func TestNewSessionFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		new  func(*smtpserver.Conn) (smtp.Session, error)
		want []string
	}{
		{"generic", func(*smtpserver.Conn) (smtp.Session, error) { return nil, errors.New("secret cause") }, []string{"451 4.3.0 Temporary", "503", "221"}},
		{"nil", func(*smtpserver.Conn) (smtp.Session, error) { return nil, nil }, []string{"451 4.3.0", "503", "221"}},
		{"refused", func(*smtpserver.Conn) (smtp.Session, error) { return nil, &smtp.SMTPError{Code: 550, Message: "no"} }, []string{"550 5.0.0 no", "503", "221"}},
		{"closed", func(*smtpserver.Conn) (smtp.Session, error) { return nil, &smtp.SMTPError{Code: 421, Message: "no"} }, []string{"421 4.0.0 no"}},
		{"success", func(*smtpserver.Conn) (smtp.Session, error) { return nil, &smtp.SMTPError{Code: 250, Message: "yes"} }, []string{"250 2.0.0 yes"}},
		{"panic", func(*smtpserver.Conn) (smtp.Session, error) { panic("secret cause") }, []string{"421 4.3.0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := start(t, &smtpserver.Server{NewSession: c.new})
				cl := connect(t, r)
				cl.send("EHLO x\r\nMAIL FROM:<a@x>\r\nQUIT\r\n")
				cl.expect(append([]string{"220"}, c.want...)...)
				cl.conn.Close()
				r.end()
				if c.name == "generic" && !strings.Contains(r.log.String(), "secret cause") {
					t.Errorf("the cause is not in the log:\n%s", r.log)
				}
			})
		})
	}
}

// TestZeroServer: a server that nobody has configured takes no mail.
func TestZeroServer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := &rig{Listener: dialogtest.Listen()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- new(smtpserver.Server).Serve(ctx, r.Listener) }()
		cl := connect(t, r)
		cl.send("EHLO x\r\nMAIL FROM:<a@x>\r\nQUIT\r\n")
		cl.expect("220 localhost", "451 4.3.0", "503", "221")
		cl.eof()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestSessionTexts(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var r *rig
		s := &smtpserver.Server{NewSession: func(*smtpserver.Conn) (smtp.Session, error) {
			return refuser{r.rec.Session(), &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{4, 7, 1},
				Message: "first\r\n250 injected\nthird \x1b[0m \u00e9 " + strings.Repeat("x", 600)}}, nil
		}}
		r = start(t, s)
		cl := connect(t, r)
		cl.send("EHLO x\r\nMAIL FROM:<a@x>\r\nQUIT\r\n")
		cl.expect("220", "250")
		var got strings.Builder
		for range 3 {
			line, err := cl.br.ReadString('\n')
			if err != nil || len(line) > 512 {
				t.Fatalf("%q, %v", line, err)
			}
			got.WriteString(line)
		}
		want := "550-5.0.0 first\r\n550-5.0.0 250 injected\r\n550 5.0.0 third ?[0m ?? xxx"
		if !strings.HasPrefix(got.String(), want) {
			t.Errorf("got %q, want %q", got.String(), want)
		}
		cl.expect("221")
		cl.eof()
		r.end()
	})
}

type refuser struct {
	smtp.Session
	err error
}

func (r refuser) Mail(string, *smtp.MailOptions) error { return r.err }
