Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
# The cmdlets of the module do not see the preference of a script: without this they fail and the script goes on.
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }

# What this script added and what was there before, for the script that takes it out again. It holds no secrets.
function Read-State {
    if (-not (Test-Path -LiteralPath $StatePath)) {
        return @{ Tenant = ''; Added = @{}; Before = @{}; Applied = @{} }
    }
    $raw = Get-Content -LiteralPath $StatePath -Raw | ConvertFrom-Json
    $state = @{ Tenant = [string]$raw.Tenant; Added = @{}; Before = @{}; Applied = @{} }
    foreach ($part in 'Added', 'Before', 'Applied') {
        foreach ($p in $raw.$part.PSObject.Properties) { $state[$part][$p.Name] = $p.Value }
    }
    return $state
}

function Write-State([hashtable]$State) {
    $temp = "$StatePath.new"
    ConvertTo-Json -InputObject $State -Depth 6 | Set-Content -LiteralPath $temp -Encoding UTF8
    Move-Item -LiteralPath $temp -Destination $StatePath -Force
}

function Assert-Tenant([hashtable]$State) {
    $guid = [string](Get-OrganizationConfig).Guid
    if ($State.Tenant -and $State.Tenant -ne $guid) {
        throw "The state file $StatePath is about another tenant ($($State.Tenant)). Use another file."
    }
    $State.Tenant = $guid
}

# An object is ours if its comment carries our mark.
function Test-Mark([string]$Comment, [string]$Id) {
    return $Comment -match ('(^|\s)' + [regex]::Escape("$Mark id=$Id") + '(\s|$)')
}

# An object is of this installation, whatever it is for.
function Test-Ours([string]$Comment) {
    return $Comment -match ('(^|\s)' + [regex]::Escape("$Mark id="))
}

# A property, or nothing where the service does not return it.
function Get-Field([object]$Object, [string]$Name) {
    if ($null -ne $Object.PSObject.Properties[$Name]) { return $Object.$Name }
}

function Get-All([string]$Noun) {
    switch ($Noun) {
        'TransportRule' { return @(Get-TransportRule -ResultSize Unlimited) }
        'InboundConnector' { return @(Get-InboundConnector -ResultSize Unlimited) }
        'OutboundConnector' {
            $all = @(Get-OutboundConnector -ResultSize Unlimited -IncludeTestModeConnectors $true) +
                @(Get-OutboundConnector -ResultSize Unlimited -IncludeTestModeConnectors $true -IsTransportRuleScoped $true)
            return @($all | Sort-Object -Property Guid -Unique)
        }
        'RoleGroup' { return @(Get-RoleGroup -ResultSize Unlimited) }
    }
}

function Get-CommentField([string]$Noun) {
    switch ($Noun) {
        'TransportRule' { return 'Comments' }
        'RoleGroup' { return 'Description' }
        default { return 'Comment' }
    }
}

function Find-Ours([string]$Noun, [string]$Id) {
    $field = Get-CommentField $Noun
    return Get-All $Noun | Where-Object { Test-Mark ([string]$_.$field) $Id } | Select-Object -First 1
}

function ConvertTo-Plain([object]$Value) {
    return @($Value | Where-Object { $null -ne $_ } | ForEach-Object { ([string]$_).ToLowerInvariant() })
}

function Save-Value([hashtable]$State, [string]$Key, [object]$Before, [object]$Applied) {
    if (-not $State.Before.ContainsKey($Key)) { $State.Before[$Key] = $Before }
    $State.Applied[$Key] = $Applied
    Write-State $State
}

function Save-Added([hashtable]$State, [string]$Key, [string[]]$Members) {
    $have = @()
    if ($State.Added.ContainsKey($Key)) { $have = @($State.Added[$Key]) }
    $State.Added[$Key] = @($have + $Members | Select-Object -Unique)
    Write-State $State
}

function Get-Added([hashtable]$State, [string]$Key) {
    if ($State.Added.ContainsKey($Key)) { return @($State.Added[$Key]) }
    return @()
}

# Forgets what was added, when it is gone.
function Clear-Added([hashtable]$State, [string]$Key) {
    if ($State.Added.ContainsKey($Key)) {
        $State.Added.Remove($Key)
        Write-State $State
    }
}

# Says whether an IPv4 address is one of these addresses, or in one of these networks.
function Test-Within([string]$Address, [string[]]$Networks) {
    foreach ($network in $Networks) {
        $base, $bits = $network -split '/', 2
        if (-not $bits) { $bits = 32 }
        $a = [System.Net.IPAddress]::Parse($base).GetAddressBytes()
        $parsed = $null
        if (-not [System.Net.IPAddress]::TryParse($Address, [ref]$parsed)) { return $false }
        $b = $parsed.GetAddressBytes()
        if ($b.Length -ne 4) { continue }
        $mask = [byte](256 - [math]::Pow(2, 32 - [int]$bits))
        if ($a[0] -eq $b[0] -and $a[1] -eq $b[1] -and $a[2] -eq $b[2] -and ($a[3] -band $mask) -eq ($b[3] -band $mask)) { return $true }
    }
    return $false
}
