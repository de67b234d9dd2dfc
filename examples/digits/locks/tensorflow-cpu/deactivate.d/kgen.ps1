# kgen: undoes the last activation of the environment tensorflow-cpu in PowerShell. Run it, or dot-source it.
# Do not edit: `kgen lock` writes it again.
#
# Every variable is put back as the activation found it, whatever happened to it since; out of order as
# deactivate.d/kgen.sh describes.
& {
    $number = '\A[1-9][0-9]{0,8}\z'
    $depth = 0
    if ($env:KGEN_SHLVL -cmatch $number) {
        $depth = [int]$env:KGEN_SHLVL
    }

    # Which activation is meant: the topmost that this environment owns.
    for ($at = $depth; $at -gt 0; $at--) {
        if (-not (Test-Path -LiteralPath "Env:_KGEN_SAVED_${at}__KGEN_NAMES")) {
            break
        }
        $owner = "Env:_KGEN_SAVED_${at}__KGEN_OWNER"
        if ((Test-Path -LiteralPath $owner) -and ((Get-Item -LiteralPath $owner).Value -ceq 'tensorflow-cpu')) {
            Remove-Item -LiteralPath $owner
            break
        }
    }

    # Undoes what is on top and has no owner.
    for (; $depth -gt 0; $depth--) {
        $names = "Env:_KGEN_SAVED_${depth}__KGEN_NAMES"
        if (-not (Test-Path -LiteralPath $names)) {
            break
        }
        if (Test-Path -LiteralPath "Env:_KGEN_SAVED_${depth}__KGEN_OWNER") {
            break
        }
        foreach ($entry in ((Get-Item -LiteralPath $names).Value -csplit ' ')) {
            if ($entry -cnotmatch '\A([A-Za-z_][A-Za-z0-9_]*):(exported|local|unset)\z') {
                continue
            }
            $name = $Matches[1]
            $state = $Matches[2]
            $saved = "Env:_KGEN_SAVED_${depth}_$name"
            $value = ''
            if (Test-Path -LiteralPath $saved) {
                $value = (Get-Item -LiteralPath $saved).Value
                Remove-Item -LiteralPath $saved
            }
            if ($state -cne 'unset') {
                Set-Item -LiteralPath "Env:$name" -Value $value
            } elseif (Test-Path -LiteralPath "Env:$name") {
                Remove-Item -LiteralPath "Env:$name"
            }
        }
        Remove-Item -LiteralPath $names
        if ($depth -gt 1) {
            Set-Item -LiteralPath 'Env:KGEN_SHLVL' -Value "$($depth - 1)"
        } else {
            Remove-Item -LiteralPath 'Env:KGEN_SHLVL'
        }
    }
}
