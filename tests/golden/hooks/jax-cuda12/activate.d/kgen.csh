# kgen: selects the environment jax-cuda12 in tcsh. Source it.
# Do not edit: `kgen sync` writes it again.
#
# The stack of activations is kept as activate.d/kgen.sh describes. Nothing tells a variable of the shell itself from one
# of the environment, which it hides: it counts as one. No text of others is evaluated: `:q` has it arrive as it is, and
# what is evaluated is put together of digits and names.
set _kgen_environment = 'jax-cuda12'
set _kgen_depth = 0 _kgen_names = ''
if ($?KGEN_SHLVL) then
    if ("$KGEN_SHLVL:q" =~ [123456789]* && "$KGEN_SHLVL:q" !~ *[^0123456789]* && "$KGEN_SHLVL:q" !~ ??????????*) then
        eval 'if ($?_KGEN_SAVED_'$KGEN_SHLVL'__KGEN_NAMES) set _kgen_depth = $KGEN_SHLVL'
    endif
endif
@ _kgen_depth = $_kgen_depth + 1
if ($?CONDA_SHLVL) then
    if ("$CONDA_SHLVL:q" =~ [0123456789]* && "$CONDA_SHLVL:q" !~ *[^0123456789]*) then
        set _kgen_names = "CONDA_SHLVL:$CONDA_SHLVL " _kgen_record = '' _kgen_owner = ''
        if ($_kgen_depth > 1) then
            eval 'set _kgen_record = "$_KGEN_SAVED_'$KGEN_SHLVL'__KGEN_NAMES:q"'
            eval 'set _kgen_owned = $?_KGEN_SAVED_'$KGEN_SHLVL'__KGEN_OWNER'
            if ($_kgen_owned) then
                eval 'set _kgen_owner = "$_KGEN_SAVED_'$KGEN_SHLVL'__KGEN_OWNER:q"'
            endif
            unset _kgen_owned
            if ("$_kgen_owner:q" == "$_kgen_environment:q" && "$_kgen_record:q" =~ "$_kgen_names"*) then
                set _kgen_names = "$_kgen_record:q"
                @ _kgen_depth = $_kgen_depth - 1
            endif
        endif
        unset _kgen_record _kgen_owner
    endif
endif
if (" $_kgen_names:q" !~ *' KERAS_BACKEND:'*) then
if ($?KERAS_BACKEND) then
    setenv _KGEN_SAVED_${_kgen_depth}_KERAS_BACKEND $KERAS_BACKEND:q
    set _kgen_names = "$_kgen_names:qKERAS_BACKEND:exported "
else
    set _kgen_names = "$_kgen_names:qKERAS_BACKEND:unset "
endif
endif
if (" $_kgen_names:q" !~ *' KGEN_ENVIRONMENT:'*) then
if ($?KGEN_ENVIRONMENT) then
    setenv _KGEN_SAVED_${_kgen_depth}_KGEN_ENVIRONMENT $KGEN_ENVIRONMENT:q
    set _kgen_names = "$_kgen_names:qKGEN_ENVIRONMENT:exported "
else
    set _kgen_names = "$_kgen_names:qKGEN_ENVIRONMENT:unset "
endif
endif
setenv KERAS_BACKEND 'jax'
setenv KGEN_ENVIRONMENT 'jax-cuda12'
setenv _KGEN_SAVED_${_kgen_depth}__KGEN_OWNER 'jax-cuda12'
setenv _KGEN_SAVED_${_kgen_depth}__KGEN_NAMES "$_kgen_names:q"
setenv KGEN_SHLVL $_kgen_depth
unset _kgen_environment _kgen_depth _kgen_names
set status = 0
