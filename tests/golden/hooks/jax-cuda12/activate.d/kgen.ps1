# kgen: selects the environment jax-cuda12 in PowerShell. Run it, or dot-source it.
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
    if ($env:CONDA_SHLVL -cmatch '\A[0-9]+\z') {
        $names = "CONDA_SHLVL:${env:CONDA_SHLVL} "
        $top = "Env:_KGEN_SAVED_${env:KGEN_SHLVL}_"
        if (($depth -gt 1) -and (Test-Path -LiteralPath "${top}_KGEN_OWNER")) {
            $record = (Get-Item -LiteralPath "${top}_KGEN_NAMES").Value
            $owner = (Get-Item -LiteralPath "${top}_KGEN_OWNER").Value
            if (($owner -ceq 'jax-cuda12') -and $record.StartsWith($names)) {
                $names = $record
                $depth--
            }
        }
    }
    foreach ($name in 'KERAS_BACKEND', 'KGEN_ENVIRONMENT') {
        if (" $names".Contains(" ${name}:")) {
            continue
        }
        if (Test-Path -LiteralPath "Env:$name") {
            $names += "${name}:exported "
            $value = (Get-Item -LiteralPath "Env:$name").Value
            Set-Item -LiteralPath "Env:_KGEN_SAVED_${depth}_$name" -Value $value
        } else {
            $names += "${name}:unset "
        }
    }
    Set-Item -LiteralPath 'Env:KERAS_BACKEND' -Value 'jax'
    Set-Item -LiteralPath 'Env:KGEN_ENVIRONMENT' -Value 'jax-cuda12'
    Set-Item -LiteralPath "Env:_KGEN_SAVED_${depth}__KGEN_OWNER" -Value 'jax-cuda12'
    Set-Item -LiteralPath "Env:_KGEN_SAVED_${depth}__KGEN_NAMES" -Value $names
    Set-Item -LiteralPath 'Env:KGEN_SHLVL' -Value "$depth"
}
