
# Makes an object of ours, or brings it to what is wanted. One of somebody else under the name stops the script.
function Set-Owned([string]$Noun, [string]$Id, [string]$Name, [string]$Comment, [hashtable]$Want, [hashtable]$OnlyNew, [string[]]$Clear) {
    $field = Get-CommentField $Noun
    $ours = Find-Ours $Noun $Id
    if ($null -eq $ours) {
        if (Get-All $Noun | Where-Object { $_.Name -eq $Name }) {
            throw "$Noun '$Name' exists and is not ours. Rename or remove it first."
        }
        $new = @{ Name = $Name; $field = $Comment } + $Want + $OnlyNew
        foreach ($key in @($new.Keys)) { if ($null -eq $new[$key]) { $new.Remove($key) } }
        Write-Host "Making $Noun '$Name'"
        & "New-$Noun" @new | Out-Null
        return
    }
    if ($Noun -eq 'RoleGroup') { return }
    $set = @{ Identity = [string]$ours.Guid } + $Want
    foreach ($key in $Clear) { $set[$key] = $null }
    if ($Noun -eq 'TransportRule' -and $set.ContainsKey('Enabled')) {
        $set.Remove('Enabled')
        if ($ours.State -ne 'Enabled') { Enable-TransportRule -Identity ([string]$ours.Guid) -Confirm:$false }
    }
    Write-Host "Bringing $Noun '$Name' to what is wanted"
    & "Set-$Noun" @set
}

function Add-Allowed([hashtable]$State, [string[]]$Addresses) {
    $have = ConvertTo-Plain (Get-HostedConnectionFilterPolicy -Identity Default).IPAllowList
    $missing = @($Addresses | Where-Object { $have -notcontains $_ })
    if ($missing.Count -eq 0) { return }
    Save-Added $State 'IPAllowList' $missing
    Write-Host "Allowing $($missing -join ', ')"
    Set-HostedConnectionFilterPolicy -Identity Default -IPAllowList @{ Add = $missing }
}

function Add-Pairs([hashtable]$State, [string[]]$Infrastructure) {
    foreach ($infra in $Infrastructure) {
        foreach ($type in 'External', 'Internal') {
            $wide = $infra
            if ($infra -match '^(\d+\.\d+\.\d+)\.\d+$') { $wide = "$($Matches[1]).0/24" }
            $have = Get-TenantAllowBlockListSpoofItems | Where-Object {
                $_.SpoofedUser -eq '*' -and [string]$_.SpoofType -eq $type -and [string]$_.Action -eq 'Allow' -and
                ($_.SendingInfrastructure -eq $infra -or $_.SendingInfrastructure -eq $wide)
            }
            if ($have) { continue }
            Save-Added $State 'SpoofPairs' @("$type $infra")
            Write-Host "Allowing the pair *, $infra ($type)"
            New-TenantAllowBlockListSpoofItems -Identity Default -SpoofedUser '*' -SendingInfrastructure $infra -SpoofType $type -Action Allow | Out-Null
        }
    }
}

function Get-Sealers {
    return @((Get-ArcConfig).ArcTrustedSealers -split ',' | ForEach-Object { $_.Trim() } | Where-Object { $_ })
}

function Add-Sealer([hashtable]$State, [string]$Domain) {
    $have = @(Get-Sealers)
    if ($have -contains $Domain) { return }
    Save-Added $State 'ArcTrustedSealers' @($Domain)
    Write-Host "Trusting ARC seals of $Domain"
    Set-ArcConfig -Identity Default -ArcTrustedSealers @($have + $Domain)
}

# Sets single values of an object that exists once, and remembers what they were.
function Set-Single([hashtable]$State, [string]$Noun, [hashtable]$Want) {
    $identity = @{}
    if ($Noun -ne 'OrganizationConfig') { $identity = @{ Identity = 'Default' } }
    $have = & "Get-$Noun" @identity
    $set = @{}
    foreach ($key in $Want.Keys) {
        if ([string]$have.$key -eq [string]$Want[$key]) { continue }
        $before = $have.$key
        if ($before -isnot [bool]) { $before = [string]$before }
        Save-Value $State "$Noun.$key" $before $Want[$key]
        $set[$key] = $Want[$key]
    }
    if ($set.Count -eq 0) { return }
    Write-Host "Setting $($set.Keys -join ', ') of $Noun"
    & "Set-$Noun" @identity @set
}

# The place of the redirect rule: first, but below the rules of the tenant that block addresses.
function Get-RedirectPlace {
    $place = 0
    $n = 0
    foreach ($rule in @(Get-TransportRule -ResultSize Unlimited | Sort-Object -Property Priority)) {
        if (Test-Mark ([string]$rule.Comments) 'redirect-rule') { continue }
        $n++
        $blocks = $false
        foreach ($name in 'DeleteMessage', 'Quarantine', 'RejectMessageReasonText', 'RejectMessageEnhancedStatusCode', 'SmtpRejectMessageRejectText',
            'SmtpRejectMessageRejectStatusCode', 'Disconnect') {
            if (Get-Field $rule $name) { $blocks = $true }
        }
        $scl = Get-Field $rule 'SetSCL'
        if ($null -ne $scl -and "$scl" -ne '' -and [int]"$scl" -ge 5) { $blocks = $true }
        if (-not (Test-Ours ([string]$rule.Comments)) -and $rule.SenderIpRanges -and $blocks) { $place = $n }
    }
    return $place
}

# Stops before the first change if the name of an object of ours is taken by somebody else's.
function Assert-Free([string]$Noun, [string]$Id, [string]$Name) {
    $field = Get-CommentField $Noun
    if (Get-All $Noun | Where-Object { $_.Name -eq $Name -and -not (Test-Mark ([string]$_.$field) $Id) }) {
        throw "$Noun '$Name' exists and is not ours. Rename or remove it first. Nothing was changed."
    }
}

# Stops before the first change if something is in the way of the mail, unless it is meant.
function Assert-Clear([string[]]$Accept, [string[]]$Egress, [bool]$Loop) {
    $found = @()
    foreach ($rule in @(Get-All 'TransportRule')) {
        if ($Loop -and $rule.State -eq 'Enabled' -and $rule.RouteMessageOutboundConnector -and -not (Test-Ours ([string]$rule.Comments))) {
            $found += "gateway.other: the rule '$($rule.Name)' sends mail through another connector. Turn it off if that product is replaced."
        }
    }
    foreach ($noun in 'InboundConnector', 'OutboundConnector') {
        foreach ($connector in @(Get-All $noun)) {
            if (Test-Ours ([string]$connector.Comment)) { continue }
            if ([string]$connector.ConnectorSource -eq 'HybridWizard' -or ([string]$connector.ConnectorType -eq 'OnPremises' -and
                    ($connector.CloudServicesMailEnabled -or $connector.Name -like 'Inbound from *' -or $connector.Name -like 'Outbound to *'))) {
                $found += "hybrid.connectors: '$($connector.Name)' joins the tenant with servers of its own. Mail could go round in circles."
            }
        }
    }
    foreach ($connector in @(Get-All 'InboundConnector')) {
        if ((Test-Ours ([string]$connector.Comment)) -or -not $connector.Enabled) { continue }
        $restricts = $connector.RestrictDomainsToIPAddresses -or $connector.RestrictDomainsToCertificate
        $all = @($connector.SenderDomains | Where-Object { ([string]$_) -match '^(smtp:)?\*(;|$)' }).Count -gt 0
        $have = ConvertTo-Plain $connector.SenderIPAddresses
        if ($restricts -and $all -and @($Egress | Where-Object { $have -notcontains $_ }).Count -gt 0) {
            $found += "lock.other: '$($connector.Name)' would refuse what the gateway sends back. Turn it off, or add the addresses of the gateway to it."
        }
    }
    $found = @($found | Where-Object { $Accept -notcontains ($_ -split ':', 2)[0] })
    if ($found.Count -gt 0) { throw ("Nothing was changed. " + ($found -join ' ')) }
}

function Read-Secret {
    if ($SecretFile) {
        $secret = (Get-Content -LiteralPath $SecretFile -Raw).Trim()
    } else {
        $secure = Read-Host -AsSecureString -Prompt 'The secret of the mail loop, as the gateway has it'
        $secret = (New-Object System.Net.NetworkCredential('', $secure)).Password
    }
    if ($secret -cnotmatch '^[A-Za-z0-9]{16,128}$') {
        throw 'The secret has to be 16 to 128 letters and digits. Nothing was changed.'
    }
    return $secret
}
