package smtpserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	stdsmtp "net/smtp"
	"net/textproto"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/smtpserver"
)

// printer is a session that prints what it is given.
type printer struct{ c *smtpserver.Conn }

func (p printer) Mail(from string, _ *smtp.MailOptions) error {
	fmt.Printf("%s from %s by %s\n", p.c.Helo(), from, p.c.Protocol())
	return nil
}

func (p printer) Rcpt(to string, _ *smtp.RcptOptions) error {
	if to != "bob@example.net" {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user"}
	}
	return nil
}

func (p printer) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	fmt.Printf("%q\n", body)
	return err
}

func (p printer) Reset()        {}
func (p printer) Logout() error { return nil }

func ExampleServer() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &smtpserver.Server{
		Hostname:   "mx.example.net",
		NewSession: func(c *smtpserver.Conn) (smtp.Session, error) { return printer{c}, nil },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Serve(ctx, ln) }()

	to := ln.Addr().String()
	fmt.Println(stdsmtp.SendMail(to, nil, "alice@example.org", []string{"bob@example.net"}, []byte("Subject: hi\r\n\r\n.\r\n")))
	var refused *textproto.Error
	if errors.As(stdsmtp.SendMail(to, nil, "alice@example.org", []string{"eve@example.net"}, nil), &refused) {
		fmt.Println(refused.Code, refused.Msg)
	}

	cancel()
	fmt.Println(<-done)
	// Output:
	// localhost from alice@example.org by ESMTP
	// "Subject: hi\r\n\r\n.\r\n"
	// <nil>
	// localhost from alice@example.org by ESMTP
	// 550 5.1.1 No such user
	// <nil>
}
