# shellcheck shell=sh
# kgen: selects the environment jax-cuda12 in sh, dash, bash and zsh. Source it.
# Do not edit: `kgen lock` writes it again.
#
# The stack of activations: KGEN_SHLVL is its depth. For each depth D, exported so that a shell started in this one can
# deactivate as well,
#   _KGEN_SAVED_<D>__KGEN_OWNER   the environment that was activated
#   _KGEN_SAVED_<D>__KGEN_NAMES   the variables it set, and how each of them was found: "NAME:unset ",
#                                 "NAME:exported " or "NAME:local " (set, but not exported)
#   _KGEN_SAVED_<D>_<NAME>        the value it was found with
# The names may begin with "CONDA_SHLVL:N ": the level of conda at which the environment was activated. On leaving a
# stacked environment, conda activates the one below it without having deactivated it before. Where the record on top is
# this environment's and of this level, it is kept, and no second one is put above it.
# A KGEN_SHLVL that is no number, or that has no such record, counts as 0.
#
# Everything is builtin and quoted: no program is started, no IFS or option matters. The backslashes keep aliases out.
# Only `export` makes variables, because it alone is quiet in a zsh function under WARN_CREATE_GLOBAL. Whether a variable
# is exported, only the list of `export -p` tells in every shell; text in it that looks like an entry counts as one.

case "${KGEN_SHLVL-}" in
  '' | 0* | *[!0123456789]* | ??????????*) \export KGEN_SHLVL=0 ;;
  *) \eval "case \"\${_KGEN_SAVED_${KGEN_SHLVL}__KGEN_NAMES-}\" in '') \\export KGEN_SHLVL=0 ;; esac" ;;
esac
\export _KGEN_NAMES='' _KGEN_EXPORTED=''
case "${CONDA_SHLVL-}" in
  '' | *[!0123456789]*) ;;
  *)
    \eval "\\export _KGEN_EXPORTED=\"\${_KGEN_SAVED_${KGEN_SHLVL}__KGEN_OWNER-}\""
    \eval "\\export _KGEN_NAMES=\"\${_KGEN_SAVED_${KGEN_SHLVL}__KGEN_NAMES-}\""
    case "${_KGEN_EXPORTED}" in
      'jax-cuda12') ;;
      *) \export _KGEN_NAMES='' ;;
    esac
    case "${KGEN_SHLVL}:${_KGEN_NAMES}" in
      0:*) \export _KGEN_NAMES="CONDA_SHLVL:${CONDA_SHLVL} " ;;
      *:"CONDA_SHLVL:${CONDA_SHLVL} "*) \export KGEN_SHLVL="$((KGEN_SHLVL - 1))" ;;
      *) \export _KGEN_NAMES="CONDA_SHLVL:${CONDA_SHLVL} " ;;
    esac
    ;;
esac
\export KGEN_SHLVL="$((KGEN_SHLVL + 1))"
_KGEN_EXPORTED="$(\export -p)"

case " ${_KGEN_NAMES}:${KERAS_BACKEND+set}" in
  *" KERAS_BACKEND:"*) ;;
  *:) \export _KGEN_NAMES="${_KGEN_NAMES}KERAS_BACKEND:unset " ;;
  *)
    case "${_KGEN_EXPORTED}" in
      *"export KERAS_BACKEND="* | *"x KERAS_BACKEND="*) \export _KGEN_NAMES="${_KGEN_NAMES}KERAS_BACKEND:exported " ;;
      *) \export _KGEN_NAMES="${_KGEN_NAMES}KERAS_BACKEND:local " ;;
    esac
    \eval "\\export _KGEN_SAVED_${KGEN_SHLVL}_KERAS_BACKEND=\"\${KERAS_BACKEND}\""
    ;;
esac
case " ${_KGEN_NAMES}:${KGEN_ENVIRONMENT+set}" in
  *" KGEN_ENVIRONMENT:"*) ;;
  *:) \export _KGEN_NAMES="${_KGEN_NAMES}KGEN_ENVIRONMENT:unset " ;;
  *)
    case "${_KGEN_EXPORTED}" in
      *"export KGEN_ENVIRONMENT="* | *"x KGEN_ENVIRONMENT="*) \export _KGEN_NAMES="${_KGEN_NAMES}KGEN_ENVIRONMENT:exported " ;;
      *) \export _KGEN_NAMES="${_KGEN_NAMES}KGEN_ENVIRONMENT:local " ;;
    esac
    \eval "\\export _KGEN_SAVED_${KGEN_SHLVL}_KGEN_ENVIRONMENT=\"\${KGEN_ENVIRONMENT}\""
    ;;
esac

\export KERAS_BACKEND='jax'
\export KGEN_ENVIRONMENT='jax-cuda12'
\eval "\\export _KGEN_SAVED_${KGEN_SHLVL}__KGEN_OWNER=\"\${KGEN_ENVIRONMENT}\""
\eval "\\export _KGEN_SAVED_${KGEN_SHLVL}__KGEN_NAMES=\"\${_KGEN_NAMES}\""
\unset -v _KGEN_NAMES _KGEN_EXPORTED
