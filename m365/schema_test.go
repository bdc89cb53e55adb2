package m365_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
)

// manyAddresses are n different addresses.
func manyAddresses(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	}
	return out
}

func TestCheck(t *testing.T) {
	t.Parallel()
	filter := func(v any) m365.Call {
		return m365.Call{Cmdlet: "Set-HostedConnectionFilterPolicy", Params: m365.Params{"Identity": "Default", "IPAllowList": v}}
	}
	rule := func(k string, v any) m365.Call {
		return m365.Call{Cmdlet: "New-TransportRule", Params: m365.Params{"Name": "n", k: v}}
	}
	for _, tc := range []struct {
		name string
		call m365.Call
		want string // part of the error; empty: good
	}{
		{"nothing", m365.Call{}, "does not call"},
		{"other cmdlet", m365.Call{Cmdlet: "Remove-Mailbox", Params: m365.Params{"Identity": "x"}}, "does not call"},
		{"list", m365.Call{Cmdlet: "Get-TransportRule"}, ""},
		{"missing", m365.Call{Cmdlet: "Remove-TransportRule"}, "Identity is missing"},
		{"empty identity", m365.Call{Cmdlet: "Remove-TransportRule", Params: m365.Params{"Identity": " "}}, "every object"},
		{"unknown parameter", rule("Prority", 1), "no parameter Prority"},
		{"case of a parameter", rule("priority", 1), "is it Priority?"},
		{"number as text", rule("Priority", "1"), "want a int"},
		{"number as float", rule("Priority", 1.0), "no value"},
		{"negative", rule("Priority", -1), "from 0"},
		{"SCL", rule("SetSCL", -1), ""},
		{"SCL too high", rule("SetSCL", 10), "-1 to 9"},
		{"enum", rule("Mode", "Audit"), ""},
		{"prefix of an enum member", rule("Mode", "AuditAnd"), "none of"},
		{"case of an enum member", rule("Mode", "audit"), "none of"},
		{"enum in a list", rule("IncidentReportContent", []string{"Sender", "Rule"}), "none of"},
		{"control character", rule("Comments", "a\r\nb"), "control"},
		{"64 characters", rule("Name", strings.Repeat("ä", 64)), ""},
		{"65 characters", rule("Name", strings.Repeat("a", 65)), "64 at most"},
		{"comments", rule("Comments", strings.Repeat("a", 1025)), "1024 at most"},
		{"header name", rule("SetHeaderName", "X-A:"), "header field"},
		{"list for a scalar", rule("SetHeaderValue", []string{"a"}), "no list"},
		{"bool for a list", rule("RecipientDomainIs", true), "no truth value"},
		{"nil", rule("RecipientDomainIs", nil), "no value"},
		{"edit of what is only replaced", rule("RecipientDomainIs", m365.Edit{Add: []string{"a"}}), "replaced"},
		{"clear", m365.Call{Cmdlet: "Set-TransportRule", Params: m365.Params{"Identity": "x", "RecipientDomainIs": m365.EmptyTable}}, ""},
		{"clear a number", rule("Priority", m365.EmptyNull), "cleared"},
		{"clear a text", m365.Call{Cmdlet: "Set-OutboundConnector", Params: m365.Params{"Identity": "x", "TlsDomain": m365.EmptyNull}}, ""},
		{"address", filter([]string{"192.0.2.1"}), ""},
		{"network", filter(m365.Edit{Add: []string{"192.0.2.0/24", "192.0.2.1/32"}}), ""},
		{"range", filter([]string{"192.0.2.0-192.0.2.255"}), ""},
		{"range too long", filter([]string{"192.0.2.0-192.0.3.0"}), "256"},
		{"range backwards", filter([]string{"192.0.2.9-192.0.2.1"}), "range"},
		{"/23", filter([]string{"192.0.2.0/23"}), "/24"},
		{"/33", filter([]string{"192.0.2.0/33"}), "network"},
		{"IPv6", filter([]string{"2001:db8::1"}), "IPv4"},
		{"IPv6 network", filter([]string{"2001:db8::/120"}), "IPv4"},
		{"no address", filter([]string{"mx.example"}), "IPv4"},
		{"remove whatever is there", filter(m365.Edit{Remove: []string{"2001:db8::1"}}), ""},
		{"1273 addresses", filter(manyAddresses(1273)), ""},
		{"1274 addresses", filter(manyAddresses(1274)), "1273 at most"},
		{"no addresses", filter([]string{}), "Empty"},
		{"empty edit", filter(m365.Edit{}), "nothing to add"},
		{"range for a connector", m365.Call{Cmdlet: "Set-InboundConnector", Params: m365.Params{"Identity": "x", "SenderIPAddresses": []string{"192.0.2.0-192.0.2.9"}}}, "IPv4"},
		{"WhatIf", m365.Call{Cmdlet: "Remove-TransportRule", Params: m365.Params{"Identity": "x"}, WhatIf: true}, ""},
		{"WhatIf of a read", m365.Call{Cmdlet: "Get-TransportRule", WhatIf: true}, "no WhatIf"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := m365.NewClient(m365.ClientConfig{Tenant: "t", Tokens: m365.StaticToken("x"), BaseURL: "http://127.0.0.1:1"})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Check(tc.call)
			if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, m365.ErrInvalid) || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Check = %v, want %q", err, tc.want)
			}
			if tc.want != "" {
				if _, err := c.Invoke(t.Context(), tc.call); !errors.Is(err, m365.ErrInvalid) {
					t.Errorf("Invoke = %v: it was sent", err)
				}
			}
		})
	}
}

func TestParamsSurviveJSON(t *testing.T) {
	t.Parallel()
	in := m365.Params{"a": "text", "b": true, "c": 7, "d": []string{"x", "y"}, "e": m365.Edit{Add: []string{"p"}, Remove: []string{"q"}},
		"f": m365.EmptyArray, "g": m365.Empty("")}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out m365.Params
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	in["g"] = m365.EmptyTable // the zero form, by name
	if d := cmp.Diff(in, out); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{`{"a":null}`, `{"a":1.5}`, `{"a":[1]}`, `{"a":{"x":1}}`, `[]`, `{"a":1e99}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{"40000KB": 40960000, "39.06 MB (40,960,000 bytes)": 40960000, "35 MB (36,700,160 bytes)": 36700160,
		"1MB": 1 << 20, "7": 7, "7 B": 7, "2 gb": 2 << 30, "": -1, "x": -1, "-1KB": -1, "99999999999999TB": -1, "(": -1, "1.5MB": -1, "9 (x bytes)": -1} {
		got, ok := m365.ParseSize(s)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("ParseSize(%q) = %d, %v", s, got, ok)
		}
	}
}
