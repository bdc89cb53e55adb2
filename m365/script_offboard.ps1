
# Removes an object of ours. Those of others are never touched.
function Remove-Owned([string]$Noun, [string]$Id) {
    $ours = Find-Ours $Noun $Id
    if ($null -eq $ours) { return }
    Write-Host "Removing $Noun '$($ours.Name)'"
    & "Remove-$Noun" -Identity ([string]$ours.Guid) -Confirm:$false
}

function Remove-Allowed([hashtable]$State) {
    $have = ConvertTo-Plain (Get-HostedConnectionFilterPolicy -Identity Default).IPAllowList
    $gone = @(Get-Added $State 'IPAllowList' | Where-Object { $have -contains $_ })
    if ($gone.Count -gt 0) {
        Write-Host "No longer allowing $($gone -join ', ')"
        Set-HostedConnectionFilterPolicy -Identity Default -IPAllowList @{ Remove = $gone }
    }
    Clear-Added $State 'IPAllowList'
}

function Remove-Pairs([hashtable]$State) {
    foreach ($pair in Get-Added $State 'SpoofPairs') {
        $type, $infra = $pair -split ' ', 2
        $wide = $infra
        if ($infra -match '^(\d+\.\d+\.\d+)\.\d+$') { $wide = "$($Matches[1]).0/24" }
        $ids = @(Get-TenantAllowBlockListSpoofItems | Where-Object {
                $_.SpoofedUser -eq '*' -and [string]$_.SpoofType -eq $type -and [string]$_.Action -eq 'Allow' -and
                ($_.SendingInfrastructure -eq $infra -or $_.SendingInfrastructure -eq $wide)
            } | ForEach-Object { [string]$_.Identity })
        if ($ids.Count -eq 0) { continue }
        Write-Host "Removing the pair *, $infra ($type)"
        Remove-TenantAllowBlockListSpoofItems -Identity Default -Ids $ids -Confirm:$false
    }
    Clear-Added $State 'SpoofPairs'
}

function Remove-Sealers([hashtable]$State) {
    $have = @((Get-ArcConfig).ArcTrustedSealers -split ',' | ForEach-Object { $_.Trim() } | Where-Object { $_ })
    $ours = @(Get-Added $State 'ArcTrustedSealers')
    $rest = @($have | Where-Object { $ours -notcontains $_ })
    if ($rest.Count -ne $have.Count) {
        if ($rest.Count -eq 0) { $rest = @(' ') }
        Write-Host "No longer trusting ARC seals of $($ours -join ', ')"
        Set-ArcConfig -Identity Default -ArcTrustedSealers $rest
    }
    Clear-Added $State 'ArcTrustedSealers'
}

# Puts single values back, unless somebody changed them after us.
function Restore-Singles([hashtable]$State) {
    foreach ($name in @($State.Before.Keys)) {
        $noun, $key = $name -split '\.', 2
        $identity = @{}
        if ($noun -ne 'OrganizationConfig') { $identity = @{ Identity = 'Default' } }
        $live = [string](& "Get-$noun" @identity).$key
        if ($live -eq [string]$State.Before[$name]) {
            Clear-Value $State $name
            continue
        }
        if ($live -ne [string]$State.Applied[$name] -and -not $Force) {
            Write-Warning "$noun $key is $live. It was $($State.Before[$name]) before us and $($State.Applied[$name]) through us: somebody changed it, so it stays. Use -Force to put it back."
            continue
        }
        Write-Host "Putting back $noun $key"
        $set = @{ $key = $State.Before[$name] }
        & "Set-$noun" @identity @set
        Clear-Value $State $name
    }
}

# Forgets what a value was, when it is that again.
function Clear-Value([hashtable]$State, [string]$Key) {
    $State.Before.Remove($Key)
    $State.Applied.Remove($Key)
    Write-State $State
}
