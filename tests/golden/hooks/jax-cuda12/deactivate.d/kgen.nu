# kgen: undoes the last activation of the environment jax-cuda12 in Nushell. Source it.
# Do not edit: `kgen sync` writes it again.
#
# Every variable is put back as the activation found it, whatever happened to it since; out of order as
# deactivate.d/kgen.sh describes. `hide-env` shows what it hid before: what a shell has inherited shows again below what
# was set over it. So each variable is hidden until it is gone.
if true {
    let number = '\A[1-9][0-9]{0,8}\z'
    let start = if 'KGEN_SHLVL' in $env { $"($env.KGEN_SHLVL)" } else { '' }

    # Which activation is meant: the topmost that this environment owns.
    mut depth = $start
    while $depth =~ $number and $"_KGEN_SAVED_($depth)__KGEN_NAMES" in $env {
        let owner = $"_KGEN_SAVED_($depth)__KGEN_OWNER"
        if $owner in $env and ($env | get $owner) == "jax-cuda12" {
            while $owner in $env { hide-env $owner }
            break
        }
        $depth = $"(($depth | into int) - 1)"
    }

    # Undoes what is on top and has no owner.
    mut level = $start
    while $level =~ $number and $"_KGEN_SAVED_($level)__KGEN_NAMES" in $env {
        if $"_KGEN_SAVED_($level)__KGEN_OWNER" in $env { break }
        let names = $"_KGEN_SAVED_($level)__KGEN_NAMES"
        for entry in ($"($env | get $names)" | split row ' ') {
            let parts = $entry | parse --regex '\A(?<name>[A-Za-z_][A-Za-z0-9_]*):(?<state>exported|local|unset)\z'
            if ($parts | is-empty) { continue }
            let name = $parts | first | get name
            # which Nushell lets nobody set
            if $name in ['PWD' 'FILE_PWD' 'CURRENT_FILE'] { continue }
            let saved = $"_KGEN_SAVED_($level)_($name)"
            if ($parts | first | get state) == 'unset' {
                while $name in $env { hide-env $name }
            } else {
                load-env {($name): (if $saved in $env { $env | get $saved } else { '' })}
            }
            while $saved in $env { hide-env $saved }
        }
        while $names in $env { hide-env $names }
        if $level == '1' {
            while 'KGEN_SHLVL' in $env { hide-env KGEN_SHLVL }
            break
        }
        $level = $"(($level | into int) - 1)"
        $env.KGEN_SHLVL = $level
    }
}
