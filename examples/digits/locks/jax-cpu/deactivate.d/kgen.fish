# kgen: undoes the last activation of the environment jax-cpu in fish. Source it.
# Do not edit: `kgen lock` writes it again.
#
# Every variable is put back as the activation found it, whatever happened to it since; out of order as
# deactivate.d/kgen.sh describes.
begin
    builtin set --local number '^[1-9][0-9]{0,8}\z'

    # Which activation is meant: the topmost that this environment owns.
    builtin set --local depth "$KGEN_SHLVL"
    while builtin string match --quiet --regex $number -- "$depth"
        builtin set --local names _KGEN_SAVED_"$depth"__KGEN_NAMES
        builtin set --query --global $names
        or break
        builtin set --local owner _KGEN_SAVED_"$depth"__KGEN_OWNER
        if builtin test "$$owner" = 'jax-cpu'
            builtin set --erase --global $owner
            break
        end
        builtin set depth (builtin math $depth - 1)
    end

    # Undoes what is on top and has no owner.
    while builtin string match --quiet --regex $number -- "$KGEN_SHLVL"
        builtin set --local names _KGEN_SAVED_"$KGEN_SHLVL"__KGEN_NAMES
        builtin set --query --global $names
        and not builtin set --query --global _KGEN_SAVED_"$KGEN_SHLVL"__KGEN_OWNER
        or break
        for entry in (builtin string split --no-empty ' ' -- "$$names")
            builtin set --local parts (builtin string split --max 1 : -- $entry)
            builtin set --local name $parts[1]
            builtin string match --quiet --regex '^[A-Za-z_][A-Za-z0-9_]*\z' -- "$name"
            or continue
            builtin set --local saved _KGEN_SAVED_"$KGEN_SHLVL"_$name
            switch "$parts[2]"
                case exported
                    builtin set --global --export $name "$$saved"
                case local
                    builtin set --global --unexport $name "$$saved"
                case unset
                    builtin set --erase --global $name
            end
            builtin set --erase --global $saved
        end
        builtin set --erase --global $names
        if builtin test $KGEN_SHLVL -eq 1
            builtin set --erase --global KGEN_SHLVL
        else
            builtin set --global --export KGEN_SHLVL (builtin math $KGEN_SHLVL - 1)
        end
    end
    builtin test 0 -eq 0
end
