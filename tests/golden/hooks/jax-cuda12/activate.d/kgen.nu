# kgen: selects the environment jax-cuda12 in Nushell. Source it.
# Do not edit: `kgen sync` writes it again.
#
# The stack of activations is kept as activate.d/kgen.sh describes. The block of an `if` keeps its own variables, and
# what it does to the environment is done to that of the shell.
if true {
    let before = $env
    let level = if 'KGEN_SHLVL' in $before { $"($before.KGEN_SHLVL)" } else { '' }
    let depth = if $level =~ '\A[1-9][0-9]{0,8}\z' and $"_KGEN_SAVED_($level)__KGEN_NAMES" in $before {
        ($level | into int) + 1
    } else {
        1
    }
    let conda = if 'CONDA_SHLVL' in $before and $"($before.CONDA_SHLVL)" =~ '\A[0-9]+\z' {
        $"CONDA_SHLVL:($before.CONDA_SHLVL) "
    } else {
        ''
    }
    let owner = $"_KGEN_SAVED_($level)__KGEN_OWNER"
    let top = $"_KGEN_SAVED_($level)__KGEN_NAMES"
    let record = if $conda != '' and $depth > 1 and $owner in $before and ($before | get $owner) == "jax-cuda12" {
        $"($before | get $top)"
    } else {
        ''
    }
    let again = $record != '' and ($record | str starts-with $conda)
    let depth = if $again { $depth - 1 } else { $depth }
    mut names = if $again { $record } else { $conda }
    for name in ['KERAS_BACKEND' 'KGEN_ENVIRONMENT'] {
        if ($" ($names)" | str contains $" ($name):") { continue }
        if $name in $before {
            $names += $"($name):exported "
            load-env {($"_KGEN_SAVED_($depth)_($name)"): ($before | get $name)}
        } else {
            $names += $"($name):unset "
        }
    }
    load-env {
        'KERAS_BACKEND': "jax"
        'KGEN_ENVIRONMENT': "jax-cuda12"
        ($"_KGEN_SAVED_($depth)__KGEN_OWNER"): "jax-cuda12"
        ($"_KGEN_SAVED_($depth)__KGEN_NAMES"): $names
        'KGEN_SHLVL': $"($depth)"
    }
}
