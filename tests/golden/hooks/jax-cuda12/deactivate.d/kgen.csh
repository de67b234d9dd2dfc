# kgen: undoes the last activation of the environment jax-cuda12 in tcsh. Source it.
# Do not edit: `kgen sync` writes it again.
#
# Every variable is put back as the activation found it, whatever happened to it since; out of order as
# deactivate.d/kgen.sh describes.

set _kgen_environment = 'jax-cuda12'
# Which activation is meant: the topmost that this environment owns.
set _kgen_depth = '' _kgen_there = 0
if ($?KGEN_SHLVL) then
    set _kgen_depth = "$KGEN_SHLVL:q"
endif
while ("$_kgen_depth:q" =~ [123456789]* && "$_kgen_depth:q" !~ *[^0123456789]* && "$_kgen_depth:q" !~ ??????????*)
    eval 'set _kgen_there = $?_KGEN_SAVED_'$_kgen_depth'__KGEN_NAMES'
    if (! $_kgen_there) break
    eval 'set _kgen_there = $?_KGEN_SAVED_'$_kgen_depth'__KGEN_OWNER'
    if ($_kgen_there) then
        eval 'set _kgen_owner = "$_KGEN_SAVED_'$_kgen_depth'__KGEN_OWNER:q"'
        if ("$_kgen_owner:q" == "$_kgen_environment:q") then
            unsetenv _KGEN_SAVED_${_kgen_depth}__KGEN_OWNER
            break
        endif
    endif
    @ _kgen_depth = $_kgen_depth - 1
end

# Undoes what is on top and has no owner.
while ($?KGEN_SHLVL)
    set _kgen_depth = "$KGEN_SHLVL:q"
    if ("$_kgen_depth:q" !~ [123456789]* || "$_kgen_depth:q" =~ *[^0123456789]* || "$_kgen_depth:q" =~ ??????????*) break
    eval 'set _kgen_there = $?_KGEN_SAVED_'$_kgen_depth'__KGEN_NAMES'
    if (! $_kgen_there) break
    eval 'set _kgen_there = $?_KGEN_SAVED_'$_kgen_depth'__KGEN_OWNER'
    if ($_kgen_there) break
    eval 'set _kgen_names = ($_KGEN_SAVED_'$_kgen_depth'__KGEN_NAMES:x)'
    foreach _kgen_entry ($_kgen_names:q)
        if ("$_kgen_entry:q" !~ [ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_]*:{exported,local,unset}) continue
        set _kgen_name = "$_kgen_entry:s/:/./:r"
        if ("$_kgen_name:q" =~ *[^ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_]*) continue
        if ("$_kgen_entry:q" =~ *:exported) then
            setenv $_kgen_name
            eval 'set _kgen_there = $?_KGEN_SAVED_'$_kgen_depth'_'$_kgen_name
            if ($_kgen_there) then
                eval 'setenv '$_kgen_name' $_KGEN_SAVED_'$_kgen_depth'_'$_kgen_name':q'
            endif
        else
            unsetenv $_kgen_name
        endif
        unsetenv _KGEN_SAVED_${_kgen_depth}_$_kgen_name
    end
    unsetenv _KGEN_SAVED_${_kgen_depth}__KGEN_NAMES
    if ($_kgen_depth == 1) then
        unsetenv KGEN_SHLVL
    else
        @ _kgen_depth = $_kgen_depth - 1
        setenv KGEN_SHLVL $_kgen_depth
    endif
end
unset _kgen_environment _kgen_depth _kgen_there _kgen_owner _kgen_names _kgen_entry _kgen_name
set status = 0
