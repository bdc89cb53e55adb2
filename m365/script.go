package m365

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The functions that the scripts share and have. They are the same for every profile: what differs is data,
// quoted by psQuote.
var (
	//go:embed script_common.ps1
	psCommon string
	//go:embed script_apply.ps1
	psApply string
	//go:embed script_offboard.ps1
	psOffboard string
)

// Script writes the settings of a profile as two PowerShell scripts, for admins who grant no access: one makes
// them, the other takes them out again. Both may be run any number of times. The secret of the loop is asked
// for or read from a file, and is in neither.
func Script(p *Profile) (apply, offboard []byte, err error) {
	if err := p.Check(); err != nil {
		return nil, nil, err
	}
	s := scripter{p: p, settings: p.settings(facts{moved: MXYes, tokens: []string{shownSecret}})}
	a, o := s.apply(), s.offboard()
	if s.err != nil {
		return nil, nil, s.err
	}
	return []byte(a), []byte(o), nil
}

type scripter struct {
	p        *Profile
	settings []*setting
	err      error
}

// psQuote writes a string as PowerShell reads it without looking into it. All the marks that PowerShell takes
// for a single quote are doubled.
func psQuote(s string) (string, error) {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		if notPrintable(r) || r == '\u0085' {
			return "", fmt.Errorf("m365: script: control characters in %q", s)
		}
		if strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String(), nil
}

func (s *scripter) quote(text string) string {
	out, err := psQuote(text)
	if err != nil && s.err == nil {
		s.err = err
	}
	return out
}

// value writes a parameter.
func (s *scripter) value(f field) string {
	if f.secret {
		if _, ok := f.want.([]string); ok {
			return "@($secret)"
		}
		return "$secret"
	}
	switch v := f.param().(type) {
	case bool:
		return "$" + strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case []string:
		return s.list(v)
	case string:
		if v == "" {
			return "$null"
		}
		return s.quote(v)
	}
	return "$null"
}

func (s *scripter) list(all []string) string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = s.quote(v)
	}
	return "@(" + strings.Join(out, ", ") + ")"
}

// table writes fields as a hash table.
func (s *scripter) table(fields []field) string {
	var b strings.Builder
	b.WriteString("@{")
	for _, f := range fields {
		v := s.value(f)
		if f.name == "Priority" {
			v = "(Get-RedirectPlace)"
		}
		fmt.Fprintf(&b, "\n        %s = %s", f.name, v)
	}
	if len(fields) > 0 {
		b.WriteString("\n    ")
	}
	return b.String() + "}"
}

func (s *scripter) header(what, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n#\n", what)
	fmt.Fprintf(&b, "# Product: %s. Domains: %s. Mode: %s. Posture: %s.\n", s.p.product(), strings.Join(s.p.Domains, ", "), s.p.Mode, s.p.posture())
	b.WriteString("# Needs the module ExchangeOnlineManagement 3 and a session: Connect-ExchangeOnline.\n")
	b.WriteString("# Roles: Transport Rules, Remote and Accepted Domains, Transport Hygiene, Tenant AllowBlockList Manager\n# (or the directory roles Exchange Administrator and Security Administrator).\n")
	b.WriteString("# Keep the state file: it says what was added and what was there before.\n")
	fmt.Fprintf(&b, "[CmdletBinding()]\nparam(\n    [string]$StatePath = (Join-Path -Path $PWD -ChildPath %s)%s\n)\n", s.quote(s.p.mark()+"-state.json"), more)
	fmt.Fprintf(&b, "$Mark = %s\n", s.quote(s.p.mark()))
	b.WriteString(psCommon)
	return b.String()
}

// apply is the script that makes the settings, in their order.
func (s *scripter) apply() string {
	var b strings.Builder
	more := ""
	if s.p.Mode == EOPFirst {
		more = ",\n    [string]$SecretFile"
	} else {
		more = ",\n    [switch]$MxMoved"
	}
	b.WriteString(s.header("Puts a Microsoft 365 tenant behind the gateway. Can be run again at any time.", more))
	b.WriteString(psApply)
	b.WriteString("\n$state = Read-State\nAssert-Tenant $state\n")
	if s.p.Replaces != nil {
		fmt.Fprintf(&b, "Write-Warning %s\n", s.quote("What "+s.p.Replaces.Vendor+" made in the tenant is not taken over by this script: remove it by its own guide."))
	}
	b.WriteString("if ((Get-OrganizationConfig).IsDehydrated) { throw 'Run Enable-OrganizationCustomization first and wait until it has taken effect.' }\n")
	fmt.Fprintf(&b, "Assert-Clear -Accept %s -Egress %s -Loop $%t\n", s.list(s.p.Accept), s.list(s.p.egress()), s.p.Mode == EOPFirst)
	for _, x := range s.settings {
		if x.kind.owned() && x.of == "" {
			fmt.Fprintf(&b, "Assert-Free %s %s %s\n", s.quote(string(x.kind)), s.quote(x.id), s.quote(x.name))
		}
	}
	if s.p.Mode == EOPFirst {
		b.WriteString("$secret = Read-Secret\n")
	}
	b.WriteString("Write-State $state\n")
	for _, x := range s.settings {
		fmt.Fprintf(&b, "\n# %s\n", oneLine(x.title, 200))
		s.setting(&b, x)
	}
	b.WriteString("\nWrite-Host 'Done. Rules take up to 30 minutes and more until they have effect.'\n")
	return b.String()
}

func (s *scripter) setting(b *strings.Builder, x *setting) {
	switch {
	case x.id == idRedirectOn:
		b.WriteString("$rule = Find-Ours 'TransportRule' 'redirect-rule'\nif ($rule.State -ne 'Enabled') { Enable-TransportRule -Identity ([string]$rule.Guid) -Confirm:$false }\n")
	case x.id == idLockOn:
		s.lockOn(b)
	case x.kind == kindConnection:
		fmt.Fprintf(b, "Add-Allowed $state %s\n", s.value(x.fields[0]))
		if len(x.fields) > 1 {
			fmt.Fprintf(b, "Set-Single $state %s %s\n", s.quote(string(x.kind)), s.table(x.fields[1:]))
		}
	case x.kind == kindSpoof:
		fmt.Fprintf(b, "Add-Pairs $state %s\n", s.list(s.p.infrastructure()))
	case x.kind == kindArc:
		fmt.Fprintf(b, "Add-Sealer $state %s\n", s.quote(strings.ToLower(s.p.ARCSealer)))
	case x.kind == kindContent, x.kind == kindOrganization:
		fmt.Fprintf(b, "Set-Single $state %s %s\n", s.quote(string(x.kind)), s.table(x.fields))
	case x.kind == kindConsent:
		fmt.Fprintf(b, "Write-Host %s\n", s.quote("Consent to the remediation application in a browser: "+x.console.Link))
	case x.kind == kindPrincipal:
		fmt.Fprintf(b, "if (-not (Get-ServicePrincipal | Where-Object { $_.AppId -eq %s })) {\n    Save-Added $state 'ServicePrincipal' @(%[1]s)\n    New-ServicePrincipal -AppId %[1]s -ObjectId %s -DisplayName %s | Out-Null\n}\n",
			s.quote(s.p.Access.AppID), s.quote(s.p.Access.ObjectID), s.quote(s.p.product()))
	default:
		fmt.Fprintf(b, "Set-Owned -Noun %s -Id %s -Name %s -Comment %s -Want %s -OnlyNew %s -Clear %s\n", s.quote(string(x.kind)), s.quote(x.id),
			s.quote(x.name), s.quote(s.p.markText(x.id)), s.table(x.fields), s.table(s.onlyNew(x)), s.list(s.clears(x)))
	}
}

// onlyNew is what a new object gets beside what is wanted of it for good.
func (s *scripter) onlyNew(x *setting) []field {
	out := slices.Clone(x.made)
	if x.kind == kindRule && x.id != idRedirect {
		out = append(out, field{name: "Priority"})
	}
	return out
}

// clears lists the conditions that another scope may have left on the redirect rule.
func (s *scripter) clears(x *setting) []string {
	if x.id != idRedirect {
		return []string{}
	}
	return slices.DeleteFunc([]string{"RecipientDomainIs", "SentTo", "SentToMemberOf"}, func(n string) bool {
		return slices.ContainsFunc(x.fields, func(f field) bool { return f.name == n })
	})
}

func (s *scripter) lockOn(b *strings.Builder) {
	fmt.Fprintf(b, `if ($MxMoved) {
    $now = (Get-Date).ToUniversalTime()
    $seen = @(Get-MessageTraceV2 -StartDate $now.AddHours(-1) -EndDate $now -ResultSize 5000)
    if ($seen.Count -ge 5000) { throw 'More mail than one trace shows: nobody can tell whether some comes in directly. Look in the admin center, and turn the lock on by hand.' }
    $own = @(Get-AcceptedDomain | ForEach-Object { ([string]$_.DomainName).ToLowerInvariant() })
    $direct = $seen | Where-Object { $_.FromIP -and $own -contains (([string]$_.RecipientAddress) -split '@')[-1].ToLowerInvariant() -and
        -not (Test-Within $_.FromIP %s) } | Select-Object -First 1
    if ($direct) { throw "Mail still comes in directly, from $($direct.FromIP): the lock stays off. Wait, and run this again." }
    Set-InboundConnector -Identity ([string](Find-Ours 'InboundConnector' 'inbound-lock').Guid) -Enabled $true
} else {
    Write-Host 'The lock stays off. Move the MX records to the gateway, wait until their old TTL is over, then run this with -MxMoved.'
}
`, s.list(s.p.egress()))
}

// offboard is the script that takes the settings out, in the order that loses no mail.
func (s *scripter) offboard() string {
	var b strings.Builder
	more := ",\n    [switch]$Force,\n    [int]$DrainMinutes = 30"
	if s.p.Mode == MXFirst {
		more += ",\n    [switch]$MxBack"
	}
	b.WriteString(s.header("Takes a Microsoft 365 tenant out from behind the gateway. Can be run again at any time.", more))
	b.WriteString(psOffboard)
	b.WriteString("\n$state = Read-State\nAssert-Tenant $state\n")
	b.WriteString(`
# Mail that comes in directly again must not be refused.
$lock = Find-Ours 'InboundConnector' 'inbound-lock'
if ($null -ne $lock -and $lock.Enabled) { Set-InboundConnector -Identity ([string]$lock.Guid) -Enabled $false }

# No more mail goes to the gateway; what is there comes back while everything it needs still stands.
$rule = Find-Ours 'TransportRule' 'redirect-rule'
if ($null -ne $rule) {
    if ($rule.State -eq 'Enabled') { Disable-TransportRule -Identity ([string]$rule.Guid) -Confirm:$false }
    Write-Host "Waiting $DrainMinutes minutes until mail on its way has come back"
    Start-Sleep -Seconds (60 * $DrainMinutes)
}
`)
	if s.p.Mode == MXFirst {
		b.WriteString("if (-not $MxBack) {\n    Write-Host 'Move the MX records back to Exchange Online, wait until their old TTL is over, then run this with -MxBack.'\n    return\n}\n")
	}
	b.WriteString("\n")
	kinds := s.everyKind()
	for _, id := range undoOrder {
		k := kinds[id]
		switch {
		case k.owned():
			fmt.Fprintf(&b, "Remove-Owned %s %s\n", s.quote(string(k)), s.quote(id))
		case id == idSpoof:
			b.WriteString("Remove-Pairs $state\n")
		case id == idArc:
			b.WriteString("Remove-Sealers $state\n")
		case id == idConnection:
			b.WriteString("Remove-Allowed $state\n")
		case id == idAntispam:
			b.WriteString("Restore-Singles $state\n")
		case id == idAccessApp:
			b.WriteString("foreach ($app in Get-Added $state 'ServicePrincipal') {\n    Get-ServicePrincipal | Where-Object { $_.AppId -eq $app } | ForEach-Object { Remove-ServicePrincipal -Identity ([string]$_.Identity) -Confirm:$false }\n}\n")
		case id == idConsent && s.p.RemediationApp != "":
			fmt.Fprintf(&b, "Write-Host %s\n", s.quote("Delete the enterprise application "+s.p.RemediationApp+" in Microsoft Entra to revoke its consent."))
		}
	}
	b.WriteString("\nWrite-Host 'Done. If nothing above was left, the state file may be deleted.'\n")
	return b.String()
}

// everyKind tells the kinds of all settings that any profile could have, since the script may be run after the
// profile changed.
func (s *scripter) everyKind() map[string]kind {
	out := map[string]kind{idLock: kindInbound, idOutbound: kindOutbound, idInbound: kindInbound, idAccessGroup: kindRoleGroup}
	for _, id := range []string{idRedirect, idHigh, idLow, idSpam, idQuarantine, idReturn} {
		out[id] = kindRule
	}
	for _, x := range s.settings {
		if x.of == "" {
			out[x.id] = x.kind
		}
	}
	return out
}
