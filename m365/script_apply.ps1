
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
        $foreign = -not ([string]$rule.Comments -match ('(^|\s)' + [regex]::Escape("$Mark id=")))
        $blocks = $rule.DeleteMessage -or $rule.Quarantine -or $rule.RejectMessageReasonText -or $rule.RejectMessageEnhancedStatusCode
        if ($foreign -and $rule.SenderIpRanges -and $blocks) { $place = $n }
    }
    return $place
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
