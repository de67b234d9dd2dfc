# kgen: selects the environment tensorflow-cpu in fish. Source it.
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
    for name in KERAS_BACKEND KGEN_ENVIRONMENT
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
    builtin set --global --export KERAS_BACKEND 'tensorflow'
    builtin set --global --export KGEN_ENVIRONMENT 'tensorflow-cpu'
    builtin set --global --export _KGEN_SAVED_"$depth"__KGEN_OWNER 'tensorflow-cpu'
    builtin set --global --export _KGEN_SAVED_"$depth"__KGEN_NAMES "$names "
    builtin set --global --export KGEN_SHLVL $depth
    builtin test 0 -eq 0
end
