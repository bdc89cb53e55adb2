package m365test_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365/m365test"
)

// start returns a tenant that may be misused.
func start(t *testing.T, cfg m365test.Config) *m365test.Server {
	t.Helper()
	s := m365test.Start(cfg)
	t.Cleanup(s.Close)
	return s
}

type answer struct {
	status   int
	rows     []map[string]any
	warnings []any
	class    string
	text     string
	raw      []byte
	body     map[string]any
}

// invoke posts a cmdlet as it is, with nothing checked.
func invoke(t *testing.T, s *m365test.Server, cmdlet, params string, header ...string) answer {
	t.Helper()
	url := s.ExchangeURL() + "/adminapi/beta/" + s.TenantID() + "/InvokeCommand"
	body := fmt.Sprintf(`{"CmdletInput":{"CmdletName":%q,"Parameters":%s}}`, cmdlet, params)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Token("exchange"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("X-AnchorMailbox", "UPN:admin@contoso.example")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	if a.raw, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(a.raw, &a.body)
	a.warnings, _ = a.body["@adminapi.warnings"].([]any)
	list, _ := a.body["value"].([]any)
	for _, v := range list {
		a.rows = append(a.rows, v.(map[string]any))
	}
	if e, ok := a.body["error"].(map[string]any); ok {
		if e["message"] != "Invalid Operation" {
			t.Errorf("the outer message is %v", e["message"])
		}
		in := e["innererror"].(map[string]any)["internalexception"].(map[string]any)
		a.class, a.text = in["type"].(string), in["message"].(string)
	}
	return a
}

func ok(t *testing.T, s *m365test.Server, cmdlet, params string) answer {
	t.Helper()
	a := invoke(t, s, cmdlet, params)
	if a.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", cmdlet, params, a.status, a.text)
	}
	return a
}

// TestQuirks posts what our client would never send, and what it would, and looks for the answer of the service.
func TestQuirks(t *testing.T) {
	t.Parallel()
	const outbound = `{"Name":"out","UseMXRecord":false,"SmartHosts":["h.example"],"IsTransportRuleScoped":true}`
	for _, tc := range []struct {
		name, cmdlet, params string
		status               int
		want                 string // in class or text
		misuse               bool
	}{
		{"unknown parameter", "Get-TransportRule", `{"Nme":"x"}`, 400, "Parameter set cannot be resolved", true},
		{"unknown cmdlet", "Get-Universe", `{}`, 403, "", true},
		{"null parameters", "Get-TransportRule", `null`, 200, "", true},
		{"get by identity", "Get-TransportRule", `{"Identity":"nobody"}`, 200, "", true},
		{"enum prefix", "New-TransportRule", `{"Name":"a","SetSCL":5,"Mode":"Enf"}`, 200, "", false},
		{"enum prefix of two", "New-TransportRule", `{"Name":"a","SetSCL":5,"Mode":"Aud"}`, 400, "Audit, AuditAndNotify, Enforce", false},
		{"enum of nothing", "New-TransportRule", `{"Name":"a","SetSCL":5,"Mode":"X"}`, 400, "Specify one of the following", false},
		{"missing parameter", "New-TransportRule", `{"SetSCL":5}`, 400, "mandatory parameters: Name", false},
		{"number as text", "New-TransportRule", `{"Name":"a","SetSCL":"5"}`, 200, "", false},
		{"bool as text", "New-TransportRule", `{"Name":"a","Quarantine":"true"}`, 400, "Cannot bind", false},
		{"untagged table", "Set-HostedConnectionFilterPolicy", `{"Identity":"Default","IPAllowList":{"Add":["192.0.2.1"]}}`, 400, "Cannot bind", false},
		{"tagged table", "Set-HostedConnectionFilterPolicy", `{"Identity":"Default","IPAllowList":{"@odata.type":"#Exchange.GenericHashTable","add":"192.0.2.1"}}`, 200, "", false},
		{"mixed replace", "Set-HostedConnectionFilterPolicy", `{"Identity":"Default","IPAllowList":["192.0.2.1","198.51.100.0/24"]}`, 400, "cannot be mixed", false},
		{"/23", "Set-HostedConnectionFilterPolicy", `{"Identity":"Default","IPAllowList":["192.0.2.0/23"]}`, 400, "invalid", false},
		{"IPv6", "New-InboundConnector", `{"Name":"a","SenderDomains":["*"],"SenderIPAddresses":["2001:db8::1"]}`, 400, "invalid", false},
		{"65 characters", "New-InboundConnector", `{"Name":"` + strings.Repeat("a", 65) + `","SenderDomains":["*"]}`, 400, "64", false},
		{"slash", "New-InboundConnector", `{"Name":"a/b","SenderDomains":["*"]}`, 400, "isn't valid", false},
		{"addresses and certificate", "New-InboundConnector", `{"Name":"a","SenderDomains":["*"],"SenderIPAddresses":["192.0.2.1"],"TlsSenderCertificateName":"h"}`, 400, "both", false},
		{"restrict to nothing", "New-InboundConnector", `{"Name":"a","SenderDomains":["*"],"RestrictDomainsToIPAddresses":true}`, 400, "SenderIPAddresses must be set", false},
		{"partner as internal", "New-InboundConnector", `{"Name":"a","SenderDomains":["*"],"TreatMessagesAsInternal":true}`, 400, "OnPremises", false},
		{"scoped to all", "New-OutboundConnector", `{"Name":"a","UseMXRecord":false,"SmartHosts":["h"],"IsTransportRuleScoped":true,"RecipientDomains":["*"]}`, 400, "scoped", false},
		{"no smart host", "New-OutboundConnector", `{"Name":"a","UseMXRecord":false}`, 400, "SmartHosts must be set", false},
		{"no TLS domain", "New-OutboundConnector", `{"Name":"a","TlsSettings":"DomainValidation"}`, 400, "TlsDomain must be set", false},
		{"rule to no connector", "New-TransportRule", `{"Name":"a","RouteMessageOutboundConnector":"nobody"}`, 400, "ManagementObjectNotFound", false},
		{"rule without an action", "New-TransportRule", `{"Name":"a","FromScope":"NotInOrganization"}`, 400, "at least one action", false},
		{"header without a value", "New-TransportRule", `{"Name":"a","SetHeaderName":"X-A"}`, 400, "used together", false},
		{"priority too high", "New-TransportRule", `{"Name":"a","SetSCL":5,"Priority":1}`, 400, "between 0 and 0", false},
		{"comments", "New-TransportRule", `{"Name":"a","SetSCL":5,"Comments":"` + strings.Repeat("a", 1025) + `"}`, 400, "1024", false},
		{"rule of 9 KB", "New-TransportRule", `{"Name":"a","SetSCL":5,"RecipientDomainIs":["` + strings.Repeat("a", 9000) + `"]}`, 400, "8 KB", false},
		{"two wildcards", "New-TenantAllowBlockListSpoofItems", `{"Identity":"Default","SpoofedUser":"*","SendingInfrastructure":"*","SpoofType":"External","Action":"Allow"}`, 400, "wildcards", false},
		{"/25 of a pair", "New-TenantAllowBlockListSpoofItems", `{"Identity":"Default","SpoofedUser":"*","SendingInfrastructure":"192.0.2.0/25","SpoofType":"External","Action":"Allow"}`, 400, "/24", false},
		{"removal of no pair", "Remove-TenantAllowBlockListSpoofItems", `{"Identity":"contoso.example\\Default","Ids":["x"]}`, 200, "", false},
		{"customizable already", "Enable-OrganizationCustomization", `{}`, 400, "already enabled", false},
		{"what if", "New-OutboundConnector", strings.Replace(outbound, "{", `{"WhatIf":true,`, 1), 200, "", false},
		{"not there", "Remove-InboundConnector", `{"Identity":"x"}`, 400, "couldn't be found", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, m365test.Config{})
			before := s.Snapshot()
			a := invoke(t, s, tc.cmdlet, tc.params)
			if a.status != tc.status || !strings.Contains(a.class+" "+a.text, tc.want) {
				t.Errorf("%d %s: %s, want %d %s", a.status, a.class, a.text, tc.status, tc.want)
			}
			if got := s.Misuse(); (len(got) > 0) != tc.misuse {
				t.Errorf("misuse %v", got)
			}
			if a.status == 403 && len(bytes.Trim(a.raw, "\x00")) != 0 {
				t.Errorf("the body of a 403 is %q", a.raw)
			}
			if (a.status != 200 || tc.name == "what if") && !bytes.Equal(before, s.Snapshot()) {
				t.Error("something was written")
			}
		})
	}
}

func TestPriorities(t *testing.T) {
	t.Parallel()
	s := start(t, m365test.Config{})
	order := func() (out []string) {
		for i, r := range ok(t, s, "Get-TransportRule", `{}`).rows {
			if r["Priority"] != float64(i) {
				t.Errorf("%v has priority %v, want %d", r["Name"], r["Priority"], i)
			}
			out = append(out, r["Name"].(string))
		}
		return out
	}
	check := func(want ...string) {
		t.Helper()
		if d := cmp.Diff(want, order()); d != "" {
			t.Error(d)
		}
	}
	for _, n := range []string{"a", "b", "c"} {
		ok(t, s, "New-TransportRule", `{"Name":"`+n+`","SetSCL":5}`)
	}
	check("a", "b", "c")
	ok(t, s, "New-TransportRule", `{"Name":"d","SetSCL":5,"Priority":0}`)
	check("d", "a", "b", "c")
	ok(t, s, "Set-TransportRule", `{"Identity":"d","Priority":3}`)
	check("a", "b", "c", "d")
	ok(t, s, "Set-TransportRule", `{"Identity":"D","Priority":1}`)
	check("a", "d", "b", "c")
	ok(t, s, "Remove-TransportRule", `{"Identity":"a"}`)
	check("d", "b", "c")
	if a := invoke(t, s, "Set-TransportRule", `{"Identity":"d","Priority":3}`); a.status != 400 {
		t.Errorf("a priority beyond the last: %d", a.status)
	}
	s.Add("TransportRule", m365test.Object{"Name": "hand", "SetSCL": 5, "Priority": 1})
	check("d", "hand", "b", "c")
	s.Delete("TransportRule", "d")
	check("hand", "b", "c")
}

func TestRulesHoldTheirConnector(t *testing.T) {
	t.Parallel()
	for as, want := range map[string]string{"": "out", "guid": "00000000", "dn": "CN=out,"} {
		s := start(t, m365test.Config{RouteAs: as})
		ok(t, s, "New-OutboundConnector", `{"Name":"out","UseMXRecord":false,"SmartHosts":["h.example"],"IsTransportRuleScoped":true}`)
		ok(t, s, "New-TransportRule", `{"Name":"r","RouteMessageOutboundConnector":"out","ExceptIfMessageSizeOver":"40000KB"}`)
		r := ok(t, s, "Get-TransportRule", `{}`).rows[0]
		if got := r["RouteMessageOutboundConnector"].(string); !strings.HasPrefix(got, want) {
			t.Errorf("reads back as %s, want %s", got, want)
		}
		if r["ExceptIfMessageSizeOver"] != "39.06 MB (40,960,000 bytes)" {
			t.Errorf("size %v", r["ExceptIfMessageSizeOver"])
		}
		if a := invoke(t, s, "Remove-OutboundConnector", `{"Identity":"out"}`); a.status != 400 || !strings.Contains(a.text, "being used by the transport rule 'r'") {
			t.Errorf("removal of a connector in use: %d %s", a.status, a.text)
		}
		if rows := ok(t, s, "Get-OutboundConnector", `{}`).rows; len(rows) != 0 {
			t.Error("a plain listing shows a rule-scoped connector")
		}
		ok(t, s, "Remove-TransportRule", `{"Identity":"r"}`)
		ok(t, s, "Remove-OutboundConnector", `{"Identity":"out"}`)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := start(t, m365test.Config{})
	for i := range 300 {
		s.Add("TransportRule", m365test.Object{"Name": fmt.Sprint(i), "SetSCL": 1})
	}
	if a := invoke(t, s, "New-TransportRule", `{"Name":"a","SetSCL":5}`); a.status != 400 || !strings.Contains(a.text, "300") {
		t.Errorf("rule 301: %d %s", a.status, a.text)
	}
	for i := range 1024 {
		s.Add("TenantAllowBlockListSpoofItems", m365test.Object{"SpoofedUser": fmt.Sprint(i)})
	}
	if a := invoke(t, s, "New-TenantAllowBlockListSpoofItems", `{"Identity":"Default","SpoofedUser":"*","SendingInfrastructure":"h.example","SpoofType":"External","Action":"Allow"}`); a.status != 400 {
		t.Errorf("pair 1025: %d", a.status)
	}
	if a := invoke(t, start(t, m365test.Config{Developer: true}), "New-InboundConnector", `{"Name":"a","SenderDomains":["*"]}`); a.status != 400 {
		t.Errorf("developer tenant: %d", a.status)
	}
	preset := start(t, m365test.Config{Preset: true})
	if a := invoke(t, preset, "Set-HostedContentFilterPolicy", `{"Identity":"Standard Preset Security Policy1711000000000","SpamAction":"MoveToJmf"}`); a.status != 400 {
		t.Errorf("preset policy: %d", a.status)
	}
}

func TestWire(t *testing.T) {
	t.Parallel()
	s := start(t, m365test.Config{StaleReads: 1})
	ok(t, s, "New-InboundConnector", `{"Name":"a","SenderDomains":["*"]}`)
	if rows := ok(t, s, "Get-InboundConnector", `{}`).rows; len(rows) != 0 {
		t.Error("the first list is not stale")
	}
	a := ok(t, s, "Get-InboundConnector", `{}`)
	if len(a.rows) != 1 || a.warnings == nil || len(a.warnings) != 0 {
		t.Fatalf("%d rows, warnings %v", len(a.rows), a.warnings)
	}
	r := a.rows[0]
	if r["SenderDomains@odata.type"] != "#Collection(String)" || fmt.Sprint(r["SenderDomains"]) != "[smtp:*;1]" {
		t.Errorf("sender domains %v", r["SenderDomains"])
	}
	if _, there := r["SmartHosts"]; there {
		t.Error("a field of outbound connectors")
	}
	a = ok(t, s, "Set-InboundConnector", `{"Identity":"a","Enabled":true}`)
	if len(a.warnings) != 1 || !strings.Contains(fmt.Sprint(a.warnings), "no settings of 'a' have been modified") {
		t.Errorf("warnings %v", a.warnings)
	}
	ok(t, s, "Set-ArcConfig", `{"Identity":"Default","ArcTrustedSealers":["b.example","a.example"]}`)
	ok(t, s, "Get-ArcConfig", `{}`)
	if r := ok(t, s, "Get-ArcConfig", `{}`).rows[0]; r["ArcTrustedSealers"] != "b.example, a.example" {
		t.Errorf("sealers %v", r["ArcTrustedSealers"])
	}
	a = invoke(t, s, "Get-AcceptedDomain", `{}`, "Prefer", "odata.maxpagesize=1")
	link, _ := a.body["@odata.nextLink"].(string)
	if len(a.rows) != 1 || !strings.Contains(link, "%24skiptoken=") {
		t.Errorf("%d rows, link %q", len(a.rows), link)
	}
	if got := s.Misuse(); len(got) != 0 {
		t.Error(got)
	}
	if a := invoke(t, s, "Get-ArcConfig", `{}`, "Authorization", "Bearer "+s.Token("graph")); a.status != 401 {
		t.Errorf("a token for Graph: %d", a.status)
	}
	if invoke(t, s, "Get-ArcConfig", `{}`, "X-AnchorMailbox", ""); len(s.Misuse()) != 1 {
		t.Errorf("a missing header: %v", s.Misuse())
	}
}

func TestSnapshotIsCanonical(t *testing.T) {
	t.Parallel()
	s := start(t, m365test.Config{Preset: true})
	before := s.Snapshot()
	const allow = `{"Identity":"Default","IPAllowList":{"@odata.type":"#Exchange.GenericHashTable",%s}}`
	ok(t, s, "Set-HostedConnectionFilterPolicy", fmt.Sprintf(allow, `"Add":["192.0.2.2","192.0.2.1"]`))
	one := s.Snapshot()
	if bytes.Equal(before, one) {
		t.Error("a write does not show")
	}
	ok(t, s, "Set-HostedConnectionFilterPolicy", fmt.Sprintf(allow, `"Remove":["192.0.2.2"]`))
	ok(t, s, "Set-HostedConnectionFilterPolicy", fmt.Sprintf(allow, `"Add":["192.0.2.2"]`))
	if d := cmp.Diff(string(one), string(s.Snapshot())); d != "" {
		t.Errorf("the order of a list shows: %s", d)
	}
	ok(t, s, "Set-HostedConnectionFilterPolicy", fmt.Sprintf(allow, `"Remove":["192.0.2.1","192.0.2.2"]`))
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Error(d)
	}
}

func TestFaultByWrite(t *testing.T) {
	t.Parallel()
	s := start(t, m365test.Config{})
	struck := false
	s.Inject(m365test.Fault{Kind: m365test.ErrorAfter, Write: 2, Then: func() { struck = true }})
	add := func(n string) int {
		return invoke(t, s, "New-InboundConnector", `{"Name":"`+n+`","SenderDomains":["*"]}`).status
	}
	if add("a") != 200 || struck || add("b") != 500 || !struck || add("c") != 200 {
		t.Error("not the second write, or not only that")
	}
	if got := len(s.Objects("InboundConnector")); got != 3 || s.Writes() != 3 || s.Count("New-") != 3 || s.Pending() != 0 {
		t.Errorf("%d objects, %d writes", got, s.Writes())
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	s := start(t, m365test.Config{})
	body := `{"requests":[{"id":"1","url":"x","method":"POST","body":{"CmdletInput":{"CmdletName":"Get-AcceptedDomain","Parameters":{}}}},
		{"id":"2","url":"x","method":"POST","body":{"CmdletInput":{"CmdletName":"Remove-TransportRule","Parameters":{"Identity":"x"}}}}]}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.ExchangeURL()+"/adminapi/beta/"+s.TenantID()+"/$batch", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Token("exchange"))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		Responses []struct {
			ID     string
			Status int
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || len(out.Responses) != 2 || out.Responses[0].Status != 200 || out.Responses[1].Status != 400 {
		t.Errorf("%+v, %v", out, err)
	}
}
