# kgen: selects the environment jax-cuda12 in fish. Source it.
# Do not edit: `kgen lock` writes it again.
#
# The stack of activations is kept as activate.d/kgen.sh describes. Only global variables are looked at and set: a
# universal one of the same name shows again after deactivation.
begin
    builtin string match --quiet --regex '^[1-9][0-9]{0,8}\z' -- "$KGEN_SHLVL"
    and builtin set --query --global _KGEN_SAVED_"$KGEN_SHLVL"__KGEN_NAMES
    or builtin set --global --export KGEN_SHLVL 0
    builtin set --local depth (builtin math $KGEN_SHLVL + 1)
    builtin set --local names
    if builtin string match --quiet --regex '^[0-9]+\z' -- "$CONDA_SHLVL"
        builtin set names CONDA_SHLVL:$CONDA_SHLVL
        builtin set --local owner _KGEN_SAVED_"$KGEN_SHLVL"__KGEN_OWNER
        builtin set --local record _KGEN_SAVED_"$KGEN_SHLVL"__KGEN_NAMES
        if builtin test "$KGEN_SHLVL" -gt 0
            and builtin set --query --global $owner
            and builtin test "$$owner" = 'jax-cuda12'
            and builtin string match --quiet -- "$names *" "$$record"
            builtin set names (builtin string split --no-empty ' ' -- "$$record")
            builtin set depth $KGEN_SHLVL
        end
    end
    for name in KERAS_BACKEND KGEN_ENVIRONMENT
        builtin string match --quiet -- $name:'*' $names
        and continue
        if not builtin set --query --global $name
            builtin set names $names $name:unset
            continue
        end
        if builtin set --query --global --export $name
            builtin set names $names $name:exported
        else
            builtin set names $names $name:local
        end
        builtin set --global --export _KGEN_SAVED_"$depth"_$name "$$name"
    end
    builtin set --global --export KERAS_BACKEND 'jax'
    builtin set --global --export KGEN_ENVIRONMENT 'jax-cuda12'
    builtin set --global --export _KGEN_SAVED_"$depth"__KGEN_OWNER 'jax-cuda12'
    builtin set --global --export _KGEN_SAVED_"$depth"__KGEN_NAMES "$names "
    builtin set --global --export KGEN_SHLVL $depth
    builtin test 0 -eq 0
end
