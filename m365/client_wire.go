package m365

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const (
	maxPages = 100
	anchor   = "APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@"
)

// encodeCall is the body of a request. Parameters is never null: that would be another request.
func encodeCall(call Call) ([]byte, error) {
	params := make(map[string]any, len(call.Params)+1)
	for k, v := range call.Params {
		params[k] = wire(v)
	}
	if call.WhatIf {
		params["WhatIf"] = true
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(map[string]any{"CmdletInput": map[string]any{"CmdletName": call.Cmdlet, "Parameters": params}})
	return b.Bytes(), err
}

// object names what a call is about, for errors. It is an identity or a name, never a value.
func (call Call) object() string {
	for _, p := range []string{"Identity", "Name"} {
		if s, ok := call.Params[p].(string); ok {
			return s
		}
	}
	return ""
}

// secrets are the values of a call that are nobody's business: whoever knows what the loop header holds can
// pass by the gateway. The service repeats values in its messages.
func (call Call) secrets() []string {
	var out []string
	for _, name := range []string{"SetHeaderValue", "ExceptIfHeaderContainsWords", "ExceptIfHeaderMatchesPatterns", "HeaderContainsWords"} {
		switch v := call.Params[name].(type) {
		case string:
			out = append(out, v)
		case []string:
			out = append(out, v...)
		}
	}
	return out
}

func redact(s string, secrets []string) string {
	for _, x := range secrets {
		if len(x) >= 6 { // a shorter one is none, and would hide words
			s = strings.ReplaceAll(s, x, "[secret]")
		}
	}
	return s
}

// repeatable says whether running the cmdlet twice is the same as running it once.
func (call Call) repeatable() bool {
	verb, _, _ := strings.Cut(call.Cmdlet, "-")
	switch verb {
	case "Get", "Validate", "Remove", "Disable":
		return true
	case "Enable":
		return call.Cmdlet != "Enable-OrganizationCustomization"
	case "Set":
		for _, v := range call.Params {
			if _, ok := v.(Edit); ok {
				return false
			}
		}
		return true
	}
	return false
}

// page is one reply of the admin API.
type page struct {
	Next         string
	Warnings     []string
	Errors       []string
	Confirmation string
	Rows         []Row
	list         bool // there is one, if empty: a reading cmdlet that says nothing has not said that there is nothing
	requestID    string
}

// decodePage reads a reply. Absent, null and empty lists are the same; side-car keys are dropped.
func decodePage(body []byte) (*page, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return &page{}, nil
	}
	var raw Row
	if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
		return nil, errors.New("the reply is not an object of JSON")
	}
	p := &page{Warnings: raw.Strings("@adminapi.warnings"), Errors: raw.Strings("@adminapi.errors")}
	p.Next, _ = raw.Text("@odata.nextLink")
	p.Confirmation, _ = raw.Text("@adminapi.confirmationmessage")
	value, ok := raw["value"]
	p.list = ok
	if !ok || isNull(value) {
		return p, nil
	}
	if err := json.Unmarshal(value, &p.Rows); err != nil {
		var one Row
		if json.Unmarshal(value, &one) != nil || one == nil {
			return nil, errors.New("the value of the reply is no list of objects")
		}
		p.Rows = []Row{one}
	}
	rows := p.Rows[:0]
	for _, r := range p.Rows {
		if r == nil {
			continue
		}
		for k := range r {
			if strings.Contains(k, "@") {
				delete(r, k)
			}
		}
		rows = append(rows, r)
	}
	p.Rows = rows
	return p, nil
}

// post runs the call at the place the service named last, or at link, the rest of a list.
func (c *Client) post(ctx context.Context, call Call, link *url.URL, body []byte) (*page, error) {
	at := link
	if at == nil {
		at = c.endpoint("/adminapi/beta/" + url.PathEscape(c.cfg.Tenant) + "/InvokeCommand")
	}
	req := &request{name: call.Cmdlet, object: call.object(), method: http.MethodPost, url: at, header: c.header(call.Cmdlet),
		body: body, repeat: call.repeatable() || call.WhatIf, base: c.base, moved: c.moved, secrets: call.secrets()}
	var p *page
	req.read = func(rep *reply) (err error) {
		if p, err = decodePage(rep.body); err == nil && !p.list && strings.HasPrefix(call.Cmdlet, "Get-") {
			err = errors.New("the reply to a reading cmdlet has no list in it")
		}
		return err
	}
	rep, err := c.http.do(ctx, req)
	if err != nil {
		if rep != nil && rep.lost && strings.HasPrefix(call.Cmdlet, "Remove-") && errors.Is(err, ErrNotFound) {
			return &page{requestID: rep.requestID()}, nil // the attempt without a reply did it
		}
		return nil, err
	}
	if len(p.Errors) > 0 {
		fail := &Error{Cmdlet: call.Cmdlet, Object: call.object(), Status: rep.status, RequestID: rep.requestID()}
		fail.Message = redact(oneLine(strings.Join(p.Errors, "; "), 1000), req.secrets)
		fail.Kind = kindOf(&Error{Message: fail.Message})
		return nil, fail
	}
	p.requestID = rep.requestID()
	p.Confirmation = redact(p.Confirmation, req.secrets)
	for i := range p.Warnings {
		p.Warnings[i] = redact(p.Warnings[i], req.secrets)
	}
	return p, nil
}

func (c *Client) endpoint(path string) *url.URL {
	at := c.region.Load()
	if at == nil {
		at = c.base
	}
	return at.JoinPath(path)
}

// moved remembers a regional host, so that later calls go there at once.
func (c *Client) moved(to *url.URL) {
	head, _, ok := strings.Cut(to.Path, "/adminapi/")
	if !ok {
		head, _, ok = strings.Cut(to.Path, "/AdminApi/")
	}
	if ok {
		c.region.Store(&url.URL{Scheme: to.Scheme, Host: to.Host, Path: head})
	}
}

func (c *Client) header(cmdlet string) http.Header {
	routing := anchor + c.cfg.Tenant
	if c.cfg.Admin != "" {
		routing = "UPN:" + c.cfg.Admin
	}
	return http.Header{
		"Content-Type":      {"application/json; charset=utf-8"},
		"Accept":            {"application/json"},
		"X-Anchormailbox":   {routing},
		"X-Cmdletname":      {cmdlet},
		"X-Responseformat":  {"json"},
		"Prefer":            {"odata.maxpagesize=5000"},
		"Client-Request-Id": {newGUID()},
		"Connection-Id":     {newGUID()},
	}
}

// gather follows the links of a list. A list that cannot be followed to its end is an error: a short one
// would read as "the object is not there", and lead to a second one or to the removal of the wrong one.
func (c *Client) gather(ctx context.Context, call Call, body []byte, p *page) (Result, error) {
	res := Result{}
	seen := map[string]bool{}
	for n := 1; ; n++ {
		res.Rows = append(res.Rows, p.Rows...)
		res.Warnings = append(res.Warnings, p.Warnings...)
		res.Confirmation, res.RequestID = first(res.Confirmation, p.Confirmation), p.requestID
		short := &Error{Cmdlet: call.Cmdlet, Object: call.object(), RequestID: p.requestID, Kind: ErrIncompleteList}
		if p.Next == "" {
			for _, w := range res.Warnings {
				if n == 1 && warnsOfMore(w) {
					short.Message = oneLine(w, 300)
					return Result{}, short
				}
				res.Unchanged = res.Unchanged || strings.Contains(w, "no settings of") && strings.Contains(w, "modified")
			}
			return res, nil
		}
		link, err := c.base.Parse(p.Next)
		switch {
		case err != nil || !below(c.base, link):
			short.Message = "the link to the rest leads elsewhere"
		case seen[p.Next] || n >= maxPages:
			short.Message = fmt.Sprintf("%d pages and no end", n)
		}
		if short.Message != "" {
			return Result{}, short
		}
		seen[p.Next] = true
		if p, err = c.post(ctx, call, link, body); err != nil {
			short.Message, short.Err = "the link to the rest did not work", err
			return Result{}, short
		}
	}
}

func warnsOfMore(w string) bool {
	w = strings.ToLower(w)
	return strings.Contains(w, "more results") || strings.Contains(w, "resultsize")
}

// Cmdlets lists the cmdlets that whoever signed in may run in this tenant: what is missing tells which
// role is.
func (c *Client) Cmdlets(ctx context.Context) ([]string, error) {
	const name = "GET EXOModuleFile"
	at := c.endpoint("/adminapi/v1.0/" + url.PathEscape(c.cfg.Tenant) + "/EXOModuleFile")
	at.RawQuery = "Version=3.9.2"
	h := c.header(name)
	h["Commandname"] = []string{"*"}
	var p *page
	_, err := c.http.do(ctx, &request{name: name, method: http.MethodGet, url: at, header: h, repeat: true, base: c.base, moved: c.moved,
		read: func(rep *reply) (err error) { p, err = decodePage(rep.body); return err }})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range p.Rows {
		for _, list := range r.Strings("exportedCmdlets") {
			for s := range strings.SplitSeq(list, ",") {
				if s = strings.TrimSpace(s); s != "" {
					out = append(out, s)
				}
			}
		}
	}
	return out, nil
}

func newGUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func isCertificateError(err error) bool {
	var v *tls.CertificateVerificationError
	var a x509.UnknownAuthorityError
	var h x509.HostnameError
	return errors.As(err, &v) || errors.As(err, &a) || errors.As(err, &h)
}
