package m365_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

const (
	redirect = "Postreeve Redirect Rule"
	scanning = "Postreeve Scanning"
	inbound  = "Disable IP Throttling on Postreeve Connector"
	lock     = "Inbound from Postreeve Only"
)

// Every change that somebody could make to what we made shows, with object, field, wanted and found; applying again
// puts it right.
func TestDrift(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, id string
		change   m365test.Object // nil: removed
		field    string
		wanted   string
		found    string
	}{
		{"HostedConnectionFilterPolicy", "Default", m365test.Object{"IPAllowList": []string{"203.0.113.200", "192.0.2.12"}}, "IPAllowList",
			"[192.0.2.11 192.0.2.12 198.51.100.0/28]", "[192.0.2.12]"},
		{"HostedConnectionFilterPolicy", "Default", m365test.Object{"EnableSafeList": false}, "EnableSafeList", "true", "false"},
		{"HostedContentFilterPolicy", "Default", m365test.Object{"PhishSpamAction": "Delete"}, "PhishSpamAction", "MoveToJmf", "Delete"},
		{"InboundConnector", inbound, m365test.Object{"SenderIPAddresses": []string{"192.0.2.11"}}, "SenderIPAddresses", "[192.0.2.11 192.0.2.12 198.51.100.0/28]", "[192.0.2.11]"},
		{"InboundConnector", inbound, m365test.Object{"Enabled": false}, "Enabled", "true", "false"},
		{"InboundConnector", inbound, m365test.Object{"RestrictDomainsToIPAddresses": true}, "RestrictDomainsToIPAddresses", "false", "true"},
		{"InboundConnector", inbound, m365test.Object{"EFSkipLastIP": true}, "EFSkipLastIP", "false", "true"},
		{"OutboundConnector", scanning, m365test.Object{"SmartHosts": []string{"evil.example"}}, "SmartHosts", "[in.eu.gw.example]", "[evil.example]"},
		{"OutboundConnector", scanning, m365test.Object{"TlsSettings": "EncryptionOnly", "TlsDomain": nil}, "TlsSettings", "DomainValidation", "EncryptionOnly"},
		{"OutboundConnector", scanning, m365test.Object{"Enabled": false}, "Enabled", "true", "false"},
		{"TransportRule", redirect, m365test.Object{"State": "Disabled"}, "Enabled", "true", "false"},
		{"TransportRule", redirect, m365test.Object{"Mode": "Audit"}, "Mode", "Enforce", "Audit"},
		{"TransportRule", redirect, m365test.Object{"RecipientDomainIs": []string{"other.example"}}, "RecipientDomainIs", "[contoso.example]", "[other.example]"},
		{"TransportRule", redirect, m365test.Object{"FromScope": nil}, "FromScope", "NotInOrganization", ""},
		{"TransportRule", redirect, m365test.Object{"ExceptIfSenderIpRanges": []string{"0.0.0.0/0"}}, "ExceptIfSenderIpRanges", "[192.0.2.11 192.0.2.12 198.51.100.0/28]", "[0.0.0.0/0]"},
		{"TransportRule", redirect, m365test.Object{"ExceptIfMessageSizeOver": "10 MB (10,485,760 bytes)"}, "ExceptIfMessageSizeOver", "40960000", "10485760"},
		{"TransportRule", redirect, m365test.Object{"ExceptIfSenderDomainIs": []string{"friend.example"}}, "ExceptIfSenderDomainIs", "<nil>", "[friend.example]"},
		{"TransportRule", redirect, m365test.Object{"SubjectContainsWords": []string{"secret", "words"}}, "SubjectContainsWords", "<nil>", "[secret words]"},
		{"TransportRule", redirect, m365test.Object{"BlindCopyTo": []string{"spy@contoso.example"}}, "BlindCopyTo", "<nil>", "[spy@contoso.example]"},
		{"TransportRule", redirect, m365test.Object{"StopRuleProcessing": false}, "StopRuleProcessing", "true", "false"},
		{"TransportRule", redirect, m365test.Object{"Comments": "nobody's"}, "Comments", "postreeve id=redirect-rule v=1. Made and kept by Postreeve; change it there.", "nobody's"},
		{"TransportRule", "Postreeve Spam Rule", m365test.Object{"SetSCL": -1}, "SetSCL", "6", "-1"},
		{"TransportRule", "Postreeve Spam Rule", m365test.Object{"SenderIpRanges": nil}, "SenderIpRanges", "[192.0.2.11 192.0.2.12 198.51.100.0/28]", "[]"},
		{"TransportRule", "Postreeve Return Rule", nil, "Name", "Postreeve Return Rule", "<nil>"},
		{"TransportRule", "Send Office 365 spam emails to Junk folder (High)", nil, "Name", "Send Office 365 spam emails to Junk folder (High)", "<nil>"},
	} {
		t.Run(c.kind+","+c.field+","+c.found, func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, m365test.Config{})
			addForeign(s)
			b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
			b.apply(t)
			if r, err := b.Verify(t.Context()); err != nil || !r.OK() || !r.Scanning {
				t.Fatalf("verify of what was just made: %v, %+v", err, r)
			}
			if c.change == nil {
				s.Delete(c.kind, c.id)
			} else if !s.Change(c.kind, c.id, c.change) {
				t.Fatal("no such object")
			}
			r, err := b.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.Drift, func(d m365.Drift) bool { return d.Field == c.field })
			if i < 0 {
				t.Fatalf("the drift is not seen: %+v", r.Drift)
			}
			if d := r.Drift[i]; fmt.Sprint(d.Wanted) != c.wanted || fmt.Sprint(d.Found) != c.found || d.Object == "" {
				t.Errorf("drift %+v, want wanted %s and found %s", d, c.wanted, c.found)
			}
			b.apply(t)
			if r, err := b.Verify(t.Context()); err != nil || !r.OK() {
				t.Errorf("not put right: %v, %+v", err, r)
			}
		})
	}
}

// Drift of the hardened posture and of the lock.
func TestDriftHardened(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode     m365.Mode
		kind, id string
		change   m365test.Object
		field    string
	}{
		{m365.EOPFirst, "ArcConfig", "Default", m365test.Object{"ArcTrustedSealers": "Zeta.example, alpha.example"}, "ArcTrustedSealers"},
		{m365.EOPFirst, "InboundConnector", inbound, m365test.Object{"EFSkipLastIP": false}, "EFSkipLastIP"},
		{m365.MXFirst, "InboundConnector", lock, m365test.Object{"Enabled": true}, "Enabled"},
		{m365.MXFirst, "InboundConnector", lock, m365test.Object{"RestrictDomainsToIPAddresses": false}, "RestrictDomainsToIPAddresses"},
	} {
		t.Run(string(c.mode)+c.field, func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, m365test.Config{})
			addForeign(s)
			b := newBench(t, s, profile(c.mode, m365.Hardened))
			b.MX = m365.MXNo
			b.apply(t)
			s.Change(c.kind, c.id, c.change)
			r, err := b.Verify(t.Context())
			if err != nil || len(r.Drift) != 1 || r.Drift[0].Field != c.field {
				t.Fatalf("verify: %v, %+v, want drift of %s", err, r.Drift, c.field)
			}
			b.apply(t)
			if r, err := b.Verify(t.Context()); err != nil || !r.OK() {
				t.Errorf("not put right: %v, %+v", err, r)
			}
		})
	}
}

// Rules of others above ours are named, and the redirect rule goes back to its place, below those that block addresses.
func TestRuleAbove(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	b.apply(t)
	if got := ruleOrder(s)[:2]; !slices.Equal(got, []string{"Block bad networks", redirect}) {
		t.Errorf("the rules begin with %q", got)
	}
	s.Add("TransportRule", m365test.Object{"Name": "Mine first", "Priority": 0, "PrependSubject": "x", "StopRuleProcessing": true})
	r, err := b.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Findings, func(p m365.Problem) bool {
		return p.Code == "rule.above" && p.Object == "Mine first" && strings.Contains(p.Text, "not scanned")
	}) {
		t.Errorf("the rule above ours is not named: %+v", r.Findings)
	}
	s.Add("TransportRule", m365test.Object{"Name": "Block more", "SenderIpRanges": []string{"203.0.113.67"}, "RejectMessageReasonText": "no"})
	b.apply(t)
	order := ruleOrder(s)
	if slices.Index(order, redirect) != slices.Index(order, "Block more")+1 {
		t.Errorf("the redirect rule is not below the rules that block addresses: %q", order)
	}
}

func ruleOrder(s *m365test.Server) []string {
	rules := s.Objects("TransportRule")
	slices.SortFunc(rules, func(a, b m365test.Object) int { return a["Priority"].(int) - b["Priority"].(int) })
	var out []string
	for _, r := range rules {
		out = append(out, r["Name"].(string))
	}
	return out
}

// Limits that are near are said before they are reached.
func TestLimitsNear(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	b.apply(t)
	for i := range 284 {
		s.Add("TransportRule", m365test.Object{"Name": fmt.Sprintf("r%d", i), "PrependSubject": "x"})
	}
	r, err := b.Verify(t.Context())
	if err != nil || !slices.ContainsFunc(r.Findings, func(p m365.Problem) bool { return p.Code == "rules.limit" }) {
		t.Errorf("verify: %v, %+v, want a word about the number of rules", err, r.Findings)
	}
}

// The certificate of the smart host is looked at by STARTTLS and judged.
func TestCertificate(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS() // for its certificate
	defer web.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				buf := make([]byte, 256)
				for _, say := range []string{"220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"} {
					c.Write([]byte(say))
					if !strings.HasPrefix(say, "220 go") {
						c.Read(buf)
					}
				}
				tls.Server(c, web.TLS).Handshake()
			}()
		}
	}()
	cert, err := m365.SMTPCertificate(t.Context(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(cert.Names, "example.com") || cert.Trusted == "" || cert.NotAfter.IsZero() {
		t.Errorf("certificate %+v, want the one of the test, not trusted", cert)
	}
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	b.apply(t)
	b.NoWait = false
	b.LookAtCertificate = func(context.Context, string) (*m365.Certificate, error) {
		return &m365.Certificate{Host: "in.eu.gw.example", Names: []string{"*.other.example"}, NotAfter: time.Now().Add(time.Hour)}, nil
	}
	r, err := b.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"certificate.expires", "certificate.name"} {
		if !slices.ContainsFunc(r.Findings, func(p m365.Problem) bool { return p.Code == code }) {
			t.Errorf("no finding %s in %+v", code, r.Findings)
		}
	}
}

// A canary that comes back scanned is fine; one that is delivered past the gateway is drift.
func TestCanary(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	b.apply(t)
	b.NoWait = false
	header := textproto.MIMEHeader{"X-Postreeve-Verdict": {"CLEAN"}, "Authentication-Results": {"spf=fail; compauth=pass reason=130; arc=pass"}}
	b.Canary = &m365.Canary{Mailbox: "u1@contoso.example", Within: 20 * time.Millisecond, Every: time.Millisecond,
		Send: func(_ context.Context, id, to string) error {
			if !strings.HasPrefix(id, "<") || to == "" {
				t.Errorf("sent %q to %q", id, to)
			}
			return nil
		},
		Find: func(context.Context, string, string) (textproto.MIMEHeader, error) { return header, nil },
	}
	r, err := b.Verify(t.Context())
	if err != nil || !r.OK() || r.Canary == nil || !r.Canary.Scanned || len(r.Canary.Problems) != 0 {
		t.Errorf("verify: %v, %+v, %+v", err, r, r.Canary)
	}
	header.Set("X-Postreeve-Token", "x")
	header.Set("Authentication-Results", "compauth=fail")
	if r, err = b.Verify(t.Context()); err != nil || len(r.Canary.Problems) != 3 {
		t.Errorf("a message with three faults: %v, %+v", err, r.Canary)
	}
	header = textproto.MIMEHeader{}
	if r, err = b.Verify(t.Context()); err != nil || r.OK() || r.Scanning {
		t.Errorf("a message past the gateway: %v, %+v", err, r)
	}
	header = nil
	if r, err = b.Verify(t.Context()); err != nil || r.OK() {
		t.Errorf("a message that never came: %v, %+v", err, r)
	}
}
