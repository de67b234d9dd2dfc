# kgen: selects the environment tensorflow-cpu in PowerShell. Run it, or dot-source it.
# Do not edit: `kgen lock` writes it again.
#
# The stack of activations is kept as activate.d/kgen.sh describes. PowerShell before 7.5 cannot hold an empty
# environment variable: there, one that was set but empty comes back as unset.
& {
    $depth = 1
    if ($env:KGEN_SHLVL -cmatch '\A[1-9][0-9]{0,8}\z') {
        if (Test-Path -LiteralPath "Env:_KGEN_SAVED_${env:KGEN_SHLVL}__KGEN_NAMES") {
            $depth = 1 + [int]$env:KGEN_SHLVL
        }
    }
    $names = ''
    foreach ($name in 'KERAS_BACKEND', 'KGEN_ENVIRONMENT') {
        if (Test-Path -LiteralPath "Env:$name") {
            $names += "${name}:exported "
            $value = (Get-Item -LiteralPath "Env:$name").Value
            Set-Item -LiteralPath "Env:_KGEN_SAVED_${depth}_$name" -Value $value
        } else {
            $names += "${name}:unset "
        }
    }
    Set-Item -LiteralPath 'Env:KERAS_BACKEND' -Value 'tensorflow'
    Set-Item -LiteralPath 'Env:KGEN_ENVIRONMENT' -Value 'tensorflow-cpu'
    Set-Item -LiteralPath "Env:_KGEN_SAVED_${depth}__KGEN_OWNER" -Value 'tensorflow-cpu'
    Set-Item -LiteralPath "Env:_KGEN_SAVED_${depth}__KGEN_NAMES" -Value $names
    Set-Item -LiteralPath 'Env:KGEN_SHLVL' -Value "$depth"
}
