package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// canaryFlags say how a message is sent through the loop.
type canaryFlags struct {
	Canary     string        `placeholder:"ADDRESS" help:"Send a message from outside to this protected mailbox, and find it again by Graph."`
	CanaryVia  string        `placeholder:"HOST[:PORT]" help:"The server that takes it. By default what the MX records of the domain name."`
	CanaryFrom string        `placeholder:"ADDRESS" help:"A sender outside the tenant. By default nobody, as of a bounce."`
	CanaryTime time.Duration `default:"45m" help:"How long it may take: rules take up to 30 minutes to have effect."`
}

// canary returns nil without a mailbox.
func (f *canaryFlags) canary(e *env, all *m365Flags, p *m365.Profile) (*m365.Canary, error) {
	if f.Canary == "" {
		return nil, nil
	}
	domain := verdict.Domain(f.Canary)
	if domain == "" || strings.ContainsFunc(f.Canary+f.CanaryFrom, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' }) {
		return nil, usage(e, "--canary and --canary-from want addresses, as in canary@ex.net")
	}
	_, tokens, err := all.sources(e, cmp.Or(all.Tenant, p.Domains[0]))
	if err != nil {
		return nil, err
	}
	if tokens == nil {
		return nil, usage(e, "--canary needs access to Graph: --graph-token-file, or an application of one's own with --client-id")
	}
	cloud, err := m365.CloudByName(all.Cloud)
	if err != nil {
		return nil, err
	}
	look := mailboxLook{base: strings.TrimRight(cmp.Or(all.GraphURL, cloud.Graph), "/"), scope: cloud.GraphScope(), tokens: tokens,
		http: &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	return &m365.Canary{Mailbox: f.Canary, Within: f.CanaryTime, Find: look.find, Send: func(ctx context.Context, id, mailbox string) error {
		return f.send(ctx, domain, id, mailbox)
	}}, nil
}

func (f *canaryFlags) send(ctx context.Context, domain, id, mailbox string) error {
	hop := &relay.SMTP{MX: domain, MaxIdle: -1}
	if f.CanaryVia != "" {
		hop = &relay.SMTP{Hosts: []string{f.CanaryVia}, MaxIdle: -1}
	}
	defer hop.Close()
	message := fmt.Sprintf("From: Canary <%s>\r\nTo: <%s>\r\nSubject: A test of the mail gateway\r\nDate: %s\r\nMessage-ID: %s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThis message shows that mail takes the right way. It may be deleted.\r\n",
		cmp.Or(f.CanaryFrom, "canary@"+reportHost()), mailbox, time.Now().Format(time.RFC1123Z), id)
	receipts, err := hop.Deliver(ctx, verdict.Envelope{From: f.CanaryFrom, To: []verdict.Recipient{{Address: mailbox}}}, verdict.Bytes(message))
	switch {
	case err != nil:
		return err
	case !receipts[0].Accepted():
		return receipts[0].Reply
	}
	return nil
}

// mailboxLook reads the header of a delivered message by Microsoft Graph.
type mailboxLook struct {
	base, scope string
	tokens      m365.TokenSource
	http        *http.Client
}

// find returns nil while there is no such message. The base has been checked by m365.NewGraph.
func (l mailboxLook) find(ctx context.Context, id, mailbox string) (textproto.MIMEHeader, error) {
	token, err := l.tokens.Token(ctx, m365.TokenRequest{Scope: l.scope})
	if err != nil {
		return nil, err
	}
	filter := url.QueryEscape("internetMessageId eq '" + strings.ReplaceAll(id, "'", "''") + "'")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+"/v1.0/users/"+url.PathEscape(mailbox)+"/messages?$filter="+filter+"&$select=internetMessageHeaders&$top=1", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token.Value)
	req.Header.Set("Prefer", `IdType="ImmutableId"`)
	rep, err := l.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer rep.Body.Close()
	body, err := io.ReadAll(io.LimitReader(rep.Body, 4<<20))
	switch {
	case err != nil:
		return nil, err
	case rep.StatusCode == http.StatusTooManyRequests || rep.StatusCode >= 500:
		return nil, nil // the next look may tell
	case rep.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the mailbox %s cannot be read: Graph says %s: it needs Mail.Read, or ReadBasic.All, for this mailbox", mailbox, rep.Status)
	}
	var list struct {
		Value []struct {
			InternetMessageHeaders []struct{ Name, Value string }
		}
	}
	if json.Unmarshal(body, &list) != nil {
		return nil, errors.New("the reply is not what Graph sends")
	}
	if len(list.Value) == 0 {
		return nil, nil
	}
	h := textproto.MIMEHeader{}
	for _, f := range list.Value[0].InternetMessageHeaders {
		h.Add(f.Name, f.Value)
	}
	return h, nil
}
